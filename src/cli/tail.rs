//! `bookend tail`: the access log of a running gateway as it is made, narrowed there.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminArguments, AdminClient, Failure};
use super::report::Exit;
use super::signal::unless_ended;
use super::style::{Colour, Style};
use crate::printable::{printable, printable_json};
use crate::semantics::percent;

/// How long the gateway may take until it begins to answer.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only requests of this route, by its `match`: '/books/{id}'; '(default)' is what no route takes
    #[arg(long, value_name = "MATCH")]
    route: Option<String>,

    /// Only these results: hit, stale, validated, miss, pass, direct, error
    #[arg(long, value_name = "RESULT", value_delimiter = ',')]
    result: Vec<String>,

    /// Only these status codes or classes: 404, 5xx
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,

    /// Only these methods
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    method: Vec<String>,

    /// Only this path and everything below it: /books, http://host/books
    #[arg(long, value_name = "PATH", visible_alias = "url")]
    prefix: Option<String>,

    /// Print all that is known, a JSON object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

impl Arguments {
    fn target(&self) -> String {
        let list = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let given = [
            ("route", self.route.clone()),
            ("result", list(&self.result)),
            ("status", list(&self.status)),
            ("method", list(&self.method)),
            ("prefix", self.prefix.clone()),
        ];
        let given = given
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", percent::form_encoded(&value?))));
        format!("/tail?{}", given.collect::<Vec<_>>().join("&"))
    }
}

/// Prints a line for each request until a signal comes, or the gateway stops.
pub fn main(arguments: &Arguments) -> Exit {
    match follow(arguments) {
        Ok(Ended::Here) => Exit::Success,
        Ok(Ended::There(why)) => {
            eprintln!("bookend tail: {why}");
            Exit::Failure
        }
        Err(failure) => failure.report("tail"),
    }
}

/// Why there are no more lines.
enum Ended {
    /// A signal has come, or nobody reads them any more.
    Here,
    There(String),
}

fn follow(arguments: &Arguments) -> Result<Ended, Failure> {
    let client = arguments.admin.client(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Mistake(error.to_string()))?;
    let mut printer = Printer {
        is_json: arguments.json,
        style: Style::of(io::stdout().is_terminal()),
        rest: Vec::new(),
        has_begun: false,
        ended: None,
    };
    let followed = runtime.block_on(unless_ended(read(
        &client,
        &arguments.target(),
        &mut printer,
    )));
    match followed {
        None => Ok(Ended::Here),
        Some(Err(Failure::Unreachable { .. })) if printer.has_begun => Ok(Ended::There(format!(
            "the connection to the gateway on {} has ended",
            client.addr()
        ))),
        Some(Err(failure)) => Err(failure),
        Some(Ok(())) => Ok(printer
            .ended
            .unwrap_or_else(|| Ended::There("the gateway has ended the stream".to_owned()))),
    }
}

async fn read(client: &AdminClient, target: &str, printer: &mut Printer) -> Result<(), Failure> {
    client
        .stream(target, LIMIT, |part| printer.take(part))
        .await
}

/// Prints the lines of the stream.
struct Printer {
    is_json: bool,
    style: Style,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    has_begun: bool,
    ended: Option<Ended>,
}

impl Printer {
    /// Takes a part of the stream; says whether there is to be another.
    fn take(&mut self, part: &[u8]) -> ControlFlow<()> {
        self.has_begun = true;
        self.rest.extend_from_slice(part);
        let Some(end) = memchr::memrchr(b'\n', &self.rest) else {
            return ControlFlow::Continue(());
        };
        let rest = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, rest);
        let mut text = String::new();
        for line in lines.split(|octet| *octet == b'\n') {
            if let Ok(object) = serde_json::from_slice::<Value>(line) {
                self.show(&object, &String::from_utf8_lossy(line), &mut text);
            }
        }
        let mut out = io::stdout().lock();
        // A reader of the output, such as `head`, may have closed it.
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            self.ended = Some(Ended::Here);
        }
        match self.ended {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }

    fn show(&mut self, object: &Value, line: &str, text: &mut String) {
        if let Some(why) = object["end"].as_str() {
            self.ended = Some(Ended::There(printable(why)));
        } else if let Some(lost) = object["lost"].as_u64() {
            eprintln!(
                "bookend tail: {lost} lines were left out: they came faster than they were read"
            );
        } else if self.is_json {
            text.push_str(&printable_json(line));
            text.push('\n');
        } else {
            text.push_str(&in_words(object, self.style));
            text.push('\n');
        }
    }
}

