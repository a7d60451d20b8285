//! `bookend reload`: has a running gateway read its configuration again, and says how that went.

use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::Value;

use super::admin_client::{AdminArguments, Failure};
use super::report::{Exit, print};

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints every mistake of a configuration that was refused, as `check` does.
pub fn main(arguments: &Arguments) -> Result<Exit, Failure> {
    let client = arguments.admin.client(true)?;
    let answer = client.ask(Method::POST, "/reload", None, LIMIT)?;
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        let document = answer.shown();
        print_texts(&document["mistakes"], |text| text.to_owned());
        eprintln!("bookend reload: {}", text(&document["detail"]));
        return Ok(Exit::Mistake);
    }
    let document = answer.with_document()?.shown();
    print_texts(&document["warnings"], |text| format!("warning: {text}"));
    for what in document["needs_restart"].as_array().into_iter().flatten() {
        let what = text(what);
        eprintln!("warning: {what} has changed: restart the gateway to put it in force");
    }
    print("configuration reloaded");
    Ok(Exit::Success)
}

/// Prints the texts of mistakes or warnings to standard error, one per line.
fn print_texts(found: &Value, line: fn(&str) -> String) {
    for mistake in found.as_array().into_iter().flatten() {
        eprintln!("{}", line(text(&mistake["text"])));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
