//! A stored response, and the head that a fill and its readers share while the body is still coming. All that a
//! look-up asks is worked out once, when the head arrives.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::body::StoredBody;
use super::budget::Token;
use super::key::Key;
use super::partial::Parts;
use crate::clock::{Monotonic, Now};
use crate::error::Error;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::policy::Policy;
use crate::semantics::storability::NoStoreReason;
use crate::semantics::validation::Validators;
use crate::semantics::vary::VariantKey;

/// A digest of the content of a QUERY and of the fields that describe it.
pub type ContentDigest = [u8; 32];

/// The head of a response that may be stored.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    /// The end-to-end fields that may be stored, in memory of their own; without Age.
    pub headers: HeaderMap,
    /// As clients see them; they may be the gateway's own.
    pub validators: Validators,
    /// As the origin sent them; the only ones that go upstream.
    pub origin_validators: Validators,
    pub freshness: Freshness,
    /// When the head arrived.
    pub received: Now,
    pub variant: VariantKey,
    /// The QUERY this answers; `None` for GET.
    pub digest: Option<ContentDigest>,
    /// Its cache groups (RFC 9875).
    pub groups: Box<[Box<str>]>,
    /// Which parts of the query do not matter (No-Vary-Search).
    pub search: Option<Box<SearchVariance>>,
    /// Bytes of content, where the response declared them.
    pub content_length: Option<u64>,
    /// The Age with which it, or the 304 that freshened it, came: it had been stored before.
    pub age: Option<HeaderValue>,
    pub receipt: Receipt,
    /// Whether the request that it answered carried credentials.
    pub credentialed: bool,
    /// The version of the settings it was reckoned under.
    pub epoch: u64,
}

impl Head {
    /// The same head in memory of its own: what lies in the message that it came with, a read buffer of many kilobytes,
    /// is not kept for the sake of a few octets.
    pub fn detached(mut self) -> Self {
        pack_fields(&mut self.headers);
        self.validators = Validators::of(&self.headers);
        self.origin_validators = if self.origin_validators == self.validators {
            self.validators.clone()
        } else {
            self.origin_validators.detached()
        };
        self.age = self
            .age
            .and_then(|age| HeaderValue::from_bytes(age.as_bytes()).ok());
        self
    }

    /// How long it has been here.
    pub fn resident(&self, now: Now) -> Duration {
        now.mono.since(self.received.mono)
    }

    /// The same head under an entity tag of the gateway's own.
    pub fn with_etag(&self, tag: HeaderValue) -> Self {
        let mut headers = self.headers.clone();
        headers.insert(http::header::ETAG, tag);
        Self {
            validators: Validators::of(&headers),
            headers,
            ..self.copy()
        }
    }

    /// The same head with the fields and the freshness that an update gave it.
    pub fn freshened(
        &self,
        mut headers: HeaderMap,
        freshness: Freshness,
        receipt: Receipt,
        received: Now,
    ) -> Self {
        let age = headers.remove(http::header::AGE);
        Self {
            headers,
            freshness,
            age,
            receipt,
            received,
            ..self.copy()
        }
        .detached()
    }

    /// The same head as `policy` has it, which came into force with the settings of version `epoch`.
    pub fn reckoned_anew(&self, policy: &Policy, epoch: u64) -> Self {
        let mut headers = self.headers.clone();
        if let Some(age) = &self.age {
            headers.insert(http::header::AGE, age.clone());
        }
        let directives = ResponseDirectives::parse(&headers, &policy.targeted_fields);
        let (status, receipt) = (self.status, self.receipt);
        let credentialed = self.credentialed;
        let freshness =
            Freshness::reckon(status, &headers, &directives, receipt, credentialed, policy);
        Self {
            // What was not believed when it came is not believed now.
            freshness: if self.freshness.immutable {
                freshness
            } else {
                freshness.mutable()
            },
            epoch,
            ..self.copy()
        }
    }

    /// The same head, to be served only after validation.
    pub fn expired(&self) -> Self {
        Self {
            freshness: self.freshness.expired(),
            ..self.copy()
        }
    }

