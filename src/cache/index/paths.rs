//! The stored target URIs, in an order in which those of one path, or below it, lie together.
//!
//! Each is entered under a number that its origin and the first segments of its path make, so that few texts are compared:
//! 8 bits for the origin, and 14 for each of four levels, which are segments of the path and, after the last of them, the
//! query. A level's bits are a hash of all that comes up to its end; the highest of them tells a query, and all are zero
//! where there is no such level. Entries with the same number are in the order of their texts.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use super::entry::{CHUNK, PathEntry as Entry, lock};
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, split_query, target_of};

const LEVELS: u32 = 4;
const LEVEL_BITS: u32 = 14;
/// Set in the level of a query.
const QUERY: u64 = 1 << (LEVEL_BITS - 1);
const ORIGIN_SHIFT: u32 = LEVELS * LEVEL_BITS;

/// Target URIs in order.
#[derive(Debug, Default)]
pub struct Paths(BTreeSet<Entry>);

impl Paths {
    pub fn insert(&mut self, number: u64, target: Arc<str>) {
        self.0.insert((number, target));
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

    /// The texts among `paths` that lie here: those that are covered, and few others.
    pub fn find(&self, numbers: &Numbers, paths: &Mutex<Paths>, found: &mut Vec<Arc<str>>) {
        if let Some(origin) = self.origin {
            self.find_at(numbers.of_origin(origin), paths, found);
            return;
        }
        let mut next = Some(0);
        while let Some(from) = next {
            let first = first_from(paths, (from, Arc::default()));
            let Some(origin) = first.map(|(number, _)| number >> ORIGIN_SHIFT) else {
                return;
            };
            self.find_at(origin << ORIGIN_SHIFT, paths, found);
            next = (origin + 1)
                .checked_shl(ORIGIN_SHIFT)
                .filter(|_| origin < 0xff);
        }
    }

    /// The same of origins whose number is `origin`.
    fn find_at(&self, origin: u64, paths: &Mutex<Paths>, found: &mut Vec<Arc<str>>) {
        let first = origin | self.levels;
        let shift = ORIGIN_SHIFT - self.count * LEVEL_BITS;
        let below = (1 << shift) - 1;
        if self.kind == Kind::Url || self.count == LEVELS {
            return self.find_texts(first, paths, found);
        }
        match self.kind {
            Kind::Prefix => scan(paths, first, first | below, found),
            _ => {
                scan(paths, first, first, found);
                let query = QUERY << (shift - LEVEL_BITS);
                scan(paths, first | query, first | below, found);
            }
        }
    }

    /// Those under one number, which may lie among many others: by their texts.
    fn find_texts(&self, number: u64, paths: &Mutex<Paths>, found: &mut Vec<Arc<str>>) {
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
                scan_while(paths, from, is_within, found);
            }
            if self.origin.is_some() {
                return;
            }
            // Behind all that begins with this origin and a slash.
            at = (number, format!("{origin}0").into());
        }
    }
}

fn with_origin(target: &str) -> (Option<&str>, &str) {
    let (origin, path) = split_origin(target);
    (Some(origin), path)
}

/// All of them.
pub fn all(paths: &Mutex<Paths>, found: &mut Vec<Arc<str>>) {
    scan(paths, 0, u64::MAX, found);
}

fn first_from(paths: &Mutex<Paths>, entry: Entry) -> Option<Entry> {
    lock(paths).0.range(entry..).next().cloned()
}

/// Those with numbers from `first` to `last`.
fn scan(paths: &Mutex<Paths>, first: u64, last: u64, found: &mut Vec<Arc<str>>) {
    let from = Bound::Included((first, Arc::default()));
    scan_while(paths, from, |(number, _)| *number <= last, found);
}

