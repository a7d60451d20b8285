//! The stored target URIs, in an order in which those of one path, or below it, lie together.
//!
//! Each is entered under a number that its origin and the first segments of its path make, so that few texts are compared:
//! 8 bits for the origin, and 14 for each of four levels, which are segments of the path and, after the last of them, the
//! query. A level's bits are a hash of all that comes up to its end; the highest of them tells a query, and all are zero
//! where there is no such level. Entries with the same number are in the order of their texts.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex};

use super::entry::{CHUNK, PathEntry as Entry, lock};
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, split_query, target_of};

const LEVELS: u32 = 4;
const LEVEL_BITS: u32 = 14;
/// Set in the level of a query.
const QUERY: u64 = 1 << (LEVEL_BITS - 1);
const ORIGIN_SHIFT: u32 = LEVELS * LEVEL_BITS;

/// Target URIs in order, each with the bytes that its resource takes: 0 where it has no responses.
#[derive(Debug, Default)]
pub struct Paths(BTreeMap<Entry, u32>);

/// Called for each target URI that is found, with the bytes of its resource, until it breaks off. It must not come back to the
/// index.
pub trait Visit: FnMut(&Arc<str>, u32) -> ControlFlow<()> {}

impl<F: FnMut(&Arc<str>, u32) -> ControlFlow<()>> Visit for F {}

impl Paths {
    /// Enters a target URI, or the bytes that its resource takes now.
    pub fn insert(&mut self, number: u64, target: Arc<str>, bytes: u32) {
        self.0.insert((number, target), bytes);
    }

    pub fn remove(&mut self, number: u64, target: Arc<str>) {
        self.0.remove(&(number, target));
    }
}

/// Makes the numbers of target URIs. Keyed, so that nobody can choose paths that share one.
#[derive(Debug)]
pub struct Numbers {
    seed: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        let seed = RandomState::new().hash_one("paths");
        Self { seed }
    }
}

/// Octet by octet (FNV-1a): the hash only has to tell neighbours apart. Where it does not, a purge looks at a few more.
const fn hash(before: u64, octet: u8) -> u64 {
    (before ^ octet as u64).wrapping_mul(0x0000_0100_0000_01b3)
}

impl Numbers {
    /// The number of a key, which is that of its target URI.
    pub fn of(&self, key: &str) -> u64 {
        let (origin, rest) = split_origin(target_of(key));
        self.of_origin(origin) | self.of_levels(rest).0
    }

    fn of_origin(&self, origin: &str) -> u64 {
        let state = origin.bytes().fold(self.seed, hash);
        (state >> 40) << ORIGIN_SHIFT
    }

    /// The bits of the levels of a path and query, and how many levels these are.
    fn of_levels(&self, path_and_query: &str) -> (u64, u32) {
        let (mut bits, mut count) = (0, 0);
        let (mut state, mut kind) = (self.seed, None);
        let mut close = |kind: u64, state: u64| {
            count += 1;
            // Never zero, which is no level.
            let level = kind | ((state >> 40) % (QUERY - 1) + 1);
            bits |= level << (ORIGIN_SHIFT - count * LEVEL_BITS);
            count == LEVELS
        };
        for octet in path_and_query.bytes() {
            if matches!(octet, b'/' | b'?') && kind != Some(QUERY) {
                if kind.is_some_and(|kind| close(kind, state)) {
                    return (bits, count);
                }
                kind = Some(if octet == b'?' { QUERY } else { 0 });
            }
            state = hash(state, octet);
        }
        if let Some(kind) = kind {
            close(kind, state);
        }
        (bits, count)
    }
}

fn split_origin(target: &str) -> (&str, &str) {
    target.split_at(origin_of(target).len())
}

/// The place in the order of the target URIs that a selector covers.
pub struct Place<'a> {
    /// `None` for all.
    origin: Option<&'a str>,
    /// The path, and the query if one is named, which follow the origin in the texts.
    path: &'a str,
    /// The bits of its levels, and how many these are.
    levels: u64,
    count: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// That path and query.
    Url,
    /// The path with all queries.
    Path,
    /// The path, and all below it.
    Prefix,
}

impl<'a> Place<'a> {
    /// `all_queries`: others than the one that `selector` names may be the same to a response.
    pub fn of(selector: &'a Selector, numbers: &Numbers, all_queries: bool) -> Self {
        let ((origin, path), kind) = match selector {
            Selector::PathAndQuery(path) => ((None, path.as_str()), Kind::Url),
            Selector::PathPrefix(path) => ((None, path.as_str()), Kind::Prefix),
            Selector::Target(target) => (with_origin(target), Kind::Url),
            Selector::TargetPath(target) => (with_origin(target), Kind::Path),
            Selector::TargetPrefix(target) => (with_origin(target), Kind::Prefix),
        };
        let (path, kind) = match kind {
            Kind::Url if all_queries => (split_query(path).0, Kind::Path),
            kind => (path, kind),
        };
        let named = match kind {
            // The paths below a directory are at the level behind its name.
            Kind::Prefix => path.strip_suffix('/').unwrap_or(path),
            Kind::Url | Kind::Path => path,
        };
        let (levels, count) = numbers.of_levels(named);
        Self {
            origin,
            path,
            levels,
            count,
            kind,
        }
    }

