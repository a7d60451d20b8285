//! What is shown, and how keys change it. No terminal and no gateway here: tests put in keys and snapshots.

use std::collections::{BTreeMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::options::Tab;
use super::snapshot::Snapshot;

/// Over how many snapshots, a second apart, the rate of a reason is taken.
const RATED: usize = 10;

pub const TABS: [(Tab, &str); 5] = [
    (Tab::Routes, "Routes"),
    (Tab::Misses, "Misses"),
    (Tab::Upstreams, "Upstreams"),
    (Tab::Storage, "Storage"),
    (Tab::Urls, "URLs"),
];

/// The orders in which a tab can be sorted: the words for users, which for `stored` and `top` are the parameters of the admin API too.
pub const fn sorts(tab: Tab) -> &'static [&'static str] {
    match tab {
        Tab::Routes => &["requests", "hit ratio", "p99", "errors", "name"],
        Tab::Misses => &["misses", "reason"],
        Tab::Upstreams => &["name", "in flight", "failed"],
        Tab::Storage => &["hits", "size", "age"],
        Tab::Urls => &["requests", "misses", "bytes"],
    }
}

/// What the tab needs beside the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `by` of `/top`.
    pub top: Option<&'static str>,
    /// `sort` of `/stored`.
    pub stored: Option<&'static str>,
}

/// What has come from the gateway.
#[derive(Debug)]
pub enum News {
    Status(Snapshot),
    /// With what it was sorted by.
    Top(&'static str, Snapshot),
    Stored(&'static str, Snapshot),
    /// Why nothing comes.
    Fault(String),
}

#[derive(Debug)]
pub struct App {
    /// Where the gateway is.
    pub addr: String,
    pub tab: Tab,
    /// Whether what is shown stands still.
    pub is_paused: bool,
    pub shows_help: bool,
    /// Rows without this text are not shown; empty: all are.
    pub filter: String,
    pub edits_filter: bool,
    pub status: Option<Snapshot>,
    top: Option<(&'static str, Snapshot)>,
    stored: Option<(&'static str, Snapshot)>,
    pub fault: Option<String>,
    sort: [usize; TABS.len()],
    selected: [usize; TABS.len()],
    /// How many rows the tab had when it was drawn last.
    rows: usize,
    /// Responses not stored by reason, in the latest snapshots.
    reasons: VecDeque<BTreeMap<String, u64>>,
    pub has_ended: bool,
}

impl App {
    pub fn new(addr: String, tab: Tab) -> Self {
        Self {
            addr,
            tab,
            is_paused: false,
            shows_help: false,
            filter: String::new(),
            edits_filter: false,
            status: None,
            top: None,
            stored: None,
            fault: None,
            sort: [0; TABS.len()],
            selected: [0; TABS.len()],
            rows: 0,
            reasons: VecDeque::new(),
            has_ended: false,
        }
    }

    pub fn take(&mut self, news: News) {
        if self.is_paused && self.status.is_some() {
            return;
        }
        match news {
            News::Status(status) => {
                self.fault = None;
                let reasons = status.numbers("/not_stored").into_iter();
                let reasons = reasons.map(|(reason, count)| (reason.to_owned(), count));
                self.reasons.push_back(reasons.collect());
                if self.reasons.len() > RATED + 1 {
                    self.reasons.pop_front();
                }
                self.status = Some(status);
            }
            News::Top(by, urls) => self.top = Some((by, urls)),
            News::Stored(by, stored) => self.stored = Some((by, stored)),
            News::Fault(why) => {
                self.fault = Some(why);
                self.reasons.clear();
            }
        }
    }

    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        match self.tab {
            Tab::Misses => wanted.top = Some("misses"),
            Tab::Urls => wanted.top = Some(self.sort()),
            Tab::Storage => wanted.stored = Some(self.sort()),
            Tab::Routes | Tab::Upstreams => {}
        }
        wanted
    }

    /// The most frequent URLs as the tab wants them; `None` until they have come.
    pub fn top(&self) -> Option<&Snapshot> {
        let wanted = self.wanted().top;
        let top = self.top.as_ref().filter(|(by, _)| Some(*by) == wanted);
        top.map(|(_, urls)| urls)
    }

    /// What is stored, likewise.
    pub fn stored(&self) -> Option<&Snapshot> {
        let wanted = self.wanted().stored;
        let stored = self.stored.as_ref().filter(|(by, _)| Some(*by) == wanted);
        stored.map(|(_, stored)| stored)
    }

    /// How often a second responses were not stored for this reason of late; `None` where that is not known yet.
    pub fn reason_rate(&self, reason: &str) -> Option<f64> {
        let (first, last) = (self.reasons.front()?, self.reasons.back()?);
        let seconds = self.reasons.len().checked_sub(1).filter(|n| *n > 0)?;
        let of = |counts: &BTreeMap<String, u64>| counts.get(reason).copied().unwrap_or(0);
        Some(of(last).saturating_sub(of(first)) as f64 / seconds as f64)
    }

    /// The order in which the tab is sorted.
    pub fn sort(&self) -> &'static str {
        sorts(self.tab)[self.sort[self.tab as usize]]
    }

    /// The selected row of as many as there are.
    pub fn select(&mut self, rows: usize) -> Option<usize> {
        self.rows = rows;
        let selected = &mut self.selected[self.tab as usize];
        *selected = (*selected).min(rows.saturating_sub(1));
        (rows > 0).then_some(*selected)
    }

    /// Whether a row with this text is shown.
    pub fn shows(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    pub fn press(&mut self, key: KeyEvent) {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => self.has_ended = true,
            code if self.edits_filter => match code {
                KeyCode::Enter => self.edits_filter = false,
                KeyCode::Esc => {
                    self.edits_filter = false;
                    self.filter.clear();
                }
                KeyCode::Backspace => drop(self.filter.pop()),
                KeyCode::Char(character) => self.filter.push(character),
                _ => {}
            },
            _ if self.shows_help => self.shows_help = false,
            code => self.command(code),
        }
    }

    fn command(&mut self, code: KeyCode) {
        const PAGE: usize = 10;
        match code {
            KeyCode::Char('q') => self.has_ended = true,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('s') => {
                let sort = &mut self.sort[self.tab as usize];
                *sort = (*sort + 1) % sorts(self.tab).len();
                self.selected[self.tab as usize] = 0;
            }
            KeyCode::Char('/') => self.edits_filter = true,
            KeyCode::Char('?' | 'h') => self.shows_help = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(TABS.len() - 1),
            KeyCode::Char(digit @ '1'..='5') => {
                let at = usize::try_from(u32::from(digit) - u32::from('1')).unwrap_or(0);
                self.show(TABS[at].0);
            }
            KeyCode::Down | KeyCode::Char('j') => self.move_by(|row| row + 1),
            KeyCode::Up | KeyCode::Char('k') => self.move_by(|row| row.saturating_sub(1)),
            KeyCode::PageDown => self.move_by(|row| row + PAGE),
            KeyCode::PageUp => self.move_by(|row| row.saturating_sub(PAGE)),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.move_by(|_| usize::MAX),
            _ => {}
        }
    }

    fn turn(&mut self, by: usize) {
        self.show(TABS[(self.tab as usize + by) % TABS.len()].0);
    }

    fn show(&mut self, tab: Tab) {
        self.tab = tab;
        // Its rows have other names.
        self.filter.clear();
    }

    fn move_by(&mut self, next: impl Fn(usize) -> usize) {
        let selected = &mut self.selected[self.tab as usize];
        *selected = next(*selected).min(self.rows.saturating_sub(1));
    }
}