    /// The fields without a tag of the gateway's own, which the origin knows nothing of.
    pub fn origin_fields(&self) -> Cow<'_, HeaderMap> {
        if self.validators.etag.is_none() || self.validators.etag == self.origin_validators.etag {
            return Cow::Borrowed(&self.headers);
        }
        let mut headers = self.headers.clone();
        headers.remove(http::header::ETAG);
        Cow::Owned(headers)
    }

    fn copy(&self) -> Self {
        Self {
            status: self.status,
            headers: self.headers.clone(),
            validators: self.validators.clone(),
            origin_validators: self.origin_validators.clone(),
            freshness: self.freshness,
            received: self.received,
            variant: self.variant.clone(),
            digest: self.digest,
            groups: self.groups.clone(),
            search: self.search.clone(),
            content_length: self.content_length,
            age: self.age.clone(),
            receipt: self.receipt,
            credentialed: self.credentialed,
            epoch: self.epoch,
        }
    }

    /// Bytes of memory it holds, about.
    pub fn weight(&self) -> u64 {
        const SLOT: usize = size_of::<HeaderValue>() + 48;
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + SLOT)
            .sum();
        let groups: usize = self.groups.iter().map(|group| group.len() + 16).sum();
        (size_of::<Self>() + fields + groups + self.variant.weight()) as u64
    }
}

/// Copies all field values into one allocation of their own.
fn pack_fields(headers: &mut HeaderMap) {
    let total = headers.values().map(HeaderValue::len).sum();
    let mut packed = BytesMut::with_capacity(total);
    for value in headers.values() {
        packed.extend_from_slice(value.as_bytes());
    }
    let packed = packed.freeze();
    let mut from = 0;
    for value in headers.values_mut() {
        let to = from + value.len();
        let sensitive = value.is_sensitive();
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(packed.slice(from..to)) {
            copy.set_sensitive(sensitive);
            *value = copy;
        }
        from = to;
    }
}

/// What is kept of the content.
#[derive(Clone, Debug)]
pub enum Content {
    Complete(StoredBody),
    /// Ranges of a representation with a strong validator, each with its octets (RFC 9111 §3.3).
    Partial(Parts),
}

