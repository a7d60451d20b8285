//! What was seen, and whether all of it was right.

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::time::Duration;

/// Resident memory beside what the budget counts, whatever the budget is: 8 MiB of program text and data, 2 MiB for the
/// runtime and a worker, and what two dozen connections from clients and as many upstream have in buffers.
const BASE: u64 = 16 << 20;

/// Breaches that are shown; all are counted.
const SHOWN: u64 = 20;

#[derive(Debug, Default)]
pub struct Report {
    pub requests: Cell<u64>,
    pub hits: Cell<u64>,
    pub not_modified: Cell<u64>,
    pub parts: Cell<u64>,
    pub writes: Cell<u64>,
    pub unsure_writes: Cell<u64>,
    /// Answers of the gateway's own that report a fault.
    pub errors: Cell<u64>,
    /// Responses that broke off, and could be seen to.
    pub aborted: Cell<u64>,
    pub bytes: Cell<u64>,
    pub breaches: Cell<u64>,
    marks: RefCell<Vec<u64>>,
}

pub fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Report {
    /// Something was wrong.
    pub fn breach(&self, what: &str) {
        count(&self.breaches);
        if self.breaches.get() <= SHOWN {
            eprintln!("BREACH: {what}");
        }
    }

    pub fn head(&self) {
        println!(
            "{:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9} {:>8}",
            "seconds",
            "requests",
            "hits",
            "304",
            "parts",
            "writes",
            "errors",
            "aborted",
            "MiB",
            "RSS MiB",
            "breaches"
        );
    }

    pub fn mark(&self, elapsed: Duration, rss: u64) {
        self.marks.borrow_mut().push(rss);
        println!(
            "{:>7.0} {:>10} {:>10} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9.1} {:>8}",
            elapsed.as_secs_f64(),
            self.requests.get(),
            self.hits.get(),
            self.not_modified.get(),
            self.parts.get(),
            self.writes.get(),
            self.errors.get(),
            self.aborted.get(),
            self.bytes.get() >> 20,
            rss as f64 / f64::from(1 << 20),
            self.breaches.get(),
        );
    }

    /// The verdict, `memory` being the gateway's budget in bytes.
    pub fn conclude(&self, memory: u64) -> ExitCode {
        let marks = self.marks.borrow();
        let most = marks.iter().copied().max().unwrap_or(0);
        let bound = memory / 10 * 13 + BASE;
        if most > bound {
            self.breach(&format!(
                "{most} bytes resident, beyond 1.3 times {memory} and {BASE}"
            ));
        }
        if let [_, second, .., last] = &marks[..] {
            let growth = *last as f64 / *second as f64;
            println!(
                "memory: {growth:.3} times that of the second mark; at most {:.1} of {:.1} MiB",
                mib(most),
                mib(bound)
            );
            if marks.len() >= 10 && memory > 0 && self.is_long() && growth > 1.05 {
                self.breach("memory grows");
            }
        }
        let unseen = [
            ("hits", &self.hits),
            ("304s", &self.not_modified),
            ("parts", &self.parts),
            ("writes", &self.writes),
        ];
        for (what, seen) in unseen {
            if seen.get() == 0 {
                self.breach(&format!("no {what} at all: nothing was tried"));
            }
        }
        let breaches = self.breaches.get();
        println!(
            "{} requests, {} unsure writes, {breaches} breaches",
            self.requests.get(),
            self.unsure_writes.get()
        );
        if breaches == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Whether the marks are minutes, so that the memory must have settled by the second.
    fn is_long(&self) -> bool {
        self.requests.get() > 100_000
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
