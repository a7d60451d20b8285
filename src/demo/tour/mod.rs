//! The tour: requests to a book API behind the gateway, each with the rule that it shows. It may be read, as curl lines to
//! try ([`describe`]), or run against a gateway ([`Tour`]), which checks every response.

mod cache_status;
mod client;
mod guide;
mod place;
mod report;
mod steps;
mod walks;

use std::fmt::Write as _;
use std::io::{self, Write};

use self::guide::Guide;
pub use self::place::Place;
use self::report::Report;
use super::Seen;

/// The tour as curl lines to try by hand.
pub fn describe(gateway: &Place) -> String {
    let mut text = String::new();
    let url = gateway.url();
    for (number, step) in (1..).zip(steps::STEPS) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "\n{number:>2}. {}\n    {}",
            step.title, step.principle
        );
        for (command, look_for) in step.tries {
            let command = gateway.command(command).replace("{}", &url);
            let _ = writeln!(text, "    $ {command}");
            if !look_for.is_empty() {
                let _ = writeln!(text, "      -> {look_for}");
            }
        }
    }
    text
}

/// The tour as it is run against a gateway, whose cache must be cold.
pub struct Tour<'a>(Guide<'a>);

impl<'a> Tour<'a> {
    /// `seen` counts the API's requests where it is the embedded one.
    pub fn of(gateway: Place, seen: Option<Seen>, out: &'a mut dyn Write, colour: bool) -> Self {
        let report = Report::new(out, colour);
        Self(Guide {
            gateway,
            seen,
            report,
        })
    }

    /// Runs all steps but the last. Fails only when `out` does.
    pub async fn run(&mut self) -> io::Result<()> {
        self.take(steps::STEPS).await
    }

    /// Runs the last step, after the gateway has been started anew. Fails only when `out` does.
    pub async fn run_after_restart(&mut self) -> io::Result<()> {
        self.take(&[steps::RESTARTED]).await
    }

    async fn take(&mut self, steps: &[steps::Step]) -> io::Result<()> {
        for step in steps {
            self.0.report.step(step.title, step.principle)?;
            (step.walk)(&mut self.0).await?;
        }
        Ok(())
    }

    /// Returns the checks that failed. Fails only when `out` does.
    pub fn close(self) -> io::Result<Vec<String>> {
        self.0.report.close()
    }
}
