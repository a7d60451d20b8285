//! The tour: what the gateway does for a book API, a request at a time, each with the rule that it shows. It may be
//! read, as curl lines to try ([`describe`]), or run against a gateway ([`run`]), which checks every answer.

mod client;
mod report;
mod steps;
mod verdict;
mod walks;

use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;

use self::client::{Answer, Ask, send};
use self::report::Report;
use self::verdict::Verdict;
use super::Seen;

/// One stop of the tour.
struct Step {
    title: &'static str,
    /// The principle of REST or the rule of HTTP that it shows, in a sentence.
    principle: &'static str,
    /// Commands to try by hand, with what to look for in the answer (nothing: ""); `{}` stands for the gateway's URL.
    tries: &'static [(&'static str, &'static str)],
    walk: Walk,
}

type Walk = for<'a> fn(&'a mut Guide<'_>) -> Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// Leads through the steps: sends requests, shows and checks the answers.
struct Guide<'a> {
    gateway: SocketAddr,
    /// The requests that the API has received, where it is ours.
    seen: Option<Seen>,
    report: Report<'a>,
}

/// The tour as curl lines to try by hand.
pub fn describe(gateway: SocketAddr) -> String {
    let mut text = String::new();
    let url = format!("http://{gateway}");
    for (number, step) in (1..).zip(steps::STEPS) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n{number:>2}. {}\n    {}",
            step.title, step.principle
        );
        for (command, look_for) in step.tries {
            let command = command.replace("{}", &url);
            let _ = writeln!(text, "    $ {command}");
            if !look_for.is_empty() {
                let _ = writeln!(text, "      -> {look_for}");
            }
        }
    }
    text
}

/// Runs the tour against the gateway and gives what differed from what was expected: nothing when all is well.
/// `seen` counts the API's requests where it is the embedded one. The gateway's cache must be cold. Fails only when
/// `out` does.
pub async fn run(
    gateway: SocketAddr,
    seen: Option<Seen>,
    out: &mut dyn Write,
    colour: bool,
) -> io::Result<Vec<String>> {
    let mut guide = Guide {
        gateway,
        seen,
        report: Report::new(out, colour),
    };
    for step in steps::STEPS {
        guide.report.step(step)?;
        (step.walk)(&mut guide).await?;
    }
    guide.report.close()
}

impl Guide<'_> {
    /// Sends the request and shows it and its answer. `None` when there was no whole answer, which has then been
    /// recorded as a difference.
    async fn send(&mut self, ask: Ask) -> io::Result<Option<Answer>> {
        self.report.ask(self.gateway, &ask)?;
        match send(self.gateway, &ask).await {
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
    async fn expect(&mut self, status: u16, ask: Ask) -> io::Result<Option<Answer>> {
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
    fn hit(&mut self, answer: &Answer) -> io::Result<()> {
        let verdict = Verdict::of(&answer.fields);
        let hit = verdict.as_ref().is_some_and(|verdict| verdict.hit);
        self.report.check("Cache-Status: hit", hit, shown(answer))
    }

    /// Checks that the answer came from the API, for one of these reasons where any are given.
    fn forwarded(&mut self, answer: &Answer, reasons: &[&str]) -> io::Result<()> {
        let verdict = Verdict::of(&answer.fields);
        let forwarded = verdict
            .and_then(|verdict| verdict.fwd)
            .is_some_and(|fwd| reasons.is_empty() || reasons.contains(&fwd.as_str()));
        let expected = match reasons {
            [] => "Cache-Status: fwd".to_owned(),
            reasons => format!("Cache-Status: fwd={}", reasons.join(" or ")),
        };
        self.report.check(&expected, forwarded, shown(answer))
    }

    /// Checks that the content holds `text`.
    fn content(&mut self, answer: &Answer, text: &str) -> io::Result<()> {
        let content = String::from_utf8_lossy(&answer.content);
        self.report.check(
            &format!("content with \"{text}\""),
            content.contains(text),
            format!("{content:?}"),
        )
    }
}

/// The answer's Cache-Status as it was written.
fn shown(answer: &Answer) -> String {
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
