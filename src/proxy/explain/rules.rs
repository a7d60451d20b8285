//! The rules that decide about a request, in the order in which they are asked, each with its outcome.

use serde_json::{Value, json};

use super::hypothetical::Hypothetical;
use super::verdict::{differences, is_ambiguous, lifetime_from};
use crate::cache::resource::Resource;
use crate::proxy::gate::explained::Foreseen;
use crate::proxy::lookup::{Lookup, Miss};
use crate::proxy::request::{Request, Traits};

/// A rule: its name, its section, and what came of it for this request.
type Rule = (&'static str, &'static str, String);

/// The rules up to the one that decides.
pub(super) fn describe(
    asked: &Hypothetical,
    resource: Option<&Resource>,
    lookup: Option<&Lookup>,
) -> Vec<Value> {
    let request = &asked.request;
    let mut rules: Vec<Rule> = vec![(
        "target",
        "RFC 9110 §7.1",
        format!("The target URI is {}.", request.target.as_str()),
    )];
    rules.push(("route", "", route(request)));
    if let Some(gate) = gate(asked.met) {
        rules.push(("gate", "", gate));
    }
    if !asked.met.goes_on() {
        return shown(rules);
    }
    let is_looked_up = request.class.is_looked_up();
    let method = request.method();
    rules.push((
        "method",
        "RFC 9111 §4",
        match is_looked_up {
            true => format!("A stored response may answer {method}."),
            false => format!("A stored response never answers {method}."),
        },
    ));
    if is_looked_up {
        rules.push(("bypass", "", bypass(request)));
    }
    let Some(lookup) = lookup else {
        return shown(rules);
    };
    if request.traits.any(Traits::DIRECTIVES) {
        rules.push(("request-directives", "RFC 9111 §5.2.1", directives(request)));
    }
    rules.push(("stored", "RFC 9111 §4", stored(resource)));
    if let Some(resource) = resource.filter(|resource| !resource.variants().is_empty()) {
        rules.push(("variant", "RFC 9111 §4.1", variants(resource, request)));
    }
    looked_up(lookup, request, &mut rules);
    shown(rules)
}

fn shown(rules: Vec<Rule>) -> Vec<Value> {
    let shown =
        |(rule, section, outcome)| json!({ "rule": rule, "section": section, "outcome": outcome });
    rules.into_iter().map(shown).collect()
}

fn route(request: &Request) -> String {
    let named = |route: &crate::config::RoutePolicy| match route.name.as_str() {
        "" => "No [[route]] takes it: [cache] holds".to_owned(),
        name => format!(
            "The route {name} takes it ({})",
            route.places.at(route.line)
        ),
    };
    let routes: Vec<_> = request
        .readings()
        .into_iter()
        .map(|route| named(route))
        .collect();
    format!("{}.", routes.join("; or, as other APIs read the path: "))
}

fn gate(met: Foreseen) -> Option<String> {
    let outcome = match met {
        Foreseen::Passed { by_address: false } => return None,
        Foreseen::Passed { by_address: true } => {
            "It goes on if `allow` and `deny` let the client's address in: name one in X-Forwarded-For."
        }
        Foreseen::Unverified => "It goes on if its password proves right.",
        Foreseen::Refused => "`allow` or `deny` refuses the client's address: 403.",
        Foreseen::Unauthorized => "`auth` asks for other credentials: 401.",
        Foreseen::Preflight => "`cors` answers it.",
        Foreseen::Responded(status) => {
            return Some(format!("`respond` answers it with {}.", status.as_u16()));
        }
    };
    Some(outcome.to_owned())
}

fn bypass(request: &Request) -> String {
    let outcome = if request.traits.any(Traits::HANDOVER) {
        "A handover is under way: the cache is not used."
    } else if request.route.bypass && is_ambiguous(request) {
        "The path can be read as that of several routes: the cache is not used."
    } else if request.route.bypass {
        "The route has `bypass`: the cache is not used."
    } else if request.is_bypassed() {
        "The request cannot be answered by a cache: it has content, or asks for another protocol."
    } else {
        "Nothing keeps the cache out of it."
    };
    outcome.to_owned()
}

