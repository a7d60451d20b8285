//! What a worker knows of one connection: its phase, what is in flight, and what the tick or the drain has decided
//! for it. Its I/O, its exchanges and the registry share it, all on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use tokio::task::AbortHandle;

use super::beat::Beat;
use super::deadline::{Overdue, Phase};
use super::request_line::Fault;
use crate::proxy::Tunnel;
use crate::turn;

mod input;
mod machines;
mod messages;
mod oversight;
mod reading;
mod resets;
mod writing;

use self::input::Input;
use self::machines::{Client, Content, Rest};
pub(super) use self::machines::{Ending, Protocol, Verdict};
pub(super) use self::oversight::Orders;
pub(super) use self::reading::Followed;
pub(super) use self::resets::Outcome;
use self::resets::Resets;

/// How long a client that has closed its side may wait for the next byte of its response, in probes, which are a second
/// apart: one that left looks the same as one that only half-closed until we write to it.
const HALF_CLOSE_GRACE: u32 = 5;

/// One connection.
#[derive(Debug)]
pub(in crate::server) struct State {
    beat: Rc<Beat>,
    /// Where the registry keeps this connection.
    pub index: Cell<usize>,
    protocol: Cell<Protocol>,
    phase: Cell<Phase>,
    since: Cell<u64>,
    awaiting_content: Cell<Option<u64>>,
    write_blocked: Cell<Option<u64>>,
    /// A write was put off since the task's turn was over, and none has been tried since.
    put_off: Cell<bool>,
    in_flight: Cell<u32>,
    /// That of an HTTP/1 request; on HTTP/2 a stream's end is the stream's own.
    content: Cell<Content>,
    /// Which request that is.
    message: Cell<u32>,
    input: RefCell<Input>,
    /// Whether anything of it is held or followed.
    follows: Cell<bool>,
    /// What is wrong with the latest target, whether or not hyper takes it.
    pub target_fault: Cell<Option<Fault>>,
    /// Some of an HTTP/1 response may still be in hyper's buffer.
    unflushed: Cell<bool>,
    ends_by_close: Cell<bool>,
    /// The trailer section of the HTTP/1 response whose content has ended, until it goes out; else empty.
    trailers: RefCell<Vec<u8>>,
    client: Cell<Client>,
    probe: Cell<bool>,
    rest: Cell<Rest>,
    /// Since when it lingers, and how much it has discarded since.
    lingering_since: Cell<u64>,
    discarded: Cell<u64>,
    /// The deadline that had passed when the connection was looked at last.
    passed: Cell<Option<Overdue>>,
    verdict: Cell<Verdict>,
    ending: Cell<Ending>,
    /// What the connection is to be joined with when its last response is out.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    streams: RefCell<Vec<Rc<Stream>>>,
    resets: Cell<Option<Resets>>,
    waker: RefCell<Option<Waker>>,
}

