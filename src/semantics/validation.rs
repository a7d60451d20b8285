//! Validating stored responses: the conditional request, the responses that its answer identifies, and the update of stored
//! fields (RFC 9111 §3.2, §4.3).

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use smallvec::SmallVec;

use super::etag::EntityTag;
use super::hop_by_hop;
use super::range::{ByteRange, decimal};
use super::time::Timestamp;
use super::vary;

/// The validators of a response, and its Date, which says how strong and how recent they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<EntityTag>,
    pub last_modified: Option<LastModified>,
    pub date: Option<Timestamp>,
}

/// A valid Last-Modified field (RFC 9110 §8.8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastModified {
    /// As it was received: some servers honour only the exact value (§13.1.3).
    pub value: HeaderValue,
    pub time: Timestamp,
    /// Whether it identifies one version: Date is at least a second later (§8.8.2.2).
    pub strong: bool,
}

/// Which of the candidates a 304 identifies, by their position; empty: none, the 304 may not be used.
pub type Named = SmallVec<[usize; 4]>;

impl Validators {
    pub fn of(headers: &HeaderMap) -> Self {
        let date = single(headers, &header::DATE)
            .and_then(|value| Timestamp::parse_http_date(value.as_bytes()));
        let last_modified = single(headers, &header::LAST_MODIFIED).and_then(|value| {
            let time = Timestamp::parse_http_date(value.as_bytes())?;
            Some(LastModified {
                value: value.clone(),
                time,
                strong: date.is_some_and(|date| date.as_secs() > time.as_secs()),
            })
        });
        Self {
            etag: EntityTag::of(headers),
            last_modified,
            date,
        }
    }

    /// The same validators in octets of their own, so that the head they were read from need not be kept.
    pub fn detached(&self) -> Self {
        let mut detached = self.clone();
        if let Some(tag) = &mut detached.etag {
            *tag = tag.detached();
        }
        if let Some(last_modified) = &mut detached.last_modified
            && let Ok(value) = HeaderValue::from_bytes(last_modified.value.as_bytes())
        {
            last_modified.value = value;
        }
        detached
    }

    /// Whether there is nothing to validate with.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The entity tag, where it is strong.
    fn strong_etag(&self) -> Option<&EntityTag> {
        self.etag.as_ref().filter(|tag| tag.is_strong())
    }

    /// When it was last modified, where that is a strong validator.
    fn strong_time(&self) -> Option<u64> {
        let last_modified = self.last_modified.as_ref()?;
        last_modified.strong.then_some(last_modified.time.as_secs())
    }

    /// The field value that identifies exactly these octets, for If-Range: a strong entity tag, or where there is no
    /// entity tag at all a strong date (RFC 9110 §13.1.5).
    pub fn for_if_range(&self) -> Option<&HeaderValue> {
        match &self.etag {
            Some(tag) => tag.is_strong().then(|| tag.as_value()),
            None => self
                .last_modified
                .as_ref()
                .filter(|last_modified| last_modified.strong)
                .map(|last_modified| &last_modified.value),
        }
    }

    /// Whether both are known to identify the same octets, so that parts of them may be combined (RFC 9110 §8.8.1,
    /// RFC 9111 §3.4). Dates count only where neither has an entity tag.
    pub fn share_strong(&self, other: &Self) -> bool {
        match (&self.etag, &other.etag) {
            (Some(a), Some(b)) => a.strong_eq(b),
            (None, None) => {
                self.strong_time().is_some() && self.strong_time() == other.strong_time()
            }
            _ => false,
        }
    }
}

/// Fields that make a request conditional or partial.
const CONDITIONALS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Takes the preconditions and Range out of a request.
pub fn strip_conditionals(request: &mut HeaderMap) {
    hop_by_hop::remove_any(request, &CONDITIONALS);
}

/// Puts the preconditions and Range of one request into another.
pub fn copy_conditionals(from: &HeaderMap, to: &mut HeaderMap) {
    for name in &CONDITIONALS {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}

/// A stored response for the target of a request that is being validated.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub validators: &'a Validators,
    /// Whether the request selects it (RFC 9111 §4.1). One that it does not select can only be identified by a strong
    /// entity tag: a date, or a weak tag, may well be those of another variant too.
    pub selected: bool,
}

impl<'a> Candidate<'a> {
    /// The entity tag that may be sent for it.
    fn tag(&self) -> Option<&'a EntityTag> {
        let tag = self.validators.etag.as_ref()?;
        (tag.fits_a_list() && (self.selected || tag.is_strong())).then_some(tag)
    }
}