    /// Visits the texts among `paths` that lie here: those that are covered, and few others.
    pub fn find(
        &self,
        numbers: &Numbers,
        paths: &Mutex<Paths>,
        visit: &mut impl Visit,
    ) -> ControlFlow<()> {
        if let Some(origin) = self.origin {
            return self.find_at(numbers.of_origin(origin), paths, visit);
        }
        let mut next = Some(0);
        while let Some(from) = next {
            let first = first_from(paths, (from, Arc::default()));
            let Some(origin) = first.map(|(number, _)| number >> ORIGIN_SHIFT) else {
                break;
            };
            self.find_at(origin << ORIGIN_SHIFT, paths, visit)?;
            next = (origin + 1)
                .checked_shl(ORIGIN_SHIFT)
                .filter(|_| origin < 0xff);
        }
        ControlFlow::Continue(())
    }

    /// The same of origins whose number is `origin`.
    fn find_at(
        &self,
        origin: u64,
        paths: &Mutex<Paths>,
        visit: &mut impl Visit,
    ) -> ControlFlow<()> {
        let first = origin | self.levels;
        let shift = ORIGIN_SHIFT - self.count * LEVEL_BITS;
        let below = (1 << shift) - 1;
        if self.kind == Kind::Url || self.count == LEVELS {
            return self.find_texts(first, paths, visit);
        }
        match self.kind {
            Kind::Prefix => scan(paths, first, first | below, visit),
            _ => {
                scan(paths, first, first, visit)?;
                let query = QUERY << (shift - LEVEL_BITS);
                scan(paths, first | query, first | below, visit)
            }
        }
    }

    /// Those under one number, which may lie among many others: by their texts.
    fn find_texts(
        &self,
        number: u64,
        paths: &Mutex<Paths>,
        visit: &mut impl Visit,
    ) -> ControlFlow<()> {
        // What follows the path, and whether the text ends there.
        let ends: &[(&str, bool)] = match self.kind {
            Kind::Url => &[("", true), ("#", false), ("?##", false)],
            Kind::Path => &[("", true), ("?", false)],
            Kind::Prefix if self.path.ends_with('/') => &[("", false)],
            Kind::Prefix => &[("", true), ("/", false), ("?", false)],
        };
        let mut at = (number, Arc::<str>::from(self.origin.unwrap_or_default()));
        while let Some((_, target)) = first_from(paths, at).filter(|(other, _)| *other == number) {
            let origin = self.origin.unwrap_or(split_origin(&target).0);
            for (end, is_whole) in ends {
                let named: Arc<str> = format!("{origin}{}{end}", self.path).into();
                let is_within = |(other, target): &Entry| {
                    let fits = match is_whole {
                        true => *target == named,
                        false => target.starts_with(&*named),
                    };
                    *other == number && fits
                };
                let from = Bound::Included((number, named.clone()));
                scan_while(paths, from, is_within, visit)?;
            }
            if self.origin.is_some() {
                break;
            }
            // Behind all that begins with this origin and a slash.
            at = (number, format!("{origin}0").into());
        }
        ControlFlow::Continue(())
    }
}

fn with_origin(target: &str) -> (Option<&str>, &str) {
    let (origin, path) = split_origin(target);
    (Some(origin), path)
}

/// Visits all of them.
pub fn all(paths: &Mutex<Paths>, visit: &mut impl Visit) -> ControlFlow<()> {
    scan(paths, 0, u64::MAX, visit)
}

fn first_from(paths: &Mutex<Paths>, entry: Entry) -> Option<Entry> {
    let paths = lock(paths);
    paths
        .0
        .range(entry..)
        .next()
        .map(|(entry, _)| entry.clone())
}

/// Those with numbers from `first` to `last`.
fn scan(paths: &Mutex<Paths>, first: u64, last: u64, visit: &mut impl Visit) -> ControlFlow<()> {
    let from = Bound::Included((first, Arc::default()));
    scan_while(paths, from, |(number, _)| *number <= last, visit)
}

/// Those from a bound on, as long as they are `within`, a [`CHUNK`] under one lock.
fn scan_while(
    paths: &Mutex<Paths>,
    mut from: Bound<Entry>,
    within: impl Fn(&Entry) -> bool,
    visit: &mut impl Visit,
) -> ControlFlow<()> {
    loop {
        let paths = lock(paths);
        let entries = paths.0.range((from, Bound::Unbounded)).take(CHUNK);
        let (mut count, mut last) = (0, None);
        for (entry, bytes) in entries.take_while(|(entry, _)| within(entry)) {
            visit(&entry.1, *bytes)?;
            count += 1;
            last = Some(entry);
        }
        match last {
            Some(last) if count == CHUNK => from = Bound::Excluded(last.clone()),
            _ => return ControlFlow::Continue(()),
        }
    }
}
