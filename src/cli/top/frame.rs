//! One frame: the gateway, its requests and their times above, the tab's table with what is to be said of the selected row, and the
//! keys at the foot. It fits 60 columns and 15 rows; what is wider or taller shows more.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Wrap};
use serde_json::Value;

use super::app::{App, TABS};
use super::options::Tab;
use super::snapshot::{Snapshot, milliseconds, percentage, rate, thousands};
use super::table::Table;
use super::tabs;
use super::theme::Theme;
use crate::cli::status::{elapsed, size};

/// The results of requests; those at the end are only told where there are any.
const RESULTS: [&str; 7] = [
    "hit",
    "miss",
    "pass",
    "error",
    "stale",
    "validated",
    "direct",
];
const ALWAYS: usize = 4;

/// What is timed, and its name for users.
const TIMED: [(&str, &str); 4] = [
    ("hit", "hit"),
    ("miss", "miss"),
    ("pass", "pass"),
    ("upstream", "API"),
];

const KEYS: &str = " q quit  Tab next  ↑↓ row  p pause  s sort  / filter  ? help";

const HELP: [(&str, &str); 9] = [
    ("Tab ← → 1-5", "another tab"),
    ("↑ ↓ PgUp PgDn Home End", "another row; below is its cure"),
    ("s", "sort by something else"),
    ("/", "show only rows with some text"),
    ("Esc", "remove that filter"),
    ("p", "pause, and go on"),
    ("q Ctrl-C", "quit"),
    ("", "req/s is over 10 s, hit % and times over 1 min;"),
    ("", "all other counts since the gateway's start"),
];

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, app: &mut App, theme: Theme) {
    let area = frame.area();
    let is_tall = area.height >= 20 && area.width >= 76;
    let times = if is_tall { 5 } else { 1 };
    let [head, summary, times, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(times),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_foot(frame, foot, app, theme);
    let Some(status) = app.status.clone() else {
        draw_waiting(frame, area, app, theme);
        return;
    };
    draw_head(frame, head, app, &status, theme);
    draw_summary(frame, summary, app, &status, theme);
    match is_tall {
        true => draw_times(frame, times, &status, theme),
        false => draw_percentiles(frame, times, &status, theme),
    }
    draw_tabs(frame, tabs, app, theme);
    draw_body(frame, body, app, &status, theme);
    if app.shows_help {
        draw_help(frame, area, theme);
    }
}

/// Before anything is known.
fn draw_waiting(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let lines = match &app.fault {
        None => vec![Line::from(format!("Asking the gateway on {} …", app.addr))],
        Some(why) => vec![
            Line::styled(why.clone(), theme.wrong()),
            Line::from(""),
            Line::from(format!(
                "Its admin API is looked for on {}; --admin or --config name another. Trying again every second.",
                app.addr
            )),
        ],
    };
    let middle = Rect {
        x: area.x + 2,
        y: area.y + area.height / 3,
        width: area.width.saturating_sub(4),
        height: (area.height - area.height / 3).saturating_sub(1),
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), middle);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Snapshot, theme: Theme) {
    let stage = status.text("/stage").replace('_', " ");
    let stage_style = match &*stage {
        "ready" => theme.result("hit"),
        _ => theme.wrong(),
    };
    let mut left = vec![
        Span::styled(
            format!(" bookend {}", status.text("/version")),
            theme.bold(),
        ),
        Span::raw("  "),
        Span::styled(stage, stage_style),
    ];
    if let Some(uptime) = status.uptime() {
        left.push(Span::raw(format!("  up {}", elapsed(uptime))));
    }
    for missing in status.list("/unavailable") {
        let name = missing.as_str().unwrap_or("the API");
        let words = format!("  {name} is not available");
        left.push(Span::styled(words, theme.wrong()));
    }
    let left = Line::from(left);
    let time = status.text("/at").get(11..19).unwrap_or_default();
    let long = Span::raw(format!(" {}  {time} ", app.addr));
    let right = match app.is_paused {
        true => Span::styled(format!(" PAUSED at {time} "), theme.chosen()),
        false if left.width() + long.width() <= usize::from(area.width) => long,
        false => Span::raw(format!(" {time} ")),
    };
    frame.render_widget(left, area);
    let width = u16::try_from(right.width()).unwrap_or(area.width);
    let [_, place] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    frame.render_widget(Line::from(right), place);
}