/// One response on an HTTP/2 connection.
#[derive(Debug, Default)]
pub(in crate::server) struct Stream {
    /// Since when the client's window has kept the rest of the content from being asked for.
    held: Cell<Option<u64>>,
    /// That had lasted too long when it was looked at last.
    passed: Cell<bool>,
    /// That has lasted too long.
    cut_off: Cell<bool>,
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
            put_off: Cell::new(false),
            in_flight: Cell::new(0),
            content: Cell::new(Content::Ended),
            message: Cell::new(0),
            input: RefCell::default(),
            follows: Cell::new(false),
            target_fault: Cell::new(None),
            unflushed: Cell::new(false),
            ends_by_close: Cell::new(false),
            trailers: RefCell::default(),
            client: Cell::new(Client::Open),
            probe: Cell::new(false),
            rest: Cell::new(Rest::Awake),
            lingering_since: Cell::new(0),
            discarded: Cell::new(0),
            passed: Cell::new(None),
            verdict: Cell::new(Verdict::Carry),
            ending: Cell::new(Ending::Staged),
            tunnel: RefCell::default(),
            streams: RefCell::default(),
            resets: Cell::new(None),
            waker: RefCell::default(),
        }
    }

    fn now(&self) -> u64 {
        self.beat.now.get()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now());
        self.rest.set(Rest::Awake);
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
        self.beat.is_draining()
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
            Phase::Tunnel => self.since.set(self.now()),
            Phase::Fresh => self.phase.set(Phase::Head),
            Phase::Idle if self.protocol.get() == Protocol::Http1 => self.enter(Phase::Head),
            _ => {}
        }
    }

    /// A read found nothing. While an HTTP/1 exchange goes on, hyper reads only for its content: with half-closed
    /// connections allowed it does not look for the client's end in between. Where the task's turn is over, it has not
    /// looked at all.
    pub fn waits_to_read(&self) {
        if self.phase.get() == Phase::Busy
            && self.protocol.get() == Protocol::Http1
            && self.awaiting_content.get().is_none()
            && !turn::is_over()
        {
            self.awaiting_content.set(Some(self.now()));
        }
    }

    pub fn has_written(&self) {
        self.put_off.set(false);
        self.write_blocked.set(None);
        if let Client::HalfClosed { .. } = self.client.get() {
            self.client.set(Client::HalfClosed { probes: 0 });
        }
        if matches!(self.phase.get(), Phase::Lingering | Phase::Tunnel) {
            // HTTP/2 ends an exchange when its last content is in h2's buffer; some may still be on its way.
            self.since.set(self.now());
        }
    }

    /// Whether a write may be put off to the task's next turn: not if the one before was.
    pub fn puts_off_write(&self) -> bool {
        !self.put_off.replace(true)
    }

    pub fn waits_to_write(&self) {
        self.put_off.set(false);
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
            && !matches!(self.phase.get(), Phase::Lingering | Phase::Tunnel)
    }

    pub fn is_lingering(&self) -> bool {
        self.phase.get() == Phase::Lingering
    }

    pub fn lingers(&self) {
        if self.phase.get() != Phase::Lingering {
            self.lingering_since.set(self.now());
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
            Client::HalfClosed { probes } => {
                let probes = probes.saturating_add(1);
                self.client.set(Client::HalfClosed { probes });
                probes >= HALF_CLOSE_GRACE
            }
            Client::Open => {
                self.client.set(Client::HalfClosed { probes: 0 });
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
        self.beat.counters.in_flight.add(1);
        self.enter(Phase::Busy);
        self.message_begins();
        self.awaiting_content.set(None);
        if self.protocol.get() == Protocol::Http2 {
            let stream = Rc::<Stream>::default();
            self.streams.borrow_mut().push(stream.clone());
            return Some(stream);
        }
        self.unflushed.set(true);
        self.trailers.borrow_mut().clear();
        None
    }

    /// Its client may reset so many streams at once.
    pub fn bears_resets(&self, most: u32) {
        self.resets.set(Some(Resets::new(most, self.now())));
    }

    fn count_outcome(&self, outcome: Outcome) {
        if let Some(mut resets) = self.resets.get() {
            let within_bounds = resets.count(outcome, self.now());
            self.resets.set(Some(resets));
            if !within_bounds && self.decide(Verdict::Calm) {
                self.beat.counters.reset_floods.inc();
            }
        }
    }

    pub fn exchange_ends(&self, stream: Option<&Rc<Stream>>, outcome: Outcome) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.beat.counters.in_flight.sub(1);
        if let Some(stream) = stream {
            self.count_outcome(outcome);
            self.streams
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, stream));
        }
        self.rests_if_all_has_ended();
    }

    /// The response that comes now is the connection's last: `tunnel` goes on after it.
    pub fn will_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    /// HTTP has ended; whether something else goes on.
    pub fn tunnels(&self) -> Option<Box<Tunnel>> {
        let tunnel = self.tunnel.take()?;
        self.enter(Phase::Tunnel);
        Some(tunnel)
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

    /// Whether its client has taken nothing of it for too long.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }
}
