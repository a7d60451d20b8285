//! The head that a fill and its readers share while the body is still coming, and that is stored with it: what each
//! look-up asks is worked out once, and all that few responses have lies apart.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::budget::allocated;
use super::fields::Fields;
use super::index::entry::TAG_ENTRY;
use crate::clock::{Monotonic, Now};
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::policy::{Policy, VaryPolicy};
use crate::semantics::validation::Validators;
use crate::semantics::vary::{VariantKey, Vary};

/// A digest of the content of a QUERY and of the fields that describe it.
pub type ContentDigest = [u8; 32];

/// A head as it is put together.
#[derive(Clone, Debug)]
pub struct Draft {
    pub status: StatusCode,
    /// The reason phrase, where it is not the usual one of the status.
    pub reason: Option<Box<[u8]>>,
    /// The end-to-end fields that may be stored, without Age. Clients may see validators of the gateway's own here.
    pub headers: HeaderMap,
    /// As the origin sent them; the only ones that go upstream.
    pub origin_validators: Validators,
    pub freshness: Freshness,
    /// When the head arrived.
    pub received: Monotonic,
    pub variant: VariantKey,
    /// The QUERY this answers; `None` for GET.
    pub digest: Option<ContentDigest>,
    /// Its cache groups (RFC 9875) and other tags, sorted.
    pub groups: Box<[Box<str>]>,
    /// The lines that tags were read from, for an update to replace; not for clients.
    pub tags: HeaderMap,
    /// Which parts of the query do not matter (No-Vary-Search).
    pub search: Option<Box<SearchVariance>>,
    /// Bytes of content, where the response declared them.
    pub content_length: Option<u64>,
    /// The Age with which it, or the 304 that freshened it, came: it had been stored before.
    pub age: Option<HeaderValue>,
    pub receipt: Receipt,
    /// Whether the request that it answered carried credentials.
    pub credentialed: bool,
    /// The version of the settings it was computed under.
    pub epoch: u64,
    /// The number of the latest invalidation when it, or the 304 that freshened it, was asked for.
    pub stamp: u64,
}

/// The head of a response that may be stored, in memory of its own: what lies in the message that it came with, a read
/// buffer of many kilobytes, is not kept for the sake of a few octets.
#[derive(Clone, Debug)]
pub struct Head {
    /// The end-to-end fields that may be stored, without Age.
    pub fields: Fields,
    pub freshness: Freshness,
    received: Monotonic,
    pub receipt: Receipt,
    rare: Option<Box<Rare>>,
    /// [`UNDECLARED`] where it is not known.
    content_length: u64,
    /// The number of the latest invalidation when it, or the 304 that freshened it, was asked for.
    stamp: u64,
    /// The lower half of the version.
    epoch: u32,
    pub status: StatusCode,
    pub credentialed: bool,
}

/// The parts that most heads do not have.
#[derive(Clone, Debug, Default)]
struct Rare {
    variant: VariantKey,
    digest: Option<ContentDigest>,
    groups: Box<[Box<str>]>,
    tags: Option<Fields>,
    search: Option<Box<SearchVariance>>,
    /// The origin's validators, where clients see others.
    origin: Option<Validators>,
    age: Option<HeaderValue>,
    reason: Option<Box<[u8]>>,
}

const UNDECLARED: u64 = u64::MAX;

impl Draft {
    pub fn packed(self) -> Head {
        let Self {
            variant,
            digest,
            groups,
            search,
            age,
            reason,
            ..
        } = self;
        let tags = (!self.tags.is_empty()).then(|| Fields::of(&self.tags));
        let origin = (self.origin_validators != Validators::of(&self.headers))
            .then(|| self.origin_validators.detached());
        let has_rare = !variant.is_whole()
            || digest.is_some()
            || !groups.is_empty()
            || tags.is_some()
            || search.is_some()
            || origin.is_some()
            || age.is_some()
            || reason.is_some();
        let age = age.and_then(|age| HeaderValue::from_bytes(age.as_bytes()).ok());
        let rare = has_rare.then(|| Rare {
            variant,
            digest,
            groups,
            tags,
            search,
            origin,
            age,
            reason,
        });
        Head {
            fields: Fields::of(&self.headers),
            freshness: self.freshness,
            received: self.received,
            receipt: self.receipt,
            rare: rare.map(Box::new),
            content_length: self.content_length.unwrap_or(UNDECLARED),
            stamp: self.stamp,
            epoch: self.epoch as u32,
            status: self.status,
            credentialed: self.credentialed,
        }
    }
}

