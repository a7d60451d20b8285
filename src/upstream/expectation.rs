//! Content that its client holds back until it is asked for (RFC 9110 §10.1.1): the API is asked for the client, and the
//! client is told what the API says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long an API is waited for that says nothing: many know of no expectations (§10.1.1 asks for a limit).
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the content is asked for. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Expectation(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    said: Said,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Continue,
    /// A final response came first.
    Final,
}

impl Expectation {
    /// A `100 (Continue)` came from upstream.
    pub fn meet(&self) {
        let mut held = self.held();
        if held.said == Said::Nothing {
            held.said = Said::Continue;
        }
        if let Some(reader) = held.reader.take() {
            reader.wake();
        }
    }

    /// A final response came. Whether it left the content unasked for, which is then never sent.
    pub(super) fn end(&self) -> bool {
        let mut held = self.held();
        if held.said == Said::Nothing {
            held.said = Said::Final;
        }
        held.said == Said::Final
    }

    /// Ready when the content is asked for; never after a final response came instead.
    pub(super) fn poll_met(&self, cx: &Context<'_>) -> Poll<()> {
        let mut held = self.held();
        if held.said == Said::Continue {
            return Poll::Ready(());
        }
        held.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn held(&self) -> MutexGuard<'_, Held> {
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
