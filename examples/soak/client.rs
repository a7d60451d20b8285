//! The clients, and what they make of their answers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::kit::Random;
use crate::kit::wire::{Head, Pace, Wire};
use crate::library::{Book, Edition, LANGUAGES};
use crate::link::{self, Link, PATIENCE, Speech};
use crate::report::{Row, count};
use crate::world::World;
use crate::{Sabotage, events, upgrades, uploads};

const SLOWLY: Pace = Pace {
    pause: Duration::from_millis(5),
    most: 8 << 10,
};

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Reads(Speech),
    /// Reads a little now and then.
    ReadsSlowly,
    Writes,
    Uploads(Speech),
    Follows(Speech),
    Upgrades,
}

use Kind::{Follows, Reads, ReadsSlowly, Upgrades, Uploads, Writes};
use Speech::{Http2, Http10, Http11};

/// In front of an API that speaks HTTP/1.1.
pub const HTTP1: [Kind; 30] = [
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http11),
    Reads(Http2),
    Reads(Http2),
    Reads(Http2),
    Reads(Http2),
    Reads(Http2),
    Reads(Http2),
    ReadsSlowly,
    ReadsSlowly,
    ReadsSlowly,
    ReadsSlowly,
    Reads(Http10),
    Reads(Http10),
    Writes,
    Writes,
    Uploads(Http11),
    Uploads(Http2),
    Follows(Http11),
    Follows(Http2),
    Upgrades,
    Upgrades,
];

/// In front of one that speaks HTTP/2.
pub const H2C: [Kind; 10] = [
    Reads(Http11),
    Reads(Http11),
    Reads(Http2),
    ReadsSlowly,
    Reads(Http10),
    Writes,
    Uploads(Http11),
    Uploads(Http2),
    Follows(Http11),
    Follows(Http2),
];

pub struct Client {
    pub kind: Kind,
    pub gateway: SocketAddr,
    pub api: SocketAddr,
    pub world: Rc<World>,
    pub random: Random,
    pub end: Duration,
}

/// What is asked, and so what is right.
struct Ask {
    id: u64,
    request: link::Ask,
    variant: String,
    /// The least version when it was asked.
    floor: u64,
    known: Option<String>,
    range: Option<(usize, usize)>,
}

/// What came.
struct Got {
    head: Head,
    body: Vec<u8>,
    end: io::Result<()>,
}

impl Client {
    pub async fn run(self) {
        match self.kind {
            Reads(speech) => self.read(speech).await,
            ReadsSlowly => self.read(Http11).await,
            Writes => self.write_on().await,
            Uploads(speech) => uploads::run(self, speech).await,
            Follows(speech) => events::run(self, speech).await,
            Upgrades => upgrades::run(self).await,
        }
    }

    pub fn goes_on(&self) -> bool {
        self.world.watch.elapsed() < self.end
    }

    async fn write_on(mut self) {
        let world = self.world.clone();
        while self.goes_on() {
            let book = world.library.pick(&mut self.random);
            self.write(book).await;
            sleep(Duration::from_millis(self.random.below(20))).await;
        }
    }

    async fn read(mut self, speech: Speech) {
        let world = self.world.clone();
        let mut link = Link::None;
        let mut known = HashMap::new();
        while self.goes_on() {
            let book = world.library.pick(&mut self.random);
            let row = row(&world, book);
            let ask = self.ask(book, &known);
            count(&row.tried);
            count(&world.report.requests);
            let got = self.fetch(speech, &mut link, &ask).await;
            if let Some(tag) = self.check(row, book, &ask, &got) {
                count(&row.right);
                if known.len() > 500 {
                    known.clear();
                }
                known.insert((ask.id, ask.variant), tag);
            }
        }
    }

    fn ask(&mut self, book: &Book, known: &HashMap<(u64, String), String>) -> Ask {
        let mut fields = Vec::new();
        let mut variant = "one".to_owned();
        if book.is_personal() {
            variant = format!("user{}", self.random.below(3));
            fields.push(("authorization", format!("Bearer {variant}")));
        } else if book.varies() {
            variant = LANGUAGES[self.random.below(3) as usize].to_owned();
            fields.push(("accept-language", variant.clone()));
        }
        let known = known.get(&(book.id, variant.clone())).cloned();
        let known = known.filter(|_| self.random.chance(300));
        let mut range = None;
        if let Some(tag) = &known {
            fields.push(("if-none-match", tag.clone()));
        } else if self.random.chance(100) {
            let from = self.random.below(book.size as u64) as usize;
            let to = from + self.random.below((book.size - from) as u64) as usize;
            range = Some((from, to));
            fields.push(("range", format!("bytes={from}-{to}")));
        }
        Ask {
            id: book.id,
            request: link::Ask {
                target: format!("/books/{}", book.id),
                fields,
            },
            variant,
            floor: book.floor.get(),
            known,
            range,
        }
    }

    async fn fetch(&self, speech: Speech, link: &mut Link, ask: &Ask) -> Got {
        let fetched = timeout(PATIENCE, self.fetch_on(speech, link, ask)).await;
        let got = fetched.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let got = got.unwrap_or_else(|error| Got {
            head: Head::default(),
            body: Vec::new(),
            end: Err(error),
        });
        let closes = got.head.field("connection") == Some("close");
        if got.end.is_err() || closes || speech == Http10 {
            *link = Link::None;
        }
        got
    }

