//! Traces: spans of the requests that are recorded, for a collector of OpenTelemetry's.
//!
//! ```text
//!  request ──> recorded? ─┬─ no ──> nothing else is done
//!                         └─ yes ─> OpenSpan ── ends ──> queue ──> thread: batches ──> collector
//! ```
//!
//! A span that finds the queue full is dropped and counted: no request waits for the collector. What exports them is built in
//! with the feature `otlp` alone; without it nothing is recorded.

pub mod http;
mod ids;
#[cfg(feature = "otlp")]
pub mod otlp;
mod recorder;
mod sampler;
mod span;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;

pub use self::http::method_token;
pub use self::recorder::{OpenSpan, Recorder, SpanCounters};
pub use self::span::{Instance, Kind, Origin, Span, Value};
use crate::clock::{Clock, Monotonic};
use crate::config;
use crate::config::traces::Export;
use crate::error::Error;
use crate::semantics::trace_context::{Received, SpanContext};

/// Which requests are recorded, and by whom.
#[derive(Clone, Debug)]
pub struct Traces {
    sampling: config::traces::Sampling,
    export: Export,
    recorder: Recorder,
}

/// The span that those of its attempts, and of what follows from it, belong to.
#[derive(Debug)]
pub struct Parent {
    recorder: Recorder,
    pub context: SpanContext,
    /// Its trace is not one of the client's, whose `tracestate` is of no use then.
    pub begins_trace: bool,
}

impl Traces {
    /// `None` where they are off. Those of `before` go on where the collector is the same.
    ///
    /// # Errors
    /// When the thread cannot be started, or the certificates cannot be used.
    pub fn new(
        config: Option<&config::Traces>,
        instance: Instance<'_>,
        counters: &Arc<SpanCounters>,
        clock: &Clock,
        before: Option<&Self>,
    ) -> Result<Option<Self>, Error> {
        let Some(config) = config.filter(|_| config::traces::BUILT_IN) else {
            return Ok(None);
        };
        let name = config.export.service.as_deref().unwrap_or(instance.name);
        let export = Export {
            service: Some(name.to_owned()),
            ..config.export.clone()
        };
        let recorder = match before.filter(|before| before.export == export) {
            Some(before) => before.recorder.clone(),
            None => start(&export, instance, counters, clock)?,
        };
        Ok(Some(Self {
            sampling: config.sampling,
            export,
            recorder,
        }))
    }

    /// The span of a request that came at this time, if it is recorded. `is_traced`: it has a `traceparent`. `left` is the worker's
    /// count of those that are not recorded.
    pub fn begin(
        &self,
        fields: &HeaderMap,
        is_traced: bool,
        left: &Cell<u64>,
        name: impl FnOnce() -> Box<str>,
        at: Monotonic,
    ) -> Option<(Rc<Parent>, OpenSpan)> {
        let received = match is_traced {
            true => Received::of(fields),
            false => Received::Nothing,
        };
        let is_recorded = match received {
            Received::Context(context) if self.sampling.respect_parent => context.is_sampled(),
            _ => sampler::takes(self.sampling.share, left),
        };
        if !is_recorded {
            return None;
        }
        let from = match received {
            Received::Context(context) => Origin::remote(context, fields),
            Received::Nothing | Received::Invalid => Origin::Root,
        };
        let begins_trace = matches!(from, Origin::Root);
        let span = self.recorder.begin(Kind::Server, name(), from, at);
        let parent = Parent::of(&span, begins_trace)?;
        Some((Rc::new(parent), span))
    }

    /// Sends what waits, for no longer than this, and takes no more spans.
    pub fn finish(&self, longest: Duration) {
        self.recorder.finish(longest);
    }
}

/// For what is sent on without being recorded, in the place of what cannot be read (§2.3, §4.3 of the Recommendation).
pub fn unrecorded() -> SpanContext {
    SpanContext::root(ids::trace(), ids::span(), false)
}

impl Parent {
    fn of(span: &OpenSpan, begins_trace: bool) -> Option<Self> {
        Some(Self {
            recorder: span.recorder().clone(),
            context: span.context()?,
            begins_trace,
        })
    }

    /// A span of a request to an API.
    pub fn begin_attempt(&self, method: &'static str, at: Monotonic) -> OpenSpan {
        let from = Origin::Local(self.context);
        self.recorder.begin(Kind::Client, method, from, at)
    }

    /// A span of work that goes on behind a client's back: a trace of its own, which names this one.
    pub fn begin_behind(&self, name: &str, at: Monotonic) -> Option<(Rc<Self>, OpenSpan)> {
        let mut span = (self.recorder).begin(Kind::Internal, name, Origin::Root, at);
        span.link(self.context);
        let parent = Self::of(&span, true)?;
        Some((Rc::new(parent), span))
    }
}

#[cfg(feature = "otlp")]
fn start(
    export: &Export,
    instance: Instance<'_>,
    counters: &Arc<SpanCounters>,
    clock: &Clock,
) -> Result<Recorder, Error> {
    otlp::start(export, instance, counters, clock)
}

#[cfg(not(feature = "otlp"))]
fn start(_: &Export, _: Instance<'_>, _: &Arc<SpanCounters>, _: &Clock) -> Result<Recorder, Error> {
    Err(Error::internal().detail("this program was built without traces"))
}
