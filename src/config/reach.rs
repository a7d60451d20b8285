//! Whether any request reaches a route.

use std::sync::Arc;

use http::Method;
use smallvec::SmallVec;

use super::hosts::HostPattern;
use super::route::RoutePolicy;
use super::route_tree::Asked;
use super::upstreams::Destination;
use crate::semantics::path_form::{Named, PathForm};

/// The policies of the routes that a path can be read as, each once.
pub type Readings<'r> = SmallVec<[&'r Arc<RoutePolicy>; 2]>;

/// What a request finds.
pub(super) struct Found<'r> {
    pub policy: &'r RoutePolicy,
    /// The routes that APIs may read its path as, strict ones first.
    pub readings: Readings<'r>,
}

/// Why no request reaches `route`, where `find` finds what each has: a clause that follows its name. `None` where one does.
///
/// Requests are tried that have each character alone for its parameters: only a literal segment, of which few are as short,
/// precedes a parameter then, and no parameter with text around it.
pub(super) fn unreachable<'r>(
    route: &RoutePolicy,
    find: impl Fn(Asked<'_>) -> Found<'r>,
) -> Option<String> {
    let form = PathForm::parse(&route.pattern).ok()?;
    let names: Vec<&str> = form.names().collect();
    let rest = route
        .pattern
        .rsplit_once("{*")
        .and_then(|(_, rest)| rest.strip_suffix('}'));
    let hosts = hosts(route);
    let other = Method::from_bytes(b"ANY").ok()?;
    let method = route.methods.first().unwrap_or(&other);
    let mut first = None;
    for octet in (b'a'..=b'z').chain(b'0'..=b'9').map(char::from) {
        for left in ["".to_owned(), octet.to_string(), format!("{octet}/{octet}")] {
            let value = octet.to_string();
            let of = |name| match Some(name) == rest {
                true => (name, &*left),
                false => (name, &*value),
            };
            let named: Named<'_> = names.iter().copied().map(of).collect();
            let path = form.write(&named)?;
            for host in &hosts {
                let asked = Asked {
                    host,
                    method,
                    path: &path,
                };
                let found = find(asked);
                if found.policy.name == route.name && found.policy.bypass == route.bypass {
                    return None;
                }
                if found.policy.destination == Destination::Dotted {
                    return Some("is reached by no request: paths with a segment `.` or `..` are refused, since a route has a gate or changes requests".to_owned());
                }
                first.get_or_insert(found.readings);
            }
            if rest.is_none() {
                break;
            }
        }
        if names.is_empty() {
            break;
        }
    }
    let quoted = |name: &str| match name {
        "" => "no route".to_owned(),
        name => format!("the route \"{name}\""),
    };
    let readings = first?;
    let (strict, other) = (&*readings.first()?.name, &*readings.last()?.name);
    Some(match strict == route.name {
        true => format!(
            "has paths that some APIs read as those of {}: the cache stays out of them, and only its `rate_limit` holds",
            quoted(other)
        ),
        false => format!("is reached by no request: {} takes them", quoted(strict)),
    })
}

/// What is said of a route with a gate for all below a path, `/admin/{*rest}`, where that path itself, `/admin`, is left to
/// another without this gate. `find` finds the route of each request.
pub(super) fn open_base<'r>(
    route: &RoutePolicy,
    find: impl Fn(Asked<'_>) -> &'r RoutePolicy,
) -> Option<String> {
    let refuses = route.gate.as_ref().is_some_and(|gate| gate.refuses());
    let (base, rest) = route.pattern.rsplit_once('/')?;
    if !refuses || !rest.starts_with("{*") || base.is_empty() || base.contains('{') {
        return None;
    }
    let method = route.methods.first().unwrap_or(&Method::GET);
    let hosts = hosts(route);
    let is_open = |host: &String| {
        let path = base;
        find(Asked { host, method, path }).gate != route.gate
    };
    hosts.iter().any(is_open).then(|| {
        format!("is not for \"{base}\" itself, which is answered without its `allow`, `deny`, `auth` or `respond`: add a route for it")
    })
}

/// What is said of a route with a gate for one path, `/staff`, that many frameworks answer under `/staff/` too, or the other
/// way round, where that one is left to another route without this gate.
pub(super) fn open_twin<'r>(
    route: &RoutePolicy,
    find: impl Fn(Asked<'_>) -> &'r RoutePolicy,
) -> Option<String> {
    let gate = route.gate.as_ref();
    let asks = gate.is_some_and(|gate| gate.asks_who());
    let pattern = &*route.pattern;
    if !asks || pattern == "/" || pattern.contains("{*") {
        return None;
    }
    let twin = match pattern.strip_suffix('/') {
        Some(short) => short.to_owned(),
        None => format!("{pattern}/"),
    };
    let form = PathForm::parse(&twin).ok()?;
    let named: Named<'_> = form.names().map(|name| (name, "0")).collect();
    let path = &*form.write(&named)?;
    let method = route.methods.first().unwrap_or(&Method::GET);
    let is_open = |host: &String| find(Asked { host, method, path }).gate != route.gate;
    hosts(route).iter().any(is_open).then(|| {
        format!("is not for \"{twin}\", which many APIs answer in the same way: it is answered without this route's `allow`, `deny` or `auth`. Add a route for it")
    })
}

