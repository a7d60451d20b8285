//! `bookend check --route`: what a request meets before the cache.

use http::Method;

use crate::config::{Asked, Config, Gate, Respond, RoutePolicy};
use crate::semantics::target::split_query;

/// A line for each thing that the gates of a request say, and whether one of them answers it. `target` is its path and query.
pub(super) fn describe(config: &Config, asked: Asked<'_>, target: &str) -> (Vec<String>, bool) {
    let readings = config.routes.readings(asked);
    let gates = |route: &RoutePolicy| route.gate.clone();
    let mut gates: Vec<_> = readings
        .into_iter()
        .filter_map(|route| gates(route))
        .collect();
    gates.dedup();
    let mut lines: Vec<String> = gates.iter().flat_map(|gate| networks(gate)).collect();
    let cors = gates.iter().filter_map(|gate| gate.cors.as_ref());
    lines.extend(cors.map(|cors| {
        let origins = cors.origins.iter().flatten().map(ToString::to_string);
        let origins: Vec<_> = origins.collect();
        match origins.is_empty() {
            true => "cors: pages of all origins may read the answer".to_owned(),
            false => format!("cors: pages of {} may read the answer", origins.join(", ")),
        }
    }));
    let answered = gates.iter().find_map(|gate| gate.respond.as_ref());
    if answered.is_none() {
        let auths = gates.iter().filter_map(|gate| gate.auth.as_ref());
        lines.extend(auths.map(|auth| {
            let users = auth.users.as_ref();
            let users = users.map(|users| format!("a user of {}", users.file.display()));
            let token = (!auth.tokens.is_empty()).then(|| "a bearer token".to_owned());
            let ways: Vec<_> = users.into_iter().chain(token).collect();
            format!("needs: {}; others get 401", ways.join(" or "))
        }));
    }
    lines.extend(answered.map(|respond| answer(respond, target, asked.method)));
    (lines, answered.is_some())
}

fn networks(gate: &Gate) -> impl Iterator<Item = String> {
    let said = [("only from", &gate.allow), ("not from", &gate.deny)];
    let said = said.into_iter().filter(|(_, nets)| !nets.is_empty());
    said.map(|(words, nets)| {
        let nets: Vec<_> = nets.iter().map(ToString::to_string).collect();
        format!("{words}: {}; others get 403", nets.join(", "))
    })
}

fn answer(respond: &Respond, target: &str, method: &Method) -> String {
    let (path, query) = split_query(target);
    let status = respond.status;
    match &respond.location {
        None => format!("answer: {status}, by `respond`; the API gets no {method}"),
        Some(location) => match location.of(path, query) {
            Some(target) => format!("answer: {status} to {target}, by `respond`"),
            None => {
                "answer: 400, since the path cannot be read as one that is redirected".to_owned()
            }
        },
    }
}
