//! What a worker knows of one connection: its phase, what is in flight, and what the tick or the drain has decided
//! for it. Its I/O, its exchanges and the registry share it, all on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use http::StatusCode;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::deadline::{Deadlines, Overdue, Phase, Situation};

/// What a worker tells all its connections, and hears from them.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// The coarse clock, in milliseconds; moved by each tick.
    pub now: Cell<u64>,
    draining: Cell<bool>,
    drain_begins: Notify,
    /// Accepted connections that wait for another's place.
    pub waiting: Cell<usize>,
    /// Some connection has become dispensable while others wait.
    pub spare: Notify,
}

impl Beat {
    pub fn drain(&self) {
        self.draining.set(true);
        self.drain_begins.notify_waiters();
    }

    /// Done when the worker drains.
    pub async fn draining(&self) {
        while !self.draining.get() {
            self.drain_begins.notified().await;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The first bytes have not shown it yet.
    Unknown,
    Http1,
    Http2,
}

/// What has been decided about a connection from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Carry,
    Overdue(Overdue),
    /// It is idle or about to end, and its place is needed.
    Evicted,
    /// The drain deadline has passed.
    Cut,
}

/// How a connection is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// We close our side and wait for the client to close its own.
    Staged,
    /// Nothing of ours can still be under way: no need to wait.
    AtOnce,
    /// hyper could not read a head and wants to answer with this status; our own words go out instead.
    Refusal(StatusCode),
    /// The client must not take what it got for whole.
    Reset,
}

/// What the connection's task is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orders {
    GoOn,
    /// Finish what has begun, take nothing new.
    WindDown,
    /// Drop everything.
    Stop,
}

/// What is known of the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Open,
    /// It sends nothing any more, and has taken no byte since.
    HalfClosed {
        since: u64,
    },
    /// We have read its end.
    Ended,
}

/// How long a client that has closed its side may wait for the next byte of its response: one that left looks the
/// same as one that only half-closed until we write to it.
const HALF_CLOSE_GRACE: u64 = 5_000;

/// How often a connection with a request in flight is probed for a client that left.
const PROBE_EVERY: u64 = 1_000;

/// One connection.
#[derive(Debug)]
pub(super) struct State {
    beat: Rc<Beat>,
    /// Where the registry keeps this connection.
    pub index: Cell<usize>,
    protocol: Cell<Protocol>,
    phase: Cell<Phase>,
    since: Cell<u64>,
    awaiting_content: Cell<Option<u64>>,
    write_blocked: Cell<Option<u64>>,
    in_flight: Cell<u32>,
    /// Some of an HTTP/1 response may still be in hyper's buffer.
    unflushed: Cell<bool>,
    client: Cell<Client>,
    probe: Cell<bool>,
    verdict: Cell<Verdict>,
    ending: Cell<Ending>,
    streams: RefCell<Vec<Rc<Stream>>>,
    waker: RefCell<Option<Waker>>,
}

/// One response on an HTTP/2 connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Since when the client's window has kept the rest of the content from being asked for.
    held: Cell<Option<u64>>,
    task: RefCell<Option<AbortHandle>>,
}

impl State {
    pub fn new(beat: Rc<Beat>) -> Self {
        let now = beat.now.get();
        Self {
            beat,
            index: Cell::new(0),
            protocol: Cell::new(Protocol::Unknown),
            phase: Cell::new(Phase::Fresh),
            since: Cell::new(now),
            awaiting_content: Cell::new(None),
            write_blocked: Cell::new(None),
            in_flight: Cell::new(0),
            unflushed: Cell::new(false),
            client: Cell::new(Client::Open),
            probe: Cell::new(false),
            verdict: Cell::new(Verdict::Carry),
            ending: Cell::new(Ending::Staged),
            streams: RefCell::default(),
            waker: RefCell::default(),
        }
    }

