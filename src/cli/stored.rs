//! `bookend stored` and `bookend urls`: what a running gateway has stored, and which URLs it is asked for most.

use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Method;
use serde_json::Value;

use super::admin_client::{AdminArguments, Answer, Failure};
use super::report::{Exit, print};
use crate::semantics::percent;

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this path and everything below it: /books
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,

    /// Only what this route takes, by its `match`: '/books/{id}'
    #[arg(long, value_name = "MATCH")]
    route: Option<String>,

    /// Only the responses with this tag
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,

    /// The greatest first
    #[arg(long)]
    sort: Option<Order>,

    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,

    /// The page after another one, which names it in its last line
    #[arg(long, value_name = "PAGE")]
    page: Option<String>,

    /// Print all that is known, as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Hits,
    Size,
    Age,
}

/// `bookend urls`.
#[derive(Debug, Args)]
pub struct UrlArguments {
    /// By what they are counted
    #[arg(long, default_value = "requests")]
    by: By,

    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,

    /// Print all that is known, as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Requests,
    Misses,
    Bytes,
}

fn name(value: impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// Prints a line for each resource, with its hits, bytes, age, ttl, status and URL.
pub fn main(arguments: &Arguments) -> Exit {
    let given = [
        ("prefix", arguments.prefix.clone()),
        ("route", arguments.route.clone()),
        ("tag", arguments.tag.clone()),
        ("sort", arguments.sort.map(name)),
        ("page", arguments.page.clone()),
    ];
    let given = given.into_iter();
    let given = given.filter_map(|(what, value)| Some((what, value?)));
    let answer = ask("/stored", given, arguments.limit, &arguments.admin);
    show("stored", answer, arguments.json, stored)
}

/// Prints a line for each URL, with its count and, for misses, the latest reason.
pub fn urls(arguments: &UrlArguments) -> Exit {
    let given = [("by", name(arguments.by))].into_iter();
    let answer = ask("/top", given, arguments.limit, &arguments.admin);
    show("urls", answer, arguments.json, frequent)
}

fn ask(
    path: &str,
    given: impl Iterator<Item = (&'static str, String)>,
    limit: u32,
    admin: &AdminArguments,
) -> Result<Answer, Failure> {
    let given = given.map(|(what, value)| format!("&{what}={}", percent::form_encoded(&value)));
    let given: String = given.collect();
    let target = format!("{path}?limit={limit}{given}");
    let client = admin.client(true)?;
    client
        .ask(Method::GET, &target, None, LIMIT)?
        .with_document()
}

fn show(
    command: &str,
    answer: Result<Answer, Failure>,
    is_json: bool,
    lines: fn(&Value) -> Vec<String>,
) -> Exit {
    match answer {
        Ok(answer) if is_json => print(answer.json()),
        Ok(answer) => lines(&answer.shown()).iter().for_each(print),
        Err(failure) => return failure.report(command),
    }
    Exit::Success
}

fn stored(document: &Value) -> Vec<String> {
    let row = |cells: [String; 6]| {
        let [hits, bytes, age, ttl, status, url] = cells;
        format!("{hits:>9} {bytes:>11} {age:>7} {ttl:>7} {status:>6}  {url}")
    };
    let head = ["hits", "bytes", "age", "ttl", "status", "url"];
    let mut lines = vec![row(head.map(str::to_owned))];
    for resource in list(&document["stored"]) {
        let cell = |name: &str| match &resource[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        lines.push(row(head.map(cell)));
    }
    if let Some(next) = document["next"].as_str() {
        lines.push(format!("there are more: --page {next}"));
    }
    lines
}

fn frequent(document: &Value) -> Vec<String> {
    let urls = list(&document["urls"]).iter();
    let urls = urls.map(|url| {
        let why = match url["reason"].as_str() {
            Some(reason) => format!("  {reason}"),
            None => String::new(),
        };
        let text = url["url"].as_str().unwrap_or_default();
        format!("{:>12}  {text}{why}", url["sum"].to_string())
    });
    urls.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stored_is_a_table_and_what_is_frequent_a_list() {
        let document = json!({
            "stored": [{ "url": "http://h/books/1", "hits": 42, "bytes": 1024, "age": 7, "ttl": -3, "status": 200 }],
            "next": "100",
        });
        assert_eq!(
            stored(&document),
            [
                "     hits       bytes     age     ttl status  url",
                "       42        1024       7      -3    200  http://h/books/1",
                "there are more: --page 100",
            ]
        );
        let document = json!({ "urls": [{ "url": "http://h/a", "sum": 16, "reason": null },
                                        { "url": "http://h/b", "sum": 3, "reason": "private" }] });
        assert_eq!(
            frequent(&document),
            [
                "          16  http://h/a",
                "           3  http://h/b  private"
            ]
        );
    }
}
