//! The worker's decisions about a connection, and the next action of the connection's task.

use std::task::Context;

use super::State;
use super::machines::{Closing, Decision, Parking, Protocol};
use crate::server::deadline::{Deadlines, Phase, Timeout, Timing};
use crate::server::terms::AcceptedOn;

/// The next action of the connection's task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Action {
    Continue,
    /// Finish what has begun, take no further request.
    CloseGracefully,
    /// Drop everything.
    Stop,
}

/// Kinds of evictable connections; those that come first are evicted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum EvictionRank {
    /// Its last byte is sent.
    Closing,
    /// It has had time for its first byte, and has sent none.
    Silent,
    /// It is between two requests.
    Idle,
    /// It has had time for a request's head, and has not sent all of it.
    SlowHead,
}

/// Milliseconds for which a connection without its first byte, or without the end of its request's head, is not evictable:
/// a usual client sends both as soon as it is connected.
const FIRST_BYTE_GRACE: u64 = 500;

/// Milliseconds between two probes for a client that left while its request is in flight.
const PROBE_EVERY: u64 = 1_000;

/// Milliseconds for which an idle HTTP/1 connection stays open after a handover. Its client may be about to send a request,
/// which would cross our close on its way and fail; the response to it says that the connection closes.
const IDLE_AFTER_HANDOVER: u64 = 5_000;

/// Milliseconds for which an idle HTTP/1 connection keeps hyper's buffers.
const PARK_AFTER: u64 = 1_000;

impl State {
    /// Compares the connection with its deadlines. Returns the one that ends it, when it is the first tick that says so.
    pub fn check_deadlines(&self, deadlines: &Deadlines) -> Option<Timeout> {
        let now = self.now();
        let timing = Timing {
            phase: self.phase.get(),
            since: self.since.get(),
            awaiting_content: self.awaiting_content.get(),
            write_blocked: self.write_blocked.get(),
        };
        let overdue = deadlines.overdue(&timing, now, self.is_draining());
        // The process may have been stopped while the deadline passed: what came meanwhile is read before the next tick.
        let passed_before = self.passed.replace(overdue) == overdue;
        if let Some(overdue) = overdue {
            let is_new = passed_before && self.decide(Decision::TimedOut(overdue));
            return is_new.then_some(overdue);
        }
        let lasted = now.saturating_sub(timing.since);
        match (timing.phase, self.protocol.get()) {
            (Phase::Busy, Protocol::Http2) => return self.check_streams(deadlines),
            // A client that has its whole response is not probed.
            (Phase::Busy, _) if lasted >= PROBE_EVERY && self.in_flight.get() > 0 => {
                self.since.set(now);
                self.probe.set(true);
                self.wake();
            }
            (Phase::Idle, Protocol::Http1)
                if self.is_superseded.get() && lasted >= IDLE_AFTER_HANDOVER =>
            {
                self.wake();
            }
            (Phase::Idle, Protocol::Http1)
                if lasted >= PARK_AFTER && self.parking.get() == Parking::Active =>
            {
                self.parking.set(Parking::Idle);
                self.wake();
            }
            _ => {}
        }
        None
    }

    /// Compares streams with the write deadline: a client that gives a stream no window blocks no write of the connection.
    fn check_streams(&self, deadlines: &Deadlines) -> Option<Timeout> {
        let mut passed = None;
        for stream in self.streams.borrow().iter() {
            let timing = Timing {
                phase: Phase::Busy,
                since: 0,
                awaiting_content: None,
                write_blocked: stream.blocked.get(),
            };
            let overdue = deadlines.overdue(&timing, self.now(), false);
            let passed_before = stream.passed.replace(overdue.is_some());
            if overdue.is_some()
                && passed_before
                && let Some(task) = &*stream.task.borrow()
            {
                stream.cut_off.set(true);
                task.abort();
                passed = overdue;
            }
        }
        passed
    }

    /// Returns whether this changes the decision.
    pub fn decide(&self, decision: Decision) -> bool {
        let is_new = self.decision.get() != decision && self.decision.get() != Decision::CutOff;
        if is_new {
            self.decision.set(decision);
            self.wake();
        }
        is_new
    }

    pub fn decision(&self) -> Decision {
        self.decision.get()
    }

    /// How evictable the connection is, and since when; connections with the least rank are evicted first. `None` when it
    /// is not evictable: a request depends on it, or it has had no time for one.
    pub fn eviction_rank(&self) -> Option<(EvictionRank, u64)> {
        let silent = self.now().saturating_sub(self.since.get());
        let rank = match (self.phase.get(), self.protocol.get()) {
            (Phase::Lingering, Protocol::Http1) => EvictionRank::Closing,
            (Phase::Accepted, _) if silent >= FIRST_BYTE_GRACE => EvictionRank::Silent,
            (Phase::Idle, _) => EvictionRank::Idle,
            (Phase::Head, _) if silent >= FIRST_BYTE_GRACE => EvictionRank::SlowHead,
            _ => return None,
        };
        (self.decision.get() == Decision::Keep).then(|| (rank, self.since.get()))
    }

