//! The operator's rule about which query parameters are part of a key.

use std::borrow::Cow;

use super::no_vary_search::decode;

/// Which parameters of a route's URLs matter. The default is that all do, in the order in which they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryRule {
    /// Parameters that do not matter: decoded names; `utm_*` stands for all that begin with `utm_`.
    pub ignore: Vec<String>,
    /// The only ones that matter, in the same form; empty for all but `ignore`.
    pub keep: Vec<String>,
    /// Their order does not matter; that of values of one name does.
    pub sort: bool,
}

impl QueryRule {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// `query`, without its `?`, reduced to what matters. Parameters that are kept keep their spelling: APIs may tell `a` from
    /// `a=`. `None` where no parameter matters.
    pub fn reduce<'a>(&self, query: &'a str) -> Option<Cow<'a, str>> {
        let all = query.split('&').filter(|sequence| !sequence.is_empty());
        let named = all.map(|sequence| {
            let name = sequence.split_once('=').map_or(sequence, |(name, _)| name);
            (decode(name), sequence)
        });
        let mut kept: Vec<_> = named.filter(|(name, _)| self.matters(name)).collect();
        if self.sort {
            // Stable: values of one name keep their order.
            kept.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        let sequences: Vec<&str> = kept.into_iter().map(|(_, sequence)| sequence).collect();
        let reduced = sequences.join("&");
        match reduced.as_str() {
            "" => None,
            same if same == query => Some(Cow::Borrowed(query)),
            _ => Some(Cow::Owned(reduced)),
        }
    }

    fn matters(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        };
        let is_any = |patterns: &[String]| patterns.iter().any(matches);
        match &*self.keep {
            [] => !is_any(&self.ignore),
            keep => is_any(keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(ignore: &[&str], keep: &[&str], sort: bool) -> QueryRule {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        QueryRule {
            ignore: names(ignore),
            keep: names(keep),
            sort,
        }
    }

    #[test]
    fn a_query_is_reduced_to_what_matters() {
        let ignore = rule(&["utm_*", "fbclid"], &[], false);
        let keep = rule(&[], &["page", "sort"], false);
        let sort = rule(&["utm_*"], &[], true);
        #[rustfmt::skip]
        let table = [
            (&ignore, "page=2", Some("page=2")),
            (&ignore, "utm_source=x&page=2&utm_medium=y", Some("page=2")),
            (&ignore, "fbclid=1", None),
            (&ignore, "", None),
            (&ignore, "utm_source&FBCLID=1", Some("FBCLID=1")),
            (&ignore, "%75tm_source=x&a", Some("a")),
            (&ignore, "utm=1&&b=", Some("utm=1&b=")),
            (&ignore, "b=2&a=1", Some("b=2&a=1")),
            (&keep, "utm=1&sort=up&page=2&x", Some("sort=up&page=2")),
            (&keep, "pages=1", None),
            (&sort, "b=2&a=1&utm_x=1&a=0", Some("a=1&a=0&b=2")),
            (&sort, "%62=1&a", Some("a&%62=1")),
        ];
        for (rule, query, expected) in table {
            assert_eq!(
                rule.reduce(query).as_deref(),
                expected,
                "{query} by {rule:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_reduced_query_stays_as_it_is(
            query in "([a-c_%2=]{0,3}&?){0,6}",
            ignore in prop::collection::vec("[a-c_]{1,2}\\*?", 0..3),
            keep in prop::collection::vec("[a-c_]{1,2}\\*?", 0..2),
            sort: bool,
        ) {
            let rule = QueryRule { ignore, keep, sort };
            if let Some(reduced) = rule.reduce(&query) {
                let again = rule.reduce(&reduced);
                prop_assert_eq!(again.as_deref(), Some(&*reduced));
            }
        }
    }
}
