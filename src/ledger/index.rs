//! The latest invalidation of each matcher, by a keyed hash of the matcher. Two matchers with the same hash count as both: that
//! costs a fetch, and is never wrong. So 64 bits do, and a matcher takes 52 bytes however long its URL is.

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashMap;

use super::invalidation::{Matcher, Strength};
use super::verdict::{Subject, Verdict};
use crate::semantics::selector::Selector;
use crate::semantics::target::{origin_of, path_and_query, split_query, target_of};

/// Prefixes of a path that are looked up. A longer prefix that is invalidated is recorded by its first segments: that covers more.
const MAX_PREFIXES: usize = 64;

/// What a hash is of: the same text may be a URL and a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// One URL, with an origin or as path and query.
    Url,
    /// A URL with a query, by what comes before the query: for records that ignore parts of theirs.
    UrlOfPath,
    /// A URL without a query, for all queries.
    Path,
    Prefix,
    /// A tag on every host.
    Tag,
    /// A tag of one origin.
    TagOfOrigin,
    All,
}

impl Kind {
    pub(super) const COUNT: usize = 7;

    pub(super) fn from_octet(octet: u8) -> Option<Self> {
        let kinds = [
            Self::Url,
            Self::UrlOfPath,
            Self::Path,
            Self::Prefix,
            Self::Tag,
            Self::TagOfOrigin,
            Self::All,
        ];
        kinds.into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// One matcher as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) kind: Kind,
    pub(super) hash: u64,
}

/// The numbers of the latest invalidations by one matcher; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl Numbers {
    fn latest(self) -> u64 {
        self.hard.max(self.soft)
    }
}

/// The key of the hashes: who chooses URLs cannot choose matchers that collide. It goes with the ledger's file, since the
/// file holds hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(pub(super) [u8; 32]);

impl Secret {
    pub(super) fn random() -> Self {
        let halves = [random(), random()];
        Self(std::array::from_fn(|at| halves[at / 16][at % 16]))
    }

    fn of(&self, kind: Kind, text: &str) -> Recorded {
        let text = [&[kind as u8], text.as_bytes()].concat();
        self.of_octets(kind, &text)
    }

    /// `octets` begin with the kind.
    fn of_octets(&self, kind: Kind, octets: &[u8]) -> Recorded {
        let hash = blake3::keyed_hash(&self.0, octets);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        let hash = u64::from_le_bytes(first);
        Recorded { kind, hash }
    }

    fn of_tag(&self, origin: &str, name: &str) -> Recorded {
        // No origin has such an octet.
        self.of(Kind::TagOfOrigin, &format!("{origin}\0{name}"))
    }

    /// What is recorded of `matcher`; this may cover more, never less.
    pub(super) fn record(&self, matcher: &Matcher, into: &mut Vec<Recorded>) {
        match matcher {
            Matcher::Urls(selector) => self.record_urls(selector, into),
            Matcher::Tag { name, origin } => into.push(match origin {
                Some(origin) => self.of_tag(origin, name),
                None => self.of(Kind::Tag, name),
            }),
            // Which URLs take a route cannot be written down, and is another matter after a reload. All of them are within this.
            Matcher::Route(route) => self.record_urls(route.within(), into),
            Matcher::All => into.push(self.of(Kind::All, "")),
        }
    }

    fn record_urls(&self, selector: &Selector, into: &mut Vec<Recorded>) {
        match selector {
            Selector::PathAndQuery(url) | Selector::Target(url) => {
                into.push(self.of(Kind::Url, url));
                if let (base, Some(_)) = split_query(url) {
                    into.push(self.of(Kind::UrlOfPath, base));
                }
            }
            Selector::TargetPath(base) => into.push(self.of(Kind::Path, base)),
            Selector::PathPrefix(prefix) => {
                let (path, _) = split_query(prefix);
                let end = cuts(path).last().unwrap_or_default();
                into.push(self.of(Kind::Prefix, &path[..end]));
            }
            Selector::TargetPrefix(prefix) => {
                let (base, _) = split_query(prefix);
                let origin = origin_of(base);
                into.push(match origin.split_once("://") {
                    Some((_, authority)) if !authority.is_empty() => {
                        let end = cuts(&base[origin.len()..]).last().unwrap_or_default();
                        self.of(Kind::Prefix, &base[..origin.len() + end])
                    }
                    // Not even an origin.
                    _ => self.of(Kind::All, ""),
                });
            }
        }
    }
}

