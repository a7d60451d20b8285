//! Which requests a `[[route]]` is for: `host`, `match` and `methods`.

use http::Method;
use toml::de::DeValue;

use super::hosts::HostPattern;
use super::paths::{Refusal, foreign_syntax};
use super::readers::some_list;
use super::readings::unreserved_decoded;
use super::route::RoutePolicy;
use super::route_tree::RouteTree;
use super::section::Section;
use super::value::Value;
use crate::semantics::percent;

/// All paths: what a route without `match` is for.
pub(super) const ALL_PATHS: &str = "/{*rest}";

/// The conditions that the requests of a route meet.
pub(super) struct Matched<'a> {
    /// The value of `match`, where it has one.
    value: Option<Value<'a>>,
    pub pattern: String,
    /// Empty for every host.
    pub hosts: Vec<HostPattern>,
    /// Empty for all methods.
    pub methods: Vec<Method>,
}

impl<'a> Matched<'a> {
    /// `None` where it is missing or wrong, which is then noted.
    pub fn read(section: &mut Section<'a>) -> Option<Self> {
        let value = section.value("match");
        let hosts = section.value("host").map(some_list(|value: Value<'_>| {
            let what = "a host such as \"api.example.org\" or \"*.example.org\"";
            value.parsed(what, HostPattern::parse)
        }));
        let methods = section.value("methods").map(methods);
        if value.is_none() && hosts.is_none() && methods.is_none() {
            section.mistake(
                section.span(),
                "this route has no `match`; write `match = \"/books/{id}\"`",
            );
            return None;
        }
        let pattern = match value.map(Value::item) {
            // Braces of a pattern would be taken for a variable's: `/v${n}` is none.
            Some(DeValue::String(text)) => Some(text.to_string()),
            Some(_) => value?.refuse_type("a pattern such as \"/books/{id}\""),
            None => Some(ALL_PATHS.to_owned()),
        };
        Some(Self {
            value,
            pattern: pattern?,
            hosts: hosts.unwrap_or(Some(Vec::new()))?,
            methods: methods.unwrap_or(Some(Vec::new()))?,
        })
    }

    /// The route's name in logs and answers: its pattern, after its methods and hosts where it has some.
    pub fn name(&self) -> String {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let hosts: Vec<_> = self.hosts.iter().map(HostPattern::to_string).collect();
        let space = if methods.is_empty() { "" } else { " " };
        format!(
            "{}{space}{}{}",
            methods.join(","),
            hosts.join(","),
            self.pattern
        )
    }

    /// Adds the route to `tree`, as the one after those that are `listed`. Where that cannot be, notes why; false then.
    pub fn add_to(
        &self,
        tree: &mut RouteTree,
        listed: &[std::sync::Arc<RoutePolicy>],
        section: &Section<'_>,
    ) -> bool {
        let added = checked(&self.pattern)
            .map_err(Refusal::Malformed)
            .and_then(|pattern| tree.insert(&self.hosts, &pattern, &self.methods, listed.len()));
        let fault = match added {
            Ok(()) => return true,
            Err(Refusal::Malformed(fault)) => fault.to_owned(),
            Err(Refusal::Duplicate(earlier)) => match listed.get(earlier) {
                Some(earlier) => {
                    let what = match (self.hosts.is_empty(), self.methods.is_empty()) {
                        (true, true) => "paths",
                        _ => "requests",
                    };
                    let (name, line) = (&earlier.name, earlier.line);
                    format!("matches the same {what} as the route \"{name}\" in line {line}")
                }
                None => "has the same host twice".to_owned(),
            },
        };
        match self.value {
            Some(value) => drop(value.refuse_text::<()>(fault)),
            None => section.mistake(section.span(), format!("this route {fault}")),
        }
        false
    }
}

/// The pattern in the form in which paths are compared.
fn checked(pattern: &str) -> Result<String, &'static str> {
    if pattern.contains(['?', '#']) {
        return Err("has a query or fragment; routes match the path alone");
    }
    if let Some(fault) = foreign_syntax(pattern) {
        return Err(fault);
    }
    if pattern.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()) {
        return Err("has white space, which paths have only as %20");
    }
    let pattern = percent::encoded_pattern(pattern);
    Ok(unreserved_decoded(&pattern).into_owned())
}