fn draw_summary(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Snapshot, theme: Theme) {
    if let Some(why) = &app.fault {
        let words = Line::styled(format!("{why}; trying again"), theme.wrong());
        let inner = Rect {
            x: area.x + 1,
            width: area.width.saturating_sub(2),
            ..area
        };
        frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), inner);
        return;
    }
    let first = Line::from(vec![
        Span::styled(
            format!(
                " {} req/s",
                rate(status.number("/requests/per_second/all").unwrap_or(0.0))
            ),
            theme.bold(),
        ),
        Span::raw("  "),
        Span::styled(
            format!(
                "{} % from cache",
                percentage(status.number("/requests/hit_ratio"))
            ),
            theme.result("hit"),
        ),
        Span::raw(format!(
            "  {} in flight  {} waiting",
            thousands(status.count("/requests/in_flight")),
            thousands(status.count("/requests/waiting"))
        )),
    ]);
    let mut second = vec![Span::raw(" ")];
    for (at, result) in RESULTS.into_iter().enumerate() {
        let path = format!("/requests/per_second/{result}");
        let value = status.number(&path).unwrap_or(0.0);
        if at < ALWAYS || value > 0.0 {
            second.push(Span::styled(result, theme.result(result)));
            second.push(Span::raw(format!(" {}  ", rate(value))));
        }
    }
    frame.render_widget(Paragraph::new(vec![first, Line::from(second)]), area);
}

/// Requests of the latest seconds as bars, and beside them what clients and the API took.
fn draw_times(frame: &mut Frame<'_>, area: Rect, status: &Snapshot, theme: Theme) {
    let [left, right] =
        Layout::horizontal([Constraint::Min(20), Constraint::Length(38)]).areas(area);
    let history = status.list("/requests/history/all");
    let seconds = history.len().min(usize::from(left.width.saturating_sub(2)));
    let latest: Vec<u64> = history[history.len() - seconds..]
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    let greatest = latest.iter().copied().max().unwrap_or(0);
    let [caption, bars] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(left);
    let words = format!(
        " requests, the last {seconds} s, at most {}/s",
        thousands(greatest)
    );
    frame.render_widget(Line::styled(words, theme.faint()), caption);
    let bars = Rect {
        x: bars.x + 1,
        width: bars.width.saturating_sub(2),
        ..bars
    };
    let chart = Sparkline::default()
        .data(latest)
        .style(theme.colour(Color::Green));
    frame.render_widget(chart, bars);

    let row = |name: &str, cells: [String; 3]| {
        let [p50, p95, p99] = cells;
        format!("{name:<6}{p50:>10}{p95:>10}{p99:>10}")
    };
    let titles = ["p50 ms", "p95 ms", "p99 ms"].map(str::to_owned);
    let mut lines = vec![Line::styled(row("1 min", titles), theme.faint())];
    for (token, name) in TIMED {
        let cell =
            |percentile| milliseconds(status.number(&format!("/times/{token}/1m/{percentile}_ms")));
        let cells = ["p50", "p95", "p99"].map(cell);
        lines.push(Line::from(row(name, cells)));
    }
    frame.render_widget(Paragraph::new(lines), right);
}

/// The same in one line.
fn draw_percentiles(frame: &mut Frame<'_>, area: Rect, status: &Snapshot, theme: Theme) {
    let mut spans = vec![Span::styled(" p99 ms ", theme.faint())];
    for (token, name) in TIMED {
        let time = status.number(&format!("/times/{token}/1m/p99_ms"));
        spans.push(Span::raw(format!(" {name} {} ", milliseconds(time))));
    }
    frame.render_widget(Line::from(spans), area);
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let mut spans = Vec::new();
    for (at, (tab, name)) in TABS.iter().enumerate() {
        let style = match *tab == app.tab {
            true => theme.chosen(),
            false => theme.bold(),
        };
        spans.push(Span::styled(format!(" {} {name} ", at + 1), style));
    }
    let tabs = Line::from(spans);
    let left = area
        .width
        .saturating_sub(u16::try_from(tabs.width()).unwrap_or(area.width));
    frame.render_widget(tabs, area);
    let words = format!("by {} ", app.sort());
    if words.len() + 1 < usize::from(left) {
        let words = Line::styled(words, theme.faint()).alignment(Alignment::Right);
        frame.render_widget(words, area);
    }
}