/// Random octets, as unpredictable as the keys of a map: two ledgers never have the same.
pub(super) fn random() -> [u8; 16] {
    let of = |state: RandomState, n: u8| state.hash_one(n).to_le_bytes();
    let halves = [of(RandomState::new(), 0), of(RandomState::new(), 1)];
    std::array::from_fn(|at| halves[at / 8][at % 8])
}

/// Where a prefix of `path` may end so that it covers the path: see [`Selector::covers`]. The first ones, so many that a path
/// with thousands of slashes costs no more than others.
fn cuts(path: &str) -> impl Iterator<Item = usize> {
    let octets = path.as_bytes();
    let is_cut = |at: &usize| {
        *at == octets.len() || octets[*at] == b'/' || (*at > 0 && octets[*at - 1] == b'/')
    };
    (0..=octets.len()).filter(is_cut).take(MAX_PREFIXES)
}

/// Keeps a hash as it is.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = self.0.rotate_left(8) ^ u64::from(*octet);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl BuildHasher for AsItIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

/// What was invalidated, as far as it is remembered.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) secret: Secret,
    numbers: HashMap<u64, Numbers, AsItIs>,
    /// The latest number by kind: nothing of a kind is looked up for a record that is younger.
    latest: [u64; Kind::COUNT],
    floor: u64,
    limit: usize,
}

/// What an index remembered at a time.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) secret: Secret,
    pub(super) entries: Vec<(u64, Numbers)>,
    pub(super) latest: [u64; Kind::COUNT],
    pub(super) floor: u64,
}

impl Index {
    /// Remembers about `limit` matchers.
    pub(super) fn new(secret: Secret, limit: usize) -> Self {
        Self {
            secret,
            numbers: HashMap::default(),
            latest: [0; Kind::COUNT],
            floor: 0,
            limit,
        }
    }

    /// The highest number of which a matcher may have been forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Takes over an invalidation, whose number is the highest so far.
    pub(super) fn apply(&mut self, number: u64, strength: Strength, recorded: &[Recorded]) {
        for Recorded { kind, hash } in recorded {
            let numbers = match strength {
                Strength::Hard => Numbers {
                    hard: number,
                    soft: 0,
                },
                Strength::Soft => Numbers {
                    hard: 0,
                    soft: number,
                },
            };
            let mut latest = [0; Kind::COUNT];
            latest[*kind as usize] = number;
            self.merge([(*hash, numbers)], latest);
        }
        self.trim();
    }

    /// Takes over what another index remembered.
    pub(super) fn merge(
        &mut self,
        entries: impl IntoIterator<Item = (u64, Numbers)>,
        latest: [u64; Kind::COUNT],
    ) {
        for (hash, new) in entries {
            let numbers = self.numbers.entry(hash).or_default();
            numbers.hard = numbers.hard.max(new.hard);
            numbers.soft = numbers.soft.max(new.soft);
        }
        for (kind, number) in latest.into_iter().enumerate() {
            self.latest[kind] = self.latest[kind].max(number);
        }
    }

