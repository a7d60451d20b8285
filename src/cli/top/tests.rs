//! Frames as text, from snapshots and keys.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::app::{App, News};
use super::once::drawn;
use super::options::{Size, Tab};
use super::snapshot::Snapshot;

const WIDE: Size = Size {
    columns: 110,
    rows: 26,
};
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};
const NARROW: Size = Size {
    columns: 60,
    rows: 15,
};

fn status() -> Value {
    let times = json!({ "1m": { "p50_ms": 0.09, "p95_ms": 0.14, "p99_ms": 12.3 } });
    let route = |name: &str, rate: f64, ratio: f64, p99: f64, errors: f64| {
        json!({
            "route": name, "upstream": null, "per_second": rate, "hit_ratio": ratio, "p50_ms": 0.09, "p99_ms": p99,
            "server_errors_per_second": errors, "total": { "all": 20_853 }, "history": [1, 2, 4, 8],
        })
    };
    json!({
        "at": "2026-11-30T12:31:16.000Z", "started": "2026-11-30T12:29:22.000Z", "version": "0.1.0", "stage": "ready",
        "unavailable": [], "workers": 2,
        "requests": {
            "per_second": { "all": 241.0, "hit": 187.0, "miss": 36.0, "pass": 2.1, "error": 0.0, "stale": 0.0, "validated": 13.0, "direct": 0.0 },
            "hit_ratio": 0.8279, "in_flight": 3, "waiting": 1, "history": { "all": [100, 200, 241] },
        },
        "times": { "hit": times, "miss": times, "pass": { "1m": { "p50_ms": null } }, "upstream": times },
        "routes": [
            route("/books/{id}", 204.0, 0.976, 13.0, 0.0),
            route("(default)", 35.0, 0.0, 31.7, 3.1),
        ],
        "not_stored": { "private": 1601, "broken-off": 3 },
        "upstreams": [
            { "upstream": null, "server": "http://127.0.0.1:5000", "up": true, "in_flight": 3, "waiting": 0, "connections": 4, "failed": 0 },
            { "upstream": "films", "server": "http://127.0.0.1:5001", "up": false, "in_flight": 0, "waiting": 2, "connections": 0, "failed": 29 },
        ],
        "memory": { "used_bytes": 67_108_864, "limit_bytes": 268_435_456 },
        "stored": { "resources": 1234, "bytes": 1 }, "evictions": { "total": 7, "per_second": 0.5 },
        "process": { "resident_bytes": 104_857_600 },
        "fills": { "running": 1, "background": 0 }, "connections": { "open": 4 },
    })
}

fn app(tab: Tab) -> App {
    let mut app = App::new("127.0.0.1:9090".to_owned(), tab);
    app.take(News::Status(Snapshot(status())));
    app
}

fn press(app: &mut App, code: KeyCode) {
    app.press(KeyEvent::new(code, KeyModifiers::NONE));
}

fn lines(frame: &str) -> Vec<&str> {
    frame.lines().collect()
}

#[test]
fn a_wide_frame_has_the_gateway_its_requests_times_and_routes() {
    let frame = drawn(&mut app(Tab::Routes), WIDE);
    let lines = lines(&frame);
    assert_eq!(lines.len(), 26);
    #[rustfmt::skip]
    let expected = [
        " bookend 0.1.0  ready  up 1m 54s                                                     127.0.0.1:9090  12:31:16",
        " 241 req/s  82.7 % from cache  3 in flight  1 waiting",
        " hit 187  miss 36  pass 2.1  error -  validated 13",
        " requests, the last 3 s, at most 241/s                                  1 min     p50 ms    p95 ms    p99 ms",
        "  ▂█                                                                    hit         0.09      0.14      12.3",
        "  ██                                                                    miss        0.09      0.14      12.3",
        " ▅██                                                                    pass           -         -         -",
        " ███                                                                    API         0.09      0.14      12.3",
        " 1 Routes  2 Misses  3 Upstreams  4 Storage  5 URLs                                               by requests",
        " route                               ▾req/s   hit %   p50 ms   p99 ms   5xx/s      requests              16 s",
        " /books/{id}                            204    97.6     0.09     13.0       -        20,853              ▁▂▄█",
        " (default)                               35     0.0     0.09     31.7     3.1        20,853              ▁▂▄█",
    ];
    assert_eq!(lines[..expected.len()], expected, "{frame}");
    assert_eq!(
        lines[25],
        " q quit  Tab next  ↑↓ row  p pause  s sort  / filter  ? help"
    );
}

