//! A gate that threads wait at until the test opens it.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::PATIENCE;

/// Closed at first; once open it stays open. All clones are one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
struct State {
    open: bool,
    arrived: usize,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.change(|state| state.open = true);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        let (state, _) = &*self.0;
        state.lock().unwrap_or_else(PoisonError::into_inner).open
    }

    /// Waits until the gate is open. Panics when nobody opens it in time.
    pub fn pass(&self) {
        self.change(|state| state.arrived += 1);
        self.wait("the gate was never opened", |state| state.open);
    }

    /// Waits until `n` threads have come to the gate.
    pub fn await_arrivals(&self, n: usize) {
        self.wait("too few came to the gate", |state| state.arrived >= n);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (state, changed) = &*self.0;
        change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
        changed.notify_all();
    }

    fn wait(&self, otherwise: &str, until: impl Fn(&State) -> bool) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = changed
            .wait_timeout_while(state, PATIENCE, |state| !until(state))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(until(&state), "{otherwise}");
    }
}
