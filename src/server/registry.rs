//! The connections of one worker.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::deadline::{Deadlines, Overdue};
use super::state::{State, Verdict};
use crate::telemetry::counters::Counters;

/// All connections of a worker, in no order.
#[derive(Debug, Default)]
pub(super) struct Registry {
    states: RefCell<Vec<Rc<State>>>,
    emptied: Notify,
}

impl Registry {
    /// Keeps `state` until the membership is dropped.
    pub fn join(self: &Rc<Self>, state: Rc<State>) -> Membership {
        let mut states = self.states.borrow_mut();
        state.index.set(states.len());
        states.push(state.clone());
        Membership {
            registry: self.clone(),
            state,
        }
    }

    pub fn len(&self) -> usize {
        self.states.borrow().len()
    }

    /// Compares each connection with its deadlines, and counts those that have passed.
    pub fn look(&self, deadlines: &Deadlines, counters: &Counters) {
        for state in self.states.borrow().iter() {
            let Some(overdue) = state.look(deadlines) else {
                continue;
            };
            match overdue {
                Overdue::Head => counters.head_timeouts.inc(),
                Overdue::Content => counters.content_timeouts.inc(),
                Overdue::Write => counters.write_timeouts.inc(),
                Overdue::Idle => counters.idle_timeouts.inc(),
                Overdue::Tunnel => counters.tunnel_timeouts.inc(),
                // The client had all that it was to have.
                Overdue::Linger => {}
            }
        }
    }

    /// Lets each connection see that the worker drains.
    pub fn wake_all(&self) {
        for state in self.states.borrow().iter() {
            state.wake();
        }
    }

    /// Ends each connection, whatever it is doing.
    pub fn cut_all(&self) {
        for state in self.states.borrow().iter() {
            state.decide(Verdict::Cut);
        }
    }

    /// Closes the most dispensable connections, `count` at most: those that are about to end, then those that have said
    /// nothing yet, then those that have been idle for longest. Does nothing when all are busy.
    pub fn evict(&self, count: usize) {
        let states = self.states.borrow();
        let dispensable = |state: &Rc<State>| Some((state.dispensable()?, state.index.get()));
        let mut least: Vec<_> = states.iter().filter_map(dispensable).collect();
        if least.len() > count && count > 0 {
            least.select_nth_unstable(count - 1);
        }
        for (_, index) in least.into_iter().take(count) {
            states[index].decide(Verdict::Evicted);
        }
    }

    /// Done when no connection is left.
    pub async fn emptied(&self) {
        while self.len() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// A connection's place in its registry.
#[derive(Debug)]
pub(super) struct Membership {
    registry: Rc<Registry>,
    state: Rc<State>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut states = self.registry.states.borrow_mut();
        let index = self.state.index.get();
        states.swap_remove(index);
        if let Some(moved) = states.get(index) {
            moved.index.set(index);
        }
        if states.is_empty() {
            self.registry.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::beat::Beat;
    use crate::server::state::{Outcome, Protocol};

    fn connection(beat: &Rc<Beat>) -> Rc<State> {
        let state = State::new(beat.clone());
        state.speaks(Protocol::Http1);
        Rc::new(state)
    }

    #[test]
    fn members_leave_in_any_order() {
        let registry = Rc::<Registry>::default();
        let beat = Rc::<Beat>::default();
        let mut members: Vec<_> = (0..5).map(|_| registry.join(connection(&beat))).collect();
        for at in [1, 3, 0, 1, 0] {
            members.remove(at);
            assert_eq!(registry.len(), members.len());
            for member in &members {
                let states = registry.states.borrow();
                assert!(Rc::ptr_eq(&states[member.state.index.get()], &member.state));
            }
        }
    }

    #[test]
    fn one_that_lingers_leaves_first_then_the_longest_idle_and_a_busy_one_never() {
        let registry = Rc::<Registry>::default();
        let beat = Rc::<Beat>::default();
        let states: Vec<_> = (0..4).map(|_| connection(&beat)).collect();
        let _members: Vec<_> = states
            .iter()
            .map(|state| registry.join(state.clone()))
            .collect();
        for (at, state) in states.iter().enumerate() {
            beat.now.set(100 - at as u64);
            state.exchange_begins();
            if at > 0 {
                state.exchange_ends(None, Outcome::Ended);
            }
        }
        beat.now.set(200);
        states[1].lingers();
        for evicted in [1, 3, 2] {
            assert_eq!(states[evicted].verdict(), Verdict::Carry);
            registry.evict(1);
            assert_eq!(states[evicted].verdict(), Verdict::Evicted, "{evicted}");
        }
        registry.evict(1);
        assert_eq!(states[0].verdict(), Verdict::Carry);
    }

    #[test]
    fn one_that_says_nothing_leaves_before_one_that_was_of_use() {
        let beat = Rc::<Beat>::default();
        let registry = Rc::<Registry>::default();
        let fresh = Rc::new(State::new(beat.clone()));
        let begun = Rc::new(State::new(beat.clone()));
        begun.has_read(1);
        let idle = connection(&beat);
        idle.exchange_begins();
        idle.exchange_ends(None, Outcome::Ended);
        let all = [&fresh, &idle, &begun];
        let _members: Vec<_> = all
            .iter()
            .map(|state| registry.join(Rc::clone(state)))
            .collect();
        // (milliseconds, how many have left)
        for (now, left) in [(499, 1), (500, 3)] {
            for state in all {
                state.decide(Verdict::Carry);
            }
            beat.now.set(now);
            registry.evict(1);
            let first = if now < 500 { &idle } else { &fresh };
            assert_eq!(first.verdict(), Verdict::Evicted, "{now}");
            registry.evict(3);
            let gone = |state: &&&Rc<State>| state.verdict() == Verdict::Evicted;
            assert_eq!(all.iter().filter(gone).count(), left, "{now}");
        }
    }
}
