//! One row of the table: a fault, a kind of request, and what came of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::fault::{Act, BODY, Fault, Outcome};
use super::http2_client;
use crate::common::{
    Answer, Client, Conn, End, Gate, Gateway, Origin, Reply, Request, get, post, put, reply,
};

pub const TARGET: &str = "/books/123";
pub const OTHER: &str = "/books/other";
const CROWD: usize = 4;

/// What the client asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Cold,
    Collapsed,
    /// What is stored has become stale.
    Validation,
    /// The same, with stale-if-error.
    StaleIfError,
    /// A write to what is stored and fresh.
    Put,
    Post,
    /// A POST without content: not to be repeated, but easy to.
    BarePost,
    Http10,
    Http2,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Cold,
        Self::Collapsed,
        Self::Validation,
        Self::StaleIfError,
        Self::Put,
        Self::Post,
        Self::BarePost,
        Self::Http10,
        Self::Http2,
    ];

    fn is_validation(self) -> bool {
        matches!(self, Self::Validation | Self::StaleIfError)
    }

    fn is_write(self) -> bool {
        self.has_content() || self == Self::BarePost
    }

    fn has_content(self) -> bool {
        matches!(self, Self::Put | Self::Post)
    }
}

/// What the client is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sees {
    Error(u16, &'static str),
    Aborted,
    Whole,
    Stale,
    Odd,
}

/// What is stored after that, as the next request tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    Nothing,
    /// What was stored before, still stale.
    Before,
    New,
}

/// The API's end of a connection, in the protocol that it speaks.
pub trait Peer: Sized + 'static {
    /// What the gateway must be told about such an API.
    const UPSTREAM: &'static str;

    /// An API that does as the script says.
    fn origin(script: Arc<Script<Self>>) -> Origin;

    fn reply(&mut self, request: &Request, reply: &Reply);
}

/// What came of a fault.
pub struct Row<C: 'static> {
    fault: &'static Fault<C>,
    kind: Kind,
    answers: Vec<Answer>,
    next: Answer,
    other: Answer,
}

/// Whether the API fails now, and how it is told to.
pub struct Script<C: 'static> {
    fault: &'static Fault<C>,
    kind: Kind,
    broken: AtomicBool,
    /// Answers given since it began to fail.
    answered: AtomicUsize,
    gate: Gate,
}

impl<C: Peer> Row<C> {
    pub fn run(fault: &'static Fault<C>, kind: Kind) -> Self {
        let script = Arc::new(Script::new(fault, kind));
        let origin = C::origin(script.clone());
        let gateway = gateway(&origin, fault, kind);
        if kind.is_validation() || kind.is_write() {
            gateway.get(TARGET).expect(200);
        }
        if kind.is_validation() {
            gateway.advance(Duration::from_secs(120));
        } else {
            // The idle connection to the API is too old, what is stored is not.
            gateway.advance(Duration::from_secs(10));
        }
        origin.await_idle();
        let refused = matches!(fault.act, Act::Refuse);
        let mut client = gateway.client();
        if matches!(fault.act, Act::Reusing(_)) {
            client.get("/warm").expect(200);
        }
        script.broken.store(true, Ordering::SeqCst);
        if refused {
            origin.refuse(true);
        }
        let answers = ask(&gateway, client, kind, &script);
        gateway.await_no_fills();
        if matches!(fault.act, Act::Overdoing(_)) {
            // The gateway has seen what came after the response.
            origin.await_idle();
        }
        script.broken.store(false, Ordering::SeqCst);
        if refused {
            origin.refuse(false);
        }
        let other = gateway.get(OTHER);
        let next = gateway.get(TARGET);
        Self {
            fault,
            kind,
            answers,
            next,
            other,
        }
    }

    /// What is not as it should be.
    pub fn wrong(&self) -> Option<String> {
        let (sees, stored) = self.expected();
        for answer in &self.answers {
            if !is_seen(sees, self.kind, answer) {
                return Some(format!("expected {sees:?}, got {answer:?}"));
            }
        }
        if self.other.status != 200
            || self.other.end != End::Complete
            || self.other.text() != "another book"
        {
            return Some(format!("another request: {:?}", self.other));
        }
        if self.next.status != 200 || self.next.end != End::Complete || self.next.text() != BODY {
            return Some(format!("the next request: {:?}", self.next));
        }
        let found = self.stored();
        // A write that was never sent invalidates nothing.
        let is_kept = found == Some(Stored::New) && self.kind.is_write() && self.may_be_unsent();
        (found != Some(stored) && !is_kept).then(|| {
            format!(
                "expected {stored:?} to be stored, got {found:?}: {}",
                self.next.cache_status()
            )
        })
    }

