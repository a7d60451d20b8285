//! One picture as plain text, for scripts.

use std::io::{IsTerminal as _, stdout};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::terminal;

use super::app::App;
use super::options::{Size, Tab};
use super::theme::Theme;
use super::{feed, frame};
use crate::cli::admin_client::{AdminClient, Failure};

/// Where there is no terminal.
const DEFAULT: Size = Size {
    columns: 100,
    rows: 30,
};

/// Fails when the gateway cannot be reached, or refuses.
pub fn picture(client: &AdminClient, tab: Tab, size: Option<Size>) -> Result<String, Failure> {
    let mut app = App::new(client.addr(), tab);
    app.take(feed::status(client)?);
    let wanted = app.wanted();
    if let Some(by) = wanted.top {
        app.take(feed::top(client, by)?);
    }
    if let Some(by) = wanted.stored {
        app.take(feed::stored(client, by)?);
    }
    let own = || {
        if !stdout().is_terminal() {
            return None;
        }
        let (columns, rows) = terminal::size().ok()?;
        Some(Size { columns, rows })
    };
    Ok(drawn(&mut app, size.or_else(own).unwrap_or(DEFAULT)))
}

/// The lines of a frame, without the spaces at their ends.
pub(super) fn drawn(app: &mut App, size: Size) -> String {
    let theme = Theme { is_coloured: false };
    let Ok(mut terminal) = Terminal::new(TestBackend::new(size.columns, size.rows));
    let Ok(_) = terminal.draw(|frame| frame::draw(frame, app, theme));
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(size.columns.max(1)));
    let lines = lines.map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}