    /// Ends the connection behind its requests in flight, if it was accepted on terms that are over.
    pub fn check_terms(&self) {
        if self.accepted_on.get().is_some_and(AcceptedOn::are_over) {
            self.is_superseded.set(true);
            self.wake();
        }
    }

    /// Whether the connection is parked now: it gives up its buffers until its next byte.
    pub fn park_if_idle(&self) -> bool {
        let parks = self.parking.get() == Parking::Idle
            && !self.unflushed.get()
            && self.action() == Action::Continue;
        if parks {
            self.parking.set(Parking::Parked);
        }
        parks
    }

    /// The action that follows from the decision and the drain.
    pub fn action(&self) -> Action {
        match self.decision.get() {
            Decision::CutOff => return Action::Stop,
            Decision::TimedOut(Timeout::Linger) if self.protocol.get() == Protocol::Http2 => {
                return Action::Stop;
            }
            Decision::TimedOut(Timeout::Tunnel) => return Action::Stop,
            // hyper would wait for the rest of the head.
            Decision::Evicted if self.phase.get() == Phase::Head => return Action::Stop,
            Decision::TimedOut(Timeout::Idle) | Decision::Evicted => {
                return Action::CloseGracefully;
            }
            Decision::TimedOut(_) | Decision::ResetFlood | Decision::Keep => {}
        }
        match self.phase.get() {
            // The request whose head has begun is still answered.
            Phase::Accepted | Phase::Head => Action::Continue,
            // A tunnel has no end that a drain could wait for: it lasts until the drain deadline.
            Phase::Tunnel => Action::Continue,
            Phase::Idle if self.may_still_ask() => Action::Continue,
            _ if self.is_draining() || self.is_superseded.get() => Action::CloseGracefully,
            _ => Action::Continue,
        }
    }

    /// Whether a connection that has become idle waits for a last request, although the worker drains or the terms are over.
    /// On HTTP/2, GOAWAY tells the client which requests are not answered.
    fn may_still_ask(&self) -> bool {
        let has_time = match self.is_draining() {
            true => self.shared.is_handed_over(),
            false => self.is_superseded.get(),
        };
        has_time
            && self.protocol.get() == Protocol::Http1
            && self.now().saturating_sub(self.since.get()) < IDLE_AFTER_HANDOVER
    }

    /// hyper has been told that the connection takes no further request.
    pub fn begin_graceful_close(&self) {
        if self.phase.get() == Phase::Idle {
            match self.protocol.get() {
                Protocol::Http2 => self.begin_lingering(),
                _ => self.closing.set(Closing::Immediate),
            }
        }
    }

    /// Keeps the waker of the connection's task, which [`State::wake`] wakes.
    pub fn register_waker(&self, cx: &Context<'_>) {
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config;
    use crate::server::shared::WorkerShared;

    #[test]
    fn a_deadline_that_has_passed_ends_a_connection_at_the_second_look() {
        let deadlines = Deadlines::new(&config::Server::default());
        // Whether the rest of the head came while the process was stopped.
        for has_come in [false, true] {
            let shared = Rc::<WorkerShared>::default();
            let state = State::new(shared.clone());
            state.set_protocol(Protocol::Http1);
            state.on_read(1);
            shared.now.set(3_600_000);
            assert_eq!(state.check_deadlines(&deadlines), None);
            if has_come {
                state.on_read(1);
                state.begin_exchange();
            }
            let expected = (!has_come).then_some(Timeout::Head);
            assert_eq!(state.check_deadlines(&deadlines), expected);
        }
    }

    #[test]
    fn a_stream_whose_deadline_has_passed_is_cut_off_at_the_second_look() {
        let deadlines = Deadlines::new(&config::Server::default());
        for takes_some in [false, true] {
            let shared = Rc::<WorkerShared>::default();
            let state = State::new(shared.clone());
            state.set_protocol(Protocol::Http2);
            let stream = state.begin_exchange().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let task = runtime.spawn(std::future::pending::<()>());
            state.set_stream_task(task.abort_handle());
            stream.set_blocked(&state, true);
            shared.now.set(3_600_000);
            assert_eq!(state.check_deadlines(&deadlines), None);
            if takes_some {
                stream.set_blocked(&state, true);
            }
            let expected = (!takes_some).then_some(Timeout::Write);
            assert_eq!(state.check_deadlines(&deadlines), expected);
            assert_eq!(stream.is_cut_off(), !takes_some);
        }
    }
}