impl Head {
    /// All of it, to be put together anew.
    pub fn draft(&self) -> Draft {
        let rare = self.rare.as_deref().cloned().unwrap_or_default();
        Draft {
            status: self.status,
            reason: rare.reason,
            headers: self.fields.to_map(),
            origin_validators: self.origin_validators(),
            freshness: self.freshness,
            received: self.received,
            variant: rare.variant,
            digest: rare.digest,
            groups: rare.groups,
            tags: rare.tags.as_ref().map(Fields::to_map).unwrap_or_default(),
            search: rare.search,
            content_length: self.content_length(),
            age: rare.age,
            receipt: self.receipt,
            credentialed: self.credentialed,
            epoch: self.epoch.into(),
            stamp: self.stamp,
        }
    }

    /// How long it has been here.
    pub fn resident(&self, now: Now) -> Duration {
        now.mono.since(self.received)
    }

    /// When it, or the 304 that freshened it, was asked for.
    pub fn requested(&self) -> Monotonic {
        let Receipt {
            request_time,
            response_time,
        } = self.receipt;
        let waited = response_time
            .as_millis()
            .saturating_sub(request_time.as_millis());
        self.received.before(Duration::from_millis(waited))
    }

    /// When it arrived.
    pub fn received(&self) -> Now {
        Now {
            wall: self.receipt.response_time,
            mono: self.received,
        }
    }

    /// The validators as clients see them; they may be the gateway's own.
    pub fn validators(&self) -> Validators {
        let names = [header::ETAG, header::LAST_MODIFIED, header::DATE];
        Validators::of(&self.fields.only(&names))
    }

    /// The validators as the origin sent them; the only ones that go upstream.
    pub fn origin_validators(&self) -> Validators {
        let own = self.rare.as_ref().and_then(|rare| rare.origin.clone());
        own.unwrap_or_else(|| self.validators())
    }

    /// Whether a request like `request`, with this content, selects it (RFC 9111 §4.1).
    pub fn selected_by(
        &self,
        request: &HeaderMap,
        digest: Option<&ContentDigest>,
        policy: &VaryPolicy,
    ) -> bool {
        match &self.rare {
            Some(rare) => rare.digest.as_ref() == digest && rare.variant.matches(request, policy),
            None => digest.is_none(),
        }
    }

    /// The selecting fields of the request that it answered; `None` where every request selects it.
    pub fn variant(&self) -> Option<&VariantKey> {
        self.rare.as_ref().map(|rare| &rare.variant)
    }

    /// The QUERY this answers; `None` for GET.
    pub fn digest(&self) -> Option<&ContentDigest> {
        self.rare.as_ref()?.digest.as_ref()
    }

    /// Its cache groups (RFC 9875) and other tags, sorted.
    pub fn groups(&self) -> &[Box<str>] {
        self.rare.as_ref().map_or(&[], |rare| &rare.groups)
    }

    /// The number of the latest invalidation when it, or the 304 that freshened it, was asked for.
    pub fn stamp(&self) -> u64 {
        self.stamp
    }

    /// The lines that tags were read from.
    pub fn tags(&self) -> HeaderMap {
        let tags = self.rare.as_ref().and_then(|rare| rare.tags.as_ref());
        tags.map(Fields::to_map).unwrap_or_default()
    }

    /// The same head with other tags, read from these lines and elsewhere.
    pub fn tagged(&self, groups: Box<[Box<str>]>, tags: HeaderMap) -> Self {
        Draft {
            groups,
            tags,
            ..self.draft()
        }
        .packed()
    }

    /// Which parts of the query do not matter (No-Vary-Search).
    pub fn search(&self) -> Option<&SearchVariance> {
        self.rare.as_ref()?.search.as_deref()
    }

    /// Bytes of content, where the response declared them.
    pub fn content_length(&self) -> Option<u64> {
        (self.content_length != UNDECLARED).then_some(self.content_length)
    }

