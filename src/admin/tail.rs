//! `GET /tail`: the access log as it is made, one JSON object a line, narrowed by the request's parameters.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::purge::from_query;
use super::stream::Source;
use crate::config::{Routes, nearest};
use crate::semantics::selector::Selector;
use crate::telemetry::access::{Filter, Lines, NO_ROUTE, Reader, Statuses};
use crate::telemetry::by_route::Outcome;

const USAGE: &str = "GET /tail streams the access log; narrow it with ?route=/books/{id}, result=miss, status=5xx or 404, method=GET or \
     prefix=/books; several results, statuses or methods are separated by commas";

/// Methods of which a misspelling is noticed.
const METHODS: [&str; 10] = [
    "get", "head", "post", "put", "patch", "delete", "options", "query", "trace", "purge",
];

/// Which lines are asked for.
///
/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn filter(request: &Request<Bytes>, routes: &Routes) -> Result<Filter, String> {
    let known = ["route", "result", "status", "method", "prefix"];
    let mut filter = Filter::default();
    let mut seen: Vec<String> = Vec::new();
    for (what, value) in from_query(request, &known, USAGE)? {
        if seen.contains(&what) {
            return Err(format!("`{what}` is given more than once; {USAGE}"));
        }
        let fault = |fault: String| format!("{what}={value} {fault}");
        let each = value.split(',').map(str::trim);
        match what.as_str() {
            "route" => filter.route = Some(route(&value, routes).map_err(fault)?),
            "result" => filter.results = each.map(result).collect::<Result<_, _>>()?,
            "status" => filter.statuses = each.map(statuses).collect::<Result<_, _>>()?,
            "method" => filter.methods = each.map(method).collect::<Result<_, _>>()?,
            _ => filter.urls = Some(Selector::prefix(&value).map_err(fault)?),
        }
        seen.push(what);
    }
    Ok(filter)
}

fn route(name: &str, routes: &Routes) -> Result<String, String> {
    match name {
        NO_ROUTE => Ok(name.to_owned()),
        _ => Ok(routes.named(name)?.shown_name().to_owned()),
    }
}

fn result(name: &str) -> Result<Outcome, String> {
    let tokens = Outcome::ALL.map(Outcome::token);
    let found = Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.token() == name);
    found.ok_or_else(|| {
        let hint = match nearest(name, &tokens) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the results are {}", tokens.join(", ")),
        };
        format!("result={name} is not known; {hint}")
    })
}

fn statuses(text: &str) -> Result<Statuses, String> {
    let is_class = text.len() == 3 && text[1..].eq_ignore_ascii_case("xx");
    let class = text.chars().next().and_then(|digit| digit.to_digit(10));
    let class = class.filter(|class| is_class && (1..=5).contains(class));
    let one = || text.parse().ok().filter(|code| (100..600).contains(code));
    match class.and_then(|class| u16::try_from(class).ok()) {
        Some(class) => Ok(Statuses::Class(class)),
        None => (one().and_then(|code: u16| StatusCode::from_u16(code).ok()))
            .map(Statuses::One)
            .ok_or_else(|| {
                format!(
                    "status={text} is neither a status code such as 404, nor a class such as 5xx"
                )
            }),
    }
}

fn method(name: &str) -> Result<Method, String> {
    let is_known = METHODS.iter().any(|known| known.to_uppercase() == name);
    match nearest(name, &METHODS).filter(|_| !is_known) {
        // Methods are case-sensitive (RFC 9110 §9.1): no request would have this one.
        Some(near) => Err(format!(
            "method={name} is not known; did you mean {}?",
            near.to_uppercase()
        )),
        None => Method::from_bytes(name.as_bytes())
            .map_err(|_| format!("method={name} is not a method")),
    }
}

/// The lines of those who read the access log live.
impl Source for Arc<Reader> {
    async fn next(&mut self) -> Bytes {
        let Lines { mut text, lost } = Reader::next(self).await;
        if lost > 0 {
            // Those that found the queue full came after those that wait in it.
            text.extend_from_slice(format!("{{\"lost\":{lost}}}\n").as_bytes());
        }
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(query: &str) -> Result<Filter, String> {
        let text = "[upstream]\nservers = 'http://a'\n[[route]]\nmatch = '/books/{id}'\n";
        let config = Config::parse(text, "the test", &|_| None).expect("well-formed");
        let request = Request::builder().uri(format!("/tail?{query}"));
        filter(
            &request.body(Bytes::new()).expect("a request"),
            &config.routes,
        )
    }

    #[test]
    fn parameters_are_read_as_a_whole() {
        let filter = read(
            "route=/books/%7Bid%7D&result=miss,pass&status=5xx,404&method=GET,LINK&prefix=/books",
        )
        .expect("well-formed");
        assert_eq!(filter.route.as_deref(), Some("/books/{id}"));
        assert_eq!(filter.results, [Outcome::Miss, Outcome::Pass]);
        assert_eq!(
            filter.statuses,
            [Statuses::Class(5), Statuses::One(StatusCode::NOT_FOUND)]
        );
        assert_eq!(filter.methods[0], Method::GET);
        assert!(
            filter
                .urls
                .is_some_and(|urls| urls.covers("http://h/books/1"))
        );
        for name in ["(default)", "(none)"] {
            let filter = read(&format!("route={name}")).expect("well-formed");
            assert_eq!(filter.route.as_deref(), Some(name));
        }
    }

    #[test]
    fn a_wrong_parameter_is_told_with_the_nearest_right_one() {
        for (query, words) in [
            (
                "route=/book/%7Bid%7D",
                "is not the name of a route; did you mean \"/books/{id}\"?",
            ),
            ("result=mis", "result=mis is not known; did you mean miss?"),
            (
                "result=miss,other",
                "the results are hit, stale, validated, miss, pass, direct, error",
            ),
            ("status=6xx", "status=6xx is neither a status code"),
            ("status=40", "status=40 is neither a status code"),
            ("method=get", "did you mean GET?"),
            ("method=a%20b", "is not a method"),
            ("prefix=books", "prefix=books is not the beginning of a URL"),
            ("status=404&status=5xx", "more than once"),
            ("url=/a", "unknown parameter `url`; GET /tail"),
        ] {
            let fault = read(query).expect_err(query);
            assert!(fault.contains(words), "{query}: {fault}");
        }
    }
}
