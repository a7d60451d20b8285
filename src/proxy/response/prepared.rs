//! Response fields as they last went out, ready to go out again. What they tell of a hit changes once a second, so that
//! in between a hit has nothing to look for, format or put together: it takes a copy.

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

/// Fields kept at most; one in each slot.
const SLOTS: usize = 2048;

/// Values of Age and of a hit's Cache-Status kept at most, of each; one in each slot.
const WORDS: usize = 128;

/// Values of Cache-Status kept at most that tell of anything else.
const SAYINGS: usize = 8;

/// Templates kept, each for heads of another number of lines.
const TEMPLATES: usize = 8;

/// Heads in a row that a template does not fit, or of which none can be made, before it is replaced.
const MISFITS: u16 = 32;

/// Heads after which a template is replaced: what heads had in common once may have changed.
const MAX_RENDERED: u16 = 10_000;

/// Heads that weigh more are put together each time: what is kept here counts in nobody's budget.
/// A map of them takes about twice as much as they do where they are stored.
const MAX_WEIGHT: u64 = 2 * 1024;

/// What of a stored response is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Whole,
    NotModified,
}

/// What the fields of a plain hit depend on, as long as the settings are the same.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    pub stored: &'a Arc<StoredResponse>,
    pub form: Form,
    /// As told, in Age.
    pub age: DeltaSeconds,
    /// As told, in Cache-Status.
    pub ttl: i64,
}

/// The fields that one worker has sent under one version of the settings.
pub struct ReadyFields {
    slots: RefCell<Box<[Slot]>>,
    workshop: RefCell<Workshop>,
    /// Where their bytes are counted.
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Slot {
    /// Where the response lies that was asked for last and not found: only the second time in a row it is taken in, so that
    /// those asked for now and then do not drive out those in demand.
    missed: usize,
    entry: Option<Entry>,
}

struct Entry {
    /// Keeps the address from being given to another response, not the response from being dropped.
    stored: Weak<StoredResponse>,
    form: Form,
    age: DeltaSeconds,
    ttl: i64,
    fields: HeaderMap,
    /// In bytes, about: that of the head that they are of.
    weight: u64,
}

impl Drop for ReadyFields {
    fn drop(&mut self) {
        let slots = self.slots.borrow();
        let entries = slots.iter().filter_map(|slot| slot.entry.as_ref());
        let bytes = entries.map(|entry| entry.weight).sum();
        self.counters.ready_bytes.sub(bytes);
    }
}

impl fmt::Debug for ReadyFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyFields").finish_non_exhaustive()
    }
}

impl ReadyFields {
    pub fn new(counters: Arc<Counters>) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self {
            slots: RefCell::new(slots),
            workshop: RefCell::default(),
            counters,
        }
    }

    /// The fields of a plain hit, as they were made for the same `telling` before or now.
    pub fn fields(&self, telling: &Telling<'_>, identity: &Identity) -> HeaderMap {
        let address = Arc::as_ptr(telling.stored).addr();
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[slot_of(address, telling.form)];
        let known = match &slot.entry {
            Some(entry) if entry.is_of(telling) => {
                if entry.age == telling.age && entry.ttl == telling.ttl {
                    return entry.fields.clone();
                }
                true
            }
            _ => slot.missed == address,
        };
        let weight = telling.stored.head.weight();
        let fields = self.workshop.borrow_mut().make(telling, weight, identity);
        slot.missed = address;
        if known && weight <= MAX_WEIGHT {
            let before = slot.entry.as_ref().map_or(0, |entry| entry.weight);
            self.counters.ready_bytes.add(weight);
            self.counters.ready_bytes.sub(before);
            slot.entry = Some(Entry {
                stored: Arc::downgrade(telling.stored),
                form: telling.form,
                age: telling.age,
                ttl: telling.ttl,
                fields: fields.clone(),
                weight,
            });
        }
        fields
    }

    /// A value for Cache-Status, as it was written before or now.
    pub fn cache_status(&self, status: &CacheStatus, identity: &Identity) -> HeaderValue {
        let write = || status.to_value(&identity.name);
        // There are few that name no number of seconds and no key.
        if status.ttl.is_some() || status.key.is_some() {
            return write();
        }
        let sayings = &mut self.workshop.borrow_mut().sayings;
        if let Some((_, known)) = sayings.iter().find(|(said, _)| said == status) {
            return known.clone();
        }
        sayings.truncate(SAYINGS - 1);
        let value = write();
        sayings.insert(0, (status.clone(), value.clone()));
        value
    }
}

