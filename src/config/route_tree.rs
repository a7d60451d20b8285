//! Which route takes a request: the most specific one, by host, then by path, then by method.

use http::Method;

use super::hosts::{ByHost, HostPattern};
use super::paths::{PathTree, Refusal};

/// What of a request says which route takes it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Without its port. Nothing is compared with it where [`Routes::are_by_host`](super::Routes::are_by_host) says so.
    pub host: &'a str,
    pub method: &'a Method,
    /// Without its query.
    pub path: &'a str,
}

/// Routes by their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteTree {
    /// Those for every host.
    any_host: PathTree<usize>,
    /// `None` where no route names a host: then a request pays a branch for it.
    hosts: Option<Box<ByHost<PathTree<usize>>>>,
    /// What the patterns lead to: routes for the same hosts and paths.
    methods: Vec<ByMethod>,
}

#[derive(Clone, Debug, Default)]
struct ByMethod {
    /// The route for all methods that have none of their own.
    any: Option<usize>,
    own: Vec<(Method, usize)>,
}

impl RouteTree {
    pub fn has_hosts(&self) -> bool {
        self.hosts.is_some()
    }

    /// Adds a route: for every host where `hosts` is empty, and for all methods where `methods` is. Fails where an earlier
    /// route takes some of the same requests and none is more specific.
    pub fn insert(
        &mut self,
        hosts: &[HostPattern],
        pattern: &str,
        methods: &[Method],
        route: usize,
    ) -> Result<(), Refusal<usize>> {
        if hosts.is_empty() {
            return add(
                &mut self.any_host,
                &mut self.methods,
                pattern,
                methods,
                route,
            );
        }
        let by_host = self.hosts.get_or_insert_default();
        for host in hosts {
            add(
                by_host.entry(host),
                &mut self.methods,
                pattern,
                methods,
                route,
            )?;
        }
        Ok(())
    }

    /// The most specific route that takes the request, with `path` in the place of its own.
    pub fn find(&self, asked: Asked<'_>, path: &str) -> Option<usize> {
        let takes = |methods: usize| self.methods[methods].find(asked.method);
        if let Some(hosts) = &self.hosts {
            let found = hosts.find(asked.host, |paths| match path {
                // `OPTIONS *` is about the host as a whole.
                "*" => paths.find_rest(takes),
                path => paths.find(path, takes),
            });
            if found.is_some() {
                return found;
            }
        }
        self.any_host.find(path, takes)
    }
}

fn add(
    paths: &mut PathTree<usize>,
    all: &mut Vec<ByMethod>,
    pattern: &str,
    methods: &[Method],
    route: usize,
) -> Result<(), Refusal<usize>> {
    let at = match paths.insert(pattern, all.len()) {
        Ok(()) => {
            all.push(ByMethod::default());
            all.len() - 1
        }
        Err(Refusal::Duplicate(at)) => at,
        Err(malformed) => return Err(malformed),
    };
    all[at].add(methods, route)
}

impl ByMethod {
    fn add(&mut self, methods: &[Method], route: usize) -> Result<(), Refusal<usize>> {
        if methods.is_empty() {
            return match self.any.replace(route) {
                Some(earlier) => Err(Refusal::Duplicate(earlier)),
                None => Ok(()),
            };
        }
        for method in methods {
            if let Some((_, earlier)) = self.own.iter().find(|(own, _)| own == method) {
                return Err(Refusal::Duplicate(*earlier));
            }
        }
        self.own
            .extend(methods.iter().map(|method| (method.clone(), route)));
        Ok(())
    }

