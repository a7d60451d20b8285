//! Colours for those who look at a terminal.

/// How text is shown; not at all where nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Faint,
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
}

impl Colour {
    /// The parameter of the control sequence that selects it (ECMA-48 §8.3.117).
    const fn parameter(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Faint => Some(2),
            Self::Red => Some(31),
            Self::Green => Some(32),
            Self::Yellow => Some(33),
            Self::Blue => Some(34),
            Self::Cyan => Some(36),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub is_coloured: bool,
}

impl Style {
    /// With colours on a terminal, where `NO_COLOR` is not set or empty.
    pub fn of(is_terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_coloured: is_terminal && !refused,
        }
    }

    pub fn paint(self, text: &str, colour: Colour) -> String {
        match colour.parameter().filter(|_| self.is_coloured) {
            Some(parameter) => format!("\u{1b}[{parameter}m{text}\u{1b}[0m"),
            None => text.to_owned(),
        }
    }
}
