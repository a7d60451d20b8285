//! The clients of the experiment: they read, write and purge, and check each answer by what they know.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::books::{self, Books, HOST, Kind};
use crate::kit::Random;
use crate::kit::wire::{Head, Wire};

/// What has come of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    pub answers: Cell<u64>,
    pub hits: Cell<u64>,
    pub from_disk: Cell<u64>,
    pub writes: Cell<u64>,
    pub purges: Cell<u64>,
    /// Of another book, variant, length or version than it says, or than there has been.
    pub wrong: Cell<u64>,
    /// Whole to look at, and not the content of what it says that it is.
    pub torn: Cell<u64>,
    /// Older than a write or purge that had been acknowledged, or than what the API had when it had to be asked.
    pub older: Cell<u64>,
    /// From the cache, though it must not be stored.
    pub unstorable: Cell<u64>,
    /// Errors of the gateway's.
    pub errors: Cell<u64>,
    /// Broken off, though the gateway was running.
    pub broken: Cell<u64>,
}

pub fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// What the clients share.
#[derive(Debug)]
pub struct World {
    pub books: Rc<Books>,
    pub tally: Tally,
    /// The running gateway and its admin API; `None` while there is none, or it is being stopped.
    pub gateway: Cell<Option<(SocketAddr, SocketAddr)>>,
    pub is_over: Cell<bool>,
}

/// How a book is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Plain,
    Head,
    Range,
    NoCache,
    Conditional,
    OnlyIfCached,
}

/// Octets that a range request asks for.
const RANGE: usize = 100;

impl Way {
    fn any(random: &mut Random) -> Self {
        match random.below(100) {
            0..3 => Self::Head,
            3..6 => Self::Range,
            6..9 => Self::NoCache,
            9..12 => Self::Conditional,
            12..15 => Self::OnlyIfCached,
            _ => Self::Plain,
        }
    }
}

impl World {
    pub fn new(books: Rc<Books>) -> Rc<Self> {
        Rc::new(Self {
            books,
            tally: Tally::default(),
            gateway: Cell::default(),
            is_over: Cell::default(),
        })
    }

