//! The table of each tab, from what the gateway has told.

use std::cmp::Reverse;

use ratatui::style::Style;
use serde_json::Value;

use super::app::App;
use super::options::Tab;
use super::snapshot::{
    Snapshot, count, milliseconds, number, percentage, rate, text, thousands, trend,
};
use super::table::{Column, Row, Table, URL};
use super::theme::Theme;
use crate::cli::status::size;
use crate::semantics::reasons::{Kind, Reason};

/// Seconds of a route's trend.
const TREND: usize = 16;

/// The table of the tab that is shown.
pub fn table(app: &App, status: &Snapshot, theme: Theme) -> Table {
    let mut table = match app.tab {
        Tab::Routes => routes(app, status, theme),
        Tab::Misses => misses(app, status, theme),
        Tab::Upstreams => upstreams(app, status, theme),
        Tab::Storage => stored(app),
        Tab::Urls => urls(app, theme),
    };
    table.rows.retain(|row| app.shows(&row.name));
    table.leave_origin_out();
    if !app.filter.is_empty() {
        table.empty = "Nothing has the text of the filter; Esc removes it.";
    }
    table
}

/// The greatest first.
fn by_number(rows: &mut [&Value], path: &str) {
    let of = |row: &Value| number(row, path).unwrap_or(-1.0);
    rows.sort_by(|a, b| of(b).total_cmp(&of(a)));
}

fn routes(app: &App, status: &Snapshot, theme: Theme) -> Table {
    let mut routes: Vec<_> = status.list("/routes").iter().collect();
    // As they come they are sorted by requests.
    let sorted = match app.sort() {
        "hit ratio" => {
            // The least first: that is where there is something to win.
            by_number(&mut routes, "/hit_ratio");
            routes.reverse();
            "hit %"
        }
        "p99" => {
            by_number(&mut routes, "/p99_ms");
            "p99 ms"
        }
        "errors" => {
            by_number(&mut routes, "/server_errors_per_second");
            "5xx/s"
        }
        "name" => {
            routes.sort_by_key(|route| text(route, "/route"));
            "route"
        }
        _ => "req/s",
    };
    let row = |route: &Value| {
        let errors = number(route, "/server_errors_per_second").unwrap_or(0.0);
        let errors_style = match errors > 0.0 {
            true => theme.wrong(),
            false => Style::new(),
        };
        let history = super::snapshot::list(route, "/history");
        let name = match text(route, "/upstream") {
            "" => text(route, "/route").to_owned(),
            upstream => format!("{} -> {upstream}", text(route, "/route")),
        };
        Row::new(&name)
            .cell(name.as_str())
            .cell(rate(number(route, "/per_second").unwrap_or(0.0)))
            .styled(percentage(number(route, "/hit_ratio")), theme.result("hit"))
            .cell(milliseconds(number(route, "/p50_ms")))
            .cell(milliseconds(number(route, "/p99_ms")))
            .styled(rate(errors), errors_style)
            .cell(thousands(count(route, "/total/all")))
            .cell(trend(history, TREND))
    };
    Table::new(
        vec![
            Column::text("route"),
            Column::number("req/s", 6, 0),
            Column::number("hit %", 6, 0),
            Column::number("p50 ms", 7, 4),
            Column::number("p99 ms", 7, 1),
            Column::number("5xx/s", 6, 2),
            Column::number("requests", 12, 3),
            Column::number("16 s", 16, 5),
        ],
        routes.into_iter().map(row).collect(),
        sorted,
        "No requests yet.",
    )
}

/// The sentence and the cure of a reason.
fn explained(sentence: &str, cure: &str) -> Vec<String> {
    let mut lines = vec![sentence.to_owned()];
    if !cure.is_empty() {
        lines.push(format!("Cure: {cure}"));
    }
    lines
}

/// Reasons for which responses were not stored, and the URLs that miss most.
fn misses(app: &App, status: &Snapshot, theme: Theme) -> Table {
    let mut rows = Vec::new();
    let mut reasons = status.numbers("/not_stored");
    reasons.sort_by_key(|(_, count)| Reverse(*count));
    for (token, count) in reasons {
        let mut row = Row::new(token)
            .styled(token, theme.result("miss"))
            .cell(thousands(count))
            .cell(app.reason_rate(token).map_or("-".to_owned(), rate))
            .styled("(all that were not stored)", theme.faint());
        if let Some(reason) = Reason::find(Kind::NotStored, token) {
            row.detail = explained(reason.sentence, reason.cure);
        }
        rows.push(row);
    }
    for url in app.top().map_or(&[][..], |top| top.list("/urls")) {
        let reason = text(url, "/reason");
        let mut row = Row::new(&format!("{reason} {}", text(url, "/url")))
            .styled(reason, theme.result("miss"))
            .cell(thousands(count(url, "/sum")))
            .cell("")
            .cell(text(url, "/url"));
        row.detail = explained(text(url, "/sentence"), text(url, "/cure"));
        rows.push(row);
    }
    let sorted = match app.sort() {
        "reason" => {
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            "reason"
        }
        _ => "count",
    };
    Table::new(
        vec![
            Column::words("reason", 18, 0),
            Column::number("count", 9, 0),
            Column::number("now/s", 6, 1),
            Column::text(URL),
        ],
        rows,
        sorted,
        "No misses yet.",
    )
}

