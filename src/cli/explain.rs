//! `bookend explain`: what a running gateway would do with a request, and why.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::admin_client::{AdminArguments, Failure};
use super::report::{Exit, print};
use crate::semantics::percent;

const LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct Arguments {
    /// The method, GET if none is given, and a URL, or a path with its query: http://host/books/123, /books/123
    #[arg(value_name = "[METHOD] URL", required = true, num_args = 1..=2)]
    request: Vec<String>,

    /// A field of the request: 'Accept: text/html' (may be repeated)
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    header: Vec<String>,

    /// Print all that is known, as JSON: the default where the output is no terminal
    #[arg(long)]
    json: bool,

    /// Print it in words: the default on a terminal
    #[arg(long, conflicts_with = "json")]
    text: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints what would happen and why in the first line, what to change in the next, and below what that follows from; or the
/// admin API's document.
pub fn main(arguments: &Arguments) -> Result<Exit, Failure> {
    let in_words = arguments.text || (!arguments.json && std::io::stdout().is_terminal());
    let client = arguments.admin.client(true)?;
    let (method, url) = match &arguments.request[..] {
        [method, url] => (Some(method), url),
        [url, ..] => (None, url),
        [] => return Err(Failure::Mistake("name a URL".to_owned())),
    };
    let method = method.map(|method| format!("&method={}", percent::form_encoded(method)));
    let fields = arguments.header.iter();
    let fields = fields.map(|field| format!("&header={}", percent::form_encoded(field)));
    let more: String = method.into_iter().chain(fields).collect();
    let target = format!("/explain?url={}{more}", percent::form_encoded(url));
    let answer = client
        .ask(Method::GET, &target, None, LIMIT)?
        .with_document()?;
    match in_words {
        true => lines(&answer.shown()).iter().for_each(print),
        false => print(answer.json()),
    }
    Ok(Exit::Success)
}

/// The document in lines.
fn lines(document: &Value) -> Vec<String> {
    let now = &document["now"];
    let mut lines = vec![format!("{}: {}", headline(now), text(&now["why"]))];
    for cure in list(&document["change"]) {
        lines.push(format!("to change it: {}", text(cure)));
    }
    lines.push(String::new());
    let mut line = |name: &str, words: String| {
        if !words.is_empty() {
            lines.push(format!("{name:<9} {words}"));
        }
    };
    let target = match text(&document["target"]) {
        "" => text(&document["url"]),
        target => target,
    };
    line("request", format!("{} {target}", text(&document["method"])));
    let status = text(&now["cache_status"]);
    let section = text(&now["section"]);
    let rule = if section.is_empty() {
        String::new()
    } else {
        format!(" ({section})")
    };
    let colon = if status.is_empty() { "" } else { ": " };
    line(
        "now",
        format!("{}{colon}{status}{rule}", text(&now["result"])),
    );
    line("route", route(document));
    line("latest", latest(&document["latest"]));
    match stored(document) {
        stored if stored.is_empty() => line("stored", "nothing".to_owned()),
        stored => stored.into_iter().for_each(|words| line("stored", words)),
    }
    let policy = list(&document["policy"]).iter();
    for value in policy.filter(|value| !value["at"].is_null()) {
        // `ttl = 5m (200) … ([[route]], config.toml:14)`.
        let [name, value, section, at] =
            ["name", "value", "section", "at"].map(|part| text(&value[part]));
        line("policy", format!("{name} = {value} ({section}, {at})"));
    }
    for rule in list(&document["rules"]) {
        let section = match text(&rule["section"]) {
            "" => String::new(),
            section => format!(" ({section})"),
        };
        let words = format!(
            "{}: {}{section}",
            text(&rule["rule"]),
            text(&rule["outcome"])
        );
        line("rule", words);
    }
    lines
}

fn headline(now: &Value) -> &'static str {
    match text(&now["result"]) {
        "hit" => "cached",
        "stale" => "cached, and stale",
        "validate" => "cached, but validated first",
        "own" => "answered by the gateway",
        "error" => "refused",
        "unknown" => "not known",
        _ => "not cached",
    }
}