#[test]
fn a_narrow_frame_has_what_matters_most() {
    let frame = drawn(&mut app(Tab::Routes), NARROW);
    let lines = lines(&frame);
    #[rustfmt::skip]
    let expected = [
        " bookend 0.1.0  ready  up 1m 54s   127.0.0.1:9090  12:31:16",
        " 241 req/s  82.7 % from cache  3 in flight  1 waiting",
        " hit 187  miss 36  pass 2.1  error -  validated 13",
        " p99 ms  hit 12.3  miss 12.3  pass -  API 12.3",
        " 1 Routes  2 Misses  3 Upstreams  4 Storage  5 URLs",
        " route                      ▾req/s   hit %   p99 ms   5xx/s",
        " /books/{id}                   204    97.6     13.0       -",
        " (default)                      35     0.0     31.7     3.1",
    ];
    assert_eq!(lines[..expected.len()], expected, "{frame}");
    assert_eq!(lines.len(), 15);
}

#[test]
fn every_tab_fits_every_size() {
    for (tab, _) in super::app::TABS {
        for (columns, rows) in [(20, 8), (40, 10), (60, 15), (80, 24), (200, 60)] {
            let frame = drawn(&mut app(tab), Size { columns, rows });
            assert_eq!(frame.lines().count(), usize::from(rows), "{tab:?}");
        }
    }
}

#[test]
fn misses_have_their_reasons_with_the_cure_of_the_selected_one() {
    let mut app = app(Tab::Misses);
    app.take(News::Top(
        "misses",
        Snapshot(json!({ "urls": [
            { "url": "http://h/private", "sum": 1614, "reason": "private", "sentence": "It is private.", "cure": "Say public." },
            { "url": "http://h/books/7", "sum": 27, "reason": "uri-miss", "sentence": "Nothing was stored for this URL.", "cure": "" },
        ] })),
    ));
    let frame = drawn(&mut app, USUAL);
    let shown = lines(&frame);
    let at = (shown.iter()).position(|line| line.starts_with(" reason"));
    let at = at.expect("the table");
    #[rustfmt::skip]
    let expected = [
        " reason                 ▾count   now/s  URL on http://h",
        " private                 1,601       -  (all that were not stored)",
        " broken-off                  3       -  (all that were not stored)",
        " private                 1,614          /private",
        " uri-miss                   27          /books/7",
    ];
    assert_eq!(shown[at..at + 5], expected, "{frame}");
    assert!(
        frame.contains(
            " The response says `Cache-Control: private`.\n Cure: Have the API say `public`"
        ),
        "{frame}"
    );
    press(&mut app, KeyCode::Down);
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains("Cure: Look for a crash or a time-out"),
        "{frame}"
    );
    press(&mut app, KeyCode::End);
    let frame = drawn(&mut app, NARROW);
    assert!(
        frame.contains(" Nothing was stored for this URL.\n"),
        "{frame}"
    );
    // Ten more in a second.
    let mut more = status();
    more["not_stored"]["private"] = 1611.into();
    app.take(News::Status(Snapshot(more)));
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains(" private                 1,611      10  (all"),
        "{frame}"
    );
}

#[test]
fn servers_that_are_out_are_told_as_that() {
    let mut app = app(Tab::Upstreams);
    let frame = drawn(&mut app, USUAL);
    #[rustfmt::skip]
    let expected = "\
 fills 1 running, 0 behind stale responses; clients' connections 4 open
 server▾                        state  in flight  waiting  connections   failed
 http://127.0.0.1:5000             up          3        0            4        0
 films: http://127.0.0.1:5001     out          0        2            0       29
";
    assert!(frame.contains(expected), "{frame}");
    press(&mut app, KeyCode::Down);
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains(" It gets no requests, or only some to try it"),
        "{frame}"
    );
}

