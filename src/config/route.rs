//! The policy keys, which `[cache]` has for all requests and each `[[route]]` for its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};

use super::fields::{self, RequestRules};
use super::gate::Gate;
use super::hosts::HostPattern;
use super::invalidates::Template;
use super::negotiation::{coding, language};
use super::places::Places;
use super::rate_limit::RateLimit;
use super::readers::{count, flag, lifetime, list, one_of, or_off, size, some_list};
use super::route_limits::RouteLimits;
use super::route_tiers::RouteTiers;
use super::section::Section;
use super::ttl::Ttl;
use super::upstreams::Destination;
use super::value::Value;
use crate::semantics::field_edits::FieldEdits;
use crate::semantics::policy::{HonourRequest, Ignore, OperatorTtl, Policy, SetCookie, TtlMode};
use crate::semantics::query_rule::QueryRule;
use crate::semantics::rewrite::Rewrite;
use crate::semantics::time::DeltaSeconds;

/// The choices for the requests of one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicy {
    /// Its name in logs and answers: `match`, after `methods` and `host` where it has them. Empty for the default
    /// route; each other route has another.
    pub name: String,
    /// Its number in the order of the file, from 1; 0 for the default route.
    pub index: usize,
    /// The line of the file that it begins in, from 1.
    pub line: usize,
    /// As written in `match`; empty for the default route.
    pub pattern: String,
    /// Empty for every host.
    pub hosts: Vec<HostPattern>,
    /// Empty for all methods.
    pub methods: Vec<Method>,
    pub destination: Destination,
    /// `None` where the API gets the client's path.
    pub rewrite: Option<Rewrite>,
    /// `None` where each request goes on to the cache.
    pub gate: Option<Arc<Gate>>,
    /// What the rules read.
    pub cache: Policy,
    pub etag: EtagMode,
    /// Requests are forwarded: nothing is looked up, nothing stored.
    pub bypass: bool,
    /// Which query parameters are part of a key.
    pub query: QueryRule,
    /// Which fields of its requests change, and which are part of a key; `None` for none.
    pub requests: Option<Arc<RequestRules>>,
    /// Which fields of responses change towards clients; `None` for none.
    pub response_fields: Option<Arc<FieldEdits>>,
    /// The freshness lifetime in the Cache-Control that clients get; `None` means the origin's.
    pub client_ttl: Option<DeltaSeconds>,
    /// Bytes of the largest body that is stored.
    pub max_stored_body: u64,
    /// Responses whose end only the end of their connection shows are stored, too.
    pub store_close_delimited: bool,
    /// Whether Cache-Status has the key and details.
    pub debug: bool,
    /// Whether its requests have lines in the access log; those that end in a server error always have.
    pub access_log: bool,
    /// Whether clients get the fields of [`Policy::tag_fields`].
    pub keep_tag_fields: bool,
    /// The second tiers in which its responses are kept and looked for.
    pub tiers: RouteTiers,
    /// Whether the answer to a write has a receipt.
    pub receipts: bool,
    /// How far a successful write reaches.
    pub invalidate: WriteScope,
    /// What else a successful write to this route invalidates, with all queries.
    pub invalidates: Vec<Template>,
    /// Tags of what is stored of it.
    pub tags: Vec<Template>,
    /// Beside the server's own.
    pub rate_limit: Option<RateLimit>,
    /// In the place of the server's, and for content without an end too; `None` means the server's.
    pub exchange_timeout: Option<Option<Duration>>,
    /// In the place of the server's; `None` means the server's.
    pub min_body_rate: Option<Option<u64>>,
    /// In the place of the server's and the upstream's.
    pub limits: RouteLimits,
    /// Where its values stand.
    pub places: Places,
}

impl Default for RoutePolicy {
    fn default() -> Self {
        Self {
            name: String::new(),
            index: 0,
            line: 0,
            pattern: String::new(),
            hosts: Vec::new(),
            methods: Vec::new(),
            destination: Destination::Upstream(0),
            rewrite: None,
            gate: None,
            cache: Policy::default(),
            etag: EtagMode::default(),
            bypass: false,
            query: QueryRule::default(),
            requests: None,
            response_fields: None,
            client_ttl: None,
            max_stored_body: 8 << 20,
            store_close_delimited: false,
            debug: false,
            access_log: true,
            keep_tag_fields: false,
            tiers: RouteTiers::default(),
            receipts: false,
            invalidate: WriteScope::default(),
            invalidates: Vec::new(),
            tags: Vec::new(),
            rate_limit: None,
            exchange_timeout: None,
            min_body_rate: None,
            limits: RouteLimits::default(),
            places: Places::default(),
        }
    }
}

/// Whether the gateway makes ETags of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EtagMode {
    #[default]
    Off,
    /// Where the origin sent none.
    Missing,
    /// In place of the origin's.
    Replace,
}

/// How far a successful write reaches, beside what its answer and the route name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteScope {
    /// The URL that it went to (RFC 9111 §4.4).
    #[default]
    Target,
    /// With the path above it, with all queries, and all below it.
    Hierarchy,
}

