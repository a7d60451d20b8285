//! What was seen, and whether all of it was right.

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// Resident memory beside what the budget counts, whatever the budget is: 2 MiB for the runtime and a worker, and what three
/// dozen connections from clients and as many upstream have in buffers, in HTTP/2 up to a window of 256 KiB for each stream.
/// The program's text is not counted.
const BESIDE: u64 = 16 << 20;

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
    /// Whether the marks are minutes, so that the memory must have settled by the second.
    pub is_long: Cell<bool>,
    rows: RefCell<Vec<Rc<Row>>>,
}

/// What was made of one kind of traffic.
#[derive(Debug, Default)]
pub struct Row {
    name: String,
    pub tried: Cell<u64>,
    /// Ended as they should, with all that they should bring.
    pub right: Cell<u64>,
    /// As [`Report::errors`] and [`Report::aborted`].
    pub errors: Cell<u64>,
    pub aborted: Cell<u64>,
    bytes: Cell<u64>,
    breaches: Cell<u64>,
}

/// A gateway's resident memory at each mark.
#[derive(Debug)]
pub struct Memory {
    pub name: &'static str,
    /// What it is given for its cache, in bytes.
    pub budget: u64,
    /// The last mark may be so many times the second, where the marks are minutes.
    pub growth: f64,
    pub marks: RefCell<Vec<u64>>,
}

pub fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

impl Row {
    pub fn add_bytes(&self, n: usize) {
        self.bytes.set(self.bytes.get() + n as u64);
    }
}

impl Report {
    /// A new row.
    pub fn row(&self, name: String) -> Rc<Row> {
        let row = Rc::new(Row {
            name,
            ..Row::default()
        });
        self.rows.borrow_mut().push(row.clone());
        row
    }

    /// Something was wrong with traffic of this kind.
    pub fn breach(&self, row: &Row, what: &str) {
        count(&row.breaches);
        self.wrong(&format!("{}: {what}", row.name));
    }

    /// Something was wrong.
    pub fn wrong(&self, what: &str) {
        count(&self.breaches);
        if self.breaches.get() <= SHOWN {
            eprintln!("BREACH: {what}");
        }
    }

    pub fn head(&self) {
        println!(
            "{:>7} {:>10} {:>10} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9} {:>8} {:>8}",
            "seconds",
            "requests",
            "hits",
            "304",
            "parts",
            "writes",
            "errors",
            "aborted",
            "MiB",
            "memory",
            "h2c's",
            "breaches"
        );
    }

    /// `resident` is the memory of the gateways, in bytes.
    pub fn mark(&self, elapsed: Duration, resident: [u64; 2]) {
        println!(
            "{:>7.0} {:>10} {:>10} {:>8} {:>8} {:>8} {:>7} {:>7} {:>9} {:>9.1} {:>8.1} {:>8}",
            elapsed.as_secs_f64(),
            self.requests.get(),
            self.hits.get(),
            self.not_modified.get(),
            self.parts.get(),
            self.writes.get(),
            self.errors.get(),
            self.aborted.get(),
            self.bytes.get() >> 20,
            mib(resident[0]),
            mib(resident[1]),
            self.breaches.get(),
        );
    }

    fn judge_memory(&self, memory: &Memory) {
        let Memory { name, budget, .. } = memory;
        let marks = memory.marks.borrow();
        let most = marks.iter().copied().max().unwrap_or(0);
        let bound = budget / 10 * 13 + BESIDE;
        if most > bound {
            self.wrong(&format!("{name}: {most} bytes resident, more than {bound}"));
        }
        if let [_, second, .., last] = &marks[..] {
            let growth = *last as f64 / *second as f64;
            println!(
                "{name}: {growth:.3} times that of the second mark; at most {:.1} of {:.1} MiB",
                mib(most),
                mib(bound)
            );
            if marks.len() >= 10 && self.is_long.get() && growth > memory.growth {
                self.wrong(&format!("{name} grows"));
            }
        }
    }

    fn show_rows(&self) {
        println!(
            "{:<28} {:>10} {:>10} {:>8} {:>8} {:>9} {:>8}",
            "traffic", "tried", "right", "errors", "aborted", "MiB", "breaches"
        );
        for row in self.rows.borrow().iter() {
            println!(
                "{:<28} {:>10} {:>10} {:>8} {:>8} {:>9} {:>8}",
                row.name,
                row.tried.get(),
                row.right.get(),
                row.errors.get(),
                row.aborted.get(),
                row.bytes.get() >> 20,
                row.breaches.get()
            );
            if row.right.get() == 0 {
                self.wrong(&format!("{}: none was right", row.name));
            }
        }
    }

    /// The verdict.
    pub fn conclude(&self, memories: &[Memory]) -> ExitCode {
        self.show_rows();
        for memory in memories {
            self.judge_memory(memory);
        }
        let unseen = [
            ("hits", &self.hits),
            ("304s", &self.not_modified),
            ("parts", &self.parts),
            ("writes", &self.writes),
        ];
        for (what, seen) in unseen {
            if seen.get() == 0 {
                self.wrong(&format!("no {what} at all: nothing was tried"));
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
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
