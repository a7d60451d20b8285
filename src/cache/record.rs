//! The head of a stored response in octets, to be kept beyond this process: what [`super::fields`] says of field lines, and
//! the rest in numbers and texts of the same form.
//!
//! The octets begin with a version and with a digest of the tables of well-known names and values. A build that differs in
//! one of them does not read them: the response is as good as not stored. So it is where the settings of the route have come
//! to say otherwise which responses are for all: an operator who lists a field with credentials and restarts the gateway
//! expects that nobody is answered any more with what somebody else was sent. Times are those of the wall clock.

use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::fields::{Fields, Lines, put, put_number};
use super::head::{Draft, Head};
use super::known::{NAMES, VALUES};
use crate::clock::Now;
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::freshness::{Freshness, Receipt};
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::policy::{Ignore, Policy, SetCookie};
use crate::semantics::time::Timestamp;
use crate::semantics::validation::Validators;
use crate::semantics::vary::{Selection, VariantKey};

/// The version of the form.
const VERSION: u8 = 3;

/// The request carried credentials.
const CREDENTIALED: usize = 1;
/// `immutable` was trusted.
const IMMUTABLE: usize = 2;
/// To be validated before each use, whatever its fields say.
const EXPIRED: usize = 4;
/// The origin's validators are not those of the fields.
const OWN_VALIDATORS: usize = 8;
/// Its API was seen to do CORS.
const CORS: usize = 16;

/// No request selects it without validation (`Vary: *`).
const ANY: usize = 1;

/// So many fields select a variant at most.
const MAX_SELECTING: usize = 256;

/// A head in octets.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The same for two heads of one URL that the same requests select.
    pub variant: [u8; 16],
    pub octets: Bytes,
}

/// A digest of the tables by whose places names and values are kept.
static TABLES: LazyLock<[u8; 4]> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for name in &NAMES {
        hasher.update(name.as_str().as_bytes()).update(b"\n");
    }
    for value in &VALUES {
        hasher.update(value.as_bytes()).update(b"\n");
    }
    let mut digest = [0; 4];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    digest
});

/// A head that was read from octets.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// With the tags that it was stored with.
    pub draft: Draft,
    /// Whether its API was seen to do CORS, be it by other responses.
    pub api_does_cors: bool,
}

/// The head in octets, of a response that `policy` allows to be stored. `api_does_cors`: what is known of its API.
pub fn pack(head: &Head, policy: &Policy, api_does_cors: bool) -> Packed {
    let selected = selected_by(head);
    let draft = head.draft();
    let own = (draft.origin_validators != Validators::of(&draft.headers))
        .then(|| validator_fields(&draft.origin_validators));
    let freshness = &draft.freshness;
    let flags = [
        (draft.credentialed, CREDENTIALED),
        (freshness.immutable, IMMUTABLE),
        (freshness.is_expired(), EXPIRED),
        (own.is_some(), OWN_VALIDATORS),
        (api_does_cors, CORS),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag);
    let mut octets = Vec::with_capacity(head.fields.len() + selected.len() + 64);
    octets.push(VERSION);
    octets.extend_from_slice(&*TABLES);
    octets.extend_from_slice(&sharing(policy));
    put_number(&mut octets, flags.sum());
    put_number(&mut octets, usize::from(draft.status.as_u16()));
    put_number(&mut octets, draft.receipt.request_time.as_millis() as usize);
    put_number(
        &mut octets,
        draft.receipt.response_time.as_millis() as usize,
    );
    let declared = draft.content_length.map_or(0, |length| length + 1);
    put_number(&mut octets, declared as usize);
    put_any(&mut octets, draft.age.as_ref().map(HeaderValue::as_bytes));
    put_any(&mut octets, draft.reason.as_deref());
    octets.extend_from_slice(&selected);
    put(&mut octets, head.fields.as_octets());
    put(&mut octets, Fields::of(&draft.tags).as_octets());
    put_number(&mut octets, draft.groups.len());
    for tag in &draft.groups {
        put(&mut octets, tag.as_bytes());
    }
    if let Some(own) = own {
        put(&mut octets, Fields::of(&own).as_octets());
    }
    Packed {
        variant: digest_of(&selected),
        octets: octets.into(),
    }
}

/// What [`Packed::variant`] is for this head.
pub fn variant(head: &Head) -> [u8; 16] {
    digest_of(&selected_by(head))
}

fn digest_of(selected: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::hash(selected).as_bytes()[..16]);
    digest
}