impl Content {
    /// Bytes kept.
    pub fn len(&self) -> u64 {
        match self {
            Self::Complete(body) => body.len(),
            Self::Partial(parts) => parts.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the whole representation.
    pub fn complete_length(&self) -> u64 {
        match self {
            Self::Complete(body) => body.len(),
            Self::Partial(parts) => parts.ranges.complete_length(),
        }
    }
}

/// A response in the store.
#[derive(Debug)]
pub struct StoredResponse {
    pub head: Arc<Head>,
    pub content: Content,
    /// Milliseconds on the monotonic clock: when it was last chosen, to within a second.
    used: AtomicU64,
    _token: Option<Token>,
}

impl StoredResponse {
    /// `token` covers the head; the content carries its own.
    pub fn new(head: Arc<Head>, content: Content, token: Option<Token>) -> Self {
        let used = AtomicU64::new(head.received.mono.as_millis());
        Self {
            head,
            content,
            used,
            _token: token,
        }
    }

    /// Bytes of memory it holds, about.
    pub fn weight(&self) -> u64 {
        size_of::<Self>() as u64 + self.head.weight() + self.content.len()
    }

    /// Notes that it was chosen; written at most once a second, so that readers on several cores do not contend.
    pub fn touch(&self, now: Monotonic) {
        let now = now.as_millis();
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= 1000 {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    pub fn last_used(&self) -> Monotonic {
        Monotonic::from_millis(self.used.load(Ordering::Relaxed))
    }
}

/// Requests like this one proved to have responses that cannot be shared: they do not stand in line.
#[derive(Clone, Debug)]
pub struct Marker {
    pub variant: VariantKey,
    pub digest: Option<ContentDigest>,
    pub until: Monotonic,
    pub why: Unshared,
}

/// What made a response unshareable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unshared {
    /// A rule forbids to store it.
    Rule(NoStoreReason),
    /// It is larger than what is stored, by its own Content-Length.
    TooLarge,
    /// Its end cannot be told from a broken connection.
    UnverifiedEnd,
}

/// Why a fill was not stored.
#[derive(Debug)]
pub enum NotCommitted {
    /// An invalidation or purge came in between.
    Doomed,
    /// The byte budget is used up.
    OverBudget,
}

/// All that is stored for one target URI.
#[derive(Debug)]
pub struct Resource {
    /// Distinguishes it from a later resource with the same key.
    pub id: u64,
    pub key: Key,
    pub variants: smallvec::SmallVec<[Arc<StoredResponse>; 1]>,
    pub markers: smallvec::SmallVec<[Marker; 0]>,
}

impl Resource {
    pub fn weight(&self) -> u64 {
        let variants: u64 = self.variants.iter().map(|stored| stored.weight()).sum();
        let markers = self.markers.len() * size_of::<Marker>();
        variants + (markers + size_of::<Self>() + self.key.as_str().len() + OVERHEAD) as u64
    }

    pub fn is_empty(&self) -> bool {
        self.variants.is_empty() && self.markers.is_empty()
    }

    /// The cache groups of all its variants.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.variants
            .iter()
            .flat_map(|stored| stored.head.groups.iter())
            .map(|group| &**group)
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.groups().any(|own| own == group)
    }
}

/// What moka and the allocator hold beside an entry itself, in bytes: measured with a million entries.
const OVERHEAD: usize = 320;

/// How a fill ended, for those who wait for it.
#[derive(Debug)]
pub enum Settled {
    /// A response was stored or freshened: look whether it may be reused.
    Stored(Arc<StoredResponse>),
    /// Its response is for the one who asked; go upstream yourselves, without waiting for another.
    Unshared,
    /// Nobody brought it to an end: somebody else may try.
    Abandoned,
    /// The upstream answered a validation with this server error.
    ServerError(StatusCode),
    Failed(Error),
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use bytes::Bytes;
    use http::header::{AGE, DATE, ETAG, LAST_MODIFIED};

    use super::*;
    use crate::clock::Clock;
    use crate::semantics::vary::Vary;

    /// A message in one buffer, and what tells whether the buffer is still kept.
    fn message(lines: &[(http::HeaderName, &'static str)]) -> (HeaderMap, Weak<String>) {
        struct Buffer(Arc<String>);
        impl AsRef<[u8]> for Buffer {
            fn as_ref(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }
        let text: Arc<String> = Arc::new(lines.iter().map(|(_, value)| *value).collect());
        let kept = Arc::downgrade(&text);
        let buffer = Bytes::from_owner(Buffer(text));
        let mut from = 0;
        let values = lines.iter().map(|(name, value)| {
            let slice = buffer.slice(from..from + value.len());
            from += value.len();
            (name.clone(), HeaderValue::from_maybe_shared(slice).unwrap())
        });
        (values.collect(), kept)
    }

    #[test]
    fn a_stored_head_keeps_nothing_of_the_buffer_that_it_was_read_from() {
        let lines = [
            (DATE, "Wed, 25 Nov 2026 08:00:00 GMT"),
            (ETAG, "\"a\""),
            (LAST_MODIFIED, "Sun, 01 Nov 2026 08:00:00 GMT"),
            (AGE, "5"),
        ];
        // The origin's own tag may be another than the one that clients see.
        for tag in ["\"a\"", "\"b\""] {
            let (mut headers, kept) = message(&lines);
            let (origin, origin_kept) = message(&[(ETAG, tag), lines[2].clone()]);
            let now = Clock::system().now();
            let receipt = Receipt {
                request_time: now.wall,
                response_time: now.wall,
            };
            let directives = ResponseDirectives::default();
            let policy = Policy::default();
            let status = StatusCode::OK;
            let head = Head {
                status,
                validators: Validators::of(&headers),
                origin_validators: Validators::of(&origin),
                freshness: Freshness::reckon(
                    status,
                    &headers,
                    &directives,
                    receipt,
                    false,
                    &policy,
                ),
                received: now,
                variant: VariantKey::of(&Vary::None, &headers, &policy.vary),
                digest: None,
                groups: Box::default(),
                search: None,
                content_length: None,
                age: headers.remove(AGE),
                receipt,
                credentialed: false,
                epoch: 0,
                headers: headers.clone(),
            };
            let head = head.detached();
            drop((headers, origin));
            assert!(kept.upgrade().is_none() && origin_kept.upgrade().is_none());
            assert_eq!(head.origin_validators.etag.unwrap().as_value(), tag);
            assert_eq!(head.validators.etag.unwrap().as_value(), "\"a\"");
            assert_eq!(head.age.unwrap(), "5");
        }
    }
}
