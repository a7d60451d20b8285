//! The target URI of a request (RFC 9110 §7.1).

use std::borrow::Cow;

use http::Version;
use http::header::HOST;
use http::request::Parts;

use crate::semantics::authority::{Scheme, TargetUri, TargetView};
use crate::semantics::percent;
use crate::semantics::query_rule::QueryRule;
use crate::semantics::target::split_query;

/// A target URI in one piece, in normal form (RFC 3986 §6.2.2).
#[derive(Clone, Debug, Default)]
pub struct Target {
    text: String,
    scheme: Option<Scheme>,
    /// The position of the path.
    path: usize,
}

impl Target {
    /// Reuses the memory of `before`.
    pub(super) fn write(view: &TargetView<'_>, before: Self) -> Self {
        let mut text = before.text;
        text.clear();
        let (scheme, authority) = (view.scheme.as_str(), &view.authority);
        // One growth at most: only what is answered at once gives the memory back.
        text.reserve(scheme.len() + "://".len() + authority.len() + view.path_and_query.len());
        text.push_str(scheme);
        text.push_str("://");
        text.push_str(authority);
        let path = text.len();
        percent::push_normal(&view.path_and_query, &mut text);
        Self {
            text,
            scheme: Some(view.scheme),
            path,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same with the query parameters that matter by `rule`.
    pub(super) fn reduced(mut self, rule: &QueryRule) -> Self {
        let (base, query) = split_query(&self.text);
        let Some(query) = query else {
            return self;
        };
        let base = base.len();
        match rule.reduce(query) {
            None => self.text.truncate(base),
            Some(Cow::Borrowed(_)) => {}
            Some(Cow::Owned(reduced)) => {
                self.text.truncate(base + "?".len());
                self.text.push_str(&reduced);
            }
        }
        self
    }

    /// Another target of the same origin.
    pub(super) fn with(mut self, path_and_query: &str) -> Self {
        self.text.truncate(self.path);
        percent::push_normal(path_and_query, &mut self.text);
        self
    }

    /// Whether `request`, which came over `scheme`, names this origin, in the same octets. It is in normal form, so
    /// that there is nothing more to find out about it.
    pub(super) fn shares_origin(&self, request: &Parts, scheme: Scheme) -> bool {
        let headers = &request.headers;
        let no_name_twice = headers.len() == headers.keys_len();
        no_name_twice
            && self.scheme == Some(scheme)
            && request.version == Version::HTTP_11
            && request.uri.authority().is_none()
            && headers
                .iter()
                .find(|(name, _)| *name == HOST)
                .is_some_and(|(_, host)| {
                    !host.is_empty() && host.as_bytes() == self.authority().as_bytes()
                })
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme.unwrap_or(Scheme::Http)
    }

    pub fn authority(&self) -> &str {
        let start = self.scheme().as_str().len() + "://".len();
        self.text.get(start..self.path).unwrap_or_default()
    }

    pub fn path_and_query(&self) -> &str {
        self.text.get(self.path..).unwrap_or("/")
    }

    /// `scheme://authority`.
    pub fn origin(&self) -> &str {
        self.text.get(..self.path).unwrap_or_default()
    }

    pub fn to_uri(&self) -> TargetUri {
        TargetUri {
            scheme: self.scheme(),
            authority: self.authority().into(),
            path_and_query: self.path_and_query().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::semantics::authority::{BadTarget, path_and_query};

    fn read(request: &Parts, scheme: Scheme, before: Target) -> Result<Target, BadTarget> {
        let view = TargetView::from_request(
            &request.method,
            &request.uri,
            &request.headers,
            scheme,
            request.version,
        );
        view.map(|view| Target::write(&view, before))
    }

    #[test]
    fn a_target_after_another_of_its_origin_is_what_it_is_by_itself() {
        let requests = [
            ("/books/1", "api.example"),
            ("/books?page=2", "api.example"),
            ("/", "API.example"),
            ("/books", "api.example:80"),
            ("/books", "api.example:8080"),
            ("/books", "api.example:443"),
            ("http://api.example/books", "api.example"),
            ("http://api.example?page=2", "other.example"),
            ("*", "api.example"),
            ("/books", ""),
            ("/books", "[::1]:8080"),
            ("/books", "a b"),
        ];
        let parts = |(target, host): (&str, &str), version| {
            let request = http::Request::builder().uri(target).version(version);
            let (parts, ()) = request.header(HOST, host).body(()).unwrap().into_parts();
            parts
        };
        let mut shared = 0;
        for first in requests {
            for second in requests {
                for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                    for schemes in [
                        (Scheme::Http, Scheme::Http),
                        (Scheme::Http, Scheme::Https),
                        (Scheme::Https, Scheme::Https),
                    ] {
                        let first = parts(first, Version::HTTP_11);
                        let second = parts(second, version);
                        let Ok(before) = read(&first, schemes.0, Target::default()) else {
                            continue;
                        };
                        if !before.shares_origin(&second, schemes.1) {
                            continue;
                        }
                        shared += 1;
                        let alone = read(&second, schemes.1, Target::default());
                        let path = path_and_query(&second.method, &second.uri);
                        assert_eq!(
                            path.map(|path| before.with(&path).text),
                            alone.map(|target| target.text),
                            "{second:?}"
                        );
                    }
                }
            }
        }
        assert!(shared > 30, "{shared} only");
    }

    #[test]
    fn nothing_shares_an_origin_that_names_two_hosts_or_none() {
        let request = |hosts: &[&'static str]| {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            for host in hosts {
                parts.headers.append(HOST, HeaderValue::from_static(host));
            }
            parts
        };
        let one = request(&["a.example"]);
        let before = read(&one, Scheme::Http, Target::default()).unwrap();
        assert!(before.shares_origin(&one, Scheme::Http));
        for hosts in [
            &["a.example", "a.example"][..],
            &["a.example", "b.example"],
            &[],
        ] {
            assert!(
                !before.shares_origin(&request(hosts), Scheme::Http),
                "{hosts:?}"
            );
        }
        assert!(!Target::default().shares_origin(&request(&[""]), Scheme::Http));
    }
}