fn directives(request: &Request) -> String {
    let directives = &request.directives;
    let flags = [
        (directives.no_cache, "no-cache"),
        (directives.no_store, "no-store"),
        (directives.only_if_cached, "only-if-cached"),
        (directives.max_age.is_some(), "max-age"),
        (directives.min_fresh.is_some(), "min-fresh"),
        (directives.stale_if_error.is_some(), "stale-if-error"),
    ];
    let honoured: Vec<_> = flags
        .iter()
        .filter_map(|(is_set, name)| is_set.then_some(*name))
        .collect();
    match honoured.is_empty() {
        true => "No directive of the request is honoured.".to_owned(),
        false => format!("The request says {}.", honoured.join(", ")),
    }
}

fn stored(resource: Option<&Resource>) -> String {
    match resource.map(|resource| (resource.variants().len(), resource.markers().len())) {
        None => "Nothing is stored for the target URI.".to_owned(),
        Some((0, _)) => {
            "Nothing is stored for the target URI but that a response proved uncacheable."
                .to_owned()
        }
        Some((1, _)) => "One response is stored for the target URI.".to_owned(),
        Some((variants, _)) => format!("{variants} responses are stored for the target URI."),
    }
}

fn variants(resource: &Resource, request: &Request) -> String {
    let variants = resource.variants();
    let differ = variants.iter().map(|stored| differences(stored, request));
    let differ: Vec<_> = differ.collect();
    match differ.iter().position(Vec::is_empty) {
        Some(_) if variants.len() == 1 => "The request selects it.".to_owned(),
        Some(at) => format!("The request selects number {}.", at + 1),
        None => format!("The request selects none: {}.", differ[0].join("; ")),
    }
}

fn looked_up(lookup: &Lookup, request: &Request, rules: &mut Vec<Rule>) {
    match lookup {
        Lookup::Deliver { stored, status, .. } => {
            rules.push(freshness(stored, request));
            let outcome = match status.detail {
                None => "It is used as it is.".to_owned(),
                Some(detail) => format!("It is used although stale: {}.", detail.text()),
            };
            rules.push(("reuse", "RFC 9111 §4.2.4", outcome));
        }
        Lookup::Miss(miss) => asked(miss, request, false, rules),
        Lookup::Pass(miss) => asked(miss, request, true, rules),
        Lookup::Unsatisfiable => rules.push((
            "reuse",
            "RFC 9111 §5.2.1.7",
            "Nothing stored will do, and the request wants nothing else: 504.".to_owned(),
        )),
    }
}

fn asked(miss: &Miss, request: &Request, is_passed: bool, rules: &mut Vec<Rule>) {
    if let Some(stored) = &miss.selected {
        rules.push(freshness(stored, request));
        let why = miss.why.map_or(miss.reason.token(), |why| why.text());
        rules.push((
            "reuse",
            "RFC 9111 §4.3",
            format!("It is validated first: {why}."),
        ));
    }
    if miss.personal {
        rules.push((
            "credentials",
            "RFC 9111 §3.5",
            "The request has credentials, and nothing that is stored shows that its response may be shared."
                .to_owned(),
        ));
    }
    if let Some(why) = miss.marked {
        let outcome = format!(
            "A response like this one proved uncacheable a while ago: {}.",
            why.token()
        );
        rules.push(("hit-for-miss", "", outcome));
    }
    let outcome = match is_passed {
        true => "The request is passed to the API as it is.",
        false => "The request leads a fill, or follows one that is under way.",
    };
    rules.push(("forward", "RFC 9111 §4", outcome.to_owned()));
}

fn freshness(stored: &crate::cache::stored::StoredResponse, request: &Request) -> Rule {
    let freshness = &stored.head.freshness;
    let resident = stored.head.resident(request.now);
    let (age, ttl) = (freshness.age(resident), freshness.ttl(resident));
    let lifetime = freshness.lifetime;
    let source = lifetime_from(freshness.source);
    let state = match ttl {
        1.. => format!("fresh for {ttl} s more"),
        _ => format!("stale for {} s", -ttl),
    };
    let outcome =
        format!("Its age is {age} s, its lifetime {lifetime} s, {source}: it is {state}.");
    ("freshness", "RFC 9111 §4.2", outcome)
}
