//! The clients of the experiment, and the oracle: what each of them may expect of an answer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::api::{Upstream, body};
use crate::kit::wire::{Head, Wire};
use crate::kit::{Random, Watch};
use crate::restarts::books::{self, Books, HOST};

/// Wrong answers that are shown.
const SHOWN: u64 = 20;

/// What has come of the requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub answers: u64,
    pub hits: u64,
    /// Hits that a shared tier brought.
    pub shared: u64,
    pub validated: u64,
    /// Writes by whether all gateways hold them when they are answered, and purges.
    pub written: u64,
    pub writes_pending: u64,
    pub purged: u64,
    pub purges_pending: u64,
    /// Older than a write or purge that had been acknowledged, or never written, or garbled.
    pub wrong: u64,
    /// Answers of 5xx.
    pub errors: u64,
    /// Connections that broke off while the gateway ran.
    pub broken: u64,
}

/// A purge that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    pub begun: Duration,
    pub took: Duration,
    /// All gateways had carried it out.
    pub is_whole: bool,
}

/// A running gateway: where clients and operators reach it.
pub type Place = (SocketAddr, SocketAddr);

/// What clients share.
#[derive(Debug)]
pub struct World {
    pub books: Rc<Books>,
    pub upstream: Rc<Upstream>,
    /// `None` while one does not run.
    pub gateways: Vec<Cell<Option<Place>>>,
    pub seen: Cell<Seen>,
    pub purges: RefCell<Vec<Purge>>,
    pub watch: Watch,
    /// What happens now, for those who look for the cause of a wrong answer.
    pub event: RefCell<String>,
    /// What was acknowledged last of each book.
    told: RefCell<HashMap<usize, Rc<str>>>,
    pub is_over: Cell<bool>,
}

impl World {
    pub fn new(keys: usize, gateways: usize) -> Rc<Self> {
        let books = Books::new(keys);
        Rc::new(Self {
            upstream: Upstream::new(books.clone()),
            books,
            gateways: (0..gateways).map(|_| Cell::default()).collect(),
            seen: Cell::default(),
            purges: RefCell::default(),
            watch: Watch::start(),
            event: RefCell::default(),
            told: RefCell::default(),
            is_over: Cell::default(),
        })
    }

    pub fn count(&self, what: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.get();
        what(&mut seen);
        self.seen.set(seen);
    }

