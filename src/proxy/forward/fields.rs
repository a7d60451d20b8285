//! Fields that are added to a message, or removed from it, on its way through: hop-by-hop fields, Via, CDN-Loop, and the
//! fields that tell the API who its client is.

use http::header::{
    ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, COOKIE, DATE, EXPECT, FORWARDED, HOST,
    HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LOCATION, MAX_FORWARDS, PROXY_AUTHORIZATION, REFRESH, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, USER_AGENT, VIA,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, Uri, Version};

use crate::config::{HostPolicy, RoutePolicy};
use crate::error::{Error, ErrorKind};
use crate::proxy::forward::client_paths::as_client_sees;
use crate::proxy::gateway::{Identity, Settings};
use crate::proxy::interim::{self, Hints};
use crate::proxy::request::field_names::{
    CDN_LOOP, CLIENT_CERT_CHAIN, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PREFIX,
    X_FORWARDED_PROTO, X_REQUEST_ID,
};
use crate::proxy::request::{Request, Target, Traits};
use crate::semantics::hop_by_hop;
use crate::semantics::list;
use crate::semantics::meta_variable::remove_twins;
use crate::semantics::percent;
use crate::semantics::reference::{self, ClientView};
use crate::semantics::storability::CLIENT_CERT;
use crate::semantics::time::Timestamp;
use crate::semantics::trace_context::{Received, TRACEPARENT, TRACESTATE};
use crate::semantics::upgrade;
use crate::semantics::validation::strip_conditionals;
use crate::semantics::vary::{Reduced, reduce};
use crate::telemetry::traces;
use crate::upstream::{RequestBody, Server};

/// About as many fields are added to a request on its way: one growth instead of several.
const OWN_FIELDS: usize = 8;

/// The fields by which the gateway tells the API who its client is and what it asked for. An API that takes another field for
/// one of them would believe the client, and its response would answer others.
static OWN_NAMES: [HeaderName; 8] = [
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PREFIX,
    X_FORWARDED_PROTO,
    X_REQUEST_ID,
    CDN_LOOP,
    CLIENT_CERT,
    CLIENT_CERT_CHAIN,
];

/// Request fields of the standards whose names have a hyphen: those by which responses vary, and those that say how a message is read.
static STANDARD: [HeaderName; 20] = [
    ACCEPT_CHARSET,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    MAX_FORWARDS,
    PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
    USER_AGENT,
];

/// Whose preconditions and Range a forwarded request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// The client's, as they came.
    Client,
    /// None: they are left to us, or set afterwards.
    Stripped,
}