fn upstreams(app: &App, status: &Snapshot, theme: Theme) -> Table {
    let mut servers: Vec<_> = status.list("/upstreams").iter().collect();
    let sorted = match app.sort() {
        "in flight" => {
            by_number(&mut servers, "/in_flight");
            "in flight"
        }
        "failed" => {
            by_number(&mut servers, "/failed");
            "failed"
        }
        _ => "server",
    };
    let row = |server: &Value| {
        let name = match text(server, "/upstream") {
            "" => text(server, "/server").to_owned(),
            upstream => format!("{upstream}: {}", text(server, "/server")),
        };
        let (state, style) = match server["up"].as_bool() {
            Some(true) => ("up", theme.result("hit")),
            Some(false) => ("out", theme.wrong()),
            None => ("-", Style::new()),
        };
        let mut row = Row::new(&name)
            .cell(name.as_str())
            .styled(state, style)
            .cell(thousands(count(server, "/in_flight")))
            .cell(thousands(count(server, "/waiting")))
            .cell(thousands(count(server, "/connections")))
            .cell(thousands(count(server, "/failed")));
        if state == "out" {
            row.detail = vec![
                "It gets no requests, or only some to try it: it is ejected or unhealthy, or its circuit is open."
                    .to_owned(),
                "Cure: look whether it runs and what the gateway's own log says of it.".to_owned(),
            ];
        }
        row
    };
    Table::new(
        vec![
            Column::text("server"),
            Column::number("state", 5, 0),
            Column::number("in flight", 9, 0),
            Column::number("waiting", 7, 1),
            Column::number("connections", 11, 3),
            Column::number("failed", 7, 2),
        ],
        servers.into_iter().map(row).collect(),
        sorted,
        "There are no servers.",
    )
}

fn stored(app: &App) -> Table {
    let stored = app
        .stored()
        .map_or(&[][..], |stored| stored.list("/stored"));
    let row = |resource: &Value| {
        let url = text(resource, "/url");
        let ttl = resource["ttl"].as_i64();
        Row::new(url)
            .cell(url)
            .cell(thousands(count(resource, "/hits")))
            .cell(size(count(resource, "/bytes")))
            .cell(count(resource, "/age").to_string())
            .cell(ttl.map_or("-".to_owned(), |ttl| ttl.to_string()))
            .cell(count(resource, "/status").to_string())
    };
    Table::new(
        vec![
            Column::text(URL),
            Column::number("hits", 9, 0),
            Column::number("size", 10, 1),
            Column::number("age s", 7, 2),
            Column::number("ttl s", 7, 3),
            Column::number("status", 6, 4),
        ],
        stored.iter().map(row).collect(),
        match app.sort() {
            "age" => "age s",
            other => other,
        },
        match app.stored() {
            None => "Asking what is stored …",
            Some(_) => "Nothing is stored.",
        },
    )
}

fn urls(app: &App, theme: Theme) -> Table {
    let by = app.sort();
    let row = |url: &Value| {
        let sum = count(url, "/sum");
        let sum = match by {
            "bytes" => size(sum),
            _ => thousands(sum),
        };
        let reason = text(url, "/reason");
        let name = text(url, "/url");
        let mut row = Row::new(name)
            .cell(name)
            .cell(sum)
            .styled(reason, theme.result("miss"));
        if !reason.is_empty() {
            row.detail = explained(text(url, "/sentence"), text(url, "/cure"));
        }
        row
    };
    let urls = app.top().map_or(&[][..], |top| top.list("/urls"));
    let mut columns = vec![Column::text(URL), Column::number(by, 12, 0)];
    if by == "misses" {
        columns.push(Column::words("reason", 18, 1));
    }
    Table::new(
        columns,
        urls.iter().map(row).collect(),
        by,
        match app.top() {
            None => "Asking for the most frequent URLs …",
            Some(_) => "No requests yet.",
        },
    )
}