    /// All of it, as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let entries = self.numbers.iter();
        Snapshot {
            secret: self.secret,
            entries: entries.map(|(hash, numbers)| (*hash, *numbers)).collect(),
            latest: self.latest,
            floor: self.floor,
        }
    }

    /// Forgets the oldest eighth where there are too many. What was fetched before the latest of these is validated.
    pub(super) fn trim(&mut self) {
        let all = self.numbers.len();
        if all <= self.limit {
            return;
        }
        let kept = self.limit - self.limit / 8;
        let mut numbers: Vec<_> = self
            .numbers
            .values()
            .map(|number| number.latest())
            .collect();
        let (_, highest, _) = numbers.select_nth_unstable(all - kept - 1);
        let highest = *highest;
        self.numbers.retain(|_, numbers| numbers.latest() > highest);
        self.floor = self.floor.max(highest);
    }

    /// Whether a record may be used that was fetched when the invalidations up to `stamp` had been taken over.
    pub(super) fn judge(&self, stamp: u64, subject: &Subject<'_>) -> Verdict {
        let below = match stamp < self.floor {
            true => Verdict::MustValidate,
            false => Verdict::Valid,
        };
        if self.latest.iter().all(|latest| *latest <= stamp) {
            return below;
        }
        let look_up = LookUp { index: self, stamp };
        let kinds = [
            LookUp::urls,
            LookUp::paths,
            LookUp::prefixes,
            LookUp::tags,
            LookUp::all,
        ];
        // Nothing is greater.
        kinds.iter().fold(below, |verdict, kind| match verdict {
            Verdict::Dead => verdict,
            _ => verdict.max(kind(&look_up, subject)),
        })
    }
}

/// A look-up of all that may cover a record.
struct LookUp<'a> {
    index: &'a Index,
    stamp: u64,
}

impl LookUp<'_> {
    fn is_any(&self, kind: Kind) -> bool {
        self.index.latest[kind as usize] > self.stamp
    }

    fn of(&self, recorded: Recorded) -> Verdict {
        match self.index.numbers.get(&recorded.hash) {
            Some(numbers) if numbers.hard > self.stamp => Verdict::Dead,
            Some(numbers) if numbers.soft > self.stamp => Verdict::Stale,
            _ => Verdict::Valid,
        }
    }

    fn text(&self, kind: Kind, text: &str) -> Verdict {
        match self.is_any(kind) {
            true => self.of(self.index.secret.of(kind, text)),
            false => Verdict::Valid,
        }
    }

    fn urls(&self, subject: &Subject<'_>) -> Verdict {
        let target = target_of(subject.target);
        let forms = [target, path_and_query(target)];
        let whole = forms.map(|url| self.text(Kind::Url, url));
        let exact = whole[0].max(whole[1]);
        if !subject.ignores_query {
            return exact;
        }
        let of_any_query = |url: &str| {
            let (base, _) = split_query(url);
            self.text(Kind::Url, base)
                .max(self.text(Kind::UrlOfPath, base))
        };
        forms
            .map(of_any_query)
            .into_iter()
            .fold(exact, Verdict::max)
    }

    fn paths(&self, subject: &Subject<'_>) -> Verdict {
        self.text(Kind::Path, split_query(target_of(subject.target)).0)
    }

    fn prefixes(&self, subject: &Subject<'_>) -> Verdict {
        if !self.is_any(Kind::Prefix) {
            return Verdict::Valid;
        }
        let target = target_of(subject.target);
        let (base, _) = split_query(target);
        let (path, _) = split_query(path_and_query(target));
        let origin = origin_of(base).len();
        let below = |text: &str, from: usize| {
            let octets = [&[Kind::Prefix as u8], text.as_bytes()].concat();
            let prefixes = cuts(&text[from..]).map(|cut| &octets[..1 + from + cut]);
            prefixes
                .map(|prefix| self.of(self.index.secret.of_octets(Kind::Prefix, prefix)))
                .fold(Verdict::Valid, Verdict::max)
        };
        below(base, origin).max(below(path, 0))
    }

    fn tags(&self, subject: &Subject<'_>) -> Verdict {
        let origin = origin_of(subject.target);
        let of = |name: &str| {
            let everywhere = self.text(Kind::Tag, name);
            match self.is_any(Kind::TagOfOrigin) {
                true => everywhere.max(self.of(self.index.secret.of_tag(origin, name))),
                false => everywhere,
            }
        };
        let verdicts = subject.tags.iter().map(|tag| of(tag));
        verdicts.fold(Verdict::Valid, Verdict::max)
    }

    fn all(&self, _: &Subject<'_>) -> Verdict {
        self.text(Kind::All, "")
    }
}
