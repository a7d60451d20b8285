//! The span of each attempt of a request that is recorded: the API is told by `traceparent` that what it does belongs to it.

use super::request::PendingRequest;
use crate::clock::Clock;
use crate::semantics::trace_context::{TRACEPARENT, TRACESTATE};
use crate::telemetry::traces::http::HTTP_RESEND_COUNT;
use crate::telemetry::traces::method_token;
use crate::upstream::attempt_span::AttemptSpan;
use crate::upstream::server::Server;

impl PendingRequest<'_> {
    /// Begins that of the attempt which begins.
    pub(super) fn begin_span(&mut self, clock: &Clock) -> AttemptSpan {
        let (Some(parent), Some(request)) = (&self.trace, &mut self.request) else {
            return AttemptSpan::none();
        };
        let name = method_token(request.method()).unwrap_or("HTTP");
        let mut span = parent.begin_attempt(name, clock.now().mono);
        span.set_method(request.method());
        if self.resent > 0 {
            span.set(HTTP_RESEND_COUNT, i64::from(self.resent));
        }
        self.resent = self.resent.saturating_add(1);
        let fields = request.headers_mut();
        if let Some(value) = span.context().and_then(|context| context.to_value()) {
            fields.insert(TRACEPARENT, value);
        }
        if parent.begins_trace {
            // §3.3.1.2 of the Recommendation: it was that of another trace.
            fields.remove(TRACESTATE);
        }
        AttemptSpan::of(span)
    }

    /// Which server the attempt goes to, which may become another while it waits.
    pub(super) fn name_server(&self, span: &mut AttemptSpan, server: &Server) {
        if let Some(request) = &self.request {
            span.asks(server, request.uri());
        }
    }
}
