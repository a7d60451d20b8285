//! One gateway with its API and its clients: each has its own books, for what is written through one gateway is no news
//! to another.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use crate::api::Protocol;
use crate::events::Stream;
use crate::kit::{Random, Watch};
use crate::ledger::Ledger;
use crate::library::Library;
use crate::report::{Report, Row};
use crate::upgrades::Talk;
use crate::uploads::Upload;

pub struct World {
    pub library: Library,
    pub rows: Rows,
    pub report: Rc<Report>,
    pub watch: Watch,
    /// Whether the API speaks HTTP/2, of whose connections one takes many exchanges with it when it breaks.
    pub upstream_is_2: bool,
    pub uploads: Ledger<Upload>,
    pub events: Ledger<Stream>,
    pub upgrades: Ledger<Talk>,
    /// Numbers of responses that nobody else may be told, as the API gave them out and as they came.
    serial: Cell<u64>,
    seen: RefCell<HashSet<u64>>,
}

/// What was made of each kind of traffic.
pub struct Rows {
    pub books: Rc<Row>,
    pub unstored: Rc<Row>,
    pub crumbs: Rc<Row>,
    pub uploads: Rc<Row>,
    pub slow_uploads: Rc<Row>,
    pub cut_uploads: Rc<Row>,
    pub refused_uploads: Rc<Row>,
    pub events: Rc<Row>,
    pub upgrades: Rc<Row>,
}

impl World {
    pub fn new(protocol: Protocol, library: Library, report: &Rc<Report>, watch: &Watch) -> Self {
        let name = match protocol {
            Protocol::Http1 => "",
            Protocol::H2c => "h2c: ",
        };
        let row = |kind| report.row(format!("{name}{kind}"));
        Self {
            library,
            rows: Rows {
                books: row("books"),
                unstored: row("books not to be stored"),
                crumbs: row("books in crumbs"),
                uploads: row("uploads"),
                slow_uploads: row("uploads, read slowly"),
                cut_uploads: row("uploads, broken off"),
                refused_uploads: row("uploads, refused early"),
                events: row("event streams"),
                upgrades: match protocol {
                    Protocol::Http1 => row("upgrades"),
                    Protocol::H2c => Rc::default(),
                },
            },
            report: report.clone(),
            watch: watch.clone(),
            upstream_is_2: protocol == Protocol::H2c,
            uploads: Ledger::default(),
            events: Ledger::default(),
            upgrades: Ledger::default(),
            serial: Cell::new(1),
            seen: RefCell::default(),
        }
    }

    /// The next number of a response for one alone.
    pub fn serial(&self) -> u64 {
        self.serial.replace(self.serial.get() + 1)
    }

    /// Whether this is the first who is told that number.
    pub fn is_first_to_see(&self, serial: u64) -> bool {
        self.seen.borrow_mut().insert(serial)
    }

    /// A generator for one exchange of the API's.
    pub fn random(&self) -> Random {
        Random::new(self.library.random.borrow_mut().next())
    }
}
