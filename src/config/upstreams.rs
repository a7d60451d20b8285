//! The APIs behind the gateway: that of `[upstream]`, and others by name, `[upstreams.NAME]`.

use super::listen_addr::ListenAddr;
use super::section::{Section, nearest};
use super::server_url::ServerUrl;
use super::upstream::Upstream;

/// An API and what it is called.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedUpstream {
    /// `None` for that of `[upstream]`.
    pub name: Option<Box<str>>,
    pub upstream: Upstream,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the API at this place in the configuration's list.
    Upstream(usize),
    /// To none: no route takes it, and there is no `[upstream]`.
    Nowhere,
    /// To none: its path can be read as that of several routes which do not lead to the same.
    Unclear,
    /// To none: its path has dot segments, which could lead round a gate.
    Dotted,
}

impl Destination {
    /// The place of the API in the configuration's list.
    pub fn upstream(self) -> Option<usize> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Nowhere | Self::Unclear | Self::Dotted => None,
        }
    }
}

/// The table of the file that the API with this name comes from: `upstreams.films`.
fn table(name: Option<&str>) -> String {
    name.map_or("upstream".to_owned(), |name| format!("upstreams.{name}"))
}

/// All APIs of the file; that of `[upstream]` first, where there is one. `servers` are those that the command line gives in
/// place of its own.
pub(super) fn read(root: &mut Section<'_>, servers: &[ServerUrl]) -> Vec<NamedUpstream> {
    let mut default = root.section("upstream", Upstream::read);
    if !servers.is_empty() {
        default.servers = servers.to_vec();
    }
    let mut named = Vec::new();
    root.named_sections("upstreams", |name, section| {
        let upstream = Upstream::read(section);
        if section.given("servers").is_none() {
            section.mistake(
                section.span(),
                format!("[upstreams.{name}] has no `servers`; write `servers = [\"http://127.0.0.1:5000\"]`"),
            );
        }
        named.push(NamedUpstream {
            name: Some(name.into()),
            upstream,
        });
    });
    // With others, it may be left out.
    let has_default =
        named.is_empty() || !default.servers.is_empty() || root.given("upstream").is_some();
    let default = has_default.then_some(NamedUpstream {
        name: None,
        upstream: default,
    });
    default.into_iter().chain(named).collect()
}

/// Reads the `upstream` of a route: one of `upstreams`, or that of `[upstream]` where it has none. `None` where there is no
/// such API, which is then noted, unless the route `is_answered_here`.
pub(super) fn read_choice(
    section: &mut Section<'_>,
    upstreams: &[NamedUpstream],
    is_answered_here: bool,
) -> Option<Destination> {
    let Some(value) = section.value("upstream") else {
        if let Some(NamedUpstream { name: None, .. }) = upstreams.first() {
            return Some(Destination::Upstream(0));
        }
        if is_answered_here {
            return Some(Destination::Nowhere);
        }
        let name = upstreams.first().and_then(|first| first.name.as_deref());
        section.mistake(
            section.span(),
            format!(
                "this route has no `upstream`, and the file has no [upstream] for it; write `upstream = \"{}\"`",
                name.unwrap_or("books")
            ),
        );
        return None;
    };
    let name = value.text("the NAME of an [upstreams.NAME]")?;
    let is_named = |upstream: &NamedUpstream| upstream.name.as_deref() == Some(&*name);
    if let Some(at) = upstreams.iter().position(is_named) {
        return Some(Destination::Upstream(at));
    }
    let names: Vec<_> = upstreams
        .iter()
        .filter_map(|upstream| upstream.name.as_deref())
        .collect();
    let cure = match (nearest(&name, &names), &names[..]) {
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, []) => format!("write [upstreams.{name}] with its `servers`"),
        (None, names) => format!("there are \"{}\"", names.join("\", \"")),
    };
    value.refuse_text(format!("is not the name of an API of this file; {cure}"))
}

