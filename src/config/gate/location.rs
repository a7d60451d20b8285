//! `location` of a `respond`: where a request is redirected to. `{id}` and `{rest}` stand for what they stand for in the
//! route's `match`.

use crate::config::path_template::rewritten;
use crate::semantics::authority::Scheme;
use crate::semantics::path_form::PathForm;
use crate::semantics::percent;

/// A URI reference with names of the route's `match` in its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// As it is written.
    text: Box<str>,
    /// `https://new.example.org`, or empty.
    origin: Box<str>,
    path: PathForm,
    /// With its question mark; the request's own query is kept where it has none.
    query: Option<Box<str>>,
    /// With its `#`, or empty.
    fragment: Box<str>,
    /// The route's `match`.
    client: PathForm,
}

impl Location {
    /// The reference for a request for `path`, in normal form, with this query; `None` where the route's `match` does not read
    /// that path.
    pub fn of(&self, path: &str, query: Option<&str>) -> Option<String> {
        let path = self.path.write(&self.client.read(path)?)?;
        // RFC 3986 §4.2: what begins with two slashes names another host, and a client must not choose it.
        let dot = match self.origin.is_empty() && path.starts_with("//") {
            true => "/.",
            false => "",
        };
        let query = match &self.query {
            Some(own) => own.to_string(),
            None => query.map_or_else(String::new, |query| format!("?{}", percent::encoded(query))),
        };
        Some(format!(
            "{}{dot}{path}{query}{}",
            self.origin, self.fragment
        ))
    }

    /// As the file has it.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Reads `text` for the route with this `match`. Fails with what is wrong with it: a clause that follows the text.
    pub(super) fn parse(text: &str, pattern: &str) -> Result<Self, String> {
        let fits = |c: char| {
            c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '|')
        };
        if !text.chars().all(fits) {
            return Err("has characters that no URL has; percent-encode them".to_owned());
        }
        let (whole, fragment) = text.split_at(text.find('#').unwrap_or(text.len()));
        let (target, query) = match whole.find('?') {
            Some(at) => (&whole[..at], Some(&whole[at..])),
            None => (whole, None),
        };
        let (origin, path) = split_origin(target)?;
        let client = PathForm::parse(pattern)?;
        let mut names: Vec<&str> = client.names().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = twice[0];
            return Err(format!(
                "cannot tell which of two `{{{name}}}` of the route's `match` is meant; give them two names"
            ));
        }
        let path = rewritten(if path.is_empty() { "/" } else { path }, pattern, &names)?;
        let beyond_path = [query.unwrap_or_default(), fragment].concat();
        if beyond_path.contains(['{', '}']) {
            return Err("has a parameter beyond its path".to_owned());
        }
        Ok(Self {
            text: text.into(),
            origin: origin.into(),
            path,
            query: query.map(Into::into),
            fragment: fragment.into(),
            client,
        })
    }
}

/// The scheme and the host of an absolute URL, or nothing, and the path.
fn split_origin(target: &str) -> Result<(&str, &str), String> {
    let Some((scheme, rest)) = target.split_once("://") else {
        return match target.starts_with('/') && !target.starts_with("//") {
            true => Ok(("", target)),
            false => Err("is neither a path such as \"/new/{id}\" nor a URL such as \"https://new.example.org/{id}\"".to_owned()),
        };
    };
    let is_known = [Scheme::Http, Scheme::Https]
        .iter()
        .any(|known| known.as_str() == scheme);
    if !is_known {
        return Err("is not a URL of http or https".to_owned());
    }
    let host = rest.find('/').unwrap_or(rest.len());
    match &rest[..host] {
        "" => Err("names no host".to_owned()),
        host if host.contains(['{', '}']) => {
            Err("has a parameter in its host, which clients would choose".to_owned())
        }
        host if host.contains('@') => Err("has a user's name, which no URL should have".to_owned()),
        _ => Ok(target.split_at(target.len() - rest.len() + host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_what_the_pattern_matched_and_the_query_unless_it_has_one() {
        #[rustfmt::skip]
        let table = [
            // match, location, path, query, expected
            ("/old/{id}", "/new/{id}", "/old/7", None, Some("/new/7")),
            ("/old/{id}", "/new/{id}", "/old/7", Some("a=b"), Some("/new/7?a=b")),
            ("/old/{id}", "/new/{id}?", "/old/7", Some("a=b"), Some("/new/7?")),
            ("/old/{id}", "/new?id=1#x", "/old/7", Some("a=b"), Some("/new?id=1#x")),
            ("/old/{id}", "/new#x", "/old/7", Some("a=b"), Some("/new?a=b#x")),
            ("/old/{id}.json", "/new/{id}", "/old/7.json", None, Some("/new/7")),
            ("/{*rest}", "https://b.example/{rest}", "/a/b", Some("c"), Some("https://b.example/a/b?c")),
            ("/{*rest}", "https://b.example:8443", "/a/b", None, Some("https://b.example:8443/")),
            ("/{*rest}", "https://b.example/{rest}", "//evil.example", None, Some("https://b.example//evil.example")),
            ("/old/{*rest}", "/{rest}", "/old//evil.example/x", None, Some("/.//evil.example/x")),
            ("/old/{*rest}", "/{rest}", "/old/%5Cevil.example", None, Some("/%5Cevil.example")),
            ("/old/{*rest}", "/{rest}", "/old/", None, Some("/")),
            ("/old/{*rest}", "/{rest}", "/other", None, None),
            ("/old/{*rest}", "/{rest}", "*", None, None),
        ];
        for (pattern, text, path, query, expected) in table {
            let location = Location::parse(text, pattern).expect(text);
            let found = location.of(path, query);
            assert_eq!(found.as_deref(), expected, "{pattern} {text} {path}");
        }
    }

    #[test]
    fn what_is_no_location_is_refused_with_its_reason() {
        for (text, fault) in [
            ("new", "is neither a path"),
            ("//evil.example/", "is neither a path"),
            ("ftp://a/", "http or https"),
            ("https:///a", "names no host"),
            ("https://{id}/", "in its host"),
            ("https://{id}.example/", "in its host"),
            ("https://me@a/", "a user's name"),
            ("/new/{isbn}", "not in the route's `match`"),
            ("/new?id={id}", "beyond its path"),
            ("/new#{id}", "beyond its path"),
            ("/a b", "percent-encode"),
            ("/é", "percent-encode"),
            ("/a\\b", "percent-encode"),
            ("/new/{*id}", "star"),
        ] {
            let refused = Location::parse(text, "/old/{id}").expect_err(text);
            assert!(refused.contains(fault), "{text}: {refused}");
        }
    }
}