/// A policy while it is read: `[cache]` makes one, and each route begins with a copy of that.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    policy: RoutePolicy,
    /// Apart from the mode and the statuses, which may be given where the value is not.
    ttl: Ttl,
    ttl_mode: TtlMode,
    statuses: Vec<StatusCode>,
    requests: RequestRules,
    response_fields: FieldEdits,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            policy: RoutePolicy::default(),
            ttl: Ttl::default(),
            ttl_mode: TtlMode::default(),
            statuses: OperatorTtl::STATUSES.to_vec(),
            requests: RequestRules::default(),
            response_fields: FieldEdits::default(),
        }
    }
}

impl Draft {
    /// Takes over what `section` says, that of the route whose `match` is `pattern`.
    pub(super) fn read(mut self, section: &mut Section<'_>, pattern: &str) -> Self {
        // Taken apart, so that a choice without a key does not compile.
        let Self {
            policy,
            ttl,
            ttl_mode,
            statuses,
            requests,
            response_fields,
        } = &mut self;
        let own = fields::read(section, pattern, requests, response_fields);
        section.set("ttl", ttl, Ttl::read);
        section.set("ttl_mode", ttl_mode, one_of(&TTL_MODES));
        section.set("statuses", statuses, some_list(status));

        let RoutePolicy {
            name: _,
            index: _,
            line: _,
            pattern: _,
            hosts: _,
            methods: _,
            destination: _,
            rewrite: _,
            gate,
            cache,
            etag,
            bypass,
            query,
            requests: _,
            response_fields: _,
            client_ttl,
            max_stored_body,
            store_close_delimited,
            debug,
            access_log,
            keep_tag_fields,
            tiers,
            receipts,
            invalidate,
            invalidates: _,
            tags: _,
            rate_limit: _,
            exchange_timeout: _,
            min_body_rate: _,
            limits: _,
            places,
        } = policy;
        places.take_over(section);
        section.set("client_ttl", client_ttl, or_off(lifetime));
        section.set("etag", etag, one_of(&ETAG_MODES));
        section.set("bypass", bypass, flag);
        section.set("max_stored_body", max_stored_body, size(0..=1 << 40));
        section.set("store_close_delimited", store_close_delimited, flag);
        section.set("debug", debug, flag);
        section.set("access_log", access_log, flag);
        section.set("keep_tag_fields", keep_tag_fields, flag);
        section.set("tiers", tiers, RouteTiers::read);
        section.set("receipts", receipts, flag);
        section.set("invalidate", invalidate, one_of(&WRITE_SCOPES));
        section.section("query", |section| read_query(section, query));
        *gate = Gate::read(section, gate.as_ref(), pattern);
        read_rules(section, cache);
        fields::warn(section, &own, &self.requests, self.policy.bypass);
        self
    }

