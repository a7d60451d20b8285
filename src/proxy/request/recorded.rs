//! Which requests are recorded in a trace, and by which spans.

use std::rc::Rc;

use super::recording::Recording;
use super::{Request, Traits};
use crate::config::traces::BUILT_IN;
use crate::semantics::trace_context::SpanContext;
use crate::telemetry::traces::{OpenSpan, Parent, method_token};

impl Request {
    /// Records it, where the settings or its client want that.
    pub fn record(&mut self) {
        let Some(traces) = self.epoch.settings.traces.as_ref() else {
            return;
        };
        let is_traced = self.traits.any(Traits::TRACED);
        let (left, at) = (&self.epoch.unrecorded, self.began.mono);
        let name = || self.span_name();
        let begun = traces.begin(&self.parts.headers, is_traced, left, name, at);
        let recording = |(parent, span)| Box::new(Recording::new(parent, Some(span)));
        self.recording = begun.map(recording);
    }

    /// What is recorded of it.
    pub fn recording(&self) -> Option<&Recording> {
        match BUILT_IN {
            true => self.recording.as_deref(),
            false => None,
        }
    }

    /// What the spans of its attempts belong to.
    pub fn parent(&self) -> Option<Rc<Parent>> {
        self.recording().map(|recording| recording.parent.clone())
    }

    /// How its span is named by others.
    pub fn span_context(&self) -> Option<SpanContext> {
        self.recording().map(|recording| recording.parent.context)
    }

    /// Its span, for who ends it.
    pub fn take_span(&self) -> Option<OpenSpan> {
        self.recording()?.take_span()
    }

    /// It was answered by what that span is about.
    pub fn link(&self, other: Option<SpanContext>) {
        if let (Some(recording), Some(other)) = (self.recording(), other) {
            recording.link(other);
        }
    }

    /// Has a request of the gateway's own, which nobody waits for, recorded where `self`, which it was made for, is. Returns its span.
    pub fn record_behind(&mut self) -> Option<OpenSpan> {
        let recording = self.recording.take()?;
        let name = format!("refresh {}", self.span_name());
        let (parent, span) = recording.parent.begin_behind(&name, self.now.mono)?;
        self.recording = Some(Box::new(Recording::new(parent, None)));
        Some(span)
    }

    /// What a request of the gateway's own, on behalf of this one, is recorded by.
    pub(super) fn recording_of_another(&self) -> Option<Box<Recording>> {
        Some(Box::new(Recording::new(self.parent()?, None)))
    }

    /// Semantic conventions, "HTTP server span": the method, and the route where there is one.
    fn span_name(&self) -> Box<str> {
        let method = method_token(self.method()).unwrap_or("HTTP");
        match self.route_template() {
            Some(route) => format!("{method} {route}").into(),
            None => method.into(),
        }
    }

    /// The path of its route, with what stands for parts of it.
    pub fn route_template(&self) -> Option<&str> {
        let route = self.strict_route();
        (!route.name.is_empty()).then_some(&*route.pattern)
    }
}
