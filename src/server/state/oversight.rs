//! What the worker decides about a connection, and what the connection's task makes of it.

use std::task::Context;

use super::State;
use super::machines::{Ending, Protocol, Rest, Verdict};
use crate::server::deadline::{Deadlines, Overdue, Phase, Situation};

/// What the connection's task is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Orders {
    GoOn,
    /// Finish what has begun, take nothing new.
    WindDown,
    /// Drop everything.
    Stop,
}

/// What a connection is worth that nothing depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) enum Worth {
    Ending,
    Silent,
    Idle,
    Unclear,
}

/// How long a connection keeps its place against others that wait for one, without its first byte or the end of its
/// request's head: a client in earnest sends both as soon as it is connected.
const FIRST_WORDS: u64 = 500;

/// How often a connection with a request in flight is probed for a client that left.
const PROBE_EVERY: u64 = 1_000;

/// How long an HTTP/1 connection keeps its buffers while it is idle.
const WAKEFUL: u64 = 1_000;

impl State {
    /// Compares the connection with its deadlines. Returns the one that has passed since it was looked at before.
    pub fn look(&self, deadlines: &Deadlines) -> Option<Overdue> {
        let now = self.now();
        let situation = Situation {
            phase: self.phase.get(),
            since: self.since.get(),
            awaiting_content: self.awaiting_content.get(),
            write_blocked: self.write_blocked.get(),
        };
        let overdue = deadlines.overdue(&situation, now, self.is_draining());
        // Between two ticks what has come is read: where the process was stopped, the deadline may have passed meanwhile.
        let passed_before = self.passed.replace(overdue) == overdue;
        if let Some(overdue) = overdue {
            let is_new = passed_before && self.decide(Verdict::Overdue(overdue));
            return is_new.then_some(overdue);
        }
        let lasted = now.saturating_sub(situation.since);
        match (situation.phase, self.protocol.get()) {
            (Phase::Busy, Protocol::Http2) => return self.look_at_streams(deadlines),
            // A client that has its whole response waits for nothing.
            (Phase::Busy, _) if lasted >= PROBE_EVERY && self.in_flight.get() > 0 => {
                self.since.set(now);
                self.probe.set(true);
                self.wake();
            }
            (Phase::Idle, Protocol::Http1)
                if lasted >= WAKEFUL && self.rest.get() == Rest::Awake =>
            {
                self.rest.set(Rest::Drowsy);
                self.wake();
            }
            _ => {}
        }
        None
    }

    /// A client that gives a stream no window blocks no write of the connection.
    fn look_at_streams(&self, deadlines: &Deadlines) -> Option<Overdue> {
        let mut passed = None;
        for stream in self.streams.borrow().iter() {
            let situation = Situation {
                phase: Phase::Busy,
                since: 0,
                awaiting_content: None,
                write_blocked: stream.held.get(),
            };
            let overdue = deadlines.overdue(&situation, self.now(), false);
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

    /// Returns whether that is news.
    pub fn decide(&self, verdict: Verdict) -> bool {
        let is_new = self.verdict.get() != verdict && self.verdict.get() != Verdict::Cut;
        if is_new {
            self.verdict.set(verdict);
            self.wake();
        }
        is_new
    }

    pub fn verdict(&self) -> Verdict {
        self.verdict.get()
    }

    /// How dispensable the connection is, least value first; `None` when something depends on it. One whose last byte
    /// is sent goes first; one that has not said anything, although it has had time to, before one that may bring another
    /// request; and one that has not brought a whole head last.
    pub fn dispensable(&self) -> Option<(Worth, u64)> {
        let silent = self.now().saturating_sub(self.since.get());
        let worth = match (self.phase.get(), self.protocol.get()) {
            (Phase::Lingering, Protocol::Http1) => Worth::Ending,
            (Phase::Fresh, _) if silent >= FIRST_WORDS => Worth::Silent,
            (Phase::Idle, _) => Worth::Idle,
            (Phase::Head, _) if silent >= FIRST_WORDS => Worth::Unclear,
            _ => return None,
        };
        (self.verdict.get() == Verdict::Carry).then(|| (worth, self.since.get()))
    }

    /// Whether the connection gives up its buffers now; it does so once, and has them again with its next byte.
    pub fn falls_asleep(&self) -> bool {
        let falls = self.rest.get() == Rest::Drowsy
            && !self.unflushed.get()
            && self.orders() == Orders::GoOn;
        if falls {
            self.rest.set(Rest::Asleep);
        }
        falls
    }

    pub fn orders(&self) -> Orders {
        match self.verdict.get() {
            Verdict::Cut => return Orders::Stop,
            Verdict::Overdue(Overdue::Linger) if self.protocol.get() == Protocol::Http2 => {
                return Orders::Stop;
            }
            Verdict::Overdue(Overdue::Tunnel) => return Orders::Stop,
            // hyper would wait for the rest of it.
            Verdict::Evicted if self.phase.get() == Phase::Head => return Orders::Stop,
            Verdict::Overdue(Overdue::Idle) | Verdict::Evicted => return Orders::WindDown,
            Verdict::Overdue(_) | Verdict::Calm | Verdict::Carry => {}
        }
        match self.phase.get() {
            // A request that is under way is still answered.
            Phase::Fresh | Phase::Head => Orders::GoOn,
            // It has no end of its own that could be waited for: it goes on to the drain's deadline.
            Phase::Tunnel => Orders::GoOn,
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config;
    use crate::server::beat::Beat;

    #[test]
    fn a_deadline_that_has_passed_ends_a_connection_at_the_second_look() {
        let deadlines = Deadlines::new(&config::Server::default());
        // Whether the rest of the head came while the process was stopped.
        for has_come in [false, true] {
            let beat = Rc::<Beat>::default();
            let state = State::new(beat.clone());
            state.speaks(Protocol::Http1);
            state.has_read(1);
            beat.now.set(3_600_000);
            assert_eq!(state.look(&deadlines), None);
            if has_come {
                state.has_read(1);
                state.exchange_begins();
            }
            let expected = (!has_come).then_some(Overdue::Head);
            assert_eq!(state.look(&deadlines), expected);
        }
    }

    #[test]
    fn a_stream_whose_deadline_has_passed_is_cut_off_at_the_second_look() {
        let deadlines = Deadlines::new(&config::Server::default());
        for takes_some in [false, true] {
            let beat = Rc::<Beat>::default();
            let state = State::new(beat.clone());
            state.speaks(Protocol::Http2);
            let stream = state.exchange_begins().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let task = runtime.spawn(std::future::pending::<()>());
            state.adopts(task.abort_handle());
            stream.holds(&state, true);
            beat.now.set(3_600_000);
            assert_eq!(state.look(&deadlines), None);
            if takes_some {
                stream.holds(&state, true);
            }
            let expected = (!takes_some).then_some(Overdue::Write);
            assert_eq!(state.look(&deadlines), expected);
            assert_eq!(stream.is_cut_off(), !takes_some);
        }
    }
}
