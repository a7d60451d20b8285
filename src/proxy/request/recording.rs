//! What is recorded of a request.

use std::cell::RefCell;
use std::rc::Rc;

use crate::semantics::trace_context::SpanContext;
use crate::telemetry::traces::{OpenSpan, Parent};

/// The span of a request, and what those of its attempts belong to.
#[derive(Debug)]
pub struct Recording {
    pub parent: Rc<Parent>,
    /// Until there is a response, which has it then; `None` for the gateway's own requests.
    span: RefCell<Option<OpenSpan>>,
}

impl Recording {
    pub fn new(parent: Rc<Parent>, span: Option<OpenSpan>) -> Self {
        Self {
            parent,
            span: RefCell::new(span),
        }
    }

    /// Its span, for who ends it.
    pub fn take_span(&self) -> Option<OpenSpan> {
        self.span.take()
    }

    /// The request was answered by what that span is about.
    pub fn link(&self, other: SpanContext) {
        if let Some(span) = &mut *self.span.borrow_mut() {
            span.link(other);
        }
    }
}
