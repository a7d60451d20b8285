//! Explains a URL to the operator: its route, its stored responses, its fills in flight, and the answer that requests get
//! now.

use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};

use crate::cache::key::Key;
use crate::cache::resource::{Marker, Resource};
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::config::{Destination, RoutePolicy};
use crate::proxy::gate::explained;
use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::operations::asked_by;
use crate::proxy::request::shown_key;
use crate::semantics::field_edits::{FieldEdits, Template};
use crate::semantics::freshness::MustValidate;
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::selector::Selector;
use crate::semantics::vary::VariantKey;

/// Targets that one explanation lists at most.
const MAX_EXPLAINED: usize = 100;

impl Gateway {
    /// The explanation of the URL that `selector` was read from.
    pub fn explain(&self, url: &str, selector: &Selector) -> Value {
        let now = self.clock.now();
        let selector = &self.in_key_form(selector.clone());
        let found = self.store.find(selector, MAX_EXPLAINED);
        let settings = self.settings();
        let routes = &settings.config.routes;
        let asked = asked_by(selector);
        let route = routes.find(asked);
        let readings = routes.readings(asked);
        let strict = readings.first().copied().unwrap_or(route);
        let mut explained = json!({
            "url": url,
            "route": name(strict),
            "upstream": upstream(&settings, route),
            "sent_as": route.api_path(asked.path),
            "bypass": route.bypass,
            "stored": found.iter().map(|(key, resource)| describe(key, resource, now)).collect::<Vec<_>>(),
            "fills": self.store.fills_for(|key| self.store.is_selected(selector, key)),
            "credentials": credentials(route),
            "key_by": key_by(route),
            "request_fields": route.requests.as_ref().map(|rules| edits(&rules.fields)),
            "response_fields": route.response_fields.as_ref().map(|fields| edits(fields)),
            "gates": gates(&readings),
            "write_invalidates": self.write_invalidates(selector),
        });
        if route.destination == Destination::Dotted {
            explained["refused"] =
                "the path has a segment `.` or `..`, which could lead round a gate".into();
        } else if readings.len() > 1 {
            explained["ambiguous"] = json!({
                "routes": readings.iter().map(|route| name(route)).collect::<Vec<_>>(),
                "why": "APIs that decode %2F, join //, resolve .. or drop ;… read this path as that of another route, \
                        so the cache stays out of it",
            });
        }
        explained
    }
}

/// What a request meets before the cache; where its path can be read as that of several routes, at all.
fn gates(readings: &[&Arc<RoutePolicy>]) -> Vec<Value> {
    let mut gates: Vec<_> = readings
        .iter()
        .filter_map(|route| route.gate.clone())
        .collect();
    gates.dedup();
    gates.iter().map(|gate| explained::describe(gate)).collect()
}

/// What is part of the key beside the URL.
fn key_by(route: &RoutePolicy) -> Value {
    let key = route.requests.as_ref().map(|rules| &rules.key);
    let fields = key.into_iter().flat_map(|key| &key.fields);
    json!({
        "fields": fields.map(HeaderName::as_str).collect::<Vec<_>>(),
        "cookies": key.map(|key| &*key.cookies).unwrap_or_default(),
    })
}

/// The names of the fields that change; their values may be secret.
fn edits(edits: &FieldEdits) -> Value {
    let names = |lines: &[(HeaderName, Template)]| {
        let mut names: Vec<_> = lines.iter().map(|(name, _)| name.to_string()).collect();
        names.dedup();
        names
    };
    json!({
        "remove": edits.remove.iter().map(HeaderName::as_str).collect::<Vec<_>>(),
        "set": names(&edits.set),
        "add": names(&edits.add),
    })
}

/// The name of the API that gets its requests; `null` where none does.
fn upstream<'s>(settings: &'s Settings, route: &RoutePolicy) -> Option<&'s str> {
    let upstream = settings.upstreams.get(route.destination.upstream()?)?;
    Some(upstream.name().unwrap_or("(default)"))
}

fn name(route: &RoutePolicy) -> &str {
    match route.name.as_str() {
        "" => "(default)",
        name => name,
    }
}

/// The answer to requests with credentials, and the fields by which they are recognised.
fn credentials(route: &RoutePolicy) -> Value {
    let policy = &route.cache;
    let rules = route.requests.as_ref();
    let reaches_api = |name: &HeaderName| !rules.is_some_and(|rules| rules.fields.drops(name));
    let own = [AUTHORIZATION, COOKIE];
    let all = own.iter().chain(&policy.credential_fields);
    let fields = all.filter(|name| reaches_api(name)).map(HeaderName::as_str);
    let why = match policy.ignore.credentials {
        true => {
            "the route ignores credentials: responses to requests with these fields are stored, and answer everybody"
        }
        false => {
            "a request with one of these fields is answered from what is stored, but what it fetches is stored only if \
             the response says public, must-revalidate or s-maxage (RFC 9111, section 3.5)"
        }
    };
    json!({
        "fields": fields.collect::<Vec<_>>(),
        "ignored": policy.ignore.credentials,
        "why": why,
    })
}

fn describe(key: &Key, resource: &Resource, now: Now) -> Value {
    json!({
        "key": shown_key(key.as_str()),
        "bytes": resource.weight(key.as_str().len()),
        "no_vary_search": resource.variants().first().and_then(|stored| stored.head.search()).map(SearchVariance::describe),
        "variants": resource.variants().iter().map(|stored| describe_variant(stored, now)).collect::<Vec<_>>(),
        "markers": resource.markers().iter().map(|marker| describe_marker(marker, now)).collect::<Vec<_>>(),
    })
}

fn describe_variant(stored: &StoredResponse, now: Now) -> Value {
    let head = &stored.head;
    let resident = head.resident(now);
    let fields: Vec<_> = head
        .fields
        .to_map()
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    json!({
        "status": head.status.as_u16(),
        "fresh": head.freshness.is_fresh(resident),
        "age": head.freshness.age(resident).as_secs(),
        "ttl": head.freshness.ttl(resident),
        "lifetime": head.freshness.lifetime.as_secs(),
        "lifetime_from": head.freshness.source.token(),
        "must_validate": head.freshness.must_validate.map(MustValidate::token),
        "selected_by": head.variant().map(VariantKey::describe).unwrap_or_default(),
        "groups": head.groups(),
        "fetched_with_credentials": head.credentialed,
        "query": head.digest().is_some(),
        "content_bytes": stored.content_len(),
        "complete": stored.parts().is_none(),
        "fields": fields,
    })
}

fn describe_marker(marker: &Marker, now: Now) -> Value {
    json!({
        "why": marker.why.token(),
        "cure": marker.why.cure(),
        "for_seconds": marker.until.since(now.mono).as_secs(),
        "selected_by": marker.variant.describe().into_iter().collect::<Vec<_>>(),
    })
}
