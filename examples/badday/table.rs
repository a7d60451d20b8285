//! What was seen, beside what was wanted.

use std::cell::Cell;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

/// Prints each line as it is known.
#[derive(Debug, Default)]
pub struct Table {
    failed: Cell<bool>,
}

impl Table {
    /// Something that must be as `wanted`; whether it is.
    pub fn line(&self, what: &str, seen: impl Display, wanted: impl Display, is_met: bool) {
        let verdict = if is_met { "ok" } else { "FAILED" };
        println!(
            "{what:<58} {:>16}   {:<24} {verdict}",
            seen.to_string(),
            wanted.to_string()
        );
        if !is_met {
            self.failed.set(true);
        }
    }

    /// At most `most`, with so many digits behind the point.
    pub fn at_most(&self, what: &str, seen: f64, most: f64, digits: usize) {
        let wanted = format!("at most {most:.digits$}");
        self.line(what, format!("{seen:.digits$}"), wanted, seen <= most);
    }

    pub fn at_least(&self, what: &str, seen: f64, least: f64, digits: usize) {
        let wanted = format!("at least {least:.digits$}");
        self.line(what, format!("{seen:.digits$}"), wanted, seen >= least);
    }

    pub fn exactly(&self, what: &str, seen: u64, wanted: u64) {
        self.line(what, seen, wanted, seen == wanted);
    }

    /// Something that is good to know.
    pub fn note(&self, what: &str, seen: impl Display) {
        println!("{what:<58} {:>16}", seen.to_string());
    }

    pub fn verdict(&self) -> ExitCode {
        if self.failed.get() {
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