    /// Does one thing after another at one gateway, whenever it runs, with a connection to its listener or its admin API.
    async fn again(
        &self,
        gateway: usize,
        is_operator: bool,
        mut step: impl AsyncFnMut(&mut Wire) -> io::Result<()>,
    ) {
        while !self.is_over.get() {
            let place = self.gateways[gateway].get();
            let Some((clients, operators)) = place else {
                sleep(Duration::from_millis(5)).await;
                continue;
            };
            let addr = if is_operator { operators } else { clients };
            let ended = async {
                let mut wire = Wire::connect(addr).await?;
                while !self.is_over.get() && self.gateways[gateway].get() == place {
                    step(&mut wire).await?;
                }
                io::Result::Ok(())
            };
            if let Err(error) = ended.await
                && self.gateways[gateway].get() == place
            {
                self.count(|seen| seen.broken += 1);
                eprintln!("gateway {gateway} broke off: {error}");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Reads at one gateway until the end.
    pub async fn reader(self: Rc<Self>, gateway: usize, seed: u64) {
        let mut random = Random::new(seed);
        self.again(gateway, false, async |wire| {
            sleep(Duration::from_millis(2 + random.below(4))).await;
            let book = self.any(&mut random, !self.upstream.is_holding());
            self.read(wire, gateway, book, None).await
        })
        .await;
    }

    /// A book, by its popularity; where `is_held`, often one of which the API has held an answer back.
    fn any(&self, random: &mut Random, is_held: bool) -> usize {
        let held = self.upstream.held();
        match is_held && !held.is_empty() && random.chance(300) {
            true => held[random.below(held.len() as u64) as usize],
            false => self.books.any(random),
        }
    }

    /// Asks for a book, and holds the answer against what was acknowledged before.
    pub async fn read(
        &self,
        wire: &mut Wire,
        gateway: usize,
        book: usize,
        after: Option<(&str, u64)>,
    ) -> io::Result<()> {
        let (receipt, least) = match after {
            Some((receipt, version)) => (format!("Bookend-After: {receipt}\r\n"), version),
            None => (String::new(), 0),
        };
        let known = self.books.known(book).max(least);
        let sent = self.watch.elapsed();
        let target = books::target(book);
        wire.write(format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{receipt}\r\n").as_bytes())
            .await?;
        let head = wire.head().await?;
        let mut content = Vec::new();
        wire.body(&head, &mut content).await?;
        let status = head.field("cache-status").unwrap_or_default();
        self.count(|seen| {
            seen.answers += 1;
            seen.hits += u64::from(status.contains("; hit"));
            seen.shared += u64::from(status.contains("detail=shared"));
            seen.validated += u64::from(status.contains("fwd-status=304"));
        });
        if head.status() >= 500 {
            self.count(|seen| seen.errors += 1);
            eprintln!("gateway {gateway}: {} {status}", head.first_line);
            return Ok(());
        }
        self.upstream.answered(book, gateway);
        let version = version(&head);
        let is_sound = version.is_some_and(|version| {
            (known..=self.books.version(book)).contains(&version)
                && content == body(book, version).as_bytes()
        });
        if !is_sound {
            self.show_wrong(&head, (gateway, book, known, least), sent);
        }
        Ok(())
    }

    fn show_wrong(
        &self,
        head: &Head,
        (gateway, book, known, least): (usize, usize, u64, u64),
        sent: Duration,
    ) {
        self.count(|seen| seen.wrong += 1);
        if self.seen.get().wrong > SHOWN {
            return;
        }
        let told = self.told.borrow();
        let told = told.get(&book).map_or("nothing", |told| told);
        println!(
            "WRONG at gateway {gateway}, {:.3} s, asked at {:.3} s: book {book} has version {:?} after {known} (by its receipt {least}); \
             told was: {told}; now: {}; {} {:?}",
            self.watch.elapsed().as_secs_f64(),
            sent.as_secs_f64(),
            version(head),
            self.event.borrow(),
            head.first_line,
            head.fields,
        );
    }

    fn learn(&self, book: usize, version: u64, by: &Rc<str>) {
        if version > self.books.known(book) {
            self.told.borrow_mut().insert(book, by.clone());
        }
        self.books.learn(book, version);
    }

    /// Writes at one gateway until the end, and reads some of it elsewhere with the receipt.
    pub async fn writer(self: Rc<Self>, gateway: usize, seed: u64) {
        let mut random = Random::new(seed);
        self.again(gateway, false, async |wire| {
            sleep(Duration::from_millis(20 + random.below(60))).await;
            let book = self.any(&mut random, self.upstream.is_holding());
            let receipt = self.write(wire, gateway, book).await?;
            let there = random.below(self.gateways.len() as u64) as usize;
            if let (Some((receipt, version)), true) = (receipt, random.chance(200))
                && let Some((addr, _)) = self.gateways[there].get()
                && let Ok(mut wire) = Wire::connect(addr).await
            {
                // Where it fails, that gateway has ended.
                let _ended = self
                    .read(&mut wire, there, book, Some((&receipt, version)))
                    .await;
            }
            Ok(())
        })
        .await;
    }

    /// Writes a book. Returns the receipt, and of which version.
    async fn write(
        &self,
        wire: &mut Wire,
        gateway: usize,
        book: usize,
    ) -> io::Result<Option<(String, u64)>> {
        let target = books::target(book);
        wire.write(
            format!("PUT {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\n\r\nnew")
                .as_bytes(),
        )
        .await?;
        let head = wire.head().await?;
        wire.body(&head, &mut Vec::new()).await?;
        let (200, Some(version)) = (head.status(), version(&head)) else {
            self.count(|seen| seen.errors += 1);
            eprintln!("gateway {gateway}: PUT {target}: {}", head.first_line);
            return Ok(None);
        };
        self.upstream.invalidated(book, self.gateways.len());
        let status = head.field("cache-status").unwrap_or_default();
        if status.contains("invalidation-pending") {
            self.count(|seen| seen.writes_pending += 1);
        } else {
            let at = self.watch.elapsed().as_secs_f64();
            let receipt = head.field("bookend-receipt").unwrap_or_default();
            let by = format!("write of {version} at gateway {gateway}, {at:.3} s, {receipt}");
            self.learn(book, version, &by.into());
            self.count(|seen| seen.written += 1);
        }
        let receipt = head.field("bookend-receipt");
        Ok(receipt.map(|receipt| (receipt.to_owned(), version)))
    }

    /// Purges at one gateway until the end, each time after something has changed that only the purge tells of.
    pub async fn purger(self: Rc<Self>, gateway: usize, seed: u64) {
        let mut random = Random::new(seed);
        self.again(gateway, true, async |wire| {
            sleep(Duration::from_millis(60 + random.below(120))).await;
            let book = self.any(&mut random, self.upstream.is_holding());
            self.purge(wire, gateway, book, &mut random).await
        })
        .await;
    }

    async fn purge(
        &self,
        wire: &mut Wire,
        gateway: usize,
        book: usize,
        random: &mut Random,
    ) -> io::Result<()> {
        let books = &self.books;
        let (named, covered): (_, Vec<usize>) = match random.below(4) {
            0 => {
                let shelf = books::shelf(book);
                let all = (0..books.count()).filter(|other| books::shelf(*other) == shelf);
                (format!("prefix={shelf}"), all.collect())
            }
            1 => {
                let tag = books::tag(book);
                let all = (0..books.count()).filter(|other| books::tag(*other) == tag);
                (format!("tag={tag}"), all.collect())
            }
            _ => {
                let url = format!("url=http://{HOST}{}", books::target(book));
                (url, vec![book])
            }
        };
        // One in four of those that are covered has changed, and the one in any case.
        for other in &covered {
            if *other == book || random.chance(250) {
                books.change(*other);
            }
        }
        let soft = if random.chance(250) { "&soft=true" } else { "" };
        let versions: Vec<_> = covered.iter().map(|book| books.version(*book)).collect();
        let begun = self.watch.elapsed();
        let answer = operate(wire, &format!("/purge?{named}{soft}")).await?;
        let took = self.watch.elapsed() - begun;
        for book in &covered {
            self.upstream.invalidated(*book, self.gateways.len());
        }
        match answer.status {
            200 => {
                let applied = answer.gateways.map_or(0, |(applied, _)| applied);
                let is_whole = applied >= self.gateways.len();
                let purge = Purge {
                    begun,
                    took,
                    is_whole,
                };
                self.purges.borrow_mut().push(purge);
                let at = self.watch.elapsed().as_secs_f64();
                let by = format!("purge of {named}{soft} at gateway {gateway}, {at:.3} s");
                let by = by.into();
                for (book, version) in covered.into_iter().zip(versions) {
                    self.learn(book, version, &by);
                }
                self.count(|seen| seen.purged += 1);
            }
            202 => self.count(|seen| seen.purges_pending += 1),
            status => {
                self.count(|seen| seen.errors += 1);
                eprintln!("gateway {gateway}: {named}: {status}");
            }
        }
        Ok(())
    }
}

/// The answer to a purge.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Those that have carried it out, and all.
    pub gateways: Option<(usize, usize)>,
}

/// Asks an admin API to do something.
pub async fn operate(wire: &mut Wire, target: &str) -> io::Result<Answer> {
    let request = format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    wire.write(request.as_bytes()).await?;
    let head = wire.head().await?;
    let mut content = Vec::new();
    wire.body(&head, &mut content).await?;
    let said: serde_json::Value = serde_json::from_slice(&content).unwrap_or_default();
    let number = |name: &str| said[name].as_u64().map(|number| number as usize);
    Ok(Answer {
        status: head.status(),
        gateways: number("applied").zip(number("gateways")),
    })
}

fn version(head: &Head) -> Option<u64> {
    head.field("x-version")?.parse().ok()
}
