//! The header maps of hits, prepared. Age and ttl change once a second; between two changes a hit clones the map that the
//! hit before it sent, and formats and searches nothing.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderValue};

use crate::cache::head_template::{Added, HeadTemplate};
use crate::cache::stored::StoredResponse;
use crate::proxy::gateway::Identity;
use crate::semantics::cache_status::CacheStatus;
use crate::semantics::preconditions;
use crate::semantics::time::DeltaSeconds;
use crate::telemetry::counters::Counters;

/// Header maps kept at most; one in each slot.
const SLOTS: usize = 2048;

/// Values kept at most of Age, and as many of a hit's Cache-Status; one in each slot.
const NUMBERS: usize = 128;

/// Values of Cache-Status kept at most for requests that are no hits.
const CACHE_STATUSES: usize = 8;

/// Templates kept; a head uses the one at its number of lines, modulo this.
const TEMPLATES: usize = 8;

/// A template is replaced after it has failed to render so many heads in a row.
const MISFITS: u16 = 32;

/// A template is replaced after so many heads: the fields that heads have in common may have changed.
const MAX_RENDERED: u16 = 10_000;

/// Larger heads, in bytes, are built for each hit: the maps that are kept here are not part of the `memory` budget.
/// A map takes about twice the bytes of the stored head.
const MAX_WEIGHT: u64 = 2 * 1024;

/// Which response is made of a stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    NotModified,
}

/// All that the fields of a plain hit depend on, under one version of the settings.
#[derive(Clone, Copy, Debug)]
pub struct HitFields<'a> {
    pub stored: &'a Arc<StoredResponse>,
    pub form: Form,
    /// The API that its requests go to.
    pub upstream: Option<usize>,
    /// As sent in Age.
    pub age: DeltaSeconds,
    /// As sent in Cache-Status, in seconds.
    pub ttl: i64,
}

/// The header maps that one worker has sent under one version of the settings.
pub struct PreparedFields {
    slots: RefCell<Box<[Slot]>>,
    builder: RefCell<FieldBuilder>,
    /// Counts the bytes that are kept.
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Slot {
    /// The address of the last stored response that had no entry here. Its map is kept when it is the next one again, so
    /// that responses with few hits do not replace those with many.
    missed: usize,
    entry: Option<Entry>,
}

struct Entry {
    /// Reserves the address for this response; the response itself can be dropped.
    stored: Weak<StoredResponse>,
    form: Form,
    age: DeltaSeconds,
    ttl: i64,
    fields: HeaderMap,
    /// That of the stored head, in bytes.
    weight: u64,
}

impl Drop for PreparedFields {
    fn drop(&mut self) {
        let slots = self.slots.borrow();
        let entries = slots.iter().filter_map(|slot| slot.entry.as_ref());
        let bytes = entries.map(|entry| entry.weight).sum();
        self.counters.ready_bytes.sub(bytes);
    }
}

impl fmt::Debug for PreparedFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedFields").finish_non_exhaustive()
    }
}

impl PreparedFields {
    pub fn new(counters: Arc<Counters>) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self {
            slots: RefCell::new(slots),
            builder: RefCell::default(),
            counters,
        }
    }

    /// The fields of a plain hit: kept from an equal hit, or built now.
    pub fn fields(&self, hit: &HitFields<'_>, identity: &Identity) -> HeaderMap {
        let address = Arc::as_ptr(hit.stored).addr();
        let mut slots = self.slots.borrow_mut();
        // Responses lie at least hundreds of bytes apart; their addresses are spread by a multiplication (Fibonacci hashing).
        let spread = (address as u64 ^ hit.form as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let slot = &mut slots[(spread >> (u64::BITS - SLOTS.ilog2())) as usize];
        let known = match &slot.entry {
            Some(entry)
                if entry.stored.as_ptr() == Arc::as_ptr(hit.stored) && entry.form == hit.form =>
            {
                if entry.age == hit.age && entry.ttl == hit.ttl {
                    return entry.fields.clone();
                }
                true
            }
            _ => slot.missed == address,
        };
        let weight = hit.stored.head.weight();
        let fields = self.builder.borrow_mut().make(hit, weight, identity);
        slot.missed = address;
        if known && weight <= MAX_WEIGHT {
            let before = slot.entry.as_ref().map_or(0, |entry| entry.weight);
            self.counters.ready_bytes.add(weight);
            self.counters.ready_bytes.sub(before);
            slot.entry = Some(Entry {
                stored: Arc::downgrade(hit.stored),
                form: hit.form,
                age: hit.age,
                ttl: hit.ttl,
                fields: fields.clone(),
                weight,
            });
        }
        fields
    }

    /// A value of Cache-Status: kept from an equal one, or written now.
    pub fn cache_status(&self, status: &CacheStatus, identity: &Identity) -> HeaderValue {
        let write = || status.to_value(&identity.name);
        // Values without seconds and without a key repeat; the others hardly do.
        if status.ttl.is_some() || status.key.is_some() {
            return write();
        }
        let other_statuses = &mut self.builder.borrow_mut().other_statuses;
        if let Some((_, known)) = other_statuses
            .iter()
            .find(|(status_of, _)| status_of == status)
        {
            return known.clone();
        }
        other_statuses.truncate(CACHE_STATUSES - 1);
        let value = write();
        other_statuses.insert(0, (status.clone(), value.clone()));
        value
    }
}

