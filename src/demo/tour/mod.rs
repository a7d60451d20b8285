//! The tour: requests to a book API behind the gateway, each with the rule that it shows. It may be read, as curl lines to
//! try ([`describe`]), or run against a gateway ([`run`]), which checks every response.

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

/// Runs the tour against the gateway. Returns the checks that failed. `seen` counts the API's requests where it is the
/// embedded one. The gateway's cache must be cold. Fails only when `out` does.
pub async fn run(
    gateway: Place,
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
        guide.report.step(step.title, step.principle)?;
        (step.walk)(&mut guide).await?;
    }
    guide.report.close()
}
