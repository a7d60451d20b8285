//! The terminal: keys in, frames out, and as it was before at the end, however that comes.

use std::io;
use std::process;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::layout::Rect;
use tokio::signal::unix::SignalKind;
use tokio::sync::Notify;

use super::app::{App, News};
use super::options::Tab;
use super::theme::Theme;
use super::{feed, frame};
use crate::cli::admin_client::AdminClient;
use crate::cli::signal;
use crate::cli::style::Style;

/// How long a key is waited for before news are looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// How long the terminal may take to be restored once a signal has come.
const LAST_FRAME: Duration = Duration::from_secs(1);

/// Shows what the gateway does until the user or a signal ends it. Fails when the terminal cannot be used.
pub fn run(client: AdminClient, tab: Tab) -> io::Result<()> {
    let theme = Theme {
        is_coloured: Style::of(true).is_coloured,
    };
    let mut app = App::new(client.addr(), tab);
    let (ends, ended) = channel();
    // A signal that comes early must not find the terminal half made up.
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async {
            let ended = Notify::new();
            // The terminal is gone.
            let hangup = signal::at_each(SignalKind::hangup(), "SIGHUP", || ended.notify_one());
            tokio::select! {
                () = signal::end() => {}
                () = hangup => {}
                () = ended.notified() => {}
            }
        });
        let _ = ends.send(());
        // crossterm reads the end of a terminal that has gone away for ever: nothing is left to be restored then.
        thread::sleep(LAST_FRAME);
        process::exit(0);
    });
    // Restores it when a thread panics.
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut app, theme, client, &ended);
    let restored = ratatui::try_restore().and_then(|()| terminal.show_cursor());
    shown.and(restored)
}

fn show(
    terminal: &mut DefaultTerminal,
    app: &mut App,
    theme: Theme,
    client: AdminClient,
    ended: &Receiver<()>,
) -> io::Result<()> {
    let (sender, news) = channel();
    let (changes, changed) = channel();
    let mut wanted = app.wanted();
    thread::spawn(move || feed::run(&client, wanted, &changed, &sender));
    let mut is_new = true;
    while !app.has_ended && ended.try_recv() == Err(TryRecvError::Empty) {
        if is_new {
            terminal.draw(|frame| frame::draw(frame, app, theme))?;
        }
        is_new = event::poll(GLANCE)?;
        if is_new {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => app.press(key),
                // Where it was made smaller and larger again at once, the terminal has lost what it showed.
                Event::Resize(columns, rows) => {
                    terminal.resize(Rect::new(0, 0, columns, rows))?;
                }
                _ => {}
            }
        }
        if app.wanted() != wanted {
            wanted = app.wanted();
            let _ = changes.send(wanted);
        }
        is_new |= take(&news, app);
    }
    Ok(())
}

/// Has `app` take all news; whether there were any.
fn take(news: &Receiver<News>, app: &mut App) -> bool {
    let mut is_new = false;
    loop {
        match news.try_recv() {
            Ok(news) => {
                app.take(news);
                is_new = true;
            }
            Err(TryRecvError::Empty) => return is_new,
            // The thread has panicked, and said so.
            Err(TryRecvError::Disconnected) => {
                app.has_ended = true;
                return true;
            }
        }
    }
}
