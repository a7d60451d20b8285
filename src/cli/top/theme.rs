//! Colours, where they are wanted (`NO_COLOR`).

use ratatui::style::{Color, Modifier, Style};

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub is_coloured: bool,
}

impl Theme {
    pub fn colour(self, colour: Color) -> Style {
        match self.is_coloured {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    pub fn faint(self) -> Style {
        self.colour(Color::DarkGray)
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The tab or row that keys mean.
    pub fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn wrong(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Of the results of requests and of a share that the cache answered.
    pub fn result(self, token: &str) -> Style {
        match token {
            "hit" => self.colour(Color::Green),
            "stale" | "validated" => self.colour(Color::Cyan),
            "miss" => self.colour(Color::Yellow),
            "pass" => self.colour(Color::Blue),
            "error" => self.colour(Color::Red),
            _ => Style::new(),
        }
    }
}