/// Those from a bound on, as long as they are `within`, a [`CHUNK`] under one lock.
fn scan_while(
    paths: &Mutex<Paths>,
    mut from: Bound<Entry>,
    within: impl Fn(&Entry) -> bool,
    found: &mut Vec<Arc<str>>,
) {
    loop {
        let paths = lock(paths);
        let before = found.len();
        let entries = paths.0.range((from, Bound::Unbounded)).take(CHUNK);
        let mut last = None;
        for entry in entries.take_while(|entry| within(entry)) {
            found.push(entry.1.clone());
            last = Some(entry);
        }
        match last {
            Some(last) if found.len() - before == CHUNK => from = Bound::Excluded(last.clone()),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::target::key_with;

    const TARGETS: [&str; 20] = [
        "http://a/",
        "http://a/?x",
        "http://a//",
        "http://a/books",
        "http://a/books?x=1",
        "http://a/books?x=/1",
        "http://a/books/",
        "http://a/books/1",
        "http://a/books/1?x=1",
        "http://a/books/1/reviews",
        "http://a/books/10",
        "http://a/bookshop",
        "http://a/1/2/3/4",
        "http://a/1/2/3/4?x",
        "http://a/1/2/3/4/5",
        "http://a/1/2/3/4/5?x",
        "http://a/1/2/3/4/5/6/7",
        "http://a/1/2/3/4/50",
        "http://a:8080/books/1",
        "https://b/1/2/3/4/5?x",
    ];

    fn paths(numbers: &Numbers, targets: &[&str]) -> Mutex<Paths> {
        let mut paths = Paths::default();
        for target in targets {
            paths.insert(numbers.of(target), (*target).into());
        }
        Mutex::new(paths)
    }

    fn selectors() -> Vec<Selector> {
        let named = TARGETS.iter().flat_map(|target| {
            let (_, path) = split_origin(target);
            let urls = [target, path].map(|url| Selector::url(url).expect(url));
            let prefixes = [target, path].map(|prefix| Selector::prefix(prefix).ok());
            let paths = [split_query(target).0].map(|path| Selector::TargetPath(path.to_owned()));
            let prefixes = prefixes.into_iter().flatten();
            urls.into_iter().chain(prefixes).chain(paths)
        });
        let origins = ["/", "http://a", "https://b", "http://c"];
        let origins = origins.map(|prefix| Selector::prefix(prefix).expect(prefix));
        named.chain(origins).collect()
    }

    #[test]
    fn all_that_a_selector_covers_is_found_and_found_once() {
        let longer = TARGETS.map(|target| key_with(target, "x=a&b"));
        let longer = longer.iter().map(String::as_str);
        let keys: Vec<&str> = TARGETS.into_iter().chain(longer).collect();
        for _ in 0..20 {
            let numbers = Numbers::default();
            let paths = paths(&numbers, &keys);
            for selector in selectors() {
                for all_queries in [false, true] {
                    let mut found = Vec::new();
                    Place::of(&selector, &numbers, all_queries).find(&numbers, &paths, &mut found);
                    let mut texts: Vec<&str> = found.iter().map(|target| &**target).collect();
                    texts.sort_unstable();
                    let count = texts.len();
                    texts.dedup();
                    assert_eq!(texts.len(), count, "{selector}: {found:?}");
                    for key in keys.iter().filter(|key| selector.covers(target_of(key))) {
                        assert!(texts.contains(key), "{selector}: {key}");
                    }
                }
            }
        }
    }

    #[test]
    fn little_is_found_that_is_not_covered() {
        let numbers = Numbers::default();
        let targets: Vec<String> = (0..10_000)
            .flat_map(|n| {
                [
                    format!("http://a/books/{n}"),
                    format!("http://a/search?q={n}"),
                    format!("http://a/api/v1/shops/7/books/{n}/reviews"),
                    format!("http://host-{n}/authors/1"),
                ]
            })
            .collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let paths = paths(&numbers, &targets);
        for (selector, covered) in [
            (Selector::prefix("http://a/books/77"), 1),
            (Selector::prefix("/books/77"), 1),
            (Selector::prefix("/books"), 10_000),
            (Selector::url("/search?q=77"), 1),
            (Selector::url("/search"), 0),
            (Selector::prefix("http://host-7"), 1),
            (Selector::prefix("/api/v1/shops/7/books/77"), 1),
            (Selector::prefix("http://a/api/v1/shops/7/books/77"), 1),
            (Selector::url("/api/v1/shops/7/books/77/reviews"), 1),
            (
                Ok(Selector::TargetPath("http://a/search".to_owned())),
                10_000,
            ),
            (Ok(Selector::TargetPath("http://a/books/77".to_owned())), 1),
        ] {
            let selector = selector.expect("a selector");
            let mut found = Vec::new();
            Place::of(&selector, &numbers, false).find(&numbers, &paths, &mut found);
            let is_covered = |target: &&Arc<str>| selector.covers(target);
            assert_eq!(
                found.iter().filter(is_covered).count(),
                covered,
                "{selector}"
            );
            // Origins have 8 bits: one of 256 of 10,000, and what shares a level of the path.
            assert!(found.len() <= covered + 100, "{selector}: {}", found.len());
        }
    }

    #[test]
    fn what_is_taken_out_is_not_found() {
        let numbers = Numbers::default();
        let paths = paths(&numbers, &TARGETS);
        let everything = || {
            let mut found = Vec::new();
            all(&paths, &mut found);
            found.len()
        };
        assert_eq!(everything(), TARGETS.len());
        for target in TARGETS {
            lock(&paths).remove(numbers.of(target), target.into());
        }
        assert_eq!(everything(), 0);
    }

    #[test]
    fn more_than_what_is_taken_at_once_is_found() {
        let numbers = Numbers::default();
        let targets: Vec<String> = (0..3 * CHUNK).map(|n| format!("http://a/{n}")).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let paths = paths(&numbers, &targets);
        let mut found = Vec::new();
        all(&paths, &mut found);
        assert_eq!(found.len(), targets.len());
    }
}