/// Makes `request` a conditional request for the stored `candidates` (RFC 9111 §4.3.1), in place of the client's own
/// preconditions and Range. Returns whether it became conditional: false when no candidate can be validated.
pub fn conditional_fields<'a>(
    request: &mut HeaderMap,
    candidates: impl Iterator<Item = Candidate<'a>>,
) -> bool {
    strip_conditionals(request);
    let (selected, others): (Candidates<'a>, Candidates<'a>) =
        candidates.partition(|candidate| candidate.selected);
    let mut tags: SmallVec<[&EntityTag; 4]> = selected.iter().filter_map(Candidate::tag).collect();
    // Two variants with different tags show that the origin gives each variant its own. Some origins give one tag to each
    // version instead, whatever its language or coding: they would call the only known variant current for a request that
    // is for another one.
    let have_own_tags = || {
        let mut known = others.iter().filter_map(Candidate::tag);
        let first = known.next();
        known.any(|tag| Some(tag) != first)
    };
    // Beside If-None-Match, a date is ignored: where the selected response has nothing else, it goes alone.
    if !tags.is_empty() || (selected.is_empty() && have_own_tags()) {
        tags.extend(others.iter().filter_map(Candidate::tag));
    }
    let own = selected
        .iter()
        .filter(|candidate| candidate.tag().is_some())
        .count();
    // §4.3.1: a date says which representation is meant only where a single one is being validated.
    let since = match selected.as_slice() {
        [only] if tags.len() == own => only.validators.last_modified.as_ref(),
        _ => None,
    };
    let tags = tag_list(&tags);
    let conditional = tags.is_some() || since.is_some();
    if let Some(tags) = tags {
        request.insert(header::IF_NONE_MATCH, tags);
    }
    if let Some(since) = since {
        request.insert(header::IF_MODIFIED_SINCE, since.value.clone());
    }
    conditional
}

type Candidates<'a> = SmallVec<[Candidate<'a>; 4]>;

/// A list of the tags, each once.
fn tag_list(tags: &[&EntityTag]) -> Option<HeaderValue> {
    let mut values: SmallVec<[&HeaderValue; 4]> = SmallVec::new();
    for value in tags.iter().map(|tag| tag.as_value()) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    match values.as_slice() {
        [] => None,
        [only] => Some((*only).clone()),
        several => {
            let several: Vec<&[u8]> = several.iter().map(|value| value.as_bytes()).collect();
            HeaderValue::from_bytes(&several.join(&b", "[..])).ok()
        }
    }
}

/// Makes `request` one for the missing part of an incomplete stored response (RFC 9111 §3.3), in place of the client's
/// own preconditions and Range. Returns false, and sets nothing, when there is no strong validator: the parts could
/// not be combined.
pub fn range_fields(request: &mut HeaderMap, missing: ByteRange, stored: &Validators) -> bool {
    strip_conditionals(request);
    let Some(validator) = stored.for_if_range() else {
        return false;
    };
    let range = format!("bytes={}-{}", missing.first(), missing.last());
    let Ok(range) = HeaderValue::try_from(range) else {
        return false;
    };
    request.insert(header::RANGE, range);
    request.insert(header::IF_RANGE, validator.clone());
    true
}

/// Which of `candidates` a 304 with the fields `update` identifies (RFC 9111 §4.3.4): of those that the request
/// selects, and where it is none of them, of the others by a strong entity tag.
///
/// Two deviations, both towards the origin's likely intention:
/// - A Last-Modified identifies nothing that the 304's entity tag contradicts; shared by candidates with different
///   entity tags it is no strong validator (RFC 9110 §8.8.1).
/// - A 304 without any validator identifies a single candidate even where that has a validator: the condition that
///   the 304 answers was made of it, since the client's own never go upstream with it.
pub fn named_by_304<'a>(
    update: &HeaderMap,
    candidates: impl Iterator<Item = Candidate<'a>>,
) -> Named {
    let candidates: Candidates<'a> = candidates.collect();
    let update = Validators::of(update);
    if update.is_empty() {
        return match candidates.as_slice() {
            [only] if only.selected => Named::from_slice(&[0]),
            _ => Named::new(),
        };
    }
    let strongly = strongly_named(&update, &candidates);
    if !strongly.is_empty() || update.strong_etag().is_some() {
        return strongly;
    }
    weakly_named(&update, &candidates)
}

