//! What a worker knows of one connection: its phase, which messages are in flight, and what the worker has decided about
//! it. The connection's I/O, its exchanges and the registry share it, all on one thread.
//!
//! Six small state machines and one that follows what is read make it up; each arrow is a method of [`State`].
//!
//! **Phase** ([`Phase`]): what the connection is doing, and so which deadline it has.
//!
//! ```text
//!  Accepted ──first byte──> Head ──request head read──> Busy ──response sent and content read──> Idle
//!                            └──HTTP/2 preface──> Idle
//!  Idle ──next byte (HTTP/1)──> Head          Idle ──next stream (HTTP/2)──> Busy
//!  any ──101 sent──> Tunnel          any ──our side shut down──> Lingering
//! ```
//!
//! **Client's side** (`ClientSide`): whether it is still there while it waits for a response.
//!
//! ```text
//!  Open ──a probe finds its side closed──> HalfClosed { 0 } ──each further probe──> HalfClosed { n + 1 } ──n = 5──> abort
//!                                                ^──────it takes a byte of the response────┘
//!  any ──its end is read──> Closed
//! ```
//!
//! **Parking** (`Parking`): an idle HTTP/1 connection gives up hyper's buffers.
//!
//! ```text
//!  Active ──idle for a second──> Idle ──nothing left to flush──> Parked
//!     ^──────────────the next byte, or any other phase────────────┘
//! ```
//!
//! **Content of the request** (`ContentState`), HTTP/1 only: until it is `Read`, what comes is no other request
//! (DESIGN.md, invariant 9).
//!
//! ```text
//!  Read ──a request with content begins──> Unread ──its end is read, or it breaks off──> Read
//!                                             └──its reader is dropped──> Abandoned ──hyper is polled──> Read
//! ```
//!
//! **Decision** ([`Decision`]): what the worker's tick, its registry or the drain has decided. It becomes an [`Action`] of
//! the connection's task.
//!
//! ```text
//!  Keep ──a deadline passes──> TimedOut          Keep ──its slot is needed──> Evicted
//!  Keep ──too many resets──> ResetFlood          any ──the drain deadline passes──> CutOff
//! ```
//!
//! A later decision replaces an earlier one, but CutOff is final.
//!
//! **Closing** ([`Closing`]): how the connection closes.
//!
//! ```text
//!  Lingering ──to close while idle──> Immediate
//!  Lingering ──hyper cannot read a head──> Refusal ──the service's response is written──> Lingering
//!  any ──the content of a response breaks off──> Reset
//! ```
//!
//! **Framing** (`input::Framing`), HTTP/1 only: where in its messages the input stands, as far as that must be known.
//!
//! ```text
//!  Untracked ──a head comes in parts, or needs a look──> Head ──its empty line──> HeadGiven ──no content──> Untracked
//!                                                          HeadGiven ──content──> Length or Chunked ──its end──> Untracked
//!  any ──hyper sees the messages elsewhere──> Lost
//! ```

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use rustls::HandshakeKind;
use tokio::task::AbortHandle;

use super::deadline::{Phase, Timeout};
use super::request_line::Fault;
use super::shared::WorkerShared;
use super::terms::AcceptedOn;
use crate::proxy::Tunnel;

mod decisions;
mod input;
mod io_events;
mod machines;
mod reading;
mod request_content;
mod resets;
mod writing;

pub(super) use self::decisions::Action;
use self::input::Input;
use self::machines::{ClientSide, ContentState, Parking};
pub(super) use self::machines::{Closing, Decision, Protocol};
pub(super) use self::reading::ContentFraming;
use self::resets::Resets;
pub(super) use self::resets::StreamEnd;

