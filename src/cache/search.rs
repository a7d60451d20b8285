//! Which resources ignore parts of their query (No-Vary-Search), so that requests which do not differ in what matters
//! share a key.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;

use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::target::{key_with, split_key, split_query};

/// Paths whose rule is remembered; beyond it, new ones are keyed by their whole query.
const MAX_RULES: usize = 10_000;

/// The rules in force, one a target URI without its query.
#[derive(Debug, Default)]
pub struct SearchRules {
    rules: RwLock<HashMap<Box<str>, SearchVariance, std::hash::RandomState>>,
    /// How many there are, so that nobody takes the lock for none.
    count: AtomicUsize,
}

impl SearchRules {
    /// The key under which responses for `target` are stored, which has the values that select beside it, where there are some.
    pub fn canonical<'a>(&self, target: &'a str) -> Cow<'a, str> {
        if !self.has_any() {
            return Cow::Borrowed(target);
        }
        let (uri, values) = split_key(target);
        let (base, query) = split_query(uri);
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        match rules.get(base) {
            Some(rule) => {
                let canonical = format!("{base}?{}", rule.canonical_query(query));
                Cow::Owned(match values {
                    Some(values) => key_with(&canonical, values),
                    None => canonical,
                })
            }
            None => Cow::Borrowed(target),
        }
    }

    /// Whether any path has a rule.
    pub fn has_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Whether the target's path has a rule.
    pub fn applies_to(&self, target: &str) -> bool {
        self.has_any() && {
            let (base, _) = split_query(target);
            self.rules
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(base)
        }
    }

    /// Takes over what the latest response for `target` says; `None` means that the whole query matters.
    pub fn learn(&self, target: &str, rule: Option<&SearchVariance>) {
        let known = self.has_any();
        if rule.is_none() && !known {
            return;
        }
        let (base, _) = split_query(target);
        if known {
            let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
            if rules.get(base) == rule {
                return;
            }
        }
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        match rule {
            Some(rule) if rules.len() < MAX_RULES || rules.contains_key(base) => {
                rules.insert(base.into(), rule.clone());
            }
            Some(_) => {}
            None => drop(rules.remove(base)),
        }
        self.count.store(rules.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn rule(value: &'static str) -> SearchVariance {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("no-vary-search"),
            HeaderValue::from_static(value),
        )]);
        SearchVariance::parse(&headers).unwrap()
    }

    #[test]
    fn parameters_that_do_not_matter_are_left_out_of_the_key() {
        let rules = SearchRules::default();
        assert_eq!(
            rules.canonical("http://a/b?x=1&utm=2"),
            "http://a/b?x=1&utm=2"
        );
        rules.learn("http://a/b?x=1&utm=2", Some(&rule("params=(\"utm\")")));
        assert_eq!(
            rules.canonical("http://a/b?utm=9&x=1"),
            rules.canonical("http://a/b?x=1")
        );
        assert_eq!(
            rules.canonical("http://a/b?utm=9"),
            rules.canonical("http://a/b")
        );
        assert_ne!(
            rules.canonical("http://a/b?x=2"),
            rules.canonical("http://a/b?x=1")
        );
        assert_eq!(rules.canonical("http://a/c?utm=9"), "http://a/c?utm=9");
        let keyed = |target| rules.canonical(&key_with(target, "l=de")).into_owned();
        assert_eq!(keyed("http://a/b?utm=9"), keyed("http://a/b"));
        assert_ne!(keyed("http://a/b?x=1"), keyed("http://a/b"));
        assert_ne!(keyed("http://a/b"), rules.canonical("http://a/b"));
    }

    #[test]
    fn a_rule_ends_with_the_response_that_no_longer_gives_it() {
        let rules = SearchRules::default();
        rules.learn("http://a/b?x", Some(&rule("key-order")));
        assert!(rules.applies_to("http://a/b?y"));
        rules.learn("http://a/b?z", None);
        assert!(!rules.applies_to("http://a/b?y"));
        assert_eq!(rules.canonical("http://a/b?y&x"), "http://a/b?y&x");
    }
}