    /// Warns of what is said of a `ttl` where there is none. `given` is where a key has its value.
    pub(super) fn warn_without_ttl(
        &self,
        section: &Section<'_>,
        given: impl Fn(&'static str) -> Option<Range<usize>>,
    ) {
        let said = [
            ("ttl_mode", self.ttl_mode != TtlMode::default()),
            ("statuses", self.statuses != OperatorTtl::STATUSES),
        ];
        for (key, is_said) in said {
            if let Some(span) = given(key)
                && is_said
                && self.ttl.is_off()
            {
                section.warning(
                    span,
                    format!("`{key}` changes nothing without a `ttl` of yours"),
                );
            }
        }
    }

    /// The policy made of it; what a route alone can have is still missing.
    pub(super) fn finish(self) -> RoutePolicy {
        let mut policy = self.policy;
        policy.cache.ttl = self.ttl.finish(self.ttl_mode, &self.statuses);
        policy.requests = self.requests.finish();
        policy.response_fields =
            (!self.response_fields.is_empty()).then(|| Arc::new(self.response_fields));
        policy
    }
}

fn read_query(section: &mut Section<'_>, rule: &mut QueryRule) {
    section.set("ignore", &mut rule.ignore, list(parameter));
    section.set("keep", &mut rule.keep, list(parameter));
    section.set("sort", &mut rule.sort, flag);
    if let (Some(place), Some(_)) = (section.given("ignore"), section.given("keep"))
        && !rule.ignore.is_empty()
        && !rule.keep.is_empty()
    {
        let message = "`ignore` has no effect beside `keep`, which leaves out all others";
        section.mistake(place, message);
    }
}

/// A parameter's name, or the beginning of one with `*` behind it.
fn parameter(value: Value<'_>) -> Option<String> {
    let name = value.text("a parameter's name such as \"fbclid\" or \"utm_*\"")?;
    let fits = |c: char| !matches!(c, '&' | '=' | '?' | '#' | '*');
    match name.strip_suffix('*').unwrap_or(&name) {
        "" if name.is_empty() => value.refuse_text("is no name"),
        bare if bare.chars().all(fits) => Some(name.into_owned()),
        _ => value.refuse_text("is not a parameter's name such as \"fbclid\", or the beginning of one such as \"utm_*\""),
    }
}

fn read_rules(section: &mut Section<'_>, rules: &mut Policy) {
    let Policy {
        ttl: _,
        heuristic,
        honour,
        ignore,
        set_cookie,
        credential_fields,
        stale_while_revalidate,
        stale_if_error,
        stale_if_disconnected,
        targeted_fields,
        tag_fields,
        vary,
    } = rules;
    let window = || or_off(lifetime);
    section.set("stale_while_revalidate", stale_while_revalidate, window());
    section.set("stale_if_error", stale_if_error, window());
    section.set("stale_if_disconnected", stale_if_disconnected, window());
    section.set("ignore", ignore, |value| {
        flags(value, &IGNORE, Ignore::default())
    });
    let mut chosen = None;
    section.set("set_cookie", &mut chosen, |value| {
        one_of(&SET_COOKIE)(value).map(Some)
    });
    if let Some(chosen) = chosen {
        // The later key goes before the same in an `ignore`.
        *set_cookie = chosen;
        ignore.set_cookie = false;
    }
    let none = HonourRequest {
        max_age: false,
        min_fresh: false,
        max_stale: false,
        no_cache: false,
        no_store: false,
        only_if_cached: false,
        pragma: false,
    };
    section.set("honour", honour, |value| flags(value, &HONOUR, none));
    section.set("credential_fields", credential_fields, list(field_name));
    section.set("targeted_fields", targeted_fields, list(field_name));
    section.set("tag_fields", tag_fields, list(tag_field));
    section.section("heuristic", |section| {
        section.set("percent", &mut heuristic.percent, count(0..=100));
        section.set("max", &mut heuristic.max, lifetime);
    });
    section.section("vary", |section| {
        section.set("languages", &mut vary.languages, list(language));
        section.set("encodings", &mut vary.encodings, list(coding));
    });
}

const TTL_MODES: [(&str, TtlMode); 4] = [
    ("fallback", TtlMode::Fallback),
    ("cap", TtlMode::Cap),
    ("floor", TtlMode::Floor),
    ("override", TtlMode::Override),
];

const SET_COOKIE: [(&str, SetCookie); 3] = [
    ("refuse", SetCookie::Refuse),
    ("strip", SetCookie::Strip),
    ("store", SetCookie::Store),
];

const ETAG_MODES: [(&str, EtagMode); 3] = [
    ("off", EtagMode::Off),
    ("missing", EtagMode::Missing),
    ("replace", EtagMode::Replace),
];

const WRITE_SCOPES: [(&str, WriteScope); 2] = [
    ("target", WriteScope::Target),
    ("hierarchy", WriteScope::Hierarchy),
];

/// A flag of the rules, by its name in the configuration.
type Named<T> = (&'static str, fn(&mut T) -> &mut bool);

const IGNORE: [Named<Ignore>; 4] = [
    ("no-store", |ignore| &mut ignore.no_store),
    ("private", |ignore| &mut ignore.private),
    ("set-cookie", |ignore| &mut ignore.set_cookie),
    ("credentials", |ignore| &mut ignore.credentials),
];

const HONOUR: [Named<HonourRequest>; 7] = [
    ("max-age", |honour| &mut honour.max_age),
    ("min-fresh", |honour| &mut honour.min_fresh),
    ("max-stale", |honour| &mut honour.max_stale),
    ("no-cache", |honour| &mut honour.no_cache),
    ("no-store", |honour| &mut honour.no_store),
    ("only-if-cached", |honour| &mut honour.only_if_cached),
    ("pragma", |honour| &mut honour.pragma),
];

/// Sets those flags of `all` that a list names.
fn flags<T: 'static>(value: Value<'_>, names: &'static [Named<T>], mut all: T) -> Option<T> {
    for flag in list(one_of(names))(value)? {
        *flag(&mut all) = true;
    }
    Some(all)
}

fn status(value: Value<'_>) -> Option<StatusCode> {
    let code: u16 = count(200..=599)(value)?;
    match StatusCode::from_u16(code) {
        // It is never stored itself: it updates what is.
        Ok(StatusCode::NOT_MODIFIED) => {
            value.refuse_text("is not the status of a response that is stored")
        }
        Ok(status) => Some(status),
        Err(_) => value.refuse_text("is not a status"),
    }
}

fn field_name(value: Value<'_>) -> Option<HeaderName> {
    let text = value.text("a field's name such as \"X-API-Key\"")?;
    match text.parse() {
        Ok(name) => Some(name),
        Err(_) => value.refuse_text("is not a field's name, such as \"X-API-Key\""),
    }
}

/// A field with tags of its own, which is none of those that are read for something else.
fn tag_field(value: Value<'_>) -> Option<HeaderName> {
    let name = field_name(value)?;
    let other = match name.as_str() {
        "cache-groups" => "is read for cache groups already (RFC 9875)",
        "cache-control" | "vary" | "etag" | "set-cookie" | "content-type" | "content-length"
        | "connection" | "transfer-encoding" => "has a meaning of its own",
        _ => return Some(name),
    };
    value.refuse_text(other)
}