/// What is above the table of the storage and of the upstreams.
fn note(app: &App, status: &Snapshot) -> Option<String> {
    let bytes = |path: &str| size(status.count(path));
    match app.tab {
        Tab::Storage => {
            let (used, limit) = (
                status.count("/memory/used_bytes"),
                status.count("/memory/limit_bytes").max(1),
            );
            Some(format!(
                " {} of {} ({} %)  {} stored  {} evicted ({}/s)  RSS {}",
                bytes("/memory/used_bytes"),
                bytes("/memory/limit_bytes"),
                u128::from(used) * 100 / u128::from(limit),
                thousands(status.count("/stored/resources")),
                thousands(status.count("/evictions/total")),
                rate(status.number("/evictions/per_second").unwrap_or(0.0)),
                bytes("/process/resident_bytes"),
            ))
        }
        Tab::Upstreams => Some(format!(
            " fills {} running, {} behind stale responses; clients' connections {} open",
            thousands(status.count("/fills/running")),
            thousands(status.count("/fills/background")),
            thousands(status.count("/connections/open")),
        )),
        Tab::Urls => Some(" estimates since the start".to_owned()),
        Tab::Routes | Tab::Misses => None,
    }
}

fn draw_body(frame: &mut Frame<'_>, area: Rect, app: &mut App, status: &Snapshot, theme: Theme) {
    let table: Table = tabs::table(app, status, theme);
    let selected = app.select(table.rows.len());
    let detail = selected.map_or(&[][..], |row| &table.rows[row].detail);
    let note = note(app, status);
    let has_details = matches!(app.tab, Tab::Misses) || !detail.is_empty();
    // Three lines of a cure are enough on a terminal of usual width.
    let detail_rows = match has_details {
        true if area.height >= 12 => 4,
        true => 3,
        false => 0,
    };
    let [note_area, rows, below] = Layout::vertical([
        Constraint::Length(note.is_some().into()),
        Constraint::Min(1),
        Constraint::Length(detail_rows),
    ])
    .areas(area);
    if let Some(note) = note {
        frame.render_widget(Line::from(note), note_area);
    }
    let inner = Rect {
        x: rows.x + 1,
        width: rows.width.saturating_sub(2),
        ..rows
    };
    table.draw(frame, inner, selected, theme);
    let lines: Vec<_> = detail
        .iter()
        .map(|line| Line::from(line.as_str()))
        .collect();
    let inner = Rect {
        x: below.x + 1,
        width: below.width.saturating_sub(2),
        ..below
    };
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }), inner);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let filter = &app.filter;
    let line = match app.edits_filter {
        true => Line::from(format!(
            " filter: {filter}_   Enter keeps it, Esc removes it"
        )),
        false if !filter.is_empty() => Line::from(format!(
            " filter: {filter}   / other  Esc remove it  q quit  ? help"
        )),
        false => Line::styled(KEYS, theme.faint()),
    };
    frame.render_widget(line, area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let height = u16::try_from(HELP.len()).unwrap_or(0) + 2;
    let [_, middle, _] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(58),
        Constraint::Fill(1),
    ])
    .areas(area);
    let [_, middle, _] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(height),
        Constraint::Fill(1),
    ])
    .areas(middle);
    let lines = HELP.map(|(keys, what)| match keys {
        "" => Line::styled(format!(" {what}"), theme.faint()),
        keys => Line::from(format!(" {keys:<24}{what}")),
    });
    frame.render_widget(Clear, middle);
    let block = Block::bordered().title(" keys; any key closes this ");
    frame.render_widget(Paragraph::new(lines.to_vec()).block(block), middle);
}