    async fn fetch_on(&self, speech: Speech, link: &mut Link, ask: &Ask) -> io::Result<Got> {
        link.open(speech, self.gateway).await?;
        if let (ReadsSlowly, Link::Http1(wire)) = (self.kind, &*link) {
            wire.pace.set(Some(SLOWLY));
        }
        let mut answer = link.get(speech, &ask.request).await?;
        let mut body = Vec::new();
        let end = answer
            .content(&mut |some| body.extend_from_slice(some))
            .await;
        let head = answer.head;
        Ok(Got { head, body, end })
    }

    /// Whether what came is right; the entity tag, if it may be used to ask again.
    fn check(&self, row: &Row, book: &Book, ask: &Ask, got: &Got) -> Option<String> {
        let report = &self.world.report;
        let status = got.head.status();
        report.bytes.set(report.bytes.get() + got.body.len() as u64);
        row.add_bytes(got.body.len());
        if let Err(error) = &got.end {
            match error.kind() {
                io::ErrorKind::TimedOut => report.breach(row, &format!("book {} stalled", ask.id)),
                io::ErrorKind::ConnectionRefused => report.breach(row, "the gateway is gone"),
                _ => {
                    count(&report.aborted);
                    count(&row.aborted);
                }
            }
            return None;
        }
        let said = got.head.field("cache-status").unwrap_or("");
        if said.contains("; hit") {
            count(&report.hits);
        }
        if status >= 500 && got.head.field("proxy-status").is_some() {
            count(&report.errors);
            count(&row.errors);
            return None;
        }
        let tag = got.head.field("etag").unwrap_or("").to_owned();
        let wrong = self.fault_in(book, ask, got, &tag);
        let wrong = wrong.or_else(|| self.shared(book, got, said));
        let Some(wrong) = wrong else {
            return Some(tag);
        };
        let asked = &ask.request.fields;
        let wrong = format!(
            "book {}: {wrong}; {status} {tag}, {asked:?}, {said}",
            ask.id
        );
        report.breach(row, &wrong);
        None
    }

    /// What is not to be stored comes from the API itself, each time.
    fn shared(&self, book: &Book, got: &Got, said: &str) -> Option<String> {
        if !book.is_unstored() {
            return None;
        }
        let serial = got.head.field("x-serial").and_then(|n| n.parse().ok());
        let first = serial.is_some_and(|serial| self.world.is_first_to_see(serial));
        (!first || said.contains("; hit") || said.contains("stored"))
            .then(|| "told to more than one".to_owned())
    }

    fn fault_in(&self, book: &Book, ask: &Ask, got: &Got, tag: &str) -> Option<String> {
        let Some(edition) = Edition::of_tag(tag) else {
            return Some("no entity tag".to_owned());
        };
        if edition.id != ask.id || edition.variant != ask.variant {
            return Some(format!("another's: {edition:?}"));
        }
        if edition.version < ask.floor {
            return Some(format!("older than version {}", ask.floor));
        }
        match (got.head.status(), &ask.known, ask.range) {
            (304, Some(known), _) => {
                count(&self.world.report.not_modified);
                (known != tag).then(|| format!("304 for {known}"))
            }
            (200, ..) => {
                let right = edition.content(book.size) == got.body;
                (!right).then(|| {
                    format!(
                        "whole, with {} of {} bytes or others",
                        got.body.len(),
                        book.size
                    )
                })
            }
            (206, _, Some((from, to))) => {
                count(&self.world.report.parts);
                let content = edition.content(book.size);
                let said = format!("bytes {from}-{to}/{}", book.size);
                let right = got.body == content[from..=to]
                    && got.head.field("content-range") == Some(&said);
                (!right).then(|| format!("a wrong part: {} bytes", got.body.len()))
            }
            _ => Some("an answer to another question".to_owned()),
        }
    }

    /// One write through the gateway, after which nobody may be told an older version.
    async fn write(&mut self, book: &Book) {
        let _turn = book.writer.lock().await;
        let world = &self.world;
        let row = row(world, book);
        count(&world.report.writes);
        // The writer speaks HTTP/1.1.
        let skip = !world.upstream_is_2 && world.library.spoils(Sabotage::SkipInvalidation);
        let to = if skip { self.api } else { self.gateway };
        let answered = timeout(PATIENCE, put(to, book.id)).await;
        // Also after an answer that leaves it open whether the write was done.
        match answered {
            // The API has refused it: that invalidates nothing.
            Ok(Ok(400..=499)) => {}
            Ok(Ok(status)) => {
                if status >= 500 {
                    count(&world.report.unsure_writes);
                }
                book.floor.set(book.version.get());
            }
            Ok(Err(_)) if skip => {}
            Ok(Err(error)) => {
                let wrong = format!("a write without an answer: {error}");
                world.report.breach(row, &wrong);
            }
            Err(_) => world.report.breach(row, "a write that stalled"),
        }
    }
}

fn row<'a>(world: &'a World, book: &Book) -> &'a Row {
    let rows = &world.rows;
    match book {
        book if book.is_unstored() => &rows.unstored,
        book if book.is_crumbled() => &rows.crumbs,
        _ => &rows.books,
    }
}

async fn put(to: SocketAddr, id: u64) -> io::Result<u16> {
    let mut wire = Wire::connect(to).await?;
    let request = format!("PUT /books/{id} HTTP/1.1\r\nHost: soak\r\nContent-Length: 3\r\n\r\nnew");
    wire.write(request.as_bytes()).await?;
    let head = wire.head().await?;
    wire.body(&head, &mut Vec::new()).await?;
    Ok(head.status())
}