/// First rule of §4.3.4: all with the same strong validator.
fn strongly_named(update: &Validators, candidates: &[Candidate<'_>]) -> Named {
    if let Some(tag) = update.strong_etag() {
        let is_same = |c: &Validators| c.etag.as_ref().is_some_and(|other| other.strong_eq(tag));
        for selected in [true, false] {
            let same = positions(candidates, |c| {
                c.selected == selected && is_same(c.validators)
            });
            if !same.is_empty() {
                return same;
            }
        }
    }
    // The stored response's Date decides whether its Last-Modified is strong (RFC 9110 §8.8.2.2).
    let same = positions(candidates, |c| {
        let stored = c.validators;
        c.selected
            && stored.strong_time().is_some()
            && same_time(update, stored)
            && !tags_differ(update, stored)
    });
    if alike(&same, candidates) {
        same
    } else {
        Named::new()
    }
}

/// Second rule of §4.3.4: the most recent with the same weak validator.
fn weakly_named(update: &Validators, candidates: &[Candidate<'_>]) -> Named {
    let by_tag = positions(candidates, |c| {
        let stored = c.validators;
        let same_tag = matches!((&update.etag, &stored.etag), (Some(a), Some(b)) if a.weak_eq(b));
        // A date of the 304's that is strong and another is a strong validator without a match.
        let other_version = update.strong_time().is_some()
            && stored.last_modified.is_some()
            && !same_time(update, stored);
        c.selected && same_tag && !other_version
    });
    let same = if by_tag.is_empty() {
        let by_time = positions(candidates, |c| {
            c.selected && same_time(update, c.validators) && !tags_differ(update, c.validators)
        });
        if !alike(&by_time, candidates) {
            return Named::new();
        }
        by_time
    } else {
        by_tag
    };
    let most_recent = same
        .into_iter()
        .max_by_key(|&at| candidates[at].validators.date);
    most_recent.into_iter().collect()
}

fn positions(candidates: &[Candidate<'_>], fits: impl Fn(&Candidate<'_>) -> bool) -> Named {
    let fitting = candidates.iter().enumerate().filter(|(_, c)| fits(c));
    fitting.map(|(at, _)| at).collect()
}

/// Whether the chosen candidates all have the same entity tag, or none.
fn alike(chosen: &[usize], candidates: &[Candidate<'_>]) -> bool {
    let mut tags = chosen.iter().map(|&at| &candidates[at].validators.etag);
    let first = tags.next();
    tags.all(|tag| Some(tag) == first)
}

fn same_time(a: &Validators, b: &Validators) -> bool {
    match (&a.last_modified, &b.last_modified) {
        (Some(a), Some(b)) => a.time.as_secs() == b.time.as_secs(),
        _ => false,
    }
}

fn tags_differ(a: &Validators, b: &Validators) -> bool {
    matches!((&a.etag, &b.etag), (Some(a), Some(b)) if !a.weak_eq(b))
}

/// Fields of an update that leave the stored ones as they are (RFC 9111 §3.2): they describe the update's own message, not
/// the stored content. No later message can change the coding of the stored octets: a message with another one is about
/// another variant, or it is wrong, as from servers that name a compression in each 304.
const NOT_UPDATED: [HeaderName; 3] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
];

/// The fields of a stored response after an update by a 304, by a response to HEAD, or by a part that is combined with
/// it (RFC 9111 §3.2): each field of the update replaces all lines of the stored field.
///
/// Vary is the exception: members that the update does not name stay. Many servers send fewer of them with a 304 than with
/// the 200 in its place (RFC 9110 §15.4.5 wants the same), and all of them selected the stored content.
///
/// Age is dropped where the update has none: the age is then counted from this message. The caller leaves out the fields
/// that the update's `no-cache="…"` or `private="…"` name.
pub fn freshen(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut update = update.clone();
    hop_by_hop::strip(&mut update);
    hop_by_hop::remove_any(&mut update, &NOT_UPDATED);
    hop_by_hop::remove_any(&mut update, &hop_by_hop::PROXY_SPECIFIC);
    let mut fields = HeaderMap::with_capacity(stored.len() + update.len());
    for (name, value) in stored {
        if !update.contains_key(name) && name != header::AGE {
            fields.append(name.clone(), value.clone());
        }
    }
    for (name, value) in &update {
        fields.append(name.clone(), value.clone());
    }
    if update.contains_key(header::VARY) {
        for value in vary::not_nominated(stored, &update) {
            fields.append(header::VARY, value);
        }
    }
    fields
}

/// The effect of a response to HEAD on a stored response that could have been chosen for it (RFC 9111 §4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOutcome {
    /// [`freshen`] the stored response with the HEAD's fields.
    Update,
    /// The stored response is to be considered stale.
    Invalidate,
    /// Not a 200: says nothing about the stored response.
    Ignore,
}

/// A stored response as [`compare_with_head`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    /// The complete length of its representation, in octets; `None` when unknown.
    pub length: Option<u64>,
}

/// Compares a stored response to GET with a response to HEAD that it could have been chosen for.
pub fn compare_with_head(
    stored: &Stored<'_>,
    head_status: StatusCode,
    head: &HeaderMap,
) -> HeadOutcome {
    if head_status != StatusCode::OK {
        return HeadOutcome::Ignore;
    }
    let same_field = |name: &HeaderName| {
        !head.contains_key(name) || head.get_all(name) == stored.headers.get_all(name)
    };
    let same_length = match head.get(header::CONTENT_LENGTH) {
        None => true,
        Some(value) => stored.length.is_some() && decimal(value.as_bytes()) == stored.length,
    };
    let same = stored.status == StatusCode::OK
        && same_field(&header::ETAG)
        && same_field(&header::LAST_MODIFIED)
        && same_length;
    if same {
        HeadOutcome::Update
    } else {
        HeadOutcome::Invalidate
    }
}

/// The value of a field with one line, or several that are the same.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests;