impl Entry {
    fn is_of(&self, telling: &Telling<'_>) -> bool {
        Weak::as_ptr(&self.stored) == Arc::as_ptr(telling.stored) && self.form == telling.form
    }
}

/// Where fields are made, of what was made before.
#[derive(Default)]
struct Workshop {
    templates: [Tool; TEMPLATES],
    ages: Words,
    cache_statuses: Words,
    sayings: Vec<(CacheStatus, HeaderValue)>,
}

struct Tool {
    template: Option<HeadTemplate>,
    rendered: u16,
    misfits: u16,
}

impl Default for Tool {
    fn default() -> Self {
        Self {
            template: None,
            rendered: 0,
            // The first head makes it.
            misfits: MISFITS,
        }
    }
}

impl Workshop {
    fn make(&mut self, telling: &Telling<'_>, weight: u64, identity: &Identity) -> HeaderMap {
        let Telling { age, ttl, .. } = *telling;
        let added = Added {
            age: self
                .ages
                .word(age.as_secs().into(), || age.as_secs().into()),
            via: identity.via_for_client().clone(),
            cache_status: self
                .cache_statuses
                .word(ttl, || CacheStatus::hit(ttl).to_value(&identity.name)),
        };
        let mut fields = match telling.form {
            Form::Whole => {
                // What is heavy is not kept in a template either.
                let map = (weight <= MAX_WEIGHT).then(|| self.render(telling, &added));
                match map.flatten() {
                    Some(map) => return map,
                    None => telling.stored.head.fields.to_map(),
                }
            }
            Form::NotModified => {
                preconditions::not_modified_fields(&telling.stored.head.fields.to_map())
            }
        };
        added.put(&mut fields);
        fields
    }

    fn render(&mut self, telling: &Telling<'_>, added: &Added) -> Option<HeaderMap> {
        let fields = &telling.stored.head.fields;
        let tool = &mut self.templates[fields.line_count() % TEMPLATES];
        let map = tool
            .template
            .as_mut()
            .and_then(|template| template.render(fields, added));
        match map {
            Some(_) => (tool.rendered, tool.misfits) = (tool.rendered + 1, 0),
            None => tool.misfits += 1,
        }
        if tool.misfits > MISFITS || tool.rendered > MAX_RENDERED {
            *tool = Tool {
                template: HeadTemplate::of(fields),
                rendered: 0,
                misfits: 0,
            };
        }
        map
    }
}

/// Numbers in words, as they were last written.
struct Words(Box<[(Option<i64>, HeaderValue)]>);

impl Default for Words {
    fn default() -> Self {
        let none = (None, HeaderValue::from_static(""));
        Self(vec![none; WORDS].into())
    }
}

impl Words {
    fn word(&mut self, number: i64, write: impl FnOnce() -> HeaderValue) -> HeaderValue {
        let (known, word) = &mut self.0[number.rem_euclid(WORDS as i64) as usize];
        if *known != Some(number) {
            (*known, *word) = (Some(number), write());
        }
        word.clone()
    }
}

/// Responses lie at least hundreds of bytes apart; their addresses are spread by a multiplication (Fibonacci hashing).
fn slot_of(address: usize, form: Form) -> usize {
    let spread = (address as u64 ^ form as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (spread >> (u64::BITS - SLOTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::config::Protocol;
    use crate::semantics::cache_status::ForwardReason;

    #[test]
    fn numbers_that_share_a_slot_are_told_apart() {
        let mut words = Words::default();
        let shared = [
            5,
            5 + WORDS as i64,
            5,
            5 - WORDS as i64,
            i64::MIN,
            0,
            i64::MIN,
        ];
        for number in shared {
            let word = words.word(number, || HeaderValue::from(number));
            assert_eq!(word, HeaderValue::from(number));
        }
    }

    #[test]
    fn more_is_said_of_requests_than_is_kept() {
        let identity = Identity::new("bookend", 1, Protocol::Http1);
        let ready = ReadyFields::new(Arc::default());
        for _ in 0..2 {
            for code in 200..(200 + 2 * SAYINGS as u16) {
                let status = CacheStatus {
                    forward_status: StatusCode::from_u16(code).ok(),
                    ..CacheStatus::forwarded(ForwardReason::UriMiss)
                };
                let value = ready.cache_status(&status, &identity);
                assert_eq!(value, status.to_value(&identity.name));
                assert!(ready.workshop.borrow().sayings.len() <= SAYINGS);
            }
        }
    }
}