    fn find(&self, method: &Method) -> Option<usize> {
        if self.own.is_empty() {
            return self.any;
        }
        // RFC 9110 §9.3.2: HEAD is about what GET would bring, and is answered from what GET has stored.
        let method = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        // Methods are case-sensitive (RFC 9110 §9.1), but some APIs take `post` for POST: it must not lead round a gate.
        let is_own = |own: &Method| own.as_str().eq_ignore_ascii_case(method.as_str());
        let own = self.own.iter().find(|(own, _)| is_own(own));
        own.map(|(_, route)| *route).or(self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn config(routes: &str) -> Config {
        let text = format!("[upstream]\nservers = \"http://a\"\n{routes}");
        Config::parse(&text, "test", &|_| None).unwrap_or_else(|faults| panic!("{faults:#?}"))
    }

    #[test]
    fn the_most_specific_route_wins_by_host_then_by_path_then_by_method() {
        let config = config(
            "[[route]]\nmatch = '/books/{id}'\n\
             [[route]]\nmatch = '/books/{id}'\nmethods = ['PUT', 'DELETE']\n\
             [[route]]\nmatch = '/books/{*rest}'\n\
             [[route]]\nmatch = '/reviews/{id}'\nmethods = 'GET'\n\
             [[route]]\nhost = '*.example.org'\nmatch = '/books/{*rest}'\n\
             [[route]]\nhost = 'shop.example.org'\nmatch = '/books/{id}'\nmethods = 'POST'\n\
             [[route]]\nhost = ['films.example', 'movies.example']\n\
             [[route]]\nhost = 'films.example'\nmethods = 'QUERY'\n",
        );
        for (host, method, path, name) in [
            ("a", "GET", "/books/1", "/books/{id}"),
            ("a", "POST", "/books/1", "/books/{id}"),
            ("a", "PUT", "/books/1", "PUT,DELETE /books/{id}"),
            ("a", "DELETE", "/books/1", "PUT,DELETE /books/{id}"),
            ("a", "PUT", "/books/1/2", "/books/{*rest}"),
            ("a", "GET", "/reviews/1", "GET /reviews/{id}"),
            ("a", "HEAD", "/reviews/1", "GET /reviews/{id}"),
            ("a", "POST", "/reviews/1", ""),
            ("a", "QUERY", "/reviews/1", ""),
            (
                "b.example.org",
                "PUT",
                "/books/1",
                "*.example.org/books/{*rest}",
            ),
            (
                "B.Example.Org.",
                "GET",
                "/books/1",
                "*.example.org/books/{*rest}",
            ),
            ("example.org", "GET", "/books/1", "/books/{id}"),
            (
                "shop.example.org",
                "POST",
                "/books/1",
                "POST shop.example.org/books/{id}",
            ),
            // What the more specific host has no route for is left to the others.
            (
                "shop.example.org",
                "GET",
                "/books/1",
                "*.example.org/books/{*rest}",
            ),
            ("shop.example.org", "GET", "/reviews/1", "GET /reviews/{id}"),
            (
                "films.example",
                "GET",
                "/books/1",
                "films.example,movies.example/{*rest}",
            ),
            (
                "movies.example",
                "GET",
                "/",
                "films.example,movies.example/{*rest}",
            ),
            (
                "movies.example",
                "QUERY",
                "/",
                "films.example,movies.example/{*rest}",
            ),
            ("films.example", "QUERY", "/", "QUERY films.example/{*rest}"),
            (
                "films.example",
                "OPTIONS",
                "*",
                "films.example,movies.example/{*rest}",
            ),
            ("a", "OPTIONS", "*", ""),
            ("", "GET", "/books/1", "/books/{id}"),
        ] {
            let method = &Method::from_bytes(method.as_bytes()).expect("a method");
            let found = config.routes.find(Asked { host, method, path });
            assert_eq!(found.name, name, "{method} {host} {path}");
        }
    }

    #[test]
    fn a_file_without_hosts_compares_none() {
        let by_host = |routes: &str| config(routes).routes.are_by_host();
        assert!(!by_host(""));
        assert!(!by_host("[[route]]\nmatch = '/a'\nmethods = 'GET'"));
        assert!(by_host("[[route]]\nmatch = '/a'\nhost = 'a'"));
    }
}
