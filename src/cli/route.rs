//! `bookend check --route METHOD URL`: what the gateway would do with a request.

use std::path::Path;

use http::Method;

use crate::config::units::show_duration;
use crate::config::{Asked, Config, Destination, HostPolicy, RoutePolicy};
use crate::semantics::authority::host_of;
use crate::semantics::method::is_retrieval;
use crate::semantics::policy::TtlMode;
use crate::semantics::selector::Selector;
use crate::semantics::target::split_query;
use crate::semantics::time::DeltaSeconds;

/// A line for each thing that is said of the request: its route with the place in `file`, its API, what that gets, and how the
/// response is cached. Fails with what is wrong with the arguments.
pub(super) fn describe(
    config: &Config,
    file: &Path,
    method: &str,
    url: &str,
) -> Result<Vec<String>, String> {
    let asked_method = Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("\"{method}\" is not a method"))?;
    let selector = Selector::url(url).map_err(|fault| format!("\"{url}\" {fault}"))?;
    let (path, _) = split_query(selector.path());
    let authority = selector.authority();
    let asked = Asked {
        host: authority.map_or("", host_of),
        method: &asked_method,
        path,
    };
    let route = config.routes.find(asked);
    if route.destination == Destination::Dotted {
        return Ok(vec![
            "answer: 400, since the path has a segment `.` or `..`, which could lead round a gate or `request_fields`".to_owned(),
        ]);
    }
    let readings = config.routes.readings(asked);
    let lines = readings.iter().enumerate().map(|(at, route)| match at {
        0 => format!("route: {}", named(route, file)),
        _ => format!(
            "or: {}, to APIs that decode %2F, join // or take it for a host, resolve .. or drop ;…",
            named(route, file)
        ),
    });
    let mut lines: Vec<_> = lines.collect();
    let (met, is_answered) = super::gate::describe(config, asked, selector.path());
    lines.extend(met);
    match route.destination {
        _ if is_answered => {}
        Destination::Upstream(upstream) => {
            let query = &selector.path()[path.len()..];
            lines.extend(sent(config, upstream, route, &asked, authority, query));
            lines.extend(super::fields::of_request(route));
            lines.push(format!("cache: {}", cached(route, &asked_method)));
            lines.extend(super::fields::of_key(route).filter(|_| is_retrieval(&asked_method)));
            lines.extend(super::fields::of_response(route));
        }
        Destination::Dotted => {}
        Destination::Nowhere => {
            lines.push("answer: 404, since no route takes it and there is no [upstream]".to_owned())
        }
        Destination::Unclear => {
            lines.push("answer: 400, since these lead to different APIs".to_owned())
        }
    }
    Ok(lines)
}

fn named(route: &RoutePolicy, file: &Path) -> String {
    match route.name.as_str() {
        "" => "none; what [cache] says holds".to_owned(),
        name => format!("{name} ({}:{})", file.display(), route.line),
    }
}

/// The API, and what it gets.
fn sent(
    config: &Config,
    upstream: usize,
    route: &RoutePolicy,
    asked: &Asked<'_>,
    authority: Option<&str>,
    query: &str,
) -> Vec<String> {
    let Some(named) = config.upstreams.get(upstream) else {
        return Vec::new();
    };
    let table = match &named.name {
        None => "[upstream]".to_owned(),
        Some(name) => format!("[upstreams.{name}]"),
    };
    let servers: Vec<_> = named
        .upstream
        .servers
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut lines = vec![format!("upstream: {table}, {}", servers.join(", "))];
    let Some(path) = route.api_path(asked.path) else {
        lines.push(
            "answer: 400, since the path leads out of what the route is rewritten to".to_owned(),
        );
        return lines;
    };
    let first = named.upstream.servers.first();
    let base = first
        .filter(|_| path != "*")
        .map_or("", |server| &server.base_path);
    let own = first.map(|server| server.endpoint.authority());
    let host = match (named.upstream.host, authority) {
        (HostPolicy::Client, Some(authority)) => authority.to_owned(),
        (HostPolicy::Client, None) => "as the client's".to_owned(),
        (HostPolicy::Upstream, _) => own.unwrap_or_default(),
    };
    lines.push(format!(
        "sent as: {} {base}{path}{query}, Host: {host}",
        asked.method
    ));
    lines
}