fn methods(value: Value<'_>) -> Option<Vec<Method>> {
    let methods = some_list(method)(value)?;
    let is_repeated = |(at, method): (usize, &Method)| methods[..at].contains(method);
    match methods.iter().enumerate().any(is_repeated) {
        true => value.refuse_text("has the same method twice"),
        false => Some(methods),
    }
}

fn method(value: Value<'_>) -> Option<Method> {
    let text = value.text("a method such as \"GET\"")?;
    match Method::from_bytes(text.as_bytes()) {
        Ok(Method::HEAD) => value
            .refuse_text("is routed as GET is, since it asks for the same response; write \"GET\""),
        Ok(Method::CONNECT) => value.refuse_text("is never forwarded"),
        // RFC 9110 §9.1: methods are case-sensitive.
        Ok(_) if text.bytes().any(|octet| octet.is_ascii_lowercase()) => {
            let upper = text.to_ascii_uppercase();
            value.refuse_text(format!(
                "has small letters, which no method has; write \"{upper}\""
            ))
        }
        Ok(method) => Some(method),
        Err(_) => value.refuse_text("is not a method, such as \"GET\""),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn requests_that_cannot_be_meant_are_refused_with_their_place_and_the_cure() {
        for (routes, told) in [
            (
                "host = 'a.example:80'",
                "4:8: `host`: \"a.example:80\" has a port, which routes do not look at; write the name alone",
            ),
            (
                "host = ['a', '*']",
                "4:14: `host`: \"*\" is every host, as a route without `host` is for: leave it out",
            ),
            (
                "host = []",
                "4:8: `host` must be a list with a member, not a list",
            ),
            (
                "host = ['a', 'A']",
                "3:1: this route has the same host twice",
            ),
            (
                "host = 1",
                "4:8: `host` must be a host such as \"api.example.org\" or \"*.example.org\", not a whole number",
            ),
            (
                "methods = 'get'",
                "4:11: `methods`: \"get\" has small letters, which no method has; write \"GET\"",
            ),
            (
                "methods = ['GET', 'HEAD']",
                "4:19: `methods`: \"HEAD\" is routed as GET is, since it asks for the same response; write \"GET\"",
            ),
            (
                "methods = 'CONNECT'",
                "4:11: `methods`: \"CONNECT\" is never forwarded",
            ),
            (
                "methods = 'A B'",
                "4:11: `methods`: \"A B\" is not a method, such as \"GET\"",
            ),
            (
                "methods = ['GET', 'GET']",
                "4:11: `methods`: \"['GET', 'GET']\" has the same method twice",
            ),
            (
                "match = '/a'\nmethods = 'GET'\n[[route]]\nmethods = ['PUT', 'GET']\nmatch = '/a'",
                "8:9: `match`: \"/a\" matches the same requests as the route \"GET /a\" in line 3",
            ),
            (
                "match = '/{a}'\nhost = 'x'\n[[route]]\nmatch = '/{b}'\nhost = ['y', 'X.']",
                "7:9: `match`: \"/{b}\" matches the same requests as the route \"x/{a}\" in line 3",
            ),
            (
                "host = '*.x'\n[[route]]\nhost = '*.x'",
                "5:1: this route matches the same requests as the route \"*.x/{*rest}\" in line 3",
            ),
            (
                "hosts = 'a'\nmatch = '/'",
                "4:1: unknown key `hosts` in [[route]]; did you mean `host`?",
            ),
        ] {
            let text = format!("[upstream]\nservers = 'http://a'\n[[route]]\n{routes}\n");
            let mistakes = Config::parse(&text, "f", &|_| None).expect_err(routes);
            let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
            assert_eq!(mistakes, [format!("f:{told}")], "{routes}");
        }
        for routes in [
            "match = '/a'\nmethods = 'GET'\n[[route]]\nmatch = '/a'\nmethods = 'PUT'\n[[route]]\nmatch = '/a'",
            "match = '/a'\nhost = 'x'\n[[route]]\nmatch = '/a'\n[[route]]\nmatch = '/a'\nhost = '*.x'",
            "host = '[::1]'\n[[route]]\nmethods = ['PURGE', 'QUERY']",
        ] {
            let text = format!("[upstream]\nservers = 'http://a'\n[[route]]\n{routes}\n");
            let config = Config::parse(&text, "f", &|_| None).expect(routes);
            assert_eq!(config.warnings, [], "{routes}");
        }
    }
}
