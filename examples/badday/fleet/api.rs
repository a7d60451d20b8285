//! The API of the experiment. It counts what each book costs it, and can hold answers back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::kit::wire::{Head, Wire};
use crate::restarts::books::{self, Books};

/// At most so many answers are held back at a time: fewer than there are readers of one gateway.
const HELD: usize = 10;

/// More popular books are not held back: all readers would wait for them.
const POPULAR: usize = 20;

/// One in so many is held back.
const ONE_OF: u64 = 8;

#[derive(Debug)]
pub struct Upstream {
    books: Rc<Books>,
    pub validated: Cell<u64>,
    pub fetched: Cell<u64>,
    /// Of each book since it was invalidated last: how often it was fetched, and which gateways answered with it.
    since: RefCell<HashMap<usize, (u64, u8)>>,
    /// The sums over all whole spans between two invalidations of a book in which all gateways answered with it.
    spans: Cell<(u64, u64)>,
    /// The same until the first fault.
    quiet: Cell<Option<(u64, u64)>>,
    holds: Cell<bool>,
    released: Notify,
    /// Books of which an answer was held back; until the next time.
    held: RefCell<Vec<usize>>,
}

impl Upstream {
    pub fn new(books: Rc<Books>) -> Rc<Self> {
        Rc::new(Self {
            books,
            validated: Cell::default(),
            fetched: Cell::default(),
            since: RefCell::default(),
            spans: Cell::default(),
            quiet: Cell::default(),
            holds: Cell::default(),
            released: Notify::new(),
            held: RefCell::default(),
        })
    }

    /// From now on, some answers are not sent until [`release`](Self::release): they say what was so when they were asked for.
    pub fn hold(&self) {
        self.held.borrow_mut().clear();
        self.holds.set(true);
    }

    pub fn release(&self) {
        self.holds.set(false);
        self.released.notify_waiters();
    }

    pub fn is_holding(&self) -> bool {
        self.holds.get()
    }

    pub fn held(&self) -> Vec<usize> {
        self.held.borrow().clone()
    }

    /// A gateway answered with a book.
    pub fn answered(&self, book: usize, gateway: usize) {
        self.since.borrow_mut().entry(book).or_default().1 |= 1 << gateway;
    }

    /// A book was invalidated.
    pub fn invalidated(&self, book: usize, gateways: usize) {
        let since = self.since.borrow_mut().remove(&book);
        if let Some((fetched, answered)) = since
            && answered.count_ones() as usize == gateways
        {
            let (sum, spans) = self.spans.get();
            self.spans.set((sum + fetched, spans + 1));
        }
    }

    /// The first fault is about to happen.
    pub fn quiet_ends(&self) {
        self.quiet.set(Some(self.spans.get()));
    }

    /// How often a book was fetched between two invalidations, where all gateways answered with it, and how many spans that is the
    /// mean of: until the first fault, and in all.
    pub fn fetched_each_span(&self) -> [(f64, u64); 2] {
        let all = self.spans.get();
        let quiet = self.quiet.get().unwrap_or(all);
        [quiet, all].map(|(sum, spans)| (sum as f64 / spans.max(1) as f64, spans))
    }

    /// Answers a request.
    pub async fn answer(&self, head: &Head, wire: &mut Wire) -> io::Result<()> {
        let (method, target) = head.request();
        let number = target.rsplit('/').next().and_then(|text| text.parse().ok());
        let Some(book) = number.filter(|book| *book < self.books.count()) else {
            return Err(io::Error::other("another target"));
        };
        if method == "PUT" {
            let version = self.books.change(book);
            let answer =
                format!("HTTP/1.1 200 OK\r\nX-Version: {version}\r\nContent-Length: 0\r\n\r\n");
            return wire.write(answer.as_bytes()).await;
        }
        let version = self.books.version(book);
        // Some are slow, so that what was asked for before a write comes after it.
        if book.is_multiple_of(7) {
            sleep(Duration::from_millis(3)).await;
        }
        self.hold_back(book).await;
        let control = match book % 10 {
            9 => "max-age=1",
            _ => "max-age=3600",
        };
        let fields = format!(
            "Cache-Control: {control}\r\nCache-Tag: {}\r\nX-Version: {version}\r\nETag: \"{version}\"\r\n",
            books::tag(book)
        );
        if head.field("if-none-match") == Some(&format!("\"{version}\"")) {
            self.validated.set(self.validated.get() + 1);
            let answer = format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
            return wire.write(answer.as_bytes()).await;
        }
        self.fetched.set(self.fetched.get() + 1);
        self.since.borrow_mut().entry(book).or_default().0 += 1;
        let body = body(book, version);
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        wire.write(answer.as_bytes()).await
    }

    async fn hold_back(&self, book: usize) {
        let is_held = self.holds.get()
            && book >= POPULAR
            && (book as u64 * 7 + self.fetched.get()).is_multiple_of(ONE_OF)
            && self.held.borrow().len() < HELD;
        if is_held {
            self.held.borrow_mut().push(book);
            self.released.notified().await;
        }
    }
}

/// The content of a version of a book.
pub fn body(book: usize, version: u64) -> String {
    let begins = format!("{book} {version} ");
    let length = 200 + (book * 37 + version as usize) % 1_500;
    begins + &"x".repeat(length)
}
