//! Asks the gateway once a second what it does, in a thread of its own: a gateway that is slow to answer keeps no key waiting.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use http::Method;

use super::app::{News, Wanted};
use super::snapshot::Snapshot;
use crate::cli::admin_client::{AdminClient, Failure};

/// Between two snapshots.
const EVERY: Duration = Duration::from_secs(1);

/// How long the gateway may take for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Snapshots of the state to one of the lists, which cost the gateway more.
const TOP_EVERY: u32 = 2;
const STORED_EVERY: u32 = 5;

/// Rows of a list.
const ROWS: u32 = 100;

/// One look at the gateway.
pub fn status(client: &AdminClient) -> Result<News, Failure> {
    ask(client, "/status").map(News::Status)
}

/// The lists that are wanted.
pub fn top(client: &AdminClient, by: &'static str) -> Result<News, Failure> {
    let urls = ask(client, &format!("/top?by={by}&limit={ROWS}"))?;
    Ok(News::Top(by, urls))
}

pub fn stored(client: &AdminClient, by: &'static str) -> Result<News, Failure> {
    let stored = ask(client, &format!("/stored?sort={by}&limit={ROWS}"))?;
    Ok(News::Stored(by, stored))
}

fn ask(client: &AdminClient, target: &str) -> Result<Snapshot, Failure> {
    let answer = client.ask(Method::GET, target, None, LIMIT)?;
    Ok(Snapshot(answer.with_document()?.shown()))
}

impl From<Failure> for News {
    /// Why there is no answer, in a line.
    fn from(failure: Failure) -> Self {
        Self::Fault(match failure {
            Failure::Unreachable { source, .. } => {
                format!("the gateway cannot be reached: {source}")
            }
            Failure::Refused { status, detail } => {
                format!("the gateway refuses: {status}: {detail}")
            }
            Failure::Foreign { addr, status, .. } => {
                format!("what answers on {addr} is no gateway: {status}")
            }
            Failure::Mistake(what) => what,
            Failure::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Sends news until nobody takes them any more. What is wanted may change at any time, and is asked for at once then.
pub fn run(
    client: &AdminClient,
    mut wanted: Wanted,
    changes: &Receiver<Wanted>,
    news: &Sender<News>,
) {
    let mut turn = 0u32;
    loop {
        for answer in look(client, wanted, turn) {
            let answer = answer.unwrap_or_else(News::from);
            if news.send(answer).is_err() {
                return;
            }
        }
        match changes.recv_timeout(EVERY) {
            Ok(changed) => (wanted, turn) = (changed, 0),
            Err(RecvTimeoutError::Timeout) => turn = turn.wrapping_add(1),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn look(client: &AdminClient, wanted: Wanted, turn: u32) -> Vec<Result<News, Failure>> {
    let mut answers = vec![status(client)];
    if answers[0].is_err() {
        return answers;
    }
    if let Some(by) = wanted.top.filter(|_| turn.is_multiple_of(TOP_EVERY)) {
        answers.push(top(client, by));
    }
    if let Some(by) = wanted.stored.filter(|_| turn.is_multiple_of(STORED_EVERY)) {
        answers.push(stored(client, by));
    }
    answers
}
