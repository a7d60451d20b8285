//! Which pattern a path belongs to: a tree of path segments.
//!
//! A pattern is a path whose segments are literal (`/books`), hold one parameter (`{id}`, `{id}.json`, `v{n}`: one or
//! more octets), or end it with `{*rest}`: all that is left, slashes and nothing at all included. Paths and patterns are
//! compared segment by segment from the left; in each segment a literal goes before a parameter with letters around
//! it, that before a parameter alone, and that before `{*rest}`. So the most specific pattern wins, in whatever order
//! patterns were added.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher, RandomState};

use equivalent::Equivalent;
use hashbrown::HashMap;

use crate::semantics::path_form::Segment;

/// Patterns with a value each.
#[derive(Clone, Debug)]
pub struct PathTree<T> {
    root: Node<T>,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// The value of the pattern that ends here.
    value: Option<T>,
    literals: BTreeMap<Box<str>, Node<T>>,
    /// A parameter with text around it, by how long these texts are; the longest in all first.
    affixed: Vec<(Lengths, Siblings<T>)>,
    parameter: Option<Box<Node<T>>>,
    rest: Option<T>,
}

/// Nodes by the text around their parameter.
type Siblings<T> = HashMap<Affix, Node<T>, RandomState>;

/// How many octets of text come before a parameter and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lengths {
    before: usize,
    after: usize,
}

/// The text around a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Affix {
    before: Box<[u8]>,
    after: Box<[u8]>,
}

/// The same, as a part of a segment.
struct AffixOf<'s> {
    before: &'s [u8],
    after: &'s [u8],
}

/// Why a pattern cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<T> {
    /// The fault of a pattern, as a clause that follows it.
    Malformed(&'static str),
    /// It matches the same paths as the one with this value.
    Duplicate(T),
}

/// What is wrong with a pattern in the syntax of something else, whose letters would stand for themselves here: a clause
/// that follows the pattern. Those that no path has as they are, and those that say what was meant.
pub(super) fn foreign_syntax(pattern: &str) -> Option<&'static str> {
    let is_named = |segment: &str| {
        let name = segment.strip_prefix(':');
        name.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
    };
    if pattern.replace("{*", "{").contains('*') {
        Some(
            "has a `*`, which stands for itself; write `{id}` for a segment, or `{*rest}` at the end for all that follows",
        )
    } else if pattern.contains(['<', '>']) {
        Some("has angle brackets, which stand for themselves; write `{id}` for a segment")
    } else if pattern.split('/').any(is_named) {
        Some(
            "has a segment that begins with a colon, which stands for itself; write `{id}` for a segment",
        )
    } else if pattern.contains(['[', ']', '^', '|', '\\']) || pattern.contains(".+") {
        Some("is a regular expression, which is not supported; write `{id}` for a segment")
    } else {
        None
    }
}

impl<T> Default for PathTree<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            value: None,
            literals: BTreeMap::new(),
            affixed: Vec::new(),
            parameter: None,
            rest: None,
        }
    }
}

impl<T: Copy> PathTree<T> {
    /// Adds `pattern`, which begins with a slash.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), Refusal<T>> {
        let path = pattern
            .strip_prefix('/')
            .ok_or(Refusal::Malformed("does not begin with a slash"))?;
        let segments: Vec<Segment<'_>> = path
            .split('/')
            .map(Segment::parse)
            .collect::<Result<_, _>>()
            .map_err(Refusal::Malformed)?;
        let (last, inner) = segments.split_last().unwrap_or((&Segment::Rest(""), &[]));
        let is_rest = |segment: &Segment<'_>| matches!(segment, Segment::Rest(_));
        if inner.iter().any(is_rest) {
            return Err(Refusal::Malformed("has something after its `{*…}`"));
        }
        let node = inner
            .iter()
            .fold(&mut self.root, |node, segment| node.child(segment));
        let slot = match last {
            Segment::Rest(_) => &mut node.rest,
            segment => &mut node.child(segment).value,
        };
        match slot {
            Some(earlier) => Err(Refusal::Duplicate(*earlier)),
            None => {
                *slot = Some(value);
                Ok(())
            }
        }
    }

    /// What `take` takes of the value of the most specific pattern that `path` matches, of those that it takes anything of.
    pub fn find<R>(&self, path: &str, take: impl Fn(T) -> Option<R>) -> Option<R> {
        self.root.find(path.strip_prefix('/')?, &take)
    }

    /// What `take` takes of the value of the pattern that matches every path, `/{*rest}`.
    pub fn find_rest<R>(&self, take: impl Fn(T) -> Option<R>) -> Option<R> {
        self.root.rest.and_then(take)
    }
}