    /// Reads and writes until the end, whichever gateway is running.
    pub async fn client(self: Rc<Self>, seed: u64) {
        let mut random = Random::new(seed);
        while !self.is_over.get() {
            let gateway = self.gateway.get();
            if let Some((addr, _)) = gateway
                && let Ok(mut wire) = Wire::connect(addr).await
            {
                let ended = self.exchanges(&mut wire, &mut random).await;
                if ended.is_err() && self.gateway.get() == gateway {
                    count(&self.tally.broken);
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn exchanges(&self, wire: &mut Wire, random: &mut Random) -> io::Result<()> {
        while !self.is_over.get() && self.gateway.get().is_some() {
            let book = self.books.any(random);
            if random.chance(30) {
                self.write(wire, book).await?;
            } else {
                let variant = books::variant(book, random);
                self.read(wire, book, &variant, Way::any(random)).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, wire: &mut Wire, book: usize) -> io::Result<()> {
        let target = books::target(book);
        let request =
            format!("PUT {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nnew");
        wire.write(request.as_bytes()).await?;
        let head = wire.head().await?;
        wire.body(&head, &mut Vec::new()).await?;
        match (head.status(), version(&head)) {
            (200, Some(version)) => {
                self.books.learn(book, version);
                count(&self.tally.writes);
            }
            _ => self.fails(&self.tally.errors, &head, &target),
        }
        Ok(())
    }

    /// Asks for a book and checks the answer. Returns whether it came from the disk tier; fails where none came.
    pub async fn read(
        &self,
        wire: &mut Wire,
        book: usize,
        variant: &str,
        way: Way,
    ) -> io::Result<bool> {
        let way = match books::kind(book) {
            Kind::Queried => Way::Plain,
            _ => way,
        };
        let known = match way {
            Way::NoCache => self.books.version(book),
            _ => self.books.known(book),
        };
        wire.write(request(book, variant, way, known).as_bytes())
            .await?;
        let head = wire.head().await?;
        let mut body = Vec::new();
        if way != Way::Head {
            wire.body(&head, &mut body).await?;
        }
        count(&self.tally.answers);
        let status = head.field("cache-status").unwrap_or_default();
        let is_hit = status.contains("; hit");
        let is_from_disk = is_hit && status.contains("detail=disk");
        if is_hit {
            count(&self.tally.hits);
        }
        if is_from_disk {
            count(&self.tally.from_disk);
        }
        self.check(&head, &body, (book, variant, way, known));
        Ok(is_from_disk)
    }

    fn check(
        &self,
        head: &Head,
        body: &[u8],
        (book, variant, way, known): (usize, &str, Way, u64),
    ) {
        let tally = &self.tally;
        let what = format!(
            "{way:?} {} {variant}, of which version {known} was known",
            books::target(book)
        );
        if way == Way::OnlyIfCached && head.status() == 504 {
            return;
        }
        if head.status() >= 500 {
            return self.fails(&tally.errors, head, &what);
        }
        let Some(version) = version(head) else {
            return self.fails(&tally.wrong, head, &what);
        };
        let is_whole = match (head.status(), way) {
            (304, Way::Conditional) => true,
            (200, Way::Head) => {
                let length = books::length(book, version).to_string();
                head.field("content-length") == Some(&length)
            }
            (200 | 206, _) => {
                if books::claims(body) != Some((book, version, variant.to_owned())) {
                    return self.fails(&tally.wrong, head, &what);
                }
                let mut right = books::body(book, version, variant);
                if (head.status(), way) == (206, Way::Range) {
                    right.truncate(RANGE);
                }
                body == right
            }
            _ => false,
        };
        if version > self.books.version(book) {
            self.fails(&tally.wrong, head, &what);
        } else if !is_whole {
            self.fails(&tally.torn, head, &what);
        } else if version < known {
            self.fails(&tally.older, head, &what);
        }
        let status = head.field("cache-status").unwrap_or_default();
        let is_shared = status
            .split("; ")
            .any(|what| matches!(what, "hit" | "collapsed"));
        if is_shared && !books::may_be_stored(book, version) {
            self.fails(&tally.unstorable, head, &what);
        }
    }

    fn fails(&self, as_what: &Cell<u64>, head: &Head, what: &str) {
        count(as_what);
        books::show(&format!("{what}: {} {:?}", head.first_line, head.fields));
    }

    /// Purges until the end, each time after something has changed that only the purge tells of.
    pub async fn purger(self: Rc<Self>) {
        let mut random = Random::new(77);
        while !self.is_over.get() {
            sleep(Duration::from_millis(20 + random.below(60))).await;
            if let Some((_, admin)) = self.gateway.get() {
                // Where it fails, nothing was acknowledged.
                let _unknown = self.purge(admin, &mut random).await;
            }
        }
    }

    async fn purge(&self, admin: SocketAddr, random: &mut Random) -> io::Result<()> {
        let books = &self.books;
        let book = books.any(random);
        let (named, is_covered): (_, Box<dyn Fn(usize) -> bool>) = match random.below(3) {
            0 => (
                format!("url=http://{HOST}{}", books::target(book)),
                Box::new(|other| other == book),
            ),
            1 => {
                let shelf = books::shelf(book);
                let named = format!("prefix={shelf}");
                (named, Box::new(move |other| books::shelf(other) == shelf))
            }
            _ => {
                let tag = books::tag(book);
                let named = format!("tag={tag}");
                (named, Box::new(move |other| books::tag(other) == tag))
            }
        };
        books.change(book);
        let soft = if random.chance(250) { "&soft=true" } else { "" };
        let versions = books.versions(is_covered);
        let mut wire = Wire::connect(admin).await?;
        let request = format!(
            "POST /purge?{named}{soft} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\n\r\n"
        );
        wire.write(request.as_bytes()).await?;
        let head = wire.head().await?;
        wire.body(&head, &mut Vec::new()).await?;
        if head.status() != 200 {
            self.fails(&self.tally.errors, &head, &named);
            return Ok(());
        }
        for (book, version) in versions {
            books.learn(book, version);
        }
        count(&self.tally.purges);
        Ok(())
    }
}

fn request(book: usize, variant: &str, way: Way, known: u64) -> String {
    let target = books::target(book);
    let more = match way {
        Way::Plain | Way::Head => String::new(),
        Way::Range => format!("Range: bytes=0-{}\r\n", RANGE - 1),
        Way::NoCache => "Cache-Control: no-cache\r\n".to_owned(),
        Way::Conditional => format!("If-None-Match: \"{known}-{variant}\"\r\n"),
        Way::OnlyIfCached => "Cache-Control: only-if-cached\r\n".to_owned(),
    };
    match (books::kind(book), way) {
        (Kind::Queried, _) => format!(
            "QUERY {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: text/plain\r\nX-Query: {variant}\r\n\
             Content-Length: {}\r\n\r\n{variant}",
            variant.len()
        ),
        (_, Way::Head) => {
            format!("HEAD {target} HTTP/1.1\r\nHost: {HOST}\r\nAccept-Language: {variant}\r\n\r\n")
        }
        _ => format!(
            "GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAccept-Language: {variant}\r\n{more}\r\n"
        ),
    }
}

fn version(head: &Head) -> Option<u64> {
    head.field("x-version")?.parse().ok()
}