/// The head that [`pack`] made octets of, as `policy` has it now, with the settings of version `epoch`. `None` where it cannot
/// be read, where `policy` says otherwise what is for all, and where its response came so long ago, or is so far in the
/// future, that its age cannot be told.
pub fn unpack(octets: &[u8], now: Now, policy: &Policy, epoch: u64) -> Option<Unpacked> {
    let rest = octets.strip_prefix(&[VERSION])?.strip_prefix(&*TABLES)?;
    let rest = rest.strip_prefix(&sharing(policy))?;
    let mut lines = Lines::over(rest);
    let flags = lines.number()?;
    let status = StatusCode::from_u16(u16::try_from(lines.number()?).ok()?).ok()?;
    let receipt = Receipt {
        request_time: Timestamp::from_millis(lines.number()? as u64),
        response_time: Timestamp::from_millis(lines.number()? as u64),
    };
    let content_length = (lines.number()? as u64).checked_sub(1);
    let age = any(&mut lines)?.map(HeaderValue::from_bytes);
    let age = age.transpose().ok()?;
    let reason = any(&mut lines)?;
    let (variant, digest) = selection(&mut lines, policy)?;
    let headers = Fields::from_octets(lines.text()?)?.to_map();
    let tags = Fields::from_octets(lines.text()?)?.to_map();
    let count = lines.number()?;
    let tag = |_| Some(Box::from(str::from_utf8(lines.text()?).ok()?));
    let groups: Option<Vec<_>> = (0..count).map(tag).collect();
    let groups = groups?.into();
    let origin_validators = match flags & OWN_VALIDATORS {
        0 => Validators::of(&headers),
        _ => Validators::of(&Fields::from_octets(lines.text()?)?.to_map()),
    };
    // The clock that counts begins a year before the process: what is older has no age that it can tell.
    let resident = now.wall.since(receipt.response_time);
    let received = now.mono.before(resident);
    if receipt.response_time > now.wall || now.mono.since(received) != resident {
        return None;
    }
    let mut with_age = headers.clone();
    with_age.extend(age.clone().map(|age| (header::AGE, age)));
    let directives = ResponseDirectives::parse(&with_age, &policy.targeted_fields);
    let credentialed = flags & CREDENTIALED != 0;
    let mut freshness = Freshness::compute(
        status,
        &with_age,
        &directives,
        receipt,
        credentialed,
        policy,
    );
    if flags & IMMUTABLE == 0 {
        freshness = freshness.mutable();
    }
    if flags & EXPIRED != 0 {
        freshness = freshness.expired();
    }
    let draft = Draft {
        status,
        reason: reason.map(Into::into),
        origin_validators,
        freshness,
        received,
        variant,
        digest,
        groups,
        tags,
        search: SearchVariance::parse(&headers).map(Box::new),
        content_length,
        age,
        receipt,
        credentialed,
        epoch,
        stamp: 0,
        headers,
    };
    Some(Unpacked {
        draft,
        api_does_cors: flags & CORS != 0,
    })
}

/// A digest of the settings that decide whether a response is for all.
fn sharing(policy: &Policy) -> [u8; 4] {
    let Ignore {
        no_store,
        private,
        set_cookie,
        credentials,
    } = policy.ignore;
    let cookies = match policy.set_cookie {
        SetCookie::Refuse => 0,
        SetCookie::Strip => 1,
        SetCookie::Store => 2,
    };
    let mut names: Vec<_> = policy
        .credential_fields
        .iter()
        .map(HeaderName::as_str)
        .collect();
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in &policy.targeted_fields {
        hasher.update(name.as_str().as_bytes()).update(b"\n");
    }
    hasher.update(b"\n");
    hasher.update(&[no_store, private, set_cookie, credentials].map(u8::from));
    hasher.update(&[cookies]);
    for name in names {
        hasher.update(name.as_bytes()).update(b"\n");
    }
    let mut digest = [0; 4];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
    digest
}

/// The fields that [`Validators::of`] reads these from.
fn validator_fields(validators: &Validators) -> HeaderMap {
    let etag = validators.etag.as_ref().map(|tag| tag.as_value().clone());
    let modified = validators.last_modified.as_ref();
    let modified = modified.map(|modified| modified.value.clone());
    let date = validators.date.map(Timestamp::to_http_date);
    let date = date.and_then(|date| HeaderValue::from_str(&date).ok());
    let fields = [
        (header::ETAG, etag),
        (header::LAST_MODIFIED, modified),
        (header::DATE, date),
    ];
    let fields = fields.into_iter();
    fields
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// What selects the response with this head, in octets.
fn selected_by(head: &Head) -> Vec<u8> {
    let mut octets = Vec::new();
    put_any(&mut octets, head.digest().map(|digest| &digest[..]));
    let Selection {
        any,
        fields,
        fetched_with,
    } = head
        .variant()
        .map(VariantKey::selection)
        .unwrap_or_default();
    put_number(&mut octets, if any { ANY } else { 0 });
    put_number(&mut octets, fields.len());
    for (name, value) in fields {
        put(&mut octets, name.as_str().as_bytes());
        put_any(&mut octets, value);
    }
    put_any(&mut octets, fetched_with);
    octets
}

/// Appends `text` where there is any.
fn put_any(octets: &mut Vec<u8>, text: Option<&[u8]>) {
    put_number(octets, usize::from(text.is_some()));
    if let Some(text) = text {
        put(octets, text);
    }
}

/// Reads what [`put_any`] has written.
fn any<'a>(lines: &mut Lines<'a>) -> Option<Option<&'a [u8]>> {
    match lines.number()? {
        0 => Some(None),
        _ => lines.text().map(Some),
    }
}

/// What [`selected_by`] made octets of, and the digest of a QUERY's content.
fn selection(lines: &mut Lines<'_>, policy: &Policy) -> Option<(VariantKey, Option<[u8; 32]>)> {
    let digest = any(lines)?.map(TryInto::try_into).transpose().ok()?;
    let is_any = lines.number()? == ANY;
    let count = lines.number().filter(|count| *count <= MAX_SELECTING)?;
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let name = HeaderName::from_bytes(lines.text()?).ok()?;
        let value = any(lines)?.map(HeaderValue::from_bytes);
        fields.push((name, value.transpose().ok()?));
    }
    let fetched_with = any(lines)?;
    let variant = VariantKey::restored(is_any, &fields, fetched_with, &policy.vary);
    Some((variant, digest))
}

#[cfg(test)]
mod tests;
