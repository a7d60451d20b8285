//! Sends the tour's requests, and prints and checks the responses.

use std::io;

use super::cache_status::CacheStatus;
use super::client::{Answer, Ask, send};
use super::place::Place;
use super::report::Report;
use crate::demo::Seen;

/// Sends requests, and prints and checks the responses.
pub(super) struct Guide<'a> {
    pub(super) gateway: Place,
    /// The requests that the API has received, where it is ours.
    pub(super) seen: Option<Seen>,
    pub(super) report: Report<'a>,
}

impl Guide<'_> {
    /// Sends the request and shows it and its answer. `None` when there was no whole answer, which has then been
    /// recorded as a difference.
    pub(super) async fn send(&mut self, ask: Ask) -> io::Result<Option<Answer>> {
        self.report.ask(&self.gateway, &ask)?;
        match send(&self.gateway, &ask).await {
            Ok(answer) => {
                self.report.answer(&answer)?;
                Ok(Some(answer))
            }
            Err(error) => {
                self.report.check("a whole answer", false, error)?;
                Ok(None)
            }
        }
    }

    /// [`Guide::send`], and a check of the answer's status.
    pub(super) async fn expect(&mut self, status: u16, ask: Ask) -> io::Result<Option<Answer>> {
        let answer = self.send(ask).await?;
        if let Some(answer) = &answer {
            self.report.check(
                &format!("status {status}"),
                answer.status.as_u16() == status,
                answer.status,
            )?;
        }
        Ok(answer)
    }

    /// Checks that the answer came from the store.
    pub(super) fn hit(&mut self, answer: &Answer) -> io::Result<()> {
        let member = CacheStatus::of(&answer.fields);
        let hit = member.as_ref().is_some_and(|member| member.hit);
        self.report.check("Cache-Status: hit", hit, shown(answer))
    }

    /// Checks that the answer came from the API, for one of these reasons where any are given.
    pub(super) fn forwarded(&mut self, answer: &Answer, reasons: &[&str]) -> io::Result<()> {
        let member = CacheStatus::of(&answer.fields);
        let forwarded = member
            .and_then(|member| member.fwd)
            .is_some_and(|fwd| reasons.is_empty() || reasons.contains(&fwd.as_str()));
        let expected = match reasons {
            [] => "Cache-Status: fwd".to_owned(),
            reasons => format!("Cache-Status: fwd={}", reasons.join(" or ")),
        };
        self.report.check(&expected, forwarded, shown(answer))
    }

    /// Checks that the content holds `text`.
    pub(super) fn content(&mut self, answer: &Answer, text: &str) -> io::Result<()> {
        let content = String::from_utf8_lossy(&answer.content);
        self.report.check(
            &format!("content with \"{text}\""),
            content.contains(text),
            format!("{content:?}"),
        )
    }
}

/// The answer's Cache-Status as it was written.
pub(super) fn shown(answer: &Answer) -> String {
    let lines: Vec<_> = answer
        .fields
        .get_all("cache-status")
        .iter()
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    if lines.is_empty() {
        return "no Cache-Status".to_owned();
    }
    format!("Cache-Status: {}", lines.join(", "))
}
