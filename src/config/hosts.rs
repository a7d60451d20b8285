//! `host` of a route: a name, or all names below one.

use std::borrow::Cow;
use std::fmt;
use std::hash::RandomState;
use std::net::Ipv6Addr;

use hashbrown::HashMap;

use crate::semantics::percent;

/// Hosts that a route is for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This name or address.
    Name(Box<str>),
    /// Each name that ends like this, `.example.org`: one label or more before it.
    Below(Box<str>),
}

impl HostPattern {
    /// Reads `api.example.org` or `*.example.org`. Fails with what is wrong and what to write: a clause that follows the
    /// text.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Err("is every host, as a route without `host` is for: leave it out");
        }
        if text.contains('/') {
            return Err("is not a host alone; write the name, such as \"api.example.org\"");
        }
        let (name, is_below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err(
                "has a `*` that does not stand for whole labels before a name; write \"*.example.org\"",
            );
        }
        let literal = name.strip_prefix('[');
        if let Some(literal) = literal.and_then(|rest| rest.strip_suffix(']'))
            && literal.parse::<Ipv6Addr>().is_ok()
            && !is_below
        {
            return Ok(Self::Name(normal(name).into()));
        }
        if literal.is_some() || name.matches(':').count() > 1 {
            return Err("is not a host; an IPv6 address stands in brackets, as in \"[::1]\"");
        }
        if name.contains(':') {
            return Err("has a port, which routes do not look at; write the name alone");
        }
        if !name.is_ascii() {
            return Err("is not as requests have it; write its ASCII form, \"xn--…\"");
        }
        let is_label = |label: &str| {
            let is_of = |octet: u8| octet.is_ascii_alphanumeric() || b"-_".contains(&octet);
            (1..=63).contains(&label.len()) && label.bytes().all(is_of)
        };
        if !name
            .strip_suffix('.')
            .unwrap_or(name)
            .split('.')
            .all(is_label)
        {
            return Err("is not a host, such as \"api.example.org\" or \"*.example.org\"");
        }
        let name = normal(name);
        Ok(match is_below {
            true => Self::Below(format!(".{name}").into()),
            false => Self::Name(name.into()),
        })
    }
}

/// As it is written in the file.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Values by host.
#[derive(Clone, Debug)]
pub(super) struct ByHost<T> {
    names: HashMap<Box<str>, T, RandomState>,
    below: HashMap<Box<str>, T, RandomState>,
}

impl<T> Default for ByHost<T> {
    fn default() -> Self {
        Self {
            names: HashMap::default(),
            below: HashMap::default(),
        }
    }
}

impl<T: Default> ByHost<T> {
    pub fn entry(&mut self, pattern: &HostPattern) -> &mut T {
        match pattern {
            HostPattern::Name(name) => self.names.entry(name.clone()).or_default(),
            HostPattern::Below(suffix) => self.below.entry(suffix.clone()).or_default(),
        }
    }
}

impl<T> ByHost<T> {
    /// The first that `find` finds in the values for `host`, from the most specific on: the name's own, then those of the
    /// names that it is below, the longest first.
    pub fn find<R>(&self, host: &str, find: impl Fn(&T) -> Option<R>) -> Option<R> {
        let host = normal(host);
        let own = self.names.get(&*host).and_then(&find);
        if own.is_some() || self.below.is_empty() {
            return own;
        }
        let dots = host.match_indices('.').filter(|(at, _)| *at > 0);
        let mut suffixes = dots.filter_map(|(at, _)| self.below.get(&host[at..]));
        suffixes.find_map(find)
    }
}

/// The one spelling of a host in lower case: without the dot at its end, its octets decoded, an IPv6 address in short.
fn normal(host: &str) -> Cow<'_, str> {
    let literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(Ok(address)) = literal.map(str::parse::<Ipv6Addr>) {
        return Cow::Owned(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host
        .bytes()
        .any(|octet| octet == b'%' || octet.is_ascii_uppercase())
    {
        let decoded = percent::decode(host, percent::is_unreserved);
        return Cow::Owned(decoded.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_host_wins() {
        let mut hosts: ByHost<Vec<&str>> = ByHost::default();
        for pattern in [
            "example.org",
            "*.example.org",
            "*.eu.example.org",
            "[::1]",
            "10.0.0.1",
            "Shop.Example",
        ] {
            let read = HostPattern::parse(pattern).expect("a host");
            hosts.entry(&read).push(pattern);
        }
        for (host, found) in [
            ("example.org", Some("example.org")),
            ("example.org.", Some("example.org")),
            ("%65xample.ORG", Some("example.org")),
            ("a.example.org", Some("*.example.org")),
            ("a.b.example.org", Some("*.example.org")),
            ("eu.example.org", Some("*.example.org")),
            ("a.eu.example.org", Some("*.eu.example.org")),
            (".example.org", None),
            ("anexample.org", None),
            ("org", None),
            ("", None),
            ("[::1]", Some("[::1]")),
            ("[0:0::1]", Some("[::1]")),
            ("[::2]", None),
            ("10.0.0.1", Some("10.0.0.1")),
            ("shop.example", Some("Shop.Example")),
        ] {
            let value = hosts.find(host, |found| found.first().copied());
            assert_eq!(value, found, "{host}");
        }
        // One that takes nothing leaves the request to the next.
        let wide = hosts.find("a.eu.example.org", |found| {
            found.iter().copied().find(|host| !host.contains("eu"))
        });
        assert_eq!(wide, Some("*.example.org"));
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_cure() {
        for (text, words) in [
            ("*", "leave it out"),
            ("https://api.example.org", "not a host alone"),
            ("api.example.org/v1", "not a host alone"),
            ("api.*", "\"*.example.org\""),
            ("a*.example.org", "\"*.example.org\""),
            ("*.*.example.org", "\"*.example.org\""),
            ("api.example.org:8080", "has a port"),
            ("::1", "in brackets"),
            ("[::1", "in brackets"),
            ("[::g]", "in brackets"),
            ("*.[::1]", "in brackets"),
            ("bücher.example", "xn--"),
            ("", "is not a host"),
            ("*.", "is not a host"),
            ("a..b", "is not a host"),
            ("a b", "is not a host"),
            ("{tenant}.example.org", "is not a host"),
        ] {
            let refused = HostPattern::parse(text).expect_err(text);
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
