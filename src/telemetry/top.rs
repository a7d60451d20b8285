//! The URLs that are asked for most, within bounded memory: Space-Saving sketches (Metwally, Agrawal and El Abbadi, 2005).

use std::sync::{Mutex, PoisonError};

use crate::semantics::reasons::{Reason, ReasonNumber};

/// URLs that a sketch of one worker knows.
const ENTRIES: usize = 128;

/// One plain hit of so many is counted, for as many.
pub const SAMPLED: u32 = 16;

/// Octets of a URL that are kept.
const MAX_TEXT: usize = 512;

/// The URLs of one worker.
#[derive(Debug, Default)]
pub struct TopUrls {
    pub requests: Sketch,
    /// Requests that no stored response answered.
    pub misses: Sketch,
    /// Bytes of content, as far as they were known with the head.
    pub bytes: Sketch,
}

/// The keys with the greatest sums, about. Written by one worker; others may read meanwhile.
#[derive(Debug, Default)]
pub struct Sketch(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// Those of `known`, in its order: what is looked through first.
    hashes: Vec<u64>,
    known: Vec<Entry>,
}

/// A URL with its sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub url: Box<str>,
    pub sum: u64,
    /// By how much `sum` may be too great.
    pub error: u64,
    /// The latest reason for which it was not answered from the store.
    pub reason: Option<ReasonNumber>,
}

impl Entry {
    pub fn why(&self) -> Option<&'static Reason> {
        self.reason?.reason()
    }
}

impl Sketch {
    /// Adds `weight` to the sum of the key with this hash, whose text `url` gives.
    pub fn add(
        &self,
        hash: u64,
        weight: u64,
        reason: Option<ReasonNumber>,
        url: impl FnOnce() -> String,
    ) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Entries { hashes, known } = &mut *entries;
        if let Some(at) = hashes.iter().position(|other| *other == hash) {
            let entry = &mut known[at];
            entry.sum = entry.sum.saturating_add(weight);
            entry.reason = reason.or(entry.reason);
            return;
        }
        let mut text = url();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        let mut entry = Entry {
            url: text.into(),
            sum: weight,
            error: 0,
            reason,
        };
        if known.len() < ENTRIES {
            hashes.push(hash);
            known.push(entry);
            return;
        }
        let least = known.iter().enumerate().min_by_key(|(_, entry)| entry.sum);
        if let Some((at, least)) = least {
            entry.error = least.sum;
            entry.sum = least.sum.saturating_add(weight);
            hashes[at] = hash;
            known[at] = entry;
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.known.clone()
    }
}

/// The greatest `most` of several workers' sketches together.
pub fn merged<'a>(sketches: impl Iterator<Item = &'a Sketch>, most: usize) -> Vec<Entry> {
    let mut all: Vec<Entry> = sketches.flat_map(Sketch::entries).collect();
    all.sort_by(|a, b| a.url.cmp(&b.url));
    all.dedup_by(|other, entry| {
        let is_same = other.url == entry.url;
        if is_same {
            entry.sum = entry.sum.saturating_add(other.sum);
            entry.error = entry.error.saturating_add(other.error);
            entry.reason = entry.reason.or(other.reason);
        }
        is_same
    });
    all.sort_by(|a, b| b.sum.cmp(&a.sum).then_with(|| a.url.cmp(&b.url)));
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frequent_is_found_among_much_that_is_rare() {
        let sketch = Sketch::default();
        // One of ten is for /a, one of twenty for /b, the others are all different.
        for n in 0..20_000_u64 {
            let (hash, url) = match n % 20 {
                0 | 10 => (1, "/a".to_owned()),
                5 => (2, "/b".to_owned()),
                _ => (n + 100, format!("/{n}")),
            };
            sketch.add(hash, 1, None, || url);
        }
        let top = merged([&sketch].into_iter(), 2);
        let urls: Vec<_> = top.iter().map(|entry| &*entry.url).collect();
        assert_eq!(urls, ["/a", "/b"]);
        for (entry, exact) in top.iter().zip([2_000, 1_000]) {
            assert!(
                entry.sum >= exact && entry.sum - entry.error <= exact,
                "{entry:?}"
            );
        }
        let known = sketch.entries().len();
        assert_eq!(known, ENTRIES);
    }

    #[test]
    fn sketches_are_added_up() {
        let (one, other) = (Sketch::default(), Sketch::default());
        one.add(1, 3, None, || "/a".to_owned());
        other.add(1, 4, Some(ReasonNumber(2)), || "/a".to_owned());
        other.add(2, 5, None, || "/b".to_owned());
        let top = merged([&one, &other].into_iter(), 9);
        let sums: Vec<_> = top.iter().map(|entry| (&*entry.url, entry.sum)).collect();
        assert_eq!(sums, [("/a", 7), ("/b", 5)]);
        assert_eq!(top[0].reason, Some(ReasonNumber(2)));
        assert_eq!(merged([&one, &other].into_iter(), 1).len(), 1);
    }
}