    /// Whether the API may fail before the gateway has sent it a request.
    fn may_be_unsent(&self) -> bool {
        matches!(self.fault.act, Act::Refuse | Act::Accepting(_))
    }

    fn stored(&self) -> Option<Stored> {
        let next = &self.next;
        if next.is_hit() {
            Some(Stored::New)
        } else if next.fwd("stale") {
            Some(Stored::Before)
        } else {
            next.fwd("uri-miss").then_some(Stored::Nothing)
        }
    }

    fn expected(&self) -> (Sees, Stored) {
        let kind = self.kind;
        let before = match kind {
            Kind::Validation | Kind::StaleIfError => Stored::Before,
            _ if kind.is_write() && matches!(self.fault.act, Act::Refuse) => Stored::New,
            // A write whose outcome is not known may have happened.
            _ => Stored::Nothing,
        };
        let new = if kind.is_write() {
            Stored::Nothing
        } else {
            Stored::New
        };
        let error = |status, name| match kind {
            Kind::StaleIfError => (Sees::Stale, before),
            _ => (Sees::Error(status, name), before),
        };
        match self.fault.outcome {
            // To a write, a 304 is an answer like others: it is the client's to wonder at.
            Outcome::Error(..) if kind.is_write() && self.fault.point.starts_with("304") => {
                (Sees::Odd, Stored::Nothing)
            }
            Outcome::Error(status, name) => error(status, name),
            Outcome::Aborted => (Sees::Aborted, before),
            Outcome::Whole => (Sees::Whole, new),
            Outcome::Superseded => (Sees::Aborted, Stored::Nothing),
            Outcome::Unverified if kind.is_validation() => (Sees::Whole, Stored::Nothing),
            Outcome::Unverified => (Sees::Whole, before),
            // RFC 9110 §9.2.2
            Outcome::Repeated(status, name) if matches!(kind, Kind::Post | Kind::BarePost) => {
                error(status, name)
            }
            Outcome::Uploading(status, name) if kind.has_content() => error(status, name),
            Outcome::Repeated(..) | Outcome::Refused | Outcome::Uploading(..) => (Sees::Whole, new),
        }
    }
}

impl<C: Peer> fmt::Display for Row<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { what, point, .. } = self.fault;
        let kind = format!("{:?}", self.kind);
        let answer = self.answers.last().map(seen).unwrap_or_default();
        let stored = self.stored().map(|stored| format!("{stored:?}"));
        let stored = stored.unwrap_or_else(|| "?".to_owned());
        let verdict = if self.wrong().is_none() {
            "ok"
        } else {
            "WRONG"
        };
        write!(
            f,
            "{what:15} | {point:34} | {kind:12} | {answer:45} | {stored:7} | {verdict}"
        )
    }
}

/// What a client saw, for the table.
fn seen(answer: &Answer) -> String {
    if answer.end != End::Complete {
        return format!("{}, aborted ({:?})", answer.status, answer.end);
    }
    let error = answer
        .field("proxy-status")
        .and_then(|said| said.split(';').nth(1));
    match error {
        Some(error) => format!("{}, {}", answer.status, error.trim()),
        None if answer.is_hit() || answer.fwd("stale") => {
            format!("{}, whole, stale", answer.status)
        }
        None => format!("{}, whole", answer.status),
    }
}

fn is_seen(sees: Sees, kind: Kind, answer: &Answer) -> bool {
    let whole = answer.end == End::Complete;
    match sees {
        Sees::Error(status, name) => {
            let said = answer.field("proxy-status").unwrap_or_default();
            let mut names = name.split('|');
            let named = names.any(|name| said.contains(&format!("error={name};")));
            whole && answer.status == status && named
        }
        // Where nothing else tells the end, it is to be a reset.
        Sees::Aborted if kind == Kind::Http10 && answer.field("content-length").is_none() => {
            answer.end == End::Reset
        }
        Sees::Aborted => matches!(answer.end, End::Reset | End::Truncated),
        Sees::Whole => whole && answer.status == 200 && answer.text() == BODY,
        Sees::Odd => whole && answer.status == 304,
        Sees::Stale => {
            whole && answer.status == 200 && answer.text() == BODY && answer.fwd("stale")
        }
    }
}

