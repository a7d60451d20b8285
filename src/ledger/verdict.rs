//! What is asked about a record outside memory, and what is answered.

/// A stored response outside memory, as far as invalidations see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its target URI, or the key under which memory would store it.
    pub target: &'a str,
    /// Its cache groups and other tags, in any order.
    pub tags: &'a [Box<str>],
    /// Parts of its query do not matter to it (No-Vary-Search). Which ones is not known when an invalidation is looked up, so
    /// one of a single URL then counts for all queries of its path.
    pub ignores_query: bool,
}

/// Whether a record may be used. The greater one allows less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it is, by its own freshness.
    Valid,
    /// A soft invalidation covers it: as a stale response that has to be validated. Where stale-while-revalidate or
    /// stale-if-error allow it, it may be used without.
    Stale,
    /// Only after a successful validation, as with `no-cache`: an invalidation may cover it that is not remembered any more, and
    /// that may have been a hard one.
    MustValidate,
    /// Not at all: a hard invalidation covers it.
    Dead,
}