/// What no single value of an API shows. `own` is where the gateway listens; `is_used` says whether a route names the API at
/// this place.
pub(super) fn check(
    root: &Section<'_>,
    upstreams: &[NamedUpstream],
    own: &[&ListenAddr],
    is_used: impl Fn(usize) -> bool,
) {
    for (at, upstream) in upstreams.iter().enumerate() {
        let table = table(upstream.name.as_deref());
        let servers = &upstream.upstream.servers;
        let place = || root.place(&table, "servers");
        if servers.is_empty() && upstream.name.is_none() && !root.is_mistaken(&place()) {
            root.mistake(
                place(),
                "no upstream; write `servers = [\"http://127.0.0.1:5000\"]` in [upstream], or give --upstream",
            );
        }
        let misfit = |server| upstream.upstream.protocol.misfit(server);
        if let Some((server, why)) = servers
            .iter()
            .find_map(|server| Some((server, misfit(server)?)))
        {
            root.mistake(root.place(&table, "protocol"), format!("{why} ({server})"));
        }
        for listen in own {
            if let Some(server) = servers.iter().find(|server| server.endpoint.is_at(listen)) {
                root.mistake(
                    place(),
                    format!("{server} is where this gateway listens ({listen}): every request would come back to it; \
                             write the API's own address"),
                );
            }
        }
        for (at, server) in servers.iter().enumerate() {
            if servers[..at].contains(server) {
                root.warning(
                    place(),
                    format!(
                        "{server} is there twice: it gets two shares, and twice the connections"
                    ),
                );
            }
        }
        if let Some(name) = upstream.name.as_deref()
            && !is_used(at)
        {
            root.warning(
                place(),
                format!("[upstreams.{name}] is used by no route; write `upstream = \"{name}\"` in a [[route]]"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn told(text: &str) -> Vec<String> {
        let found = match Config::parse(text, "f", &|_| None) {
            Ok(config) => [config.warnings, config.notes].concat(),
            Err(mistakes) => mistakes,
        };
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn apis_that_cannot_be_meant_are_told_with_their_place_and_the_cure() {
        let films = "[upstreams.films]\nservers = 'http://b'\n";
        let default = "[upstream]\nservers = 'http://a'\n";
        let route = |upstream: &str| format!("[[route]]\nmatch = '/f'\n{upstream}\n");
        let used = route("upstream = 'films'");
        for (text, words) in [
            (
                format!("{default}{films}"),
                &[
                    "f:4:11: [upstreams.films] is used by no route; write `upstream = \"films\"` in a [[route]]",
                ][..],
            ),
            (format!("{default}{films}{used}"), &[]),
            (format!("{films}{used}"), &[]),
            (
                format!("{films}{}", route("ttl = '1m'")),
                &[
                    "f:3:1: this route has no `upstream`, and the file has no [upstream] for it; write `upstream = \"films\"`",
                ],
            ),
            (
                format!("{films}{}", route("upstream = 'flims'")),
                &[
                    "f:5:12: `upstream`: \"flims\" is not the name of an API of this file; did you mean \"films\"?",
                ],
            ),
            (
                format!("{films}{}", route("upstream = 'x'")),
                &[
                    "f:5:12: `upstream`: \"x\" is not the name of an API of this file; there are \"films\"",
                ],
            ),
            (
                format!("{default}{}", route("upstream = 'x'")),
                &[
                    "f:5:12: `upstream`: \"x\" is not the name of an API of this file; write [upstreams.x] with its `servers`",
                ],
            ),
            (
                format!("{used}[upstreams.films]\nmax_idle = 1\n"),
                &[
                    "f:4:1: [upstreams.films] has no `servers`; write `servers = [\"http://127.0.0.1:5000\"]`",
                ],
            ),
            (
                format!("{default}{films}max_idel = 1\n{used}"),
                &["f:5:1: unknown key `max_idel` in [upstreams.films]; did you mean `max_idle`?"],
            ),
            (
                format!("{default}{films}{used}[upstreams.films.health]\npaht = '/'\n"),
                &["f:9:1: unknown key `paht` in [upstreams.films.health]; did you mean `path`?"],
            ),
            (
                format!("{default}[upstreams]\nservers = 'http://b'\n"),
                &[
                    "f:4:1: `servers` is not a section: begin one with [upstreams.NAME] for each name, and write its keys there",
                ],
            ),
            (
                format!("{default}[upstreams.'a b']\nservers = 'http://b'\n"),
                &["f:3:12: \"a b\" is not a name; use letters, digits, `-` and `_`"],
            ),
            (
                format!(
                    "{default}[upstreams.films]\nservers = 'https://b'\nprotocol = 'h2c'\n{used}"
                ),
                &["f:5:12: \"h2c\" is HTTP/2 without TLS; write \"h2\" for https (https://b)"],
            ),
            (
                format!("{default}[upstreams.films]\nservers = 'http://localhost:8080'\n{used}"),
                &[
                    "f:4:11: http://localhost:8080 is where this gateway listens (127.0.0.1:8080): every request would come back to it; write the API's own address",
                ],
            ),
            (
                format!("{default}[upstreams.films]\nservers = ['http://b', 'http://b']\n{used}"),
                &["f:4:11: http://b is there twice: it gets two shares, and twice the connections"],
            ),
            (
                format!("{default}{films}{used}[upstreams.films.ejection]\nslow_return = '1s'\n"),
                &["f:9:1: `slow_return` is called `slow_start` now; the former name still works"],
            ),
            (
                format!("{films}{used}[upstream]\nmax_idle = 1\n"),
                &[
                    "f:6:1: no upstream; write `servers = [\"http://127.0.0.1:5000\"]` in [upstream], or give --upstream",
                ],
            ),
        ] {
            assert_eq!(told(&text), words, "{text}");
        }
    }
}
