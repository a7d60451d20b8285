//! `bookend purges`: the log of purges of a running gateway, once or as they are made.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::admin_client::{AdminArguments, Failure};
use super::report::{Exit, print};
use super::signal::unless_ended;
use crate::printable::{printable, printable_value};

/// How long the gateway may take until it begins to answer.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub struct Arguments {
    /// So many at most, the latest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,

    /// Print those in the order in which they were made, and go on with each that is made from now on
    #[arg(long)]
    follow: bool,

    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints the latest purges, one in a line; with `--follow` also those to come, until a signal comes or the gateway stops.
pub fn main(arguments: &Arguments) -> Result<Exit, Failure> {
    if arguments.follow {
        let Some(why) = follow(arguments)? else {
            return Ok(Exit::Success);
        };
        eprintln!("bookend purges: {why}");
        return Ok(Exit::Failure);
    }
    let client = arguments.admin.client(true)?;
    let target = format!("/purges?limit={}", arguments.limit);
    let answer = client
        .ask(Method::GET, &target, None, LIMIT)?
        .with_document()?;
    let document = answer.shown();
    let purges = document["purges"].as_array().map_or(&[][..], Vec::as_slice);
    purges.iter().for_each(|purge| print(in_words(purge)));
    Ok(Exit::Success)
}

/// Returns why the stream has ended, where it was not by a signal.
fn follow(arguments: &Arguments) -> Result<Option<String>, Failure> {
    let client = arguments.admin.client(true)?;
    let target = format!("/purges?follow=true&limit={}", arguments.limit);
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Mistake(error.to_string()))?;
    let (mut rest, mut ended, mut has_begun) = (Vec::new(), None, false);
    let read = client.stream(&target, LIMIT, |part| {
        has_begun = true;
        rest.extend_from_slice(part);
        show(&mut rest, &mut ended)
    });
    let followed = runtime.block_on(unless_ended(read));
    match followed {
        None => Ok(None),
        Some(Err(Failure::Unreachable { addr, .. })) if has_begun => Ok(Some(format!(
            "the connection to the gateway on {addr} has ended"
        ))),
        Some(Err(failure)) => Err(failure),
        Some(Ok(())) => Ok(match ended {
            Some(Ended::Here) => None,
            Some(Ended::There(why)) => Some(why),
            None => Some("the gateway has ended the stream".to_owned()),
        }),
    }
}

/// Why there are no more lines.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Nobody reads them any more.
    Here,
    There(String),
}

/// Prints the complete lines of `rest`, and leaves what comes after them. Says whether there is to be more.
fn show(rest: &mut Vec<u8>, ended: &mut Option<Ended>) -> ControlFlow<()> {
    let Some(end) = memchr::memrchr(b'\n', rest) else {
        return ControlFlow::Continue(());
    };
    let begun = rest.split_off(end + 1);
    let lines = std::mem::replace(rest, begun);
    let mut text = String::new();
    for line in lines.split(|octet| *octet == b'\n') {
        let Ok(object) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let Some(why) = object["end"].as_str() {
            *ended = Some(Ended::There(printable(why)));
        } else if let Some(lost) = object["lost"].as_u64() {
            eprintln!("bookend purges: {lost} purges were left out: the gateway remembers 1,000");
        } else {
            text.push_str(&in_words(&printable_value(object)));
            text.push('\n');
        }
    }
    let mut out = io::stdout().lock();
    // A reader of the output, such as `head`, may have closed it.
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if written.is_err() {
        *ended = Some(Ended::Here);
    }
    match ended {
        None => ControlFlow::Continue(()),
        Some(_) => ControlFlow::Break(()),
    }
}

/// `2026-11-30T04:00:00.000Z  #7  3 resources, 2048 bytes  /books on every host  by 127.0.0.1: "new prices"`.
fn in_words(purge: &Value) -> String {
    let text = |name: &str| purge[name].as_str().unwrap_or_default();
    let soft = match purge["soft"].as_bool() {
        Some(true) => " (soft)",
        _ => "",
    };
    let reason = match purge["reason"].as_str() {
        Some(reason) => format!(": \"{reason}\""),
        None => String::new(),
    };
    format!(
        "{}  #{}  {} resources, {} bytes  {}{soft}  by {}{reason}",
        text("at"),
        purge["sequence"],
        purge["purged"],
        purge["bytes"],
        text("covers"),
        text("actor"),
    )
}
