//! The values that a route's policy has for a request, each with its place in the file.

use http::HeaderName;
use serde_json::{Value, json};

use crate::config::units::{show_duration, show_size};
use crate::config::{EtagMode, RoutePolicy, RouteTiers};
use crate::semantics::policy::{OperatorTtl, SetCookie, TtlMode};
use crate::semantics::time::DeltaSeconds;

/// The values by which a response is stored and used, in words; `at` and `section` are `null` where nothing in the file gives
/// one, and so it is the default.
pub(super) fn describe(route: &RoutePolicy) -> Vec<Value> {
    let values = values(route).into_iter();
    let described = values.map(|(key, value)| {
        let place = route.places.of(key);
        json!({
            "name": key,
            "value": value,
            "at": place.map(|place| route.places.at(place.line)),
            "section": place.map(|place| &*place.section),
        })
    });
    described.collect()
}

fn values(route: &RoutePolicy) -> Vec<(&'static str, String)> {
    let rules = &route.cache;
    let requests = route.requests.as_ref();
    let key = requests.map(|requests| &requests.key);
    let key_fields = key.map(|key| names(&key.fields)).unwrap_or_default();
    let key_cookies = key.map(|key| key.cookies.join(", ")).unwrap_or_default();
    let ignored = [
        (rules.ignore.no_store, "no-store"),
        (rules.ignore.private, "private"),
        (rules.ignore.set_cookie, "set-cookie"),
        (rules.ignore.credentials, "credentials"),
    ];
    let honour = &rules.honour;
    let honoured = [
        (honour.max_age, "max-age"),
        (honour.min_fresh, "min-fresh"),
        (honour.max_stale, "max-stale"),
        (honour.no_cache, "no-cache"),
        (honour.no_store, "no-store"),
        (honour.only_if_cached, "only-if-cached"),
        (honour.pragma, "pragma"),
    ];
    vec![
        ("bypass", route.bypass.to_string()),
        ("ttl", ttl(rules.ttl.as_ref())),
        ("etag", etag(route.etag).to_owned()),
        ("ignore", flags(&ignored)),
        ("honour", flags(&honoured)),
        ("set_cookie", set_cookie(rules.set_cookie()).to_owned()),
        ("credential_fields", names(&rules.credential_fields)),
        ("targeted_fields", names(&rules.targeted_fields)),
        (
            "stale_while_revalidate",
            window(rules.stale_while_revalidate),
        ),
        ("stale_if_error", window(rules.stale_if_error)),
        ("stale_if_disconnected", window(rules.stale_if_disconnected)),
        ("max_stored_body", show_size(route.max_stored_body)),
        (
            "store_close_delimited",
            route.store_close_delimited.to_string(),
        ),
        ("tiers", tiers(route.tiers)),
        ("key_fields", key_fields),
        ("key_cookies", key_cookies),
        ("client_ttl", window(route.client_ttl)),
    ]
}

fn tiers(tiers: RouteTiers) -> String {
    if tiers == RouteTiers::default() {
        return "all that are configured".to_owned();
    }
    match tiers.names()[..] {
        [] => "memory alone".to_owned(),
        ref names => names.join(", "),
    }
}

fn names(names: &[HeaderName]) -> String {
    let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
    names.join(", ")
}

fn flags(flags: &[(bool, &str)]) -> String {
    let set = flags.iter().filter(|(is_set, _)| *is_set);
    let names: Vec<_> = set.map(|(_, name)| *name).collect();
    names.join(", ")
}

const fn etag(mode: EtagMode) -> &'static str {
    match mode {
        EtagMode::Off => "off",
        EtagMode::Missing => "missing",
        EtagMode::Replace => "replace",
    }
}

const fn set_cookie(mode: SetCookie) -> &'static str {
    match mode {
        SetCookie::Refuse => "refuse",
        SetCookie::Strip => "strip",
        SetCookie::Store => "store",
    }
}

fn window(time: Option<DeltaSeconds>) -> String {
    time.map_or("off".to_owned(), |time| show_duration(time.as_duration()))
}

/// `5m (200, 203, 301, 308, 410) where the API gives no lifetime`.
fn ttl(ttl: Option<&OperatorTtl>) -> String {
    let Some(ttl) = ttl else {
        return "off".to_owned();
    };
    let mut times: Vec<(DeltaSeconds, Vec<&str>)> = Vec::new();
    for (status, time) in &ttl.lifetimes {
        match times.iter_mut().find(|(known, _)| known == time) {
            Some((_, statuses)) => statuses.push(status.as_str()),
            None => times.push((*time, vec![status.as_str()])),
        }
    }
    let times = times.iter().map(|(time, statuses)| {
        let time = show_duration(time.as_duration());
        format!("{time} ({})", statuses.join(", "))
    });
    let times: Vec<_> = times.collect();
    let how = match ttl.mode {
        TtlMode::Fallback => "where the API gives no lifetime",
        TtlMode::Cap => "at most",
        TtlMode::Floor => "at least",
        TtlMode::Override => "whatever the API says",
    };
    format!("{} {how}", times.join(", "))
}
