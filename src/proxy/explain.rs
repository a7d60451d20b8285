//! Explains a request to the operator: its route, what is stored for its URL, what would happen to it now, why, and what to
//! change for it to be answered from the store.

mod hypothetical;
mod policy;
mod rules;
mod verdict;

pub use self::hypothetical::Question;

use std::sync::Arc;

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};
use serde_json::{Value, json};

use crate::cache::key::Key;
use crate::cache::resource::{Marker, Resource};
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::config::{Destination, RoutePolicy};
use crate::error::ErrorKind;
use crate::proxy::gate::explained;
use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::lookup::{Purpose, look_up};
use crate::proxy::operations::asked_by;
use crate::proxy::request::{Class, Request, shown_key};
use crate::semantics::field_edits::{FieldEdits, Template};
use crate::semantics::freshness::MustValidate;
use crate::semantics::no_vary_search::SearchVariance;
use crate::semantics::reasons::{Kind, Reason, ReasonNumber};
use crate::semantics::vary::VariantKey;
use crate::telemetry::latest::Latest;

use self::hypothetical::Hypothetical;
use self::verdict::{Verdict, differences};

/// Targets that one explanation lists at most.
const MAX_EXPLAINED: usize = 100;

impl Gateway {
    /// The explanation of a request that nobody has sent: what the code that serves would do with it now, and what is stored
    /// for its URL. Nothing is counted, fetched or changed by it.
    pub fn explain(&self, question: &Question) -> Value {
        let now = self.clock.now();
        let selector = &self.in_key_form(question.selector.clone());
        let found = self.store.find(selector, MAX_EXPLAINED);
        let settings = self.settings();
        let routes = &settings.config.routes;
        let hypothetical = self.hypothetical(question);
        let asked = hypothetical.as_ref().ok().map(|asked| &asked.request);
        let asked_for = asked_by(selector, &question.method);
        let (route, readings) = match asked {
            Some(request) => (&request.route, request.readings()),
            None => (routes.find(asked_for), routes.readings(asked_for)),
        };
        let strict = readings.first().copied().unwrap_or(route);
        let mut explained = json!({
            "url": question.url,
            "method": question.method.as_str(),
            "route": name(strict),
            "route_at": (!strict.name.is_empty()).then(|| strict.places.at(strict.line)),
            "upstream": upstream(&settings, route),
            "sent_as": route.api_path(asked_for.path),
            "bypass": route.bypass,
            "policy": policy::describe(strict),
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
        let stored = found.iter();
        explained["stored"] = stored
            .map(|(key, resource)| {
                describe(
                    key,
                    resource,
                    now,
                    asked.filter(|asked| asked.key(&self.store).as_str() == key.as_str()),
                )
            })
            .collect();
        match &hypothetical {
            Ok(asked) => self.explain_request(asked, &mut explained),
            Err(error) => {
                explained["now"] = json!({
                    "result": "error",
                    "cache_status": Value::Null,
                    "reason": error.kind().token(),
                    "section": "",
                    "why": format!("The request is refused with {}: {}.", error.status().as_u16(), error.explanation()),
                });
                explained["change"] = json!([]);
            }
        }
        explained
    }

    /// What would happen to the request now, by which rules, and what became of the latest one.
    fn explain_request(&self, asked: &Hypothetical, explained: &mut Value) {
        let request = &asked.request;
        let is_looked_up = asked.met.goes_on()
            && request.class.is_looked_up()
            && request.class != Class::Query
            && !request.is_bypassed();
        let lookup = is_looked_up.then(|| look_up(&self.store, request, Purpose::Explain));
        let resource = self.store.look_up(request.key(&self.store));
        let is_on_disk = is_looked_up
            && resource.is_none()
            && request.route.tiers.disk
            && self.tiers.may_have(request.key(&self.store).as_str());
        let verdict = match is_on_disk {
            true => Verdict::of_kept(),
            false => Verdict::of(asked, lookup.as_ref()),
        };
        let name = &request.epoch.settings.identity.name;
        let status = verdict.status.as_ref().map(|status| status.to_value(name));
        explained["target"] = request.target.as_str().into();
        explained["stored_as"] = request.shown_key().into();
        explained["now"] = json!({
            "result": verdict.result,
            "cache_status": status.as_ref().and_then(|status| status.to_str().ok()),
            "reason": verdict.reason.map(|reason| reason.token),
            "section": verdict.reason.map_or("", |reason| reason.section),
            "why": verdict.why,
        });
        explained["change"] = json!(verdict.change);
        explained["rules"] = rules::describe(asked, resource.as_ref(), lookup.as_ref()).into();
        explained["latest"] = asked
            .latest
            .as_ref()
            .map(|latest| describe_latest(latest, request.now))
            .into();
    }
}

/// What became of the latest response to such a request.
fn describe_latest(latest: &Latest, now: Now) -> Value {
    let forward = latest.forward.and_then(ReasonNumber::reason);
    json!({
        "outcome": latest.outcome.token(),
        "forward": forward.map(|reason| reason.token),
        "reason": latest.why().map(|reason| reason.token),
        "sentence": latest.why().map(|reason| reason.sentence),
        "cure": latest.why().map(|reason| reason.cure),
        "error": latest.error.map(ErrorKind::token),
        "status": latest.status,
        "seconds_ago": now.mono.since(latest.when).as_secs(),
        "count": latest.count,
    })
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

/// `asked` is the request that is explained, where it has this key.
fn describe(key: &Key, resource: &Resource, now: Now, asked: Option<&Request>) -> Value {
    let marker = |marker: &Marker| {
        let reason = Reason::find(Kind::NotStored, marker.why.token());
        json!({
            "why": marker.why.token(),
            "sentence": reason.map(|reason| reason.sentence),
            "cure": reason.map(|reason| reason.cure),
            "for_seconds": marker.until.since(now.mono).as_secs(),
            "selected_by": marker.variant.describe().into_iter().collect::<Vec<_>>(),
        })
    };
    json!({
        "key": shown_key(key.as_str()),
        "bytes": resource.weight(key.as_str().len()),
        "no_vary_search": resource.variants().first().and_then(|stored| stored.head.search()).map(SearchVariance::describe),
        "variants": resource.variants().iter().map(|stored| describe_variant(stored, now, asked)).collect::<Vec<_>>(),
        "markers": resource.markers().iter().map(marker).collect::<Vec<_>>(),
    })
}

fn describe_variant(stored: &StoredResponse, now: Now, asked: Option<&Request>) -> Value {
    let head = &stored.head;
    let differ = asked.map(|request| differences(stored, request));
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
        "matches": differ.as_ref().map(Vec::is_empty),
        "differs": differ.unwrap_or_default(),
        "fields": fields,
    })
}