    /// The Age with which it, or the 304 that freshened it, came: it had been stored before.
    pub fn age(&self) -> Option<&HeaderValue> {
        self.rare.as_ref()?.age.as_ref()
    }

    /// The reason phrase, where it is not the usual one of the status.
    pub fn reason(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.reason.as_deref()
    }

    /// Whether it was computed under the settings of version `epoch`.
    pub fn is_of(&self, epoch: u64) -> bool {
        self.epoch == epoch as u32
    }

    /// The same head under an entity tag of the gateway's own.
    pub fn with_etag(&self, tag: HeaderValue) -> Self {
        let mut draft = self.draft();
        draft.headers.insert(header::ETAG, tag);
        draft.packed()
    }

    /// The same head with the fields and the freshness that an update gave it, in answer to this request. What its Vary
    /// nominates since is selected by what that has.
    pub fn freshened(
        &self,
        mut headers: HeaderMap,
        freshness: Freshness,
        receipt: Receipt,
        received: Monotonic,
        (request, vary): (&HeaderMap, &VaryPolicy),
    ) -> Self {
        let draft = self.draft();
        let nominated = VariantKey::of(&Vary::parse(&headers), request, vary);
        let variant = match nominated.is_any() {
            true => nominated,
            false => draft
                .variant
                .clone()
                .also_by(nominated.names(), request, vary),
        };
        let age = headers.remove(header::AGE);
        // An update without a tag of the origin's leaves the one that the gateway gave it.
        let origin_validators = draft.origin_validators.clone();
        Draft {
            headers,
            freshness,
            age,
            receipt,
            received,
            variant,
            origin_validators,
            ..draft
        }
        .packed()
    }

    /// The same head as `policy` has it, which came into force with the settings of version `epoch`.
    pub fn computed_anew(&self, policy: &Policy, epoch: u64) -> Self {
        let mut headers = self.fields.to_map();
        if let Some(age) = self.age() {
            headers.insert(header::AGE, age.clone());
        }
        let directives = ResponseDirectives::parse(&headers, &policy.targeted_fields);
        let (status, receipt) = (self.status, self.receipt);
        let credentialed = self.credentialed;
        let mut freshness =
            Freshness::compute(status, &headers, &directives, receipt, credentialed, policy);
        // What was invalidated softly still is.
        if self.freshness.is_expired() {
            freshness = freshness.expired();
        }
        // `immutable` that was not trusted when the response came is not trusted now.
        if !self.freshness.immutable {
            freshness = freshness.mutable();
        }
        Self {
            freshness,
            epoch: epoch as u32,
            ..self.clone()
        }
    }

    /// The same head, to be validated before it is served once it is stale (RFC 5861 §3 does not apply any more).
    pub fn to_be_validated(&self) -> Self {
        Self {
            freshness: self.freshness.to_be_validated(),
            ..self.clone()
        }
    }

    /// The same head, to be served only after validation.
    pub fn expired(&self) -> Self {
        Self {
            freshness: self.freshness.expired(),
            ..self.clone()
        }
    }

    /// The fields without a tag of the gateway's own, which the origin knows nothing of.
    pub fn origin_fields(&self) -> HeaderMap {
        let mut headers = self.fields.to_map();
        let own = self.rare.as_ref().and_then(|rare| rare.origin.as_ref());
        if own.is_some_and(|origin| origin.etag != self.validators().etag) {
            headers.remove(header::ETAG);
        }
        headers
    }

    /// Bytes of memory it holds beside its own size, about.
    pub fn weight(&self) -> u64 {
        let rare = self.rare.as_ref().map_or(0, |rare| rare.weight());
        (allocated(self.fields.len()) + rare) as u64
    }
}

impl Rare {
    fn weight(&self) -> usize {
        let names = self.groups.iter().map(|group| allocated(group.len()));
        let list = self.groups.len() * size_of::<Box<str>>();
        let memberships = self.groups.len() * TAG_ENTRY;
        let tags = self.tags.as_ref().map_or(0, |tags| allocated(tags.len()));
        let groups = names.sum::<usize>() + allocated(list) + memberships + tags;
        let reason = self
            .reason
            .as_deref()
            .map_or(0, |text| allocated(text.len()));
        allocated(size_of::<Self>()) + groups + reason + self.variant.weight()
    }
}

#[cfg(test)]
mod tests;