/// One request: when, its status and result, how long it took, how much was sent, what was asked for, and why.
fn in_words(line: &Value, style: Style) -> String {
    let text = |name: &str| printable(line[name].as_str().unwrap_or_default());
    let result = text("result");
    let status = line["status"].as_u64().unwrap_or_default();
    let time = text("time");
    // The date is that of today; the log itself has it.
    let time = time
        .split_once('T')
        .map_or(&*time, |(_, time)| time)
        .trim_end_matches('Z');
    let asked = match &*text("method") {
        "" => "(not understood)".to_owned(),
        method => format!("{method} {}", printable(&url(line))),
    };
    let mut words = format!(
        "{}  {}  {}  {:>10}  {:>9}  {asked}",
        style.paint(time, Colour::Faint),
        style.paint(&status.to_string(), colour_of_status(status)),
        style.paint(&format!("{result:<9}"), colour_of_result(&result)),
        format!("{:.3}ms", line["duration_ms"].as_f64().unwrap_or_default()),
        format!("{} B", line["bytes"].as_u64().unwrap_or_default()),
    );
    let mut more = String::new();
    for name in ["failure", "reason"] {
        if !line[name].is_null() && more.is_empty() {
            more.push_str(&text(name));
        }
    }
    if !line["detail"].is_null() {
        more.push_str(": ");
        more.push_str(&text("detail"));
    }
    if let Some(attempts @ 2..) = line["attempts"].as_u64() {
        more.push_str(&format!(" after {attempts} attempts"));
    }
    if !more.is_empty() {
        words.push_str("  ");
        words.push_str(&style.paint(&more, Colour::Faint));
    }
    words
}

/// The URL as the client named it.
fn url(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default();
    match (text("host"), text("target")) {
        ("", target) => target.to_owned(),
        (host, target) if target.starts_with('/') => format!("{}://{host}{target}", text("scheme")),
        (_, target) => target.to_owned(),
    }
}

const fn colour_of_status(status: u64) -> Colour {
    match status {
        500.. => Colour::Red,
        400.. => Colour::Yellow,
        _ => Colour::Plain,
    }
}

fn colour_of_result(result: &str) -> Colour {
    match result {
        "hit" => Colour::Green,
        "stale" | "validated" => Colour::Cyan,
        "miss" => Colour::Yellow,
        "pass" => Colour::Blue,
        "error" => Colour::Red,
        _ => Colour::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { is_coloured: false };

    #[test]
    fn a_line_says_what_was_asked_for_and_how_it_was_answered() {
        let line = json!({
            "time": "2026-11-29T20:21:26.123Z", "method": "GET", "scheme": "http", "host": "api.example:8080",
            "target": "/books?q=1", "status": 200, "result": "miss", "reason": "private", "bytes": 134,
            "duration_ms": 4.8,
        });
        assert_eq!(
            in_words(&line, PLAIN),
            "20:21:26.123  200  miss          4.800ms      134 B  GET http://api.example:8080/books?q=1  private"
        );
        let failed = json!({
            "time": "2026-11-29T20:21:26.123Z", "status": 400, "result": "error", "bytes": 1, "duration_ms": 0.01,
            "failure": "bad_request", "detail": "two \u{1b}[31mHosts\u{202e}", "attempts": 3,
        });
        assert_eq!(
            in_words(&failed, PLAIN),
            "20:21:26.123  400  error         0.010ms        1 B  (not understood)  bad_request: two \\u{1b}[31mHosts\\u{202e} after 3 attempts"
        );
        let coloured = in_words(&line, Style { is_coloured: true });
        assert!(
            coloured.contains("\u{1b}[33mmiss     \u{1b}[0m"),
            "{coloured}"
        );
    }

    #[test]
    fn lines_are_put_together_from_parts_and_an_end_is_the_last() {
        let mut printer = Printer {
            is_json: false,
            style: PLAIN,
            rest: Vec::new(),
            has_begun: false,
            ended: None,
        };
        assert!(printer.take(b"\n{\"lost\":").is_continue());
        assert_eq!(printer.rest, b"{\"lost\":");
        assert!(printer.take(b"3}\n").is_continue());
        assert!(printer.rest.is_empty());
        assert!(
            printer
                .take(b"{\"end\":\"the gateway stops\"}\n")
                .is_break()
        );
        assert!(matches!(printer.ended, Some(Ended::There(why)) if why == "the gateway stops"));
    }
}