/// Hosts that it is for, one of each kind.
fn hosts(route: &RoutePolicy) -> Vec<String> {
    if route.hosts.is_empty() {
        return vec![String::new()];
    }
    let sample = |host: &HostPattern| host.to_string().replacen('*', "any-0", 1);
    route.hosts.iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn routes_that_no_request_reaches_are_told_with_what_takes_theirs() {
        let covered = "match = '/a/{*rest}'\n[[route]]\nmatch = '/a/'\n[[route]]\nmatch = '/a/{b}'\n[[route]]\nmatch = '/a/{b}/{*c}'";
        for (routes, told) in [
            (
                covered,
                Some(
                    "6:9: the route \"/a/{*rest}\" is reached by no request: the route \"/a/\" takes them",
                ),
            ),
            (
                "match = '/a//b'",
                Some(
                    "6:9: the route \"/a//b\" has paths that some APIs read as those of no route: the cache stays out of them, and only its `rate_limit` holds",
                ),
            ),
            (
                "match = '/x/../a'\nhost = 'h'\n[[route]]\nmatch = '/a'",
                Some(
                    "6:9: the route \"h/x/../a\" has paths that some APIs read as those of the route \"/a\": the cache stays out of them, and only its `rate_limit` holds",
                ),
            ),
            (
                "match = '/a%2Fb'\n[[route]]\nmatch = '/{*all}'",
                Some(
                    "6:9: the route \"/a%2Fb\" has paths that some APIs read as those of the route \"/{*all}\": the cache stays out of them, and only its `rate_limit` holds",
                ),
            ),
            (
                &covered.replace("'/a/{*rest}'", "'/a/{*rest}'\nmethods = 'GET'"),
                Some(
                    "6:9: the route \"GET /a/{*rest}\" is reached by no request: the route \"/a/\" takes them",
                ),
            ),
            (
                &covered.replace("'/a/{b}'", "'/a/{b}'\nmethods = 'GET'"),
                None,
            ),
            (&covered.replace("'/a/{b}'", "'/a/{b}.json'"), None),
            (&covered.replace("'/a/'", "'/a/'\nhost = 'h'"), None),
            (
                "match = '/{a}'\n[[route]]\nmatch = '/a'\n[[route]]\nmatch = '/b'",
                None,
            ),
            (
                "match = '/{a}.x'\n[[route]]\nmatch = '/a{b}.x'\n[[route]]\nmatch = '/{a}'",
                None,
            ),
            (
                "match = '/{a}/b'\n[[route]]\nmatch = '/{*rest}'\n[[route]]\nmatch = '/'",
                None,
            ),
            (
                "host = '*.h'\n[[route]]\nhost = 'a.h'\n[[route]]\nhost = '*.a.h'\n[[route]]\nmethods = ['PATCH', 'GET']",
                None,
            ),
            (
                "match = '/x/../a'\n[[route]]\nmatch = '/{*rest}'\ndeny = '10.0.0.0/8'",
                Some(
                    "6:9: the route \"/x/../a\" is reached by no request: paths with a segment `.` or `..` are refused, since a route has a gate or changes requests",
                ),
            ),
            ("match = '/b\u{fc}cher/{a}'", None),
            (
                "match = '/b/{id}'\nallow = '10.0.0.0/8'",
                Some(
                    "6:9: the route \"/b/{id}\" is not for \"/b/{id}/\", which many APIs answer in the same way: it is answered without this route's `allow`, `deny` or `auth`. Add a route for it",
                ),
            ),
            (
                "match = '/b/'\nallow = '10.0.0.0/8'\n[[route]]\nmatch = '/b'\nallow = '10.0.0.0/8'",
                None,
            ),
            ("match = '/b'\nrespond = { status = 503 }", None),
        ] {
            let text = format!("[upstream]\nservers = 'http://a'\n\n\n[[route]]\n{routes}\n");
            let config = Config::parse(&text, "f", &|_| None).expect(routes);
            let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
            let expected: Vec<_> = told.iter().map(|told| format!("f:{told}")).collect();
            assert_eq!(warnings, expected, "{routes}");
        }
    }
}
