//! Who takes spans when they end, and spans that have not ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;

use super::ids;
use super::span::{Kind, Origin, Span, Value, cut};
use crate::clock::{Clock, Monotonic};
use crate::semantics::trace_context::SpanContext;

/// Links of one span that are recorded.
const MAX_LINKS: usize = 8;

/// What became of spans.
#[derive(Debug, Default)]
pub struct SpanCounters {
    /// The collector has taken them.
    pub exported: AtomicU64,
    /// The queue was full.
    pub dropped: AtomicU64,
    /// The collector has not taken them: it refused them, or was not there for too long, or at the end.
    pub failed: AtomicU64,
}

/// Takes spans when they end. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Sender<Box<Span>>,
    counters: Arc<SpanCounters>,
    clock: Clock,
    /// Tells the thread to bring it to an end.
    closing: watch::Sender<bool>,
    /// Closed when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
}

/// A span that has begun. When this is dropped it ends, and is queued to be exported.
#[derive(Debug)]
pub struct OpenSpan {
    /// Always there before the drop.
    span: Option<Box<Span>>,
    recorder: Recorder,
}

impl Recorder {
    /// `closing` tells the thread to bring it to an end, and `ended` is closed when it has.
    #[cfg(feature = "otlp")]
    pub(super) fn new(
        queue: Sender<Box<Span>>,
        counters: Arc<SpanCounters>,
        clock: Clock,
        closing: watch::Sender<bool>,
        ended: mpsc::Receiver<()>,
    ) -> Self {
        Self(Arc::new(Shared {
            queue,
            counters,
            clock,
            closing,
            ended: Mutex::new(ended),
        }))
    }

    /// Begins a span at this time.
    pub fn begin(
        &self,
        kind: Kind,
        name: impl Into<Box<str>>,
        from: Origin,
        at: Monotonic,
    ) -> OpenSpan {
        let id = ids::span();
        let (context, parent, is_parent_remote, trace_state) = match from {
            Origin::Root => {
                let context = SpanContext::root(ids::trace(), id, true);
                (context, None, false, None)
            }
            Origin::Remote(parent, state) => (parent.child(id), Some(parent.span), true, state),
            Origin::Local(parent) => (parent.child(id), Some(parent.span), false, None),
        };
        let span = Span {
            context,
            parent,
            is_parent_remote,
            trace_state,
            kind,
            name: name.into(),
            began: at,
            ended: at,
            attributes: Vec::with_capacity(16),
            links: SmallVec::new(),
            failure: None,
        };
        OpenSpan {
            span: Some(Box::new(span)),
            recorder: self.clone(),
        }
    }

    /// Has what waits sent, for no longer than this, and takes no more.
    pub(super) fn finish(&self, longest: Duration) {
        self.0.closing.send_replace(true);
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: it is closed, or late.
        let _ = ended.recv_timeout(longest);
    }
}

impl OpenSpan {
    /// How others name it.
    pub fn context(&self) -> Option<SpanContext> {
        self.span.as_ref().map(|span| span.context)
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Nothing came of it, and it is not recorded.
    pub fn discard(mut self) {
        self.span = None;
    }

    /// Says something of it; a text is cut where it is too long.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            let value = value.into();
            match span.attributes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => span.attributes.push((name, value)),
            }
        }
    }

    /// It has to do with this one, which is none of its ancestors.
    pub fn link(&mut self, other: SpanContext) {
        if let Some(span) = &mut self.span
            && span.links.len() < MAX_LINKS
            && !span.links.contains(&other)
        {
            span.links.push(other);
        }
    }

    /// It failed in this way. `words`: what the attributes do not say.
    pub fn fail(&mut self, error: impl Into<Value>, words: Option<&str>) {
        self.set("error.type", error);
        if let Some(span) = &mut self.span {
            span.failure = Some(words.map(|words| cut(words).into()));
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            let shared = &self.recorder.0;
            span.ended = shared.clock.now().mono;
            if shared.queue.try_send(span).is_err() {
                shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
