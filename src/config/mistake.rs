//! Mistakes in a configuration file, each with its position.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One mistake. Displayed on one line: `file:line:column: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name as the operator gave it; `None` for what the command line says.
    pub file: Option<Arc<str>>,
    /// `None` when it is about no place in the file: the file cannot be read, say.
    pub place: Option<Place>,
    pub message: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// How many characters of the line are meant, at least one.
    pub width: usize,
    /// The line itself, without its end.
    pub text: String,
}

impl Mistake {
    /// A mistake about a file as a whole.
    pub fn about(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: Some(file.into()),
            place: None,
            message: message.into(),
        }
    }

    /// The same in a line that calls it a warning: the configuration is accepted.
    pub fn as_warning(&self) -> String {
        self.labelled("warning")
    }

    /// The same in a line that calls it a note: the configuration is accepted, and means what it seems to.
    pub fn as_note(&self) -> String {
        self.labelled("note")
    }

    fn labelled(&self, label: &str) -> String {
        let message = format!("{label}: {}", self.message);
        Self {
            message,
            ..self.clone()
        }
        .to_string()
    }

    /// The mistake as [`fmt::Display`] shows it, and below it the line with a mark under what is meant.
    pub fn annotated(&self) -> String {
        let Some(place) = &self.place else {
            return self.to_string();
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        // Tabs stay, so that the mark stands under what is meant however wide the terminal makes them.
        let indent: String = place
            .text
            .chars()
            .take(place.column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let mark = "^".repeat(place.width);
        let text = &place.text;
        format!("{self}\n{margin} |\n{number} | {text}\n{margin} | {indent}{mark}")
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(place) = &self.place {
                write!(f, "{}:{}:", place.line, place.column)?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl Place {
    /// The place of `span`, in bytes, in `source`; what lies beyond the end is at the end.
    pub fn of(source: &str, span: Range<usize>) -> Self {
        let start = floor_char_boundary(source, span.start);
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[line_start..]
            .find('\n')
            .map_or(source.len(), |length| line_start + length);
        let end = floor_char_boundary(source, span.end.min(line_end)).max(start);
        Self {
            line: before.matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            width: source[start..end].chars().count().max(1),
            text: source[line_start..line_end]
                .trim_end_matches('\r')
                .to_owned(),
        }
    }
}

fn floor_char_boundary(source: &str, index: usize) -> usize {
    let mut index = index.min(source.len());
    while !source.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let source = "ab = 1\r\n\tké = 22\n\nlast";
        for (span, line, column, width, text) in [
            (0..2, 1, 1, 2, "ab = 1"),
            (9..12, 2, 2, 2, "\tké = 22"),
            (15..17, 2, 7, 2, "\tké = 22"),
            // Inside of a character: the character.
            (11..12, 2, 3, 1, "\tké = 22"),
            (18..18, 3, 1, 1, ""),
            (19..23, 4, 1, 4, "last"),
            (23..23, 4, 5, 1, "last"),
            (99..120, 4, 5, 1, "last"),
            // Over the end of a line: up to its end.
            (0..20, 1, 1, 7, "ab = 1"),
        ] {
            let place = Place::of(source, span.clone());
            let found = (place.line, place.column, place.width, place.text.as_str());
            assert_eq!(found, (line, column, width, text), "{span:?}");
        }
    }

    #[test]
    fn an_annotated_mistake_marks_what_is_meant() {
        let mistake = Mistake {
            file: Some("a.toml".into()),
            place: Some(Place::of("x = 1\n\tno = 2\n", 7..9)),
            message: "unknown".to_owned(),
        };
        assert_eq!(
            mistake.annotated(),
            "a.toml:2:2: unknown\n  |\n2 | \tno = 2\n  | \t^^"
        );
        let whole = Mistake::about("a.toml", "cannot be read");
        assert_eq!(whole.annotated(), "a.toml: cannot be read");
    }
}