/// One connection. Times are milliseconds of the worker's coarse clock.
#[derive(Debug)]
pub(in crate::server) struct State {
    shared: Rc<WorkerShared>,
    /// Where the registry keeps this connection.
    pub index: Cell<usize>,
    protocol: Cell<Protocol>,
    phase: Cell<Phase>,
    /// When the phase began, or when something last happened in it.
    since: Cell<u64>,
    /// Since when content of the request has been asked for in vain.
    awaiting_content: Cell<Option<u64>>,
    /// Since when the client has taken no byte of what is ready for it.
    write_blocked: Cell<Option<u64>>,
    /// A write was deferred because the task's turn was over, and none has been tried since.
    write_deferred: Cell<bool>,
    /// Bytes written since others had their turn.
    written: Cell<usize>,
    /// Requests whose response has not ended.
    in_flight: Cell<u32>,
    /// Of the latest HTTP/1 request; an HTTP/2 stream ends by itself.
    content: Cell<ContentState>,
    /// The number of that request.
    message: Cell<u32>,
    input: RefCell<Input>,
    /// Whether `input` is in use: a look at this alone tells that nothing is held or tracked.
    has_input: Cell<bool>,
    /// The fault of the latest request target, whether or not hyper accepts it.
    pub target_fault: Cell<Option<Fault>>,
    /// Some of an HTTP/1 response may still be in hyper's buffer.
    unflushed: Cell<bool>,
    /// Only the end of the connection shows where the response ends.
    ends_by_close: Cell<bool>,
    /// The trailer section of an HTTP/1 response whose content has ended, until it is written; else empty.
    trailers: RefCell<Vec<u8>>,
    client: Cell<ClientSide>,
    /// The I/O is to look whether the client is still there.
    probe: Cell<bool>,
    parking: Cell<Parking>,
    lingering_since: Cell<u64>,
    /// Bytes read and discarded since then.
    discarded: Cell<u64>,
    /// The deadline that had passed at the tick before.
    passed: Cell<Option<Timeout>>,
    decision: Cell<Decision>,
    closing: Cell<Closing>,
    /// The connection to the API that this one is joined with once its last response is sent.
    tunnel: RefCell<Option<Box<Tunnel>>>,
    /// HTTP/2 streams whose response has not ended.
    streams: RefCell<Vec<Rc<Stream>>>,
    /// `None` on HTTP/1.
    resets: Cell<Option<Resets>>,
    /// `None`: no reload ends it.
    accepted_on: OnceCell<AcceptedOn>,
    /// Those are over: it takes no further request.
    is_superseded: Cell<bool>,
    /// Of the connection's task.
    waker: RefCell<Option<Waker>>,
}

/// One response on an HTTP/2 connection.
#[derive(Debug, Default)]
pub(in crate::server) struct Stream {
    /// When its request came.
    began: u64,
    /// Since when the client's flow-control window has had no room for more content.
    blocked: Cell<Option<u64>>,
    /// The write deadline had passed at the tick before.
    passed: Cell<bool>,
    /// The write deadline has passed, and the stream ends.
    cut_off: Cell<bool>,
    task: RefCell<Option<AbortHandle>>,
}

impl State {
    pub fn new(shared: Rc<WorkerShared>) -> Self {
        let now = shared.now.get();
        Self {
            shared,
            index: Cell::new(0),
            protocol: Cell::new(Protocol::Unknown),
            phase: Cell::new(Phase::Accepted),
            since: Cell::new(now),
            awaiting_content: Cell::new(None),
            write_blocked: Cell::new(None),
            write_deferred: Cell::new(false),
            written: Cell::new(0),
            in_flight: Cell::new(0),
            content: Cell::new(ContentState::Read),
            message: Cell::new(0),
            input: RefCell::default(),
            has_input: Cell::new(false),
            target_fault: Cell::new(None),
            unflushed: Cell::new(false),
            ends_by_close: Cell::new(false),
            trailers: RefCell::default(),
            client: Cell::new(ClientSide::Open),
            probe: Cell::new(false),
            parking: Cell::new(Parking::Active),
            lingering_since: Cell::new(0),
            discarded: Cell::new(0),
            passed: Cell::new(None),
            decision: Cell::new(Decision::Keep),
            closing: Cell::new(Closing::Lingering),
            tunnel: RefCell::default(),
            streams: RefCell::default(),
            resets: Cell::new(None),
            accepted_on: OnceCell::new(),
            is_superseded: Cell::new(false),
            waker: RefCell::default(),
        }
    }