    fn now(&self) -> u64 {
        self.beat.now.get()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now());
        if self.beat.waiting.get() > 0 && self.dispensable().is_some() {
            self.beat.spare.notify_one();
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    pub fn speaks(&self, protocol: Protocol) {
        self.protocol.set(protocol);
        if protocol == Protocol::Http2 {
            // The preface was its head; requests come as frames from here on.
            self.enter(Phase::Idle);
        }
    }

    pub fn is_draining(&self) -> bool {
        self.beat.draining.get()
    }
}

/// What the I/O tells, and what it asks.
impl State {
    pub fn has_read(&self, n: usize) {
        if n == 0 {
            self.client.set(Client::Ended);
        }
        self.awaiting_content.set(None);
        match self.phase.get() {
            Phase::Fresh => self.phase.set(Phase::Head),
            Phase::Idle if self.protocol.get() == Protocol::Http1 => self.enter(Phase::Head),
            _ => {}
        }
    }

    /// A read found nothing. While an HTTP/1 request is answered, hyper reads only for its content: with half-closed
    /// connections allowed it does not look for the client's end in between.
    pub fn waits_to_read(&self) {
        if self.phase.get() == Phase::Busy
            && self.protocol.get() == Protocol::Http1
            && self.awaiting_content.get().is_none()
        {
            self.awaiting_content.set(Some(self.now()));
        }
    }

    pub fn has_written(&self) {
        self.write_blocked.set(None);
        if let Client::HalfClosed { .. } = self.client.get() {
            self.client.set(Client::HalfClosed { since: self.now() });
        }
        if self.phase.get() == Phase::Lingering {
            // HTTP/2 ends an exchange when its last content is in h2's buffer; some may still be on its way.
            self.since.set(self.now());
        }
    }

    pub fn waits_to_write(&self) {
        if self.write_blocked.get().is_none() {
            self.write_blocked.set(Some(self.now()));
        }
    }

    /// hyper's buffer is empty.
    pub fn has_flushed(&self) {
        if self.in_flight.get() == 0 {
            self.unflushed.set(false);
        }
    }

    /// Whether reading must fail now.
    pub fn is_read_overdue(&self) -> bool {
        matches!(
            self.verdict.get(),
            Verdict::Overdue(Overdue::Head | Overdue::Content)
        )
    }

    /// Whether writing must fail now.
    pub fn is_write_overdue(&self) -> bool {
        self.verdict.get() == Verdict::Overdue(Overdue::Write)
    }

    /// Whether the wait for the client's end is over.
    pub fn is_linger_over(&self) -> bool {
        self.client.get() == Client::Ended
            || matches!(
                self.verdict.get(),
                Verdict::Overdue(Overdue::Linger) | Verdict::Evicted
            )
    }

    /// Whether no response is under way: what HTTP/1 would write now are hyper's own words.
    pub fn is_quiet(&self) -> bool {
        self.protocol.get() == Protocol::Http1
            && self.in_flight.get() == 0
            && !self.unflushed.get()
            && self.phase.get() != Phase::Lingering
    }

    pub fn lingers(&self) {
        if self.phase.get() != Phase::Lingering {
            self.enter(Phase::Lingering);
        }
    }

    /// Whether the I/O is to look now if the client is still there.
    pub fn takes_probe(&self) -> bool {
        self.probe.replace(false)
    }

    /// The client has closed its side while it waits for a response; whether it has waited too long.
    pub fn is_half_closed_too_long(&self) -> bool {
        match self.client.get() {
            Client::HalfClosed { since } => self.now().saturating_sub(since) >= HALF_CLOSE_GRACE,
            Client::Open => {
                let since = self.now();
                self.client.set(Client::HalfClosed { since });
                false
            }
            Client::Ended => false,
        }
    }

    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    pub fn ends(&self, ending: Ending) {
        self.ending.set(ending);
    }

    /// Words of our own, outside of any exchange, go out now.
    pub fn refuses(&self) {
        self.ending.set(Ending::Staged);
        self.unflushed.set(true);
    }

    /// Whether closing now must not look like the regular end of a message.
    pub fn must_reset(&self) -> bool {
        self.ending.get() == Ending::Reset || self.in_flight.get() > 0 || self.unflushed.get()
    }
}

/// What exchanges tell.
impl State {
    pub fn exchange_begins(&self) -> Option<Rc<Stream>> {
        self.in_flight.set(self.in_flight.get() + 1);
        self.enter(Phase::Busy);
        self.awaiting_content.set(None);
        if self.protocol.get() == Protocol::Http2 {
            let stream = Rc::<Stream>::default();
            self.streams.borrow_mut().push(stream.clone());
            return Some(stream);
        }
        self.unflushed.set(true);
        None
    }

