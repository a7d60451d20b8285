//! The trace that an operator's request gets in its answer: `Cache-Debug`. The field is asked for by the same field with the
//! admin token as its value, which is taken off the request before anything else looks at its fields.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::cache::head::Head;
use crate::config::Config;
use crate::proxy::request::{Request, Traits};
use crate::proxy::response::body::Body;
use crate::proxy::response::counted::outcome;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::reasons::{Kind, Reason};
use crate::telemetry::by_route::Outcome;

const CACHE_DEBUG: HeaderName = HeaderName::from_static("cache-debug");

/// Characters of a key or of a variant that are shown.
const MAX_SHOWN: usize = 1024;

/// Takes the field off a request. Says whether its only value is the token of the admin API.
pub(in crate::proxy) fn is_asked_for(fields: &mut HeaderMap, config: &Config) -> bool {
    let token = config.admin.as_ref().and_then(|admin| admin.token.as_ref());
    let mut values = fields.get_all(CACHE_DEBUG).iter();
    let is_asked = match (values.next(), values.next(), token) {
        (Some(value), None, Some(token)) => token.matches(value.as_bytes()),
        _ => false,
    };
    fields.remove(CACHE_DEBUG);
    is_asked
}

/// Adds the trace to the answer where it was asked for: a dictionary (RFC 9651). `head` is that of the stored response, or of the
/// one that is being stored, which answers.
pub(super) fn add(
    response: &mut Response<Body>,
    request: &Request,
    status: &CacheStatus,
    head: Option<&Head>,
) {
    if !request.traits.any(Traits::DEBUG) || response.status().is_informational() {
        return;
    }
    let trace = trace(response, request, status, head);
    if let Ok(trace) = HeaderValue::try_from(trace) {
        response.headers_mut().insert(CACHE_DEBUG, trace);
    }
}

/// `key="http://h/books/1", route="/books/{id}";at="config.toml:12", result=hit, tier=memory, lifetime=60;from=max-age, age=3, ttl=57`.
fn trace(
    response: &Response<Body>,
    request: &Request,
    status: &CacheStatus,
    head: Option<&Head>,
) -> String {
    let route = request.strict_route();
    let outcome = outcome(response, status);
    let mut trace = format!("key={}", string(&request.shown_key()));
    trace += &format!(", route={}", string(route.shown_name()));
    if !route.name.is_empty() {
        let place = route.places.at(route.line);
        trace += &format!(";at={}", string(&place));
    }
    trace += &format!(", result={}", outcome.token());
    if let Some(reason) = reason(status) {
        trace += &format!(", reason={}", string(reason.token));
        if !reason.section.is_empty() {
            // A string has ASCII alone.
            let section = reason.section.replace('§', "section ");
            trace += &format!(";section={}", string(&section));
        }
    }
    trace += &format!(", tier={}", tier(outcome, status));
    let Some(head) = head else {
        return trace;
    };
    let (freshness, resident) = (&head.freshness, head.resident(request.now));
    let (lifetime, from) = (freshness.lifetime.as_secs(), freshness.source.token());
    trace += &format!(", lifetime={lifetime};from={from}");
    trace += &format!(", age={}", freshness.age(resident).as_secs());
    trace += &format!(", ttl={}", freshness.ttl(resident));
    let selected_by = head.variant().map(|variant| variant.describe());
    if let Some(selected_by) = selected_by.filter(|fields| !fields.is_empty()) {
        let fields = selected_by
            .iter()
            .map(|field| without_secret(field, request));
        let fields: Vec<_> = fields.collect();
        trace += &format!(", variant={}", string(&fields.join("; ")));
    }
    trace
}

fn reason(status: &CacheStatus) -> Option<&'static Reason> {
    let detail = status.detail.map(Detail::text);
    let told = detail.and_then(Reason::of_detail);
    told.or_else(|| {
        let forward = status.forward.map(ForwardReason::token);
        Reason::find(Kind::Forward, forward?)
    })
}

/// Where the content comes from.
fn tier(outcome: Outcome, status: &CacheStatus) -> &'static str {
    let detail = status.detail.map(Detail::text);
    match outcome {
        Outcome::Hit | Outcome::Stale | Outcome::Validated if detail == Some("disk") => "disk",
        Outcome::Hit | Outcome::Stale | Outcome::Validated => "memory",
        Outcome::Miss | Outcome::Pass => "upstream",
        Outcome::Direct | Outcome::Error => "gateway",
    }
}

/// The name of a field by which a variant is selected, with its value unless that is a credential.
fn without_secret<'f>(field: &'f str, request: &Request) -> &'f str {
    let name = field.split(':').next().unwrap_or_default();
    let credentials = request.route.cache.credential_fields.iter();
    let mut secret = credentials.chain([&AUTHORIZATION, &COOKIE]);
    match secret.any(|secret| secret.as_str() == name) {
        true => name,
        false => field,
    }
}

/// A string of RFC 9651 §3.3.3, in which `?` replaces characters beyond printable ASCII.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars().take(MAX_SHOWN) {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}