/// Builds header maps from templates and from values that were written before.
#[derive(Default)]
struct FieldBuilder {
    templates: [TemplateSlot; TEMPLATES],
    ages: NumberValues,
    cache_statuses: NumberValues,
    other_statuses: Vec<(CacheStatus, HeaderValue)>,
}

struct TemplateSlot {
    template: Option<HeadTemplate>,
    rendered: u16,
    misfits: u16,
}

impl Default for TemplateSlot {
    fn default() -> Self {
        Self {
            template: None,
            rendered: 0,
            // So that the first head makes the template.
            misfits: MISFITS,
        }
    }
}

impl FieldBuilder {
    fn make(&mut self, hit: &HitFields<'_>, weight: u64, identity: &Identity) -> HeaderMap {
        let HitFields { age, ttl, .. } = *hit;
        let added = Added {
            age: self
                .ages
                .value(age.as_secs().into(), || age.as_secs().into()),
            via: identity.via_for_client(hit.upstream).clone(),
            cache_status: self
                .cache_statuses
                .value(ttl, || CacheStatus::hit(ttl).to_value(&identity.name)),
        };
        let mut fields = match hit.form {
            Form::Whole => {
                // A template keeps the fields as well, so large heads have none.
                let map = (weight <= MAX_WEIGHT).then(|| self.render(hit, &added));
                match map.flatten() {
                    Some(map) => return map,
                    None => hit.stored.head.fields.to_map(),
                }
            }
            Form::NotModified => {
                preconditions::not_modified_fields(&hit.stored.head.fields.to_map())
            }
        };
        added.put(&mut fields);
        fields
    }

    fn render(&mut self, hit: &HitFields<'_>, added: &Added) -> Option<HeaderMap> {
        let fields = &hit.stored.head.fields;
        let slot = &mut self.templates[fields.line_count() % TEMPLATES];
        let map = slot
            .template
            .as_mut()
            .and_then(|template| template.render(fields, added));
        match map {
            Some(_) => (slot.rendered, slot.misfits) = (slot.rendered + 1, 0),
            None => slot.misfits += 1,
        }
        if slot.misfits > MISFITS || slot.rendered > MAX_RENDERED {
            *slot = TemplateSlot {
                template: HeadTemplate::of(fields),
                rendered: 0,
                misfits: 0,
            };
        }
        map
    }
}

/// Field values that were written for numbers, the latest of each slot.
struct NumberValues(Box<[(Option<i64>, HeaderValue)]>);

impl Default for NumberValues {
    fn default() -> Self {
        let none = (None, HeaderValue::from_static(""));
        Self(vec![none; NUMBERS].into())
    }
}

impl NumberValues {
    fn value(&mut self, number: i64, write: impl FnOnce() -> HeaderValue) -> HeaderValue {
        let (known, value) = &mut self.0[number.rem_euclid(NUMBERS as i64) as usize];
        if *known != Some(number) {
            (*known, *value) = (Some(number), write());
        }
        value.clone()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::config::Protocol;
    use crate::semantics::cache_status::ForwardReason;

    #[test]
    fn numbers_that_share_a_slot_have_values_of_their_own() {
        let mut values = NumberValues::default();
        let shared = [
            5,
            5 + NUMBERS as i64,
            5,
            5 - NUMBERS as i64,
            i64::MIN,
            0,
            i64::MIN,
        ];
        for number in shared {
            let value = values.value(number, || HeaderValue::from(number));
            assert_eq!(value, HeaderValue::from(number));
        }
    }

    #[test]
    fn values_of_cache_status_are_right_when_there_are_more_than_are_kept() {
        let identity = Identity::new("bookend", 1, [Protocol::Http1]);
        let prepared = PreparedFields::new(Arc::default());
        for _ in 0..2 {
            for code in 200..(200 + 2 * CACHE_STATUSES as u16) {
                let status = CacheStatus {
                    forward_status: StatusCode::from_u16(code).ok(),
                    ..CacheStatus::forwarded(ForwardReason::UriMiss)
                };
                let value = prepared.cache_status(&status, &identity);
                assert_eq!(value, status.to_value(&identity.name));
                assert!(prepared.builder.borrow().other_statuses.len() <= CACHE_STATUSES);
            }
        }
    }
}
