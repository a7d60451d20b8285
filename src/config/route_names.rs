//! Routes by their names, and the URLs that they take: operators may name a route in the place of a URL.

use std::sync::Arc;

use http::Method;

use super::route::RoutePolicy;
use super::route_tree::Asked;
use super::routes::Routes;
use super::section::nearest;

/// The name by which operators call what no route takes.
const DEFAULT: &str = "(default)";

impl RoutePolicy {
    /// Its name for users.
    pub fn shown_name(&self) -> &str {
        match self.name.as_str() {
            "" => DEFAULT,
            name => name,
        }
    }

    /// The beginning of all paths that it takes, in normal form, as far as whole segments say it: empty for all paths.
    pub fn common_path(&self) -> &str {
        // A segment of other characters may be spelt otherwise in a path.
        let is_literal = |segment: &str| {
            let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
            !segment.is_empty() && segment.bytes().all(is_plain)
        };
        let segments = self.pattern.split('/').skip(1);
        let literal = segments.take_while(|segment| is_literal(segment));
        let length = literal.map(|segment| 1 + segment.len()).sum();
        self.pattern.get(..length).unwrap_or_default()
    }
}

impl Routes {
    /// The route with this name, as `check` and `explain` show it.
    ///
    /// # Errors
    /// With a clause that names the nearest route, where there is none.
    pub fn named(&self, name: &str) -> Result<&Arc<RoutePolicy>, String> {
        let all = || self.listed().iter().chain([self.default_route()]);
        if let Some(route) = all().find(|route| route.shown_name() == name) {
            return Ok(route);
        }
        let names: Vec<_> = all().map(|route| route.shown_name()).collect();
        Err(match nearest(name, &names) {
            Some(near) => format!("is not the name of a route; did you mean \"{near}\"?"),
            None => format!(
                "is not the name of a route, as `bookend check --route` shows it; what no route takes is \"{DEFAULT}\""
            ),
        })
    }

    /// Whether any request for this path on this host takes `route`, whatever its method.
    pub fn leads_to(&self, route: &RoutePolicy, host: &str, path: &str) -> bool {
        let mut methods = std::iter::once(&Method::GET).chain(&route.methods);
        methods.any(|method| self.find(Asked { host, method, path }).name == route.name)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn config() -> Config {
        let text = "[upstream]\nservers = 'http://a'\n\
                    [[route]]\nmatch = '/books/{id}'\n\
                    [[route]]\nmatch = '/books/{id}'\nmethods = 'QUERY'\n\
                    [[route]]\nhost = 'b.test'\n\
                    [[route]]\nmatch = '/b\u{fc}cher/v1/{*rest}'\n\
                    [[route]]\nmatch = '/v1/all.json'\n";
        Config::parse(text, "f", &|_| None).expect("a valid file")
    }

    #[test]
    fn a_route_is_found_by_the_name_that_is_shown() {
        let config = config();
        for (name, common) in [
            ("/books/{id}", "/books"),
            ("QUERY /books/{id}", "/books"),
            ("b.test/{*rest}", ""),
            ("/b\u{fc}cher/v1/{*rest}", ""),
            ("/v1/all.json", "/v1/all.json"),
            ("(default)", ""),
        ] {
            let route = config.routes.named(name).expect(name);
            assert_eq!((route.shown_name(), route.common_path()), (name, common));
        }
        for (name, told) in [
            ("/book/{id}", "did you mean \"/books/{id}\"?"),
            ("", "\"(default)\""),
        ] {
            let fault = config.routes.named(name).expect_err(name);
            assert!(fault.contains(told), "{name}: {fault}");
        }
    }

    #[test]
    fn a_route_is_led_to_by_all_paths_that_it_takes() {
        let config = config();
        let led = |name: &str, host, path| {
            let route = config.routes.named(name).expect(name);
            config.routes.leads_to(route, host, path)
        };
        for (name, host, path, expected) in [
            ("/books/{id}", "a", "/books/1", true),
            ("/books/{id}", "b.test", "/books/1", false),
            ("/books/{id}", "a", "/books", false),
            ("QUERY /books/{id}", "a", "/books/1", true),
            ("b.test/{*rest}", "b.test", "/x", true),
            ("(default)", "a", "/x", true),
            ("(default)", "a", "/books/1", false),
        ] {
            assert_eq!(led(name, host, path), expected, "{name} {host}{path}");
        }
    }
}