/// What the cache does with the response.
fn cached(route: &RoutePolicy, method: &Method) -> String {
    if !is_retrieval(method) {
        return format!("{method} is passed on");
    }
    if route.bypass {
        return "passed on, without the cache".to_owned();
    }
    let Some(ttl) = &route.cache.ttl else {
        return "for as long as the API says".to_owned();
    };
    let mut times: Vec<(DeltaSeconds, Vec<&str>)> = Vec::new();
    for (status, time) in &ttl.lifetimes {
        match times.iter_mut().find(|(known, _)| known == time) {
            Some((_, statuses)) => statuses.push(status.as_str()),
            None => times.push((*time, vec![status.as_str()])),
        }
    }
    let time = |(time, statuses): &(DeltaSeconds, Vec<&str>)| {
        let time = show_duration(time.as_duration());
        format!("{time} (status {})", statuses.join(", "))
    };
    let times: Vec<_> = times.iter().map(time).collect();
    let times = times.join(", ");
    match ttl.mode {
        TtlMode::Fallback => format!("where the API says nothing, for {times}"),
        TtlMode::Cap => format!("for as long as the API says, at most for {times}"),
        TtlMode::Floor => format!("for as long as the API says, at least for {times}"),
        TtlMode::Override => format!("whatever the API says, for {times}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_s_route_its_api_and_what_that_gets_are_shown() {
        let text = "[upstream]\nservers = ['http://a:1/api', 'http://b:1/api']\n\
                    [upstreams.films]\nservers = 'https://films'\nhost = 'upstream'\n\
                    [[route]]\nmatch = '/films/{*rest}'\nupstream = 'films'\nstrip_prefix = '/films'\nttl = '5m'\nttl_mode = 'cap'\n\
                    [[route]]\nmatch = '/books/{id}'\nhost = 'books.example'\nmethods = 'GET'\nbypass = true\n\
                    [[route]]\nmatch = '/t/{*rest}'\nrewrite = '/tenant/{rest}'\n";
        let config = Config::parse(text, "f.toml", &|_| None).expect("a valid file");
        let none = "route: none; what [cache] says holds";
        let upstream = "upstream: [upstream], http://a:1/api, http://b:1/api";
        let films = "upstream: [upstreams.films], https://films";
        let capped =
            "cache: for as long as the API says, at most for 5m (status 200, 203, 301, 308, 410)";
        #[rustfmt::skip]
        let cases: [(&str, &str, &[&str]); 7] = [
            ("GET", "https://x.example/films/7?a=b",
                &["route: /films/{*rest} (f.toml:6)", films, "sent as: GET /7?a=b, Host: films", capped]),
            ("POST", "/films/7",
                &["route: /films/{*rest} (f.toml:6)", films, "sent as: POST /7, Host: films", "cache: POST is passed on"]),
            ("HEAD", "http://books.example:8080/books/7",
                &["route: GET books.example/books/{id} (f.toml:12)", upstream, "sent as: HEAD /api/books/7, Host: books.example:8080",
                  "cache: passed on, without the cache"]),
            ("GET", "/books/7",
                &[none, upstream, "sent as: GET /api/books/7, Host: as the client's", "cache: for as long as the API says"]),
            ("GET", "/films%2F7",
                &[none, "or: /films/{*rest} (f.toml:6), to APIs that decode %2F, join // or take it for a host, resolve .. or drop ;…",
                  "answer: 400, since these lead to different APIs"]),
            ("GET", "/t/../t/x",
                &["route: /t/{*rest} (f.toml:17)", upstream,
                  "answer: 400, since the path leads out of what the route is rewritten to", "cache: for as long as the API says"]),
            ("GET", "/t//x", &["route: /t/{*rest} (f.toml:17)", upstream, "sent as: GET /api/tenant//x, Host: as the client's",
                "cache: for as long as the API says"]),
        ];
        for (method, url, lines) in cases {
            let told = describe(&config, Path::new("f.toml"), method, url);
            assert_eq!(
                told.as_deref(),
                Ok(&*lines.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "{method} {url}"
            );
        }
        let gated = "[upstream]\nservers = 'http://a'\n[[route]]\nmatch = '/staff/{*rest}'\nallow = ['10.0.0.0/8', '::1']\ndeny = '10.9.0.0/16'\n\
                     [[route]]\nmatch = '/old/{id}'\nrespond = { status = 308, location = '/new/{id}' }\n\
                     [[route]]\nmatch = '/down'\nmethods = 'POST'\nrespond = { status = 503 }\n\
                     [[route]]\nmatch = '/t/{id}'\nkey_fields = 'X-A'\nkey_cookies = 'lang'\n\
                     request_fields = { set = { X-B = ['secret', 'b'] }, remove = ['X-C'] }\n\
                     response_fields = { add = { X-D = '{id}' } }\n";
        let config = Config::parse(gated, "f.toml", &|_| None).expect("a valid file");
        for (method, url, lines) in [
            (
                "GET",
                "/staff/1",
                &[
                    "only from: 10.0.0.0/8, ::1/128; others get 403",
                    "not from: 10.9.0.0/16; others get 403",
                ][..],
            ),
            (
                "GET",
                "/t/1",
                &[
                    "request fields: without x-c; set x-b",
                    "key: the URL, x-a, cookie lang",
                    "response fields: added x-d",
                ],
            ),
            (
                "GET",
                "/staff%2F1",
                &["only from: 10.0.0.0/8, ::1/128; others get 403"],
            ),
            (
                "GET",
                "/old/7?a=b",
                &["answer: 308 Permanent Redirect to /new/7?a=b, by `respond`"],
            ),
            (
                "POST",
                "/down",
                &["answer: 503 Service Unavailable, by `respond`; the API gets no POST"],
            ),
            (
                "POST",
                "/x%2F../down",
                &[
                    "answer: 400, since the path has a segment `.` or `..`, which could lead round a gate or `request_fields`",
                ],
            ),
        ] {
            let told = describe(&config, Path::new("f.toml"), method, url).expect(url);
            for line in lines {
                assert!(told.iter().any(|told| told == line), "{url}: {told:#?}");
            }
            let is_sent = told.iter().any(|told| told.starts_with("sent as"));
            let has_api = url.starts_with("/staff") || url.starts_with("/t/");
            assert_eq!(is_sent, has_api, "{told:#?}");
        }
        let named = "[upstreams.films]\nservers = 'http://films'\n[[route]]\nmatch = '/films'\nupstream = 'films'\n";
        let config = Config::parse(named, "f.toml", &|_| None).expect("a valid file");
        let told = describe(&config, Path::new("f.toml"), "GET", "/books").expect("an answer");
        assert_eq!(
            told,
            [
                none,
                "answer: 404, since no route takes it and there is no [upstream]"
            ]
        );
        for (method, url, words) in [
            ("A B", "/", "is not a method"),
            ("GET", "books", "is no URL"),
        ] {
            let fault = describe(&config, Path::new("f.toml"), method, url).expect_err(url);
            assert!(fault.contains(words), "{fault}");
        }
    }
}