fn gateway<C: Peer>(origin: &Origin, fault: &Fault<C>, kind: Kind) -> Gateway {
    // Where it takes no deadline, a machine that is busy with other things is no reason to miss one.
    let deadline = if fault.is_silence() { 250 } else { 10_000 };
    let setup = Gateway::before(origin)
        // Connections to the API belong to a worker: with one, the next request takes the one that is idle.
        .workers(1)
        .upstream(&format!(
            "response_timeout = \"{deadline}ms\"\nbody_timeout = \"{deadline}ms\"\nidle_timeout = \"40ms\""
        ))
        .upstream(C::UPSTREAM)
        .manual_clock();
    match kind {
        Kind::StaleIfError => setup.cache("stale_if_error = \"1h\""),
        Kind::Validation => setup.cache("stale_if_disconnected = \"off\""),
        _ => setup,
    }
    .start()
}

impl<C: Peer> Script<C> {
    /// An API that answers well, until it is broken.
    pub fn new(fault: &'static Fault<C>, kind: Kind) -> Self {
        Self {
            fault,
            kind,
            broken: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            gate: Gate::new(),
        }
    }

    /// A connection has been accepted, and nothing read from it.
    pub fn greet(&self, conn: &mut C) {
        if let Act::Accepting(act) = &self.fault.act
            && self.broken.load(Ordering::SeqCst)
        {
            act(conn);
        }
    }

    /// A request has been read whole.
    pub fn answer(&self, request: &Request, conn: &mut C) {
        if !self.broken.load(Ordering::SeqCst) {
            return conn.reply(request, &good(request));
        }
        if self.kind == Kind::Collapsed {
            self.gate.pass();
        }
        let again = self.answered.fetch_add(1, Ordering::SeqCst) > 0;
        match &self.fault.act {
            Act::Answering(act) => act(conn),
            // A request that is sent again comes on a fresh connection.
            Act::Reusing(act) | Act::Once(act) if !again => act(conn),
            Act::Overdoing(act) => {
                conn.reply(request, &whole());
                act(conn);
            }
            Act::Reusing(_) | Act::Once(_) | Act::Refuse | Act::Accepting(_) => {
                conn.reply(request, &whole());
            }
        }
    }
}

impl Peer for Conn {
    const UPSTREAM: &'static str = "";

    fn origin(script: Arc<Script<Self>>) -> Origin {
        let greeter = script.clone();
        Origin::greeting(
            move |conn| greeter.greet(conn),
            move |request, conn| script.answer(request, conn),
        )
    }

    fn reply(&mut self, request: &Request, reply: &Reply) {
        Self::reply(self, request, reply);
    }
}

fn whole() -> Reply {
    reply(200)
        .field("Cache-Control", "max-age=60")
        .field("ETag", "\"1\"")
        .body(BODY)
}

fn good(request: &Request) -> Reply {
    if request.target != TARGET {
        return reply(200).body("another book");
    }
    if request.fields.get("if-none-match") == Some("\"1\"") {
        return reply(304)
            .field("Cache-Control", "max-age=60")
            .field("ETag", "\"1\"");
    }
    whole()
}

/// The requests of this kind, and their answers.
fn ask<C: Peer>(
    gateway: &Gateway,
    mut client: Client,
    kind: Kind,
    script: &Script<C>,
) -> Vec<Answer> {
    let answer = match kind {
        Kind::Collapsed => return crowd(gateway, client, script),
        Kind::Cold | Kind::Validation | Kind::StaleIfError => client.get(TARGET),
        Kind::Put => client.send(&put(TARGET, "new content")),
        Kind::Post => client.send(&post(TARGET, "new content")),
        Kind::BarePost => client.send(&post(TARGET, "")),
        Kind::Http10 => {
            let host = gateway.addr();
            client.send(&get(TARGET).version("HTTP/1.0").field("Host", host))
        }
        Kind::Http2 => http2_client::get(gateway.addr(), TARGET),
    };
    vec![answer]
}

/// Many at once: where that can be, all wait for the first one's answer before the fault happens.
fn crowd<C: Peer>(gateway: &Gateway, mut first: Client, script: &Script<C>) -> Vec<Answer> {
    let addr = gateway.addr();
    thread::scope(|scope| {
        let leader = scope.spawn(move || first.get(TARGET));
        let waits = !matches!(script.fault.act, Act::Refuse | Act::Accepting(_));
        if waits {
            script.gate.await_arrivals(1);
        }
        let followers: Vec<_> = (1..CROWD)
            .map(|_| scope.spawn(move || Client::to(addr).get(TARGET)))
            .collect();
        if waits {
            gateway.await_sum(CROWD as u64 - 1, |counted| counted.followers.value());
        }
        script.gate.open();
        let all = std::iter::once(leader).chain(followers);
        all.map(|client| client.join().expect("a client")).collect()
    })
}
