//! Variants: Vary, and whether a request selects the same one as another (RFC 9111 §4.1).

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::policy::VaryPolicy;

/// What a response's Vary nominates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// No field: every request matches.
    None,
    /// A member `*`, or something that is no field name: no request ever matches.
    Any,
    /// Sorted, each once.
    Fields(SmallVec<[HeaderName; 4]>),
}

impl Vary {
    pub fn parse(_response: &HeaderMap) -> Self {
        Self::None
    }
}

/// The selecting fields of the request that a response was stored for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariantKey {
    any: bool,
    fields: Box<[Selecting]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Selecting {
    name: HeaderName,
    value: Option<Box<[u8]>>,
}

impl VariantKey {
    pub fn of(_vary: &Vary, _request: &HeaderMap, _policy: &VaryPolicy) -> Self {
        Self {
            any: false,
            fields: Box::default(),
        }
    }

    /// Whether `request` selects this variant.
    pub fn matches(&self, _request: &HeaderMap, _policy: &VaryPolicy) -> bool {
        let _ = (&self.any, &self.fields);
        self.fields
            .iter()
            .all(|field| field.value.is_none() && !_request.contains_key(&field.name))
    }

    /// The memory it holds, in octets.
    pub fn weight(&self) -> usize {
        0
    }
}

/// A request field as a route forwards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reduced {
    /// As the client sent it.
    AsIs,
    /// Replaced by this.
    To(HeaderValue),
    /// Not at all.
    Absent,
}

/// What the route's lists make of Accept-Language or Accept-Encoding before it is keyed and forwarded.
pub fn reduce(_name: &HeaderName, _request: &HeaderMap, _policy: &VaryPolicy) -> Reduced {
    Reduced::AsIs
}

/// Which of several variants that all match is the best one for the request (RFC 9111 §4.1): by the client's
/// preference, then the most recent Date (milliseconds since the Unix epoch, or the receipt's time without one).
pub fn prefer<'a>(
    _request: &HeaderMap,
    _matching: impl Iterator<Item = (&'a HeaderMap, super::time::Timestamp)>,
) -> Option<usize> {
    None
}
