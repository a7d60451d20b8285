//! A table that fits where it is drawn: the least important columns are left out of a narrow one.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row as Drawn, Table as Widget, TableState};

use super::theme::Theme;
use crate::semantics::target::origin_of;

/// Columns that the one without a width of its own has at least.
const FLEXIBLE: u16 = 22;

/// The title of a column of URLs.
pub const URL: &str = "URL";

#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    /// `None` for the one that takes what is left.
    pub width: Option<u16>,
    /// Whether it is aligned as numbers are.
    pub is_right: bool,
    /// Those with the greatest are left out first; none with 0.
    pub rank: u8,
}

impl Column {
    /// A number of at most `width` digits.
    pub const fn number(title: &'static str, width: u16, rank: u8) -> Self {
        Self {
            title,
            width: Some(width),
            is_right: true,
            rank,
        }
    }

    /// Words of at most `width` characters.
    pub const fn words(title: &'static str, width: u16, rank: u8) -> Self {
        Self {
            is_right: false,
            ..Self::number(title, width, rank)
        }
    }

    pub const fn text(title: &'static str) -> Self {
        Self {
            title,
            width: None,
            is_right: false,
            rank: 0,
        }
    }
}

#[derive(Debug, Default)]
pub struct Row {
    /// One for each column.
    pub cells: Vec<(String, Style)>,
    /// The text that the filter is compared with.
    pub name: String,
    /// Lines about the row that stand below the table while it is selected.
    pub detail: Vec<String>,
}

impl Row {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub fn cell(self, text: impl Into<String>) -> Self {
        self.styled(text, Style::new())
    }

    pub fn styled(mut self, text: impl Into<String>, style: Style) -> Self {
        self.cells.push((text.into(), style));
        self
    }
}

#[derive(Debug)]
pub struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// The title of the column that it is sorted by, where that is one.
    pub sorted: &'static str,
    /// The origin of all URLs, which the rows leave out then.
    pub origin: Option<String>,
    /// What is said in the place of rows.
    pub empty: &'static str,
}

impl Table {
    pub const fn new(
        columns: Vec<Column>,
        rows: Vec<Row>,
        sorted: &'static str,
        empty: &'static str,
    ) -> Self {
        Self {
            columns,
            rows,
            sorted,
            origin: None,
            empty,
        }
    }

    /// Has the rows leave out the origin of their URLs where that is the same for all.
    pub fn leave_origin_out(&mut self) {
        let Some(at) = self.columns.iter().position(|column| column.title == URL) else {
            return;
        };
        let urls = || {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(at));
            cells
                .filter(|(text, _)| text.contains("://"))
                .map(|(text, _)| origin_of(text))
        };
        let Some(origin) = urls().next().map(str::to_owned) else {
            return;
        };
        if !urls().all(|other| other == origin) {
            return;
        }
        for row in &mut self.rows {
            if let Some((text, _)) = row.cells.get_mut(at)
                && let Some(path) = text.strip_prefix(&origin)
            {
                *text = path.to_owned();
            }
        }
        self.origin = Some(origin);
    }

    /// The columns that fit, by their places.
    fn fitting(&self, width: u16) -> Vec<usize> {
        let mut fitting: Vec<_> = (0..self.columns.len()).collect();
        let needed = |fitting: &[usize]| -> u16 {
            let widths = fitting.iter().map(|at| self.columns[*at].width);
            widths.map(|width| width.unwrap_or(FLEXIBLE) + 2).sum()
        };
        while needed(&fitting) > width {
            let last = (fitting.iter().enumerate()).max_by_key(|(_, at)| self.columns[**at].rank);
            match last {
                Some((place, at)) if self.columns[*at].rank > 0 => drop(fitting.remove(place)),
                _ => break,
            }
        }
        fitting
    }

    pub fn draw(&self, frame: &mut Frame<'_>, area: Rect, selected: Option<usize>, theme: Theme) {
        let fitting = self.fitting(area.width);
        let aligned = |at: usize, text: String, style: Style| {
            let line = Line::styled(text, style);
            Cell::from(match self.columns[at].is_right {
                true => line.right_aligned(),
                false => line,
            })
        };
        let titles = fitting.iter().map(|at| {
            let column = self.columns[*at];
            let title = match (column.title == self.sorted, column.is_right) {
                (false, _) => column.title.to_owned(),
                (true, true) => format!("▾{}", column.title),
                (true, false) => format!("{}▾", column.title),
            };
            let title = match &self.origin {
                Some(origin) if column.title == URL => format!("{title} on {origin}"),
                _ => title,
            };
            aligned(*at, title, theme.faint())
        });
        let header = Drawn::new(titles);
        let rows = self.rows.iter().map(|row| {
            let cells = fitting.iter().map(|at| {
                let (text, style) = row.cells.get(*at).cloned().unwrap_or_default();
                aligned(*at, text, style)
            });
            Drawn::new(cells)
        });
        let widths = fitting.iter().map(|at| match self.columns[*at].width {
            Some(width) => Constraint::Length(width),
            None => Constraint::Min(FLEXIBLE.min(area.width)),
        });
        let table = Widget::new(rows, widths)
            .header(header)
            .column_spacing(2)
            .row_highlight_style(theme.chosen());
        let mut state = TableState::new().with_selected(selected);
        frame.render_stateful_widget(table, area, &mut state);
        if self.rows.is_empty() && area.height > 2 {
            let below = Rect {
                x: area.x,
                y: area.y + 2,
                width: area.width,
                height: area.height - 2,
            };
            let text = ratatui::widgets::Paragraph::new(self.empty)
                .wrap(ratatui::widgets::Wrap { trim: true });
            frame.render_widget(text, below);
        }
    }
}