/// `/books/{id} (config.toml:12), to [upstream] as /books/1`.
fn route(document: &Value) -> String {
    let at = match text(&document["route_at"]) {
        "" => String::new(),
        at => format!(" ({at})"),
    };
    let sent = match (text(&document["upstream"]), text(&document["sent_as"])) {
        ("", _) | (_, "") => String::new(),
        ("(default)", path) => format!(", to [upstream] as {path}"),
        (upstream, path) => format!(", to [upstreams.{upstream}] as {path}"),
    };
    format!("{}{at}{sent}", text(&document["route"]))
}

/// `200 12 s ago, not stored: private; 3 of them`.
fn latest(latest: &Value) -> String {
    if latest.is_null() {
        return String::new();
    }
    let why = match (text(&latest["reason"]), text(&latest["error"])) {
        ("", "") => String::new(),
        ("", error) => format!(": {error}"),
        (reason, _) => format!(": {reason}"),
    };
    let outcome = text(&latest["outcome"]).replace('-', " ");
    format!(
        "{} {} s ago, {outcome}{why}; {} in all",
        latest["status"], latest["seconds_ago"], latest["count"]
    )
}

/// A line for each stored response and each marker.
fn stored(document: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in list(&document["stored"]) {
        let key = text(&resource["key"]);
        for variant in list(&resource["variants"]) {
            let state = match variant["fresh"].as_bool() {
                Some(true) => "fresh",
                _ => "stale",
            };
            let differs: Vec<_> = list(&variant["differs"]).iter().map(text).collect();
            let differs = match differs.is_empty() {
                true => String::new(),
                false => format!("; not for this request: {}", differs.join("; ")),
            };
            lines.push(format!(
                "{key}: {}, {} bytes, {state}, age {} s of {} s ({}){differs}",
                variant["status"],
                variant["content_bytes"],
                variant["age"],
                variant["lifetime"],
                text(&variant["lifetime_from"]),
            ));
        }
        for marker in list(&resource["markers"]) {
            let (why, left) = (text(&marker["why"]), &marker["for_seconds"]);
            lines.push(format!("{key}: hit-for-miss for {left} s more, {why}"));
        }
    }
    lines
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_two_lines_say_why_and_what_to_change() {
        let document = json!({
            "url": "/books/1", "method": "GET", "target": "http://h/books/1",
            "route": "/books/{id}", "route_at": "config.toml:12", "upstream": "(default)", "sent_as": "/books/1",
            "now": { "result": "miss", "cache_status": "bookend; fwd=uri-miss", "why": "The response is private.",
                     "section": "RFC 9111 §5.2.2.7" },
            "change": ["Have the API say `public`."],
            "latest": { "status": 200, "seconds_ago": 12, "outcome": "not-stored", "reason": "private", "count": 3 },
            "stored": [{ "key": "http://h/books/1", "variants": [], "markers": [{ "why": "private", "for_seconds": 8 }] }],
            "policy": [{ "name": "ttl", "value": "5m", "at": "config.toml:14", "section": "[[route]]" },
                       { "name": "etag", "value": "off", "at": null }],
            "rules": [{ "rule": "stored", "section": "RFC 9111 §4", "outcome": "Nothing is stored." }],
        });
        assert_eq!(
            lines(&document),
            [
                "not cached: The response is private.",
                "to change it: Have the API say `public`.",
                "",
                "request   GET http://h/books/1",
                "now       miss: bookend; fwd=uri-miss (RFC 9111 §5.2.2.7)",
                "route     /books/{id} (config.toml:12), to [upstream] as /books/1",
                "latest    200 12 s ago, not stored: private; 3 in all",
                "stored    http://h/books/1: hit-for-miss for 8 s more, private",
                "policy    ttl = 5m ([[route]], config.toml:14)",
                "rule      stored: Nothing is stored. (RFC 9111 §4)",
            ]
        );
    }
}