impl<T: Copy> Node<T> {
    fn child(&mut self, segment: &Segment<'_>) -> &mut Self {
        match *segment {
            Segment::Literal(text) => self.literals.entry(text.into()).or_default(),
            // `insert` lets a rest be nothing but the last segment.
            Segment::Rest(_)
            | Segment::Part {
                before: "",
                after: "",
                ..
            } => self.parameter.get_or_insert_default(),
            Segment::Part { before, after, .. } => {
                let lengths = Lengths {
                    before: before.len(),
                    after: after.len(),
                };
                let place = |(known, _): &(Lengths, _)| known.order() < lengths.order();
                let at = self.affixed.partition_point(place);
                if self
                    .affixed
                    .get(at)
                    .is_none_or(|(known, _)| *known != lengths)
                {
                    self.affixed.insert(at, (lengths, Siblings::default()));
                }
                let affix = Affix {
                    before: before.as_bytes().into(),
                    after: after.as_bytes().into(),
                };
                self.affixed[at].1.entry(affix).or_default()
            }
        }
    }

    /// `path` is what is left, without the slash before it. Each node is visited at most once, since its depth fixes
    /// which segment it is compared with: the time is bounded by the number of patterns, whatever the path. Of siblings
    /// with text around a parameter, one of each pair of lengths is visited.
    fn find<R>(&self, path: &str, take: &impl Fn(T) -> Option<R>) -> Option<R> {
        let (segment, left) = match path.split_once('/') {
            Some((segment, left)) => (segment, Some(left)),
            None => (path, None),
        };
        let descend = |node: &Self| match left {
            Some(left) => node.find(left, take),
            None => node.value.and_then(take),
        };
        let literal = || descend(self.literals.get(segment)?);
        let affixed = || {
            let mut fitting = self
                .affixed
                .iter()
                .filter_map(|(lengths, nodes)| nodes.get(&lengths.around(segment)?));
            fitting.find_map(descend)
        };
        let parameter = || match segment.is_empty() {
            true => None,
            false => self.parameter.as_deref().and_then(descend),
        };
        let rest = || self.rest.and_then(take);
        literal().or_else(affixed).or_else(parameter).or_else(rest)
    }
}

impl Lengths {
    /// What such texts are in `segment`; `None` where it has not an octet more for the parameter.
    fn around(self, segment: &str) -> Option<AffixOf<'_>> {
        let octets = segment.as_bytes();
        let end = octets.len().checked_sub(self.after)?;
        (self.before < end).then(|| AffixOf {
            before: &octets[..self.before],
            after: &octets[end..],
        })
    }

    /// More text first; any order between equals that does not hang on the order of insertion.
    fn order(self) -> (std::cmp::Reverse<usize>, usize) {
        (std::cmp::Reverse(self.before + self.after), self.before)
    }
}

impl Hash for AffixOf<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.before.hash(hasher);
        self.after.hash(hasher);
    }
}

impl Hash for Affix {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (before, after) = (&*self.before, &*self.after);
        AffixOf { before, after }.hash(hasher);
    }
}

