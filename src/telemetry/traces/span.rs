//! A span: what is recorded of one request, of one attempt to send it to an API, or of a refresh.

use http::HeaderMap;
use smallvec::SmallVec;

use crate::clock::Monotonic;
use crate::semantics::trace_context::{SpanContext, SpanId, TRACESTATE};

/// Octets of a text that are recorded.
const LONGEST: usize = 1_024;

/// Who is to be named as the resource of all spans.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    pub name: &'a str,
    /// Tells this process from others of the same name.
    pub process: u64,
}

/// What a span is about (OpenTelemetry, "SpanKind").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request of a client's.
    Server,
    /// A request to an API.
    Client,
    /// Work that nobody waits for.
    Internal,
}

/// What a span is part of.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It begins a trace.
    Root,
    /// The span of another process, by which a request was sent, and its `tracestate`.
    Remote(SpanContext, Option<Box<str>>),
    /// A span of this process.
    Local(SpanContext),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(Box<str>),
    Word(&'static str),
    Number(i64),
}

/// A span, as it is exported.
#[derive(Debug)]
pub struct Span {
    pub context: SpanContext,
    pub parent: Option<SpanId>,
    /// Whether `parent` is another process's.
    pub is_parent_remote: bool,
    pub trace_state: Option<Box<str>>,
    pub kind: Kind,
    pub name: Box<str>,
    pub began: Monotonic,
    pub ended: Monotonic,
    pub attributes: Vec<(&'static str, Value)>,
    pub links: SmallVec<[SpanContext; 1]>,
    /// It failed; what else is to be said of that than the attributes say.
    pub failure: Option<Option<Box<str>>>,
}

impl Origin {
    /// The span that sent a request with these fields.
    pub fn remote(context: SpanContext, fields: &HeaderMap) -> Self {
        let lines = fields.get_all(TRACESTATE).iter();
        let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
        let state = lines.join(",");
        // §3.3.1.5 of the Recommendation: what is longer may be cut, between members; here it is only not recorded.
        let is_kept = !state.is_empty() && state.len() <= LONGEST;
        Self::Remote(context, is_kept.then(|| state.into()))
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Value {
    /// A text of somebody else's.
    pub fn text(text: &str) -> Self {
        Self::Text(cut(text).into())
    }

    /// What may be anything, such as the value of a field.
    pub fn octets(octets: &[u8]) -> Self {
        let end = octets.len().min(LONGEST);
        Self::text(&String::from_utf8_lossy(&octets[..end]))
    }

    /// A count of octets, or the like.
    pub fn count(count: u64) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
