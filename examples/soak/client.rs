//! The clients, and what they make of their answers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Sabotage;
use crate::kit::wire::{Head, Pace, Wire};
use crate::kit::{Random, Watch};
use crate::library::{Book, Edition, LANGUAGES, Library};
use crate::report::{Report, count};

const PATIENCE: Duration = Duration::from_secs(30);

const SLOWLY: Pace = Pace {
    pause: Duration::from_millis(5),
    most: 8 << 10,
};

/// How a client speaks, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http11,
    /// Reads a little now and then.
    Slow,
    Http10,
    Http2,
    Writer,
}

use Kind::{Http2, Http10, Http11, Slow, Writer};

pub const KINDS: [Kind; 24] = [
    Http11, Http11, Http11, Http11, Http11, Http11, Http11, Http11, Http2, Http2, Http2, Http2,
    Http2, Http2, Slow, Slow, Slow, Slow, Http10, Http10, Writer, Writer, Http11, Http11,
];

pub struct Client {
    pub kind: Kind,
    pub gateway: SocketAddr,
    pub origin: SocketAddr,
    pub library: Rc<Library>,
    pub report: Rc<Report>,
    pub random: Random,
    pub watch: Watch,
    pub end: Duration,
}

/// What is asked, and so what is right.
struct Ask {
    id: u64,
    fields: Vec<(&'static str, String)>,
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

enum Link {
    None,
    Http1(Wire),
    Http2(SendRequest<Empty<Bytes>>),
}

impl Client {
    pub async fn run(mut self) {
        let mut link = Link::None;
        let mut known = HashMap::new();
        while self.watch.elapsed() < self.end {
            let library = self.library.clone();
            let book = library.pick(&mut self.random);
            if self.kind == Writer {
                self.write(book).await;
                tokio::time::sleep(Duration::from_millis(self.random.below(20))).await;
                continue;
            }
            let ask = self.ask(book, &known);
            count(&self.report.requests);
            let got = self.fetch(&mut link, &ask).await;
            if let Some(tag) = self.check(book, &ask, &got) {
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
            fields,
            variant,
            floor: book.floor.get(),
            known,
            range,
        }
    }

    async fn fetch(&mut self, link: &mut Link, ask: &Ask) -> Got {
        let fetched = timeout(PATIENCE, self.fetch_on(link, ask)).await;
        let got = fetched.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let got = got.unwrap_or_else(|error| Got {
            head: Head::default(),
            body: Vec::new(),
            end: Err(error),
        });
        let closes = got.head.field("connection") == Some("close");
        if got.end.is_err() || closes || self.kind == Http10 {
            *link = Link::None;
        }
        got
    }

    async fn fetch_on(&mut self, link: &mut Link, ask: &Ask) -> io::Result<Got> {
        if matches!(link, Link::None) {
            *link = self.connect().await?;
        }
        match link {
            Link::Http2(sender) => fetch_2(sender, ask).await,
            Link::Http1(wire) => {
                let version = if self.kind == Http10 { "1.0" } else { "1.1" };
                let mut request = format!("GET /books/{} HTTP/{version}\r\nHost: soak\r\n", ask.id);
                for (name, value) in &ask.fields {
                    request += &format!("{name}: {value}\r\n");
                }
                wire.write(format!("{request}\r\n").as_bytes()).await?;
                let head = wire.head().await?;
                let mut body = Vec::new();
                let end = wire.body(&head, &mut body).await;
                Ok(Got { head, body, end })
            }
            Link::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn connect(&self) -> io::Result<Link> {
        if self.kind == Http2 {
            let socket = TcpStream::connect(self.gateway).await?;
            let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await;
            let (sender, connection) = shaken.map_err(io::Error::other)?;
            tokio::task::spawn_local(async move { drop(connection.await) });
            return Ok(Link::Http2(sender));
        }
        let wire = Wire::connect(self.gateway).await?;
        if self.kind == Slow {
            wire.pace.set(Some(SLOWLY));
        }
        Ok(Link::Http1(wire))
    }

    /// Whether what came is right; the entity tag, if it may be used to ask again.
    fn check(&self, book: &Book, ask: &Ask, got: &Got) -> Option<String> {
        let report = &self.report;
        let status = got.head.status();
        report.bytes.set(report.bytes.get() + got.body.len() as u64);
        if let Err(error) = &got.end {
            match error.kind() {
                io::ErrorKind::TimedOut => report.breach(&format!("book {} stalled", ask.id)),
                io::ErrorKind::ConnectionRefused => report.breach("the gateway is gone"),
                _ => count(&report.aborted),
            }
            return None;
        }
        let said = got.head.field("cache-status").unwrap_or("");
        if said.contains("; hit") {
            count(&report.hits);
        }
        if status >= 500 && got.head.field("proxy-status").is_some() {
            count(&report.errors);
            return None;
        }
        let tag = got.head.field("etag").unwrap_or("").to_owned();
        let wrong = self.fault_in(book, ask, got, &tag);
        match wrong {
            Some(wrong) => {
                let asked = &ask.fields;
                report.breach(&format!(
                    "book {}: {wrong}; {status} {tag}, {asked:?}, {said}",
                    ask.id
                ));
                None
            }
            None => Some(tag),
        }
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
                count(&self.report.not_modified);
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
                count(&self.report.parts);
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
        count(&self.report.writes);
        let skip = self.library.spoils(Sabotage::SkipInvalidation);
        let to = if skip { self.origin } else { self.gateway };
        let answered = timeout(PATIENCE, put(to, book.id)).await;
        // Also after an answer that leaves it open whether the write was done.
        match answered {
            Ok(Ok(status)) => {
                if status >= 500 {
                    count(&self.report.unsure_writes);
                }
                book.floor.set(book.version.get());
            }
            Ok(Err(_)) if skip => {}
            Ok(Err(error)) => self
                .report
                .breach(&format!("a write without an answer: {error}")),
            Err(_) => self.report.breach("a write that stalled"),
        }
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

async fn fetch_2(sender: &mut SendRequest<Empty<Bytes>>, ask: &Ask) -> io::Result<Got> {
    sender.ready().await.map_err(io::Error::other)?;
    let mut request = http::Request::get(format!("http://soak/books/{}", ask.id));
    for (name, value) in &ask.fields {
        request = request.header(*name, value);
    }
    let request = request.body(Empty::new()).map_err(io::Error::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let (parts, mut content) = response.into_parts();
    let mut head = Head {
        first_line: format!("HTTP/2 {}", parts.status.as_u16()),
        fields: Vec::new(),
    };
    for (name, value) in &parts.headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        head.fields.push((name.to_string(), value));
    }
    let mut body = Vec::new();
    let mut end = Ok(());
    while let Some(frame) = content.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(error) => {
                end = Err(io::Error::other(error));
                break;
            }
        }
    }
    Ok(Got { head, body, end })
}