/// The request that goes upstream in the place of the client's.
///
/// # Errors
/// A downstream [`Error`] when the target cannot be sent on.
pub fn request(
    request: &Request,
    hints: Option<&Hints>,
    conditions: Conditions,
    body: RequestBody,
) -> Result<http::Request<RequestBody>, Error> {
    let forwarded = request.api_path_and_query()?;
    let target = match request.parts.uri.path_and_query() {
        Some(given) if *given.as_str() == *forwarded => given.clone(),
        _ => PathAndQuery::try_from(&*forwarded)
            .map_err(|error| Error::downstream(ErrorKind::BadRequest).because(error))?,
    };
    let mut outgoing = http::Request::new(body);
    *outgoing.method_mut() = request.method().clone();
    *outgoing.uri_mut() = Uri::from(target);
    *outgoing.headers_mut() = request_fields(request, conditions);
    if outgoing.body().expectation().is_some() {
        let fields = outgoing.headers_mut();
        fields.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if let RequestBody::Stream(_) = outgoing.body() {
        // Trailers go on, and so are announced anew (RFC 9110 §6.6.2).
        for names in request.headers().get_all(TRAILER) {
            outgoing.headers_mut().append(TRAILER, names.clone());
        }
    }
    interim::listen(&mut outgoing, hints);
    Ok(outgoing)
}

fn request_fields(request: &Request, conditions: Conditions) -> HeaderMap {
    let settings = &request.epoch.settings;
    let mut fields = request.headers().clone();
    fields.reserve(OWN_FIELDS);
    if request.traits.any(Traits::THIS_HOP) {
        replace_hop_by_hop(&mut fields, request);
    }
    if conditions == Conditions::Stripped {
        strip_conditionals(&mut fields);
    }
    for name in [
        &http::header::ACCEPT_ENCODING,
        &http::header::ACCEPT_LANGUAGE,
    ] {
        match reduce(name, &fields, &request.route.cache.vary) {
            Reduced::AsIs => {}
            Reduced::To(value) => drop(fields.insert(name, value)),
            Reduced::Absent => drop(fields.remove(name)),
        }
    }
    if request.traits.any(Traits::CREDENTIALS) {
        join_cookies(&mut fields);
    }
    if request.traits.any(Traits::TRACED) {
        replace_unreadable_trace(&mut fields, request);
    }
    set_host(&mut fields, request);
    remove_forged(&mut fields, &request.route);
    tell_the_client(&mut fields, request);
    if let Some(rewrite) = &request.route.rewrite {
        name_prefix(&mut fields, &rewrite.stripped, request);
    }
    fields.append(VIA, settings.identity.via(request.parts.version).clone());
    fields.append(CDN_LOOP, settings.identity.cdn_loop.clone());
    fields
}

/// Begins another trace in the place of one that cannot be read (Trace Context, §3.2.2 and §4.3), where this gateway takes part in
/// traces. Those that are recorded get their own.
fn replace_unreadable_trace(fields: &mut HeaderMap, request: &Request) {
    let takes_part = request.epoch.settings.traces.is_some();
    if takes_part
        && request.recording().is_none()
        && Received::of(fields) == Received::Invalid
        && let Some(value) = traces::unrecorded().to_value()
    {
        fields.insert(TRACEPARENT, value);
        fields.remove(TRACESTATE);
    }
}

/// Removes the fields that an API could take for others by which the gateway tells it something, keys what is stored, judges whether
/// it may be shared, or reads the message.
fn remove_forged(fields: &mut HeaderMap, route: &RoutePolicy) {
    let keyed = route.requests.iter().flat_map(|rules| &rules.key.fields);
    let credentials = &route.cache.credential_fields;
    let names = OWN_NAMES
        .iter()
        .chain(&STANDARD)
        .chain(credentials)
        .chain(keyed);
    remove_twins(fields, names);
}

/// Removes the fields of the client's hop, and writes those of the next hop.
fn replace_hop_by_hop(fields: &mut HeaderMap, request: &Request) {
    let trailers = hop_by_hop::takes_trailers(fields);
    let upgrade = request
        .traits
        .any(Traits::UPGRADE)
        .then(|| upgrade::offered(request.parts.version, fields))
        .flatten();
    // The fields that Connection names were removed when the request was read: see `Request::drop_nominated`.
    hop_by_hop::remove_any(fields, &hop_by_hop::HOP_BY_HOP);
    // RFC 9110 §10.1.1: an expectation goes on only where there is content to be held back.
    hop_by_hop::remove_any(fields, &[CONTENT_LENGTH, EXPECT]);
    if trailers {
        // RFC 9110 §10.1.4
        fields.insert(TE, HeaderValue::from_static("trailers"));
        fields.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocols) = upgrade {
        fields.insert(UPGRADE, protocols);
        fields.append(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Whether the client waits to be asked for its content (RFC 9110 §10.1.1); in HTTP/1.0 that means nothing.
pub fn waits_to_continue(request: &Request) -> bool {
    request.parts.version >= Version::HTTP_11
        && list::members(request.headers(), &EXPECT)
            .any(|member| member.eq_ignore_ascii_case(b"100-continue"))
}

/// HTTP/2 lets Cookie come in several lines, which HTTP/1.1 does not (RFC 9113 §8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let mut lines = fields.get_all(COOKIE).iter();
    if lines.next().is_none() || lines.next().is_none() {
        return;
    }
    let lines: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(mut joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        joined.set_sensitive(true);
        fields.insert(COOKIE, joined);
    }
}

/// The host of the key, in the key's normal form (RFC 9110 §4.2.3), wherever and however the client wrote it: what an
/// API makes of `GOOD.example:80` would answer clients that wrote `good.example`.
fn set_host(fields: &mut HeaderMap, request: &Request) {
    let authority = request.target.authority();
    let is_normal = |host: &HeaderValue| host.as_bytes() == authority.as_bytes();
    if !fields.get(HOST).is_some_and(is_normal)
        && let Ok(value) = HeaderValue::from_str(authority)
    {
        fields.insert(HOST, value);
    }
}

/// X-Forwarded-* and Forwarded (RFC 7239): a trusted proxy's are added to, anybody else's are replaced. What may
/// alter the response, host and scheme, is what the key is made of.
fn tell_the_client(fields: &mut HeaderMap, request: &Request) {
    let target = &request.target;
    let told = request.peer.told(target);
    put_in_chain(fields, &X_FORWARDED_FOR, &told.address, request);
    put_in_chain(fields, &FORWARDED, &told.element, request);
    fields.insert(
        X_FORWARDED_PROTO,
        HeaderValue::from_static(target.scheme().as_str()),
    );
    match &told.host {
        Some(host) => drop(fields.insert(X_FORWARDED_HOST, host.clone())),
        None => drop(fields.remove(X_FORWARDED_HOST)),
    }
}

/// X-Forwarded-Prefix: what the API has to put before the paths of its links, since the gateway has taken it off; after what
/// a trusted proxy has taken off.
fn name_prefix(fields: &mut HeaderMap, stripped: &str, request: &Request) {
    if stripped.is_empty() {
        return;
    }
    let before = fields.get(X_FORWARDED_PREFIX);
    let before = before.filter(|_| request.is_from_proxy());
    let before = before.map_or(&b""[..], HeaderValue::as_bytes);
    let before = before.strip_suffix(b"/").unwrap_or(before);
    let stripped = percent::normal(stripped);
    if let Ok(prefix) = HeaderValue::from_bytes(&[before, stripped.as_bytes()].concat()) {
        fields.insert(X_FORWARDED_PREFIX, prefix);
    }
}

/// Adds our member to what a trusted proxy says, or puts it in the place of what anybody else says.
fn put_in_chain(fields: &mut HeaderMap, name: &HeaderName, own: &HeaderValue, request: &Request) {
    let mut value = own.clone();
    if fields.contains_key(name) && request.is_from_proxy() {
        let before = fields.get_all(name).iter();
        let members: Vec<&str> = before
            .chain([own])
            .filter_map(|line| line.to_str().ok())
            .collect();
        if let Ok(chain) = HeaderValue::from_str(&members.join(", ")) {
            value = chain;
        }
    }
    fields.insert(name, value);
}

/// Makes a response's fields ready for the way down: without those of the last hop, with a Date (RFC 9110 §6.6.1),
/// and with targets that the client can follow.
pub fn response_fields(
    fields: &mut HeaderMap,
    received: Timestamp,
    server: &Server,
    settings: &Settings,
    route: &RoutePolicy,
    target: &Target,
) {
    let trailers: Vec<_> = fields.get_all(TRAILER).iter().cloned().collect();
    hop_by_hop::strip(fields);
    for names in trailers {
        fields.append(TRAILER, names);
    }
    if !fields.contains_key(DATE)
        && let Ok(date) = HeaderValue::from_str(&received.to_http_date())
    {
        fields.insert(DATE, date);
    }
    if shows_own_targets(settings, route)
        && TARGET_FIELDS.iter().any(|name| fields.contains_key(name))
    {
        as_client_sees(settings, route, target, server.base_path(), |view| {
            for (name, value) in fields.iter_mut() {
                if TARGET_FIELDS.contains(name) {
                    rewrite_target(name, value, view);
                }
            }
        });
    }
}

/// Whether the API's own names for its resources are not those of its clients: it gets a Host of its own, or other paths.
fn shows_own_targets(settings: &Settings, route: &RoutePolicy) -> bool {
    let upstream = settings.upstream_of(route);
    let api = route.destination.upstream();
    upstream.is_some_and(|upstream| upstream.host == HostPolicy::Upstream)
        || api.is_some_and(|api| settings.config.routes.rewrite(api))
}

/// The fields in which a URI of the API's becomes one of ours. Link, like links in content, is for the API to get right.
const TARGET_FIELDS: [HeaderName; 3] = [LOCATION, CONTENT_LOCATION, REFRESH];

fn rewrite_target(name: &HeaderName, value: &mut HeaderValue, view: &ClientView<'_>) {
    // Octets beyond ASCII are each a character of its own, and become octets again below.
    let text: String = value.as_bytes().iter().copied().map(char::from).collect();
    let within = match *name == REFRESH {
        true => reference::in_refresh(&text),
        false => Some(0..text.len()),
    };
    let Some(within) = within else {
        return;
    };
    let Some(rewritten) = view.of(&text[within.clone()]) else {
        return;
    };
    let text = [&text[..within.start], &rewritten, &text[within.end..]].concat();
    let octets: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    if let Ok(octets) = octets
        && let Ok(rewritten) = HeaderValue::try_from(octets)
    {
        *value = rewritten;
    }
}

/// Adds our member to the Via of a response to a request to this API.
pub fn add_via(fields: &mut HeaderMap, identity: &Identity, upstream: Option<usize>) {
    fields.append(VIA, identity.via_for_client(upstream).clone());
}