impl Equivalent<Affix> for AffixOf<'_> {
    fn equivalent(&self, affix: &Affix) -> bool {
        *self.before == *affix.before && *self.after == *affix.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(patterns: &[&'static str]) -> PathTree<&'static str> {
        let mut tree = PathTree::default();
        for &pattern in patterns {
            assert_eq!(tree.insert(pattern, pattern), Ok(()), "{pattern}");
        }
        tree
    }

    #[test]
    fn the_most_specific_pattern_wins_in_whatever_order_they_come() {
        let mut patterns = [
            "/",
            "/books",
            "/books/",
            "/books/new",
            "/books/{id}",
            "/books/{id}.json",
            "/books/b-{id}",
            "/books/b-{id}.json",
            "/books/{id}/reviews/",
            "/books/new/{page}",
            "/books/{*rest}",
            "/static/{*rest}",
            "/{any}/x",
        ];
        let cases = [
            ("/", Some("/")),
            ("/books", Some("/books")),
            ("/books/", Some("/books/")),
            ("/books/new", Some("/books/new")),
            ("/books/1", Some("/books/{id}")),
            ("/books/1.json", Some("/books/{id}.json")),
            ("/books/.json", Some("/books/{id}")),
            ("/books/b-1", Some("/books/b-{id}")),
            ("/books/b-1.json", Some("/books/b-{id}.json")),
            ("/books/b-.json", Some("/books/{id}.json")),
            ("/books/1/reviews/", Some("/books/{id}/reviews/")),
            ("/books/1/reviews", Some("/books/{*rest}")),
            ("/books/1/", Some("/books/{*rest}")),
            ("/books//", Some("/books/{*rest}")),
            // A literal that leads nowhere further is left again.
            ("/books/new/reviews/", Some("/books/{id}/reviews/")),
            ("/books/new/2", Some("/books/new/{page}")),
            ("/static", None),
            ("/static/", Some("/static/{*rest}")),
            ("/static/a/b", Some("/static/{*rest}")),
            ("/films/x", Some("/{any}/x")),
            ("/films", None),
            ("//x", None),
            ("", None),
            ("*", None),
        ];
        for _ in 0..patterns.len() {
            patterns.rotate_left(1);
            let tree = tree(&patterns);
            for (path, pattern) in cases {
                assert_eq!(tree.find(path, Some), pattern, "{path}");
            }
        }
    }

    #[test]
    fn of_many_siblings_the_one_with_the_most_text_around_its_parameter_wins() {
        let mut tree = PathTree::default();
        for n in 0..3000 {
            assert_eq!(tree.insert(&format!("/v/{{id}}-{n}.json"), n), Ok(()));
        }
        // An umlaut ends where a text is cut.
        assert_eq!(tree.insert("/v/\u{fc}{id}", 5000), Ok(()));
        for (path, found) in [
            ("/v/a-7.json", Some(7)),
            ("/v/a-17.json", Some(17)),
            ("/v/a-2999.json", Some(2999)),
            ("/v/a-1-17.json", Some(17)),
            ("/v/-17.json", None),
            ("/v/a-3000.json", None),
            ("/v/\u{fc}b", Some(5000)),
            ("/v/\u{e4}", None),
        ] {
            assert_eq!(tree.find(path, Some), found, "{path}");
        }
    }

    #[test]
    fn patterns_that_match_the_same_paths_are_duplicates() {
        let mut tree = tree(&["/a/{id}", "/a/{id}/b", "/a/{*rest}", "/x{n}.y"]);
        for (pattern, earlier) in [
            ("/a/{name}", "/a/{id}"),
            ("/a/{name}/b", "/a/{id}/b"),
            ("/a/{*all}", "/a/{*rest}"),
            ("/x{m}.y", "/x{n}.y"),
        ] {
            assert_eq!(
                tree.insert(pattern, pattern),
                Err(Refusal::Duplicate(earlier))
            );
        }
    }

    #[test]
    fn malformed_patterns_are_refused_with_their_reason() {
        for (pattern, reason) in [
            ("", "does not begin"),
            ("books", "does not begin"),
            ("/{", "has braces"),
            ("/}", "has braces"),
            ("/{}", "has braces"),
            ("/{*}", "has braces"),
            ("/{a b}", "has braces"),
            ("/{a/b}", "has braces"),
            ("/a}{b}", "has braces"),
            ("/{a}}", "has braces"),
            ("/{a}{b}", "has two parameters"),
            ("/{*rest}/b", "has something after"),
            ("/x{*rest}", "has something beside"),
        ] {
            match PathTree::default().insert(pattern, ()) {
                Err(Refusal::Malformed(found)) => {
                    assert!(found.starts_with(reason), "{pattern}: {found}")
                }
                other => panic!("{pattern}: {other:?}"),
            }
        }
    }
}