    pub fn exchange_ends(&self, stream: Option<&Rc<Stream>>) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        if let Some(stream) = stream {
            self.streams
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, stream));
        }
        if self.in_flight.get() == 0 && self.phase.get() == Phase::Busy {
            self.awaiting_content.set(None);
            self.enter(Phase::Idle);
        }
    }

    /// The content of a response broke off.
    pub fn content_failed(&self) {
        if self.protocol.get() == Protocol::Http1 {
            self.ending.set(Ending::Reset);
        }
    }

    /// The task of the exchange that has begun last.
    pub fn adopts(&self, task: AbortHandle) {
        if let Some(stream) = self.streams.borrow().last() {
            stream.task.borrow_mut().get_or_insert(task);
        }
    }
}

impl Stream {
    /// Content has been handed out, and the client's window has to take it before more is asked for; or it is the
    /// content itself that is waited for.
    pub fn holds(&self, state: &State, held: bool) {
        self.held.set(held.then(|| state.now()));
    }
}

/// What the worker decides, and the connection's task obeys.
impl State {
    /// Compares the connection with its deadlines.
    pub fn look(&self, deadlines: &Deadlines) {
        let now = self.now();
        let situation = Situation {
            phase: self.phase.get(),
            since: self.since.get(),
            awaiting_content: self.awaiting_content.get(),
            write_blocked: self.write_blocked.get(),
        };
        if let Some(overdue) = deadlines.overdue(&situation, now, self.is_draining()) {
            self.decide(Verdict::Overdue(overdue));
            return;
        }
        if situation.phase == Phase::Busy {
            match self.protocol.get() {
                Protocol::Http2 => self.look_at_streams(deadlines),
                _ if now.saturating_sub(situation.since) >= PROBE_EVERY => {
                    self.since.set(now);
                    self.probe.set(true);
                    self.wake();
                }
                _ => {}
            }
        }
    }

    /// A client that gives a stream no window blocks no write of the connection.
    fn look_at_streams(&self, deadlines: &Deadlines) {
        for stream in self.streams.borrow().iter() {
            let situation = Situation {
                phase: Phase::Busy,
                since: 0,
                awaiting_content: None,
                write_blocked: stream.held.get(),
            };
            let overdue = deadlines.overdue(&situation, self.now(), false);
            if overdue.is_some()
                && let Some(task) = &*stream.task.borrow()
            {
                task.abort();
            }
        }
    }

    pub fn decide(&self, verdict: Verdict) {
        if self.verdict.get() != verdict && self.verdict.get() != Verdict::Cut {
            self.verdict.set(verdict);
            self.wake();
        }
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.get()
    }

    /// How dispensable the connection is, least value first; `None` when something depends on it. One whose last byte
    /// is sent goes before one that may bring another request.
    pub fn dispensable(&self) -> Option<(bool, u64)> {
        let idle = match (self.phase.get(), self.protocol.get()) {
            (Phase::Lingering, Protocol::Http1) => false,
            (Phase::Idle, _) => true,
            _ => return None,
        };
        (self.verdict.get() == Verdict::Carry).then(|| (idle, self.since.get()))
    }

    pub fn orders(&self) -> Orders {
        match self.verdict.get() {
            Verdict::Cut => return Orders::Stop,
            Verdict::Overdue(Overdue::Linger) if self.protocol.get() == Protocol::Http2 => {
                return Orders::Stop;
            }
            Verdict::Overdue(Overdue::Idle) | Verdict::Evicted => return Orders::WindDown,
            Verdict::Overdue(_) | Verdict::Carry => {}
        }
        match self.phase.get() {
            // A request that is under way is still answered.
            Phase::Fresh | Phase::Head => Orders::GoOn,
            _ if self.is_draining() => Orders::WindDown,
            _ => Orders::GoOn,
        }
    }

    /// The connection takes no further request.
    pub fn winds_down(&self) {
        if self.phase.get() == Phase::Idle {
            match self.protocol.get() {
                Protocol::Http2 => self.lingers(),
                _ => self.ending.set(Ending::AtOnce),
            }
        }
    }

    /// Remembers whom to wake when something is decided.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