#[test]
fn the_storage_has_its_bounds_and_the_lists_that_are_asked_for() {
    let mut app = app(Tab::Storage);
    assert_eq!(app.wanted().stored, Some("hits"));
    let frame = drawn(&mut app, USUAL);
    let note = " 64.0 MiB of 256.0 MiB (25 %)  1,234 stored  7 evicted (0.5/s)  RSS 100.0 MiB";
    assert!(frame.contains(note), "{frame}");
    assert!(frame.contains("Asking what is stored"), "{frame}");
    let row = json!({ "url": "http://h/books/1", "hits": 42, "bytes": 1536, "age": 7, "ttl": -3, "status": 200 });
    let stored = Snapshot(json!({ "stored": [row] }));
    app.take(News::Stored("hits", stored));
    let frame = drawn(&mut app, USUAL);
    #[rustfmt::skip]
    let expected = "\
 URL on http://h                    ▾hits        size    age s    ttl s  status
 /books/1                              42     1.5 KiB        7       -3     200
";
    assert!(frame.contains(expected), "{frame}");
    // What came by hits is not shown as what is sorted by size.
    press(&mut app, KeyCode::Char('s'));
    assert_eq!(app.wanted().stored, Some("size"));
    assert!(drawn(&mut app, USUAL).contains("Asking what is stored"));
    press(&mut app, KeyCode::Char('5'));
    assert_eq!(app.wanted().top, Some("requests"));
}

#[test]
fn keys_turn_tabs_sort_filter_pause_and_end() {
    let mut app = app(Tab::Urls);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.tab, Tab::Routes);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.tab, Tab::Urls);
    press(&mut app, KeyCode::Char('1'));
    press(&mut app, KeyCode::Char('s'));
    let frame = drawn(&mut app, USUAL);
    let (default, books) = (frame.find("(default)"), frame.find("/books/{id}"));
    assert!(default < books, "the least hit ratio first: {frame}");
    press(&mut app, KeyCode::Char('/'));
    for letter in "BOOKq".chars() {
        press(&mut app, KeyCode::Char(letter));
    }
    press(&mut app, KeyCode::Backspace);
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains("/books/{id}") && !frame.contains("(default)"),
        "{frame}"
    );
    assert!(
        frame.ends_with(" filter: BOOK_   Enter keeps it, Esc removes it\n"),
        "{frame}"
    );
    press(&mut app, KeyCode::Esc);
    assert!(drawn(&mut app, USUAL).contains("(default)"));

    press(&mut app, KeyCode::Char('p'));
    let mut later = status();
    later["requests"]["per_second"]["all"] = 999.into();
    app.take(News::Status(Snapshot(later.clone())));
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains(" 241 req/s") && frame.contains("PAUSED at 12:31:16"),
        "{frame}"
    );
    press(&mut app, KeyCode::Char('p'));
    app.take(News::Status(Snapshot(later)));
    assert!(drawn(&mut app, USUAL).contains(" 999 req/s"));

    press(&mut app, KeyCode::Char('?'));
    assert!(drawn(&mut app, NARROW).contains("another tab"));
    press(&mut app, KeyCode::Char('q'));
    assert!(!app.has_ended, "it only closes the help");
    press(&mut app, KeyCode::Char('q'));
    assert!(app.has_ended);
}

#[test]
fn a_gateway_that_cannot_be_reached_is_told_and_what_is_known_stays() {
    let mut app = App::new("127.0.0.1:9090".to_owned(), Tab::Routes);
    assert!(drawn(&mut app, USUAL).contains("Asking the gateway on 127.0.0.1:9090"));
    let fault = || News::Fault("the gateway cannot be reached: Connection refused".to_owned());
    app.take(fault());
    let frame = drawn(&mut app, NARROW);
    assert!(
        frame.contains("  the gateway cannot be reached: Connection refused\n"),
        "{frame}"
    );
    assert!(frame.contains("Trying again every second."), "{frame}");
    app.take(News::Status(Snapshot(status())));
    app.take(fault());
    let frame = drawn(&mut app, USUAL);
    assert!(
        frame.contains(" the gateway cannot be reached: Connection refused; trying again\n"),
        "{frame}"
    );
    assert!(frame.contains("/books/{id}"), "{frame}");
    app.take(News::Status(Snapshot(status())));
    assert!(drawn(&mut app, USUAL).contains(" 241 req/s"));
}

#[test]
fn what_clients_sent_cannot_command_the_terminal() {
    let mut app = app(Tab::Urls);
    let urls = json!({ "urls": [{ "url": "http://h/\u{1b}[2J\u{7}x", "sum": 1 }] });
    app.take(News::Top("requests", Snapshot(urls)));
    let frame = drawn(&mut app, USUAL);
    assert!(!frame.contains(['\u{1b}', '\u{7}']), "{frame:?}");
}