    fn now(&self) -> u64 {
        self.shared.now.get()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now());
        self.parking.set(Parking::Active);
        if self.shared.waiting_for_slot.get() > 0 && self.eviction_rank().is_some() {
            self.shared.evictable.notify_one();
        }
    }

    /// Counts a TLS handshake; `None` for one that failed.
    pub fn count_handshake(&self, kind: Option<HandshakeKind>) {
        let counters = &self.shared.counters;
        match kind {
            None => counters.tls_failures.inc(),
            Some(_) => counters.tls_handshakes.inc(),
        }
        if kind == Some(HandshakeKind::Resumed) {
            counters.tls_resumed.inc();
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol.get()
    }

    pub fn set_protocol(&self, protocol: Protocol) {
        self.protocol.set(protocol);
        if protocol == Protocol::Http2 {
            // After the preface, requests come as frames.
            self.enter(Phase::Idle);
        }
    }

    /// To be called once.
    pub fn is_accepted_on(&self, terms: AcceptedOn) {
        let _ = self.accepted_on.set(terms);
    }

    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }
}

/// The events that exchanges report: requests and their responses.
impl State {
    /// A request's head has been read. Returns its stream on HTTP/2.
    pub fn begin_exchange(&self) -> Option<Rc<Stream>> {
        self.in_flight.set(self.in_flight.get() + 1);
        self.shared.counters.in_flight.add(1);
        self.enter(Phase::Busy);
        self.begin_message();
        self.awaiting_content.set(None);
        if self.protocol.get() == Protocol::Http2 {
            let stream = Rc::new(Stream {
                began: self.now(),
                ..Stream::default()
            });
            self.streams.borrow_mut().push(stream.clone());
            return Some(stream);
        }
        self.unflushed.set(true);
        self.trailers.borrow_mut().clear();
        None
    }

    /// Ends the connection when its client resets more than `most` streams in a short time.
    pub fn limit_resets(&self, most: u32) {
        self.resets.set(Some(Resets::new(most, self.now())));
    }

    /// A response has ended as `end` says, or was never sent; `stream` on HTTP/2.
    pub fn end_exchange(&self, stream: Option<&Rc<Stream>>, end: StreamEnd) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.shared.counters.in_flight.sub(1);
        if let Some(stream) = stream {
            if let Some(mut resets) = self.resets.get() {
                let is_within_limit = resets.count(end, stream.began, self.now());
                self.resets.set(Some(resets));
                if !is_within_limit && self.decide(Decision::ResetFlood) {
                    self.shared.counters.reset_floods.inc();
                }
            }
            self.streams
                .borrow_mut()
                .retain(|other| !Rc::ptr_eq(other, stream));
        }
        self.become_idle_if_all_has_ended();
    }

    /// The response that is sent next is the connection's last; `tunnel` is joined with the connection after it.
    pub fn set_tunnel(&self, tunnel: Tunnel) {
        *self.tunnel.borrow_mut() = Some(Box::new(tunnel));
    }

    /// HTTP has ended on the connection. Returns what is joined with it now, if anything.
    pub fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        let tunnel = self.tunnel.take()?;
        self.enter(Phase::Tunnel);
        Some(tunnel)
    }

    /// A client has not taken the whole of a response.
    pub fn count_abort(&self) {
        self.shared.counters.aborted.inc();
    }

    /// The content of a response broke off. HTTP/2 resets the stream only.
    pub fn fail_content(&self) {
        if self.protocol.get() == Protocol::Http1 {
            self.closing.set(Closing::Reset);
        }
    }

    /// `task` answers the request that has begun last.
    pub fn set_stream_task(&self, task: AbortHandle) {
        if let Some(stream) = self.streams.borrow().last() {
            stream.task.borrow_mut().get_or_insert(task);
        }
    }
}

impl Stream {
    /// Notes whether the stream waits for the client's window (content has been handed to hyper), or for its own content.
    pub fn set_blocked(&self, state: &State, is_blocked: bool) {
        self.blocked.set(is_blocked.then(|| state.now()));
    }

    /// Whether the client has taken nothing of it within the write deadline.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }
}
