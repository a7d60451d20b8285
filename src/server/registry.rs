//! The states of one worker's connections, for what concerns all of them: deadlines, eviction, the drain.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::deadline::{Deadlines, Timeout};
use super::state::{Decision, State};
use crate::telemetry::counters::Counters;

/// The states of all connections of a worker, in no order.
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
    pub fn check_deadlines(&self, deadlines: &Deadlines, counters: &Counters) {
        for state in self.states.borrow().iter() {
            let Some(overdue) = state.check_deadlines(deadlines) else {
                continue;
            };
            match overdue {
                Timeout::Head => counters.head_timeouts.inc(),
                Timeout::Content => counters.content_timeouts.inc(),
                Timeout::Write => counters.write_timeouts.inc(),
                Timeout::Idle => counters.idle_timeouts.inc(),
                Timeout::Tunnel => counters.tunnel_timeouts.inc(),
                // The client has had its whole response.
                Timeout::Linger => {}
            }
        }
    }

    /// Ends the connections whose listener has other terms now.
    pub fn check_terms(&self) {
        for state in self.states.borrow().iter() {
            state.check_terms();
        }
    }

    /// Wakes the task of each connection, which sees that the worker drains.
    pub fn wake_all(&self) {
        for state in self.states.borrow().iter() {
            state.wake();
        }
    }

    /// Aborts each connection.
    pub fn cut_off_all(&self) {
        for state in self.states.borrow().iter() {
            state.decide(Decision::CutOff);
        }
    }

    /// Evicts `count` connections at most: those that are about to close, then those that have sent nothing yet, then those
    /// that have been idle for longest. Does nothing when all are busy.
    pub fn evict(&self, count: usize) {
        let states = self.states.borrow();
        let rank = |state: &Rc<State>| Some((state.eviction_rank()?, state.index.get()));
        let mut least: Vec<_> = states.iter().filter_map(rank).collect();
        if least.len() > count && count > 0 {
            least.select_nth_unstable(count - 1);
        }
        for (_, index) in least.into_iter().take(count) {
            states[index].decide(Decision::Evicted);
        }
    }

    /// Completes when no connection is left.
    pub async fn emptied(&self) {
        while self.len() > 0 {
            self.emptied.notified().await;
        }
    }
}

/// Keeps a connection in its registry until it is dropped.
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
    use crate::server::shared::WorkerShared;
    use crate::server::state::{Protocol, StreamEnd};

    fn connection(shared: &Rc<WorkerShared>) -> Rc<State> {
        let state = State::new(shared.clone());
        state.set_protocol(Protocol::Http1);
        Rc::new(state)
    }

    #[test]
    fn connections_end_in_any_order() {
        let registry = Rc::<Registry>::default();
        let shared = Rc::<WorkerShared>::default();
        let mut members: Vec<_> = (0..5).map(|_| registry.join(connection(&shared))).collect();
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
    fn a_lingering_connection_is_evicted_first_then_the_longest_idle_and_a_busy_one_never() {
        let registry = Rc::<Registry>::default();
        let shared = Rc::<WorkerShared>::default();
        let states: Vec<_> = (0..4).map(|_| connection(&shared)).collect();
        let _members: Vec<_> = states
            .iter()
            .map(|state| registry.join(state.clone()))
            .collect();
        for (at, state) in states.iter().enumerate() {
            shared.now.set(100 - at as u64);
            state.begin_exchange();
            if at > 0 {
                state.end_exchange(None, StreamEnd::Complete);
            }
        }
        shared.now.set(200);
        states[1].begin_lingering();
        for evicted in [1, 3, 2] {
            assert_eq!(states[evicted].decision(), Decision::Keep);
            registry.evict(1);
            assert_eq!(states[evicted].decision(), Decision::Evicted, "{evicted}");
        }
        registry.evict(1);
        assert_eq!(states[0].decision(), Decision::Keep);
    }

    #[test]
    fn a_connection_that_has_sent_nothing_is_evicted_before_one_that_was_of_use() {
        let shared = Rc::<WorkerShared>::default();
        let registry = Rc::<Registry>::default();
        let fresh = Rc::new(State::new(shared.clone()));
        let begun = Rc::new(State::new(shared.clone()));
        begun.on_read(1);
        let idle = connection(&shared);
        idle.begin_exchange();
        idle.end_exchange(None, StreamEnd::Complete);
        let all = [&fresh, &idle, &begun];
        let _members: Vec<_> = all
            .iter()
            .map(|state| registry.join(Rc::clone(state)))
            .collect();
        // (milliseconds, how many have been evicted)
        for (now, left) in [(499, 1), (500, 3)] {
            for state in all {
                state.decide(Decision::Keep);
            }
            shared.now.set(now);
            registry.evict(1);
            let first = if now < 500 { &idle } else { &fresh };
            assert_eq!(first.decision(), Decision::Evicted, "{now}");
            registry.evict(3);
            let gone = |state: &&&Rc<State>| state.decision() == Decision::Evicted;
            assert_eq!(all.iter().filter(gone).count(), left, "{now}");
        }
    }
}
