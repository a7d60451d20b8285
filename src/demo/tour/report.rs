//! Prints the tour, and at its end which checks failed.

use std::fmt::Display;
use std::io::{self, Write};

use super::client::{Answer, Ask};
use super::place::Place;
use crate::printable::printable;

/// The fields that the tour is about; others are left out of what it shows.
const SHOWN: [&str; 7] = [
    "cache-control",
    "etag",
    "age",
    "location",
    "content-range",
    "content-length",
    "cache-status",
];
/// Characters of content that are shown.
const SHOWN_CONTENT: usize = 100;

/// Prints each step and remembers each check that failed.
pub(super) struct Report<'a> {
    out: &'a mut dyn Write,
    colour: bool,
    steps: usize,
    checks: usize,
    title: &'static str,
    differences: Vec<String>,
}

/// A style of text on a terminal: the parameters of its ANSI escape sequence, empty for none.
type Style = &'static str;

const PLAIN: Style = "";
const BOLD: Style = "1";
const DIM: Style = "2";
const GREEN: Style = "32";
const RED: Style = "1;31";
const CYAN: Style = "36";

impl<'a> Report<'a> {
    pub(super) fn new(out: &'a mut dyn Write, colour: bool) -> Self {
        Self {
            out,
            colour,
            steps: 0,
            checks: 0,
            title: "",
            differences: Vec::new(),
        }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: &'static str, principle: &str) -> io::Result<()> {
        self.steps += 1;
        self.title = title;
        writeln!(self.out)?;
        self.line(BOLD, &format!("{:>2}. {title}", self.steps))?;
        self.line(DIM, &format!("    {principle}"))
    }

    pub(super) fn ask(&mut self, gateway: &Place, ask: &Ask) -> io::Result<()> {
        self.line(CYAN, &format!("    $ {}", ask.curl(gateway)))
    }

    pub(super) fn answer(&mut self, answer: &Answer) -> io::Result<()> {
        let status = format!("      {:?} {}", answer.version, answer.status);
        self.line(PLAIN, &status)?;
        for name in SHOWN {
            for value in answer.fields.get_all(name) {
                let line = format!(
                    "      {name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                );
                let style = if name == "cache-status" { BOLD } else { DIM };
                self.line(style, &line)?;
            }
        }
        for line in excerpt(&answer.content) {
            self.line(PLAIN, &format!("      {line}"))?;
        }
        Ok(())
    }

    pub(super) fn note(&mut self, note: &str) -> io::Result<()> {
        self.line(PLAIN, &format!("      {note}"))
    }

    /// Prints and counts one check; `found` says what there was in the place of `expected`.
    pub(super) fn check(
        &mut self,
        expected: &str,
        met: bool,
        found: impl Display,
    ) -> io::Result<()> {
        self.checks += 1;
        if met {
            return self.line(GREEN, &format!("    ✓ {expected}"));
        }
        let difference = format!("expected {expected}; found {found}");
        self.differences
            .push(format!("{}. {}: {difference}", self.steps, self.title));
        self.line(RED, &format!("    ✗ {difference}"))
    }

    /// Prints how many checks failed, and which. Returns those.
    pub(super) fn close(mut self) -> io::Result<Vec<String>> {
        writeln!(self.out)?;
        if self.differences.is_empty() {
            let account = format!(
                "All {} checks of {} steps were as expected.",
                self.checks, self.steps
            );
            self.line(GREEN, &account)?;
        } else {
            let account = format!(
                "{} of {} checks differed:",
                self.differences.len(),
                self.checks
            );
            self.line(RED, &account)?;
            for index in 0..self.differences.len() {
                let difference = format!("  {}", self.differences[index]);
                self.line(PLAIN, &difference)?;
            }
        }
        self.out.flush()?;
        Ok(self.differences)
    }

    fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        if self.colour && style != PLAIN {
            writeln!(self.out, "\x1b[{style}m{text}\x1b[0m")
        } else {
            writeln!(self.out, "{text}")
        }
    }
}

/// The content's lines, cut to a length that fits a terminal.
fn excerpt(content: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(content)
        .lines()
        .map(|line| {
            let mut shown: String = line.chars().take(SHOWN_CONTENT).collect();
            if shown.len() < line.len() {
                shown.push('…');
            }
            // What an API sends must not reach the terminal as it is.
            printable(&shown)
        })
        .take(4)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_is_shown_and_remembered() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, false);
        report.check("status 200", true, "").expect("memory");
        report.check("a hit", false, "a miss").expect("memory");
        let differences = report.close().expect("memory");
        assert_eq!(differences.len(), 1);
        let shown = String::from_utf8(out).expect("text");
        assert!(shown.contains("✓ status 200"), "{shown}");
        assert!(shown.contains("✗ expected a hit; found a miss"), "{shown}");
        assert!(shown.contains("1 of 2 checks differed"), "{shown}");
    }

    #[test]
    fn content_is_cut_and_cannot_steer_the_terminal() {
        let content = format!("{}\n\x1b[2Jx\n\n\n\n", "é".repeat(200));
        let lines = excerpt(content.as_bytes());
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].chars().count(), SHOWN_CONTENT + 1);
        assert_eq!(lines[1], "\\u{1b}[2Jx");
    }
}
