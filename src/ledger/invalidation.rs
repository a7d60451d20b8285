//! An invalidation: what it covers, and what it does to that. A purge, a write and a cache group all make the same value.

use std::fmt;
use std::sync::Arc;

use crate::semantics::selector::Selector;

/// What an invalidation does to what it covers. The greater one includes the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It is validated before it is used again.
    Soft,
    /// It is not used again.
    Hard,
}

/// Stored responses that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// By their target URIs.
    Urls(Selector),
    /// By a tag, of one origin (`scheme://authority`) or, where that is `None`, of all: a cache group (RFC 9875).
    Tag {
        name: String,
        origin: Option<String>,
    },
    /// By the route that requests for them take.
    Route(Route),
    /// Everything.
    All,
}

/// The target URIs of a route, by the routes in force when it was named.
#[derive(Clone)]
pub struct Route {
    /// As users know it.
    name: Box<str>,
    /// All of its target URIs are here.
    within: Selector,
    takes: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Route {
    /// `takes` tells whether requests for a target URI take the route; none does that is not `within`.
    pub fn new(
        name: &str,
        within: Selector,
        takes: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            within,
            takes: Arc::new(takes),
        }
    }

    pub fn within(&self) -> &Selector {
        &self.within
    }

    pub fn takes(&self, target: &str) -> bool {
        (self.takes)(target)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.takes, &other.takes)
    }
}

impl Eq for Route {}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.name).finish()
    }
}

/// What is invalidated, and how. It is one, with one number, however much it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Whatever one of these covers.
    pub covers: Vec<Matcher>,
    pub strength: Strength,
}

/// By what an invalidation selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// URLs, or paths with all queries.
    Url,
    Prefix,
    Tag,
    Route,
    All,
    /// Matchers of several kinds.
    Several,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Url,
        Self::Prefix,
        Self::Tag,
        Self::Route,
        Self::All,
        Self::Several,
    ];

    /// Its name in metrics.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Prefix => "prefix",
            Self::Tag => "tag",
            Self::Route => "route",
            Self::All => "all",
            Self::Several => "several",
        }
    }
}

/// What an invalidation did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The number of the invalidation in the order in which they began; of the latest one, where this one was previewed only.
    pub sequence: u64,
    /// Resources that had responses: stored ones, where it is hard; where it is soft, those that need not have been validated.
    pub resources: usize,
    /// Bytes of memory that these take.
    pub bytes: u64,
}

impl Matcher {
    /// One target URI, and those that its No-Vary-Search makes the same.
    pub fn target(target: impl Into<String>) -> Self {
        Self::Urls(Selector::Target(target.into()))
    }

    /// One path of one origin, with all queries.
    pub fn path(target: impl Into<String>) -> Self {
        Self::Urls(Selector::TargetPath(target.into()))
    }

    /// The members of a tag of one origin.
    pub fn tag(origin: &str, name: impl Into<String>) -> Self {
        Self::Tag {
            name: name.into(),
            origin: Some(origin.to_owned()),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Urls(Selector::PathPrefix(_) | Selector::TargetPrefix(_)) => Kind::Prefix,
            Self::Urls(_) => Kind::Url,
            Self::Tag { .. } => Kind::Tag,
            Self::Route(_) => Kind::Route,
            Self::All => Kind::All,
        }
    }
}

impl Invalidation {
    /// What is covered is not used again.
    pub fn hard(covers: Vec<Matcher>) -> Self {
        let strength = Strength::Hard;
        Self { covers, strength }
    }

    /// The kind of all its matchers.
    pub fn kind(&self) -> Kind {
        let mut kinds = self.covers.iter().map(Matcher::kind);
        let first = kinds.next().unwrap_or(Kind::Several);
        match kinds.all(|kind| kind == first) {
            true => first,
            false => Kind::Several,
        }
    }

    /// What it covers, in plain words: `http://h/books, tag "books" of http://h`.
    pub fn covers_in_words(&self) -> String {
        let words: Vec<_> = self.covers.iter().map(Matcher::to_string).collect();
        words.join(", ")
    }

    /// What is covered is validated before it is used again.
    pub fn soft(covers: Vec<Matcher>) -> Self {
        let strength = Strength::Soft;
        Self { covers, strength }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Urls(selector) => selector.fmt(f),
            Self::Tag { name, origin } => match origin {
                Some(origin) => write!(f, "tag {name:?} of {origin}"),
                None => write!(f, "tag {name:?} on every host"),
            },
            Self::Route(route) => write!(f, "route {:?}", route.name),
            Self::All => f.write_str("everything"),
        }
    }
}

/// In plain words, for the log: `http://h/books, tag "books" of http://h (hard)`.
impl fmt::Display for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.covers_in_words(), self.strength)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_is_told_in_plain_words() {
        let prefix = |text| Matcher::Urls(Selector::prefix(text).expect(text));
        let url = |text| Matcher::Urls(Selector::url(text).expect(text));
        for (covers, expected) in [
            (vec![Matcher::All], "everything (hard)"),
            (vec![Matcher::target("http://h/a?b")], "http://h/a?b (hard)"),
            (
                vec![Matcher::path("http://h/a")],
                "http://h/a with all queries (hard)",
            ),
            (
                vec![url("/books?page=2"), prefix("/shelves")],
                "/books?page=2 on every host, /shelves and all below it on every host (hard)",
            ),
            (
                vec![prefix("http://h"), prefix("/")],
                "http://h and all below it, every path on every host (hard)",
            ),
            (
                vec![Matcher::Route(Route::new(
                    "/books/{id}",
                    Selector::prefix("/books").expect("a prefix"),
                    |_| true,
                ))],
                "route \"/books/{id}\" (hard)",
            ),
            (
                vec![
                    Matcher::tag("http://h", "a \"b\""),
                    Matcher::Tag {
                        name: "books".to_owned(),
                        origin: None,
                    },
                ],
                r#"tag "a \"b\"" of http://h, tag "books" on every host (hard)"#,
            ),
        ] {
            let hard = Invalidation::hard(covers.clone());
            assert_eq!(hard.to_string(), expected);
            let soft = Invalidation::soft(covers);
            assert_eq!(soft.to_string(), expected.replace("(hard)", "(soft)"));
            assert!(soft.strength < hard.strength);
        }
    }
}
