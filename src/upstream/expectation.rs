//! Requests with `Expect: 100-continue` (RFC 9110 §10.1.1): the expectation goes to the API, and its answer to the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long to wait for an API that does not answer: many ignore expectations (§10.1.1 asks for a limit).
pub(super) const MAX_WAIT: Duration = Duration::from_secs(1);

/// Whether the API wants the content. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Expectation(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    answer: Answer,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answer {
    #[default]
    None,
    Continue,
    /// A final response came first.
    Final,
}

impl Expectation {
    /// A `100 (Continue)` came from upstream.
    pub fn meet(&self) {
        let mut state = self.lock();
        if state.answer == Answer::None {
            state.answer = Answer::Continue;
        }
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    /// A final response came. Returns whether it came instead of a 100 (Continue): the content is then never sent.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        if state.answer == Answer::None {
            state.answer = Answer::Final;
        }
        state.answer == Answer::Final
    }

    /// Ready when the content is wanted; never after a final response came instead.
    pub(super) fn poll_met(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.answer == Answer::Continue {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_decides() {
        let cx = Context::from_waker(Waker::noop());
        let asked = Expectation::default();
        assert!(asked.poll_met(&cx).is_pending());
        asked.clone().meet();
        assert!(asked.poll_met(&cx).is_ready());
        assert!(!asked.end(), "the content is on its way");

        let refused = Expectation::default();
        assert!(refused.end());
        refused.meet();
        assert!(refused.poll_met(&cx).is_pending());
    }
}
