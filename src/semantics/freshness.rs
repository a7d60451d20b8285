//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

use std::time::Duration;

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::cache_control::ResponseDirectives;
use super::list::members;
use super::policy::{Heuristic, Policy, TtlMode};
use super::time::{DeltaSeconds, Timestamp};

/// When the exchange with the upstream took place, on our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When the request was sent.
    pub request_time: Timestamp,
    /// When the response's head had arrived.
    pub response_time: Timestamp,
}

/// Where a freshness lifetime comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifetimeSource {
    /// There is none; the lifetime is zero.
    #[default]
    None,
    SMaxage,
    MaxAge,
    Expires,
    Heuristic,
    /// The operator's own.
    Operator,
}

/// The directive that forbids any use of a stored response without validation once it is stale (RFC 9111 §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustValidate {
    /// Fresh or not: `no-cache`.
    NoCache,
    MustRevalidate,
    ProxyRevalidate,
    /// `s-maxage` implies `proxy-revalidate` (§5.2.2.10).
    SMaxage,
}

/// The freshness of one response, worked out when it is stored or validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The freshness lifetime (§4.2.1).
    pub lifetime: DeltaSeconds,
    pub source: LifetimeSource,
    /// The origin's own explicit lifetime, zero where it is in the past; `None` where the origin gives none.
    pub explicit: Option<DeltaSeconds>,
    /// The corrected initial age (§4.2.3), in milliseconds.
    pub initial_age: u64,
    /// The Date field's, or the time of receipt.
    pub date: Timestamp,
    pub must_validate: Option<MustValidate>,
    /// How long it may be served stale while it is validated behind (RFC 5861 §3).
    pub stale_while_revalidate: DeltaSeconds,
    /// How long it may be served stale instead of an error (RFC 5861 §4).
    pub stale_if_error: DeltaSeconds,
    /// Not worth validating while fresh (RFC 8246).
    pub immutable: bool,
}

impl Freshness {
    /// Works out the freshness of a response that has just been received, or validated with the fields in `headers`.
    ///
    /// `credentialed`: the request carried credentials. Then neither a heuristic nor the operator makes the response fresh,
    /// or fresh for longer, unless the route opts in: only the origin knows which users may get it.
    pub fn compute(
        status: StatusCode,
        headers: &HeaderMap,
        directives: &ResponseDirectives,
        receipt: Receipt,
        credentialed: bool,
        policy: &Policy,
    ) -> Self {
        let date = headers
            .get(DATE)
            .and_then(|date| parse_date(date, receipt))
            // RFC 9110 §6.6.1; an invalid one counts as none.
            .unwrap_or(receipt.response_time);
        let assigned = !credentialed || policy.ignore.credentials;
        let explicit = explicit_lifetime(headers, directives, date, receipt);
        let own = explicit
            .or_else(|| {
                let (status, heuristic) = (status, &policy.heuristic);
                let allowed = assigned && (directives.public || is_heuristically_cacheable(status));
                let heuristic = || heuristic_lifetime(headers, date, receipt, heuristic);
                let Lifetime(lifetime, source) = allowed.then(heuristic)??;
                let error = status.is_client_error() || status.is_server_error();
                let most = if error { MAX_ERROR } else { lifetime };
                Some(Lifetime(lifetime.min(most), source))
            })
            .unwrap_or_default();
        let limit = directives.limit.unwrap_or(DeltaSeconds::MAX);
        let own = Lifetime(own.0.min(limit), own.1);
        let operator = policy.ttl.as_ref();
        let operator = operator.and_then(|ttl| Some((ttl.mode, ttl.lifetime(status)?)));
        let Lifetime(lifetime, source) = match operator {
            Some((mode, ttl)) => {
                let operated = operated(own, explicit.is_some(), mode, ttl, assigned);
                match mode {
                    TtlMode::Fallback => Lifetime(operated.0.min(limit), operated.1),
                    TtlMode::Cap | TtlMode::Floor | TtlMode::Override => operated,
                }
            }
            None => own,
        };
        Self {
            lifetime,
            source,
            explicit: explicit.map(|Lifetime(own, _)| own.min(limit)),
            initial_age: corrected_initial_age(headers, date, receipt),
            date,
            must_validate: MustValidate::of(directives),
            stale_while_revalidate: directives
                .stale_while_revalidate
                .or(policy.stale_while_revalidate)
                .unwrap_or_default(),
            stale_if_error: directives
                .stale_if_error
                .or(policy.stale_if_error)
                .unwrap_or_default(),
            immutable: directives.immutable,
        }
    }

    /// The current age after `resident` in the store, in whole seconds rounded down once, at the end (RFC 9111 §4.2.3).
    pub fn age(&self, resident: Duration) -> DeltaSeconds {
        DeltaSeconds::new(self.age_millis(resident) / 1000)
    }

    /// The remaining freshness lifetime in seconds (RFC 9211 §2.4): above zero exactly when fresh, negative when stale
    /// for a while; rounded away from zero, so that it and the age add up to the lifetime of a fresh response.
    pub fn ttl(&self, resident: Duration) -> i64 {
        let seconds = |millis: u64| i64::try_from(millis.div_ceil(1000)).unwrap_or(i64::MAX);
        let (lifetime, age) = (self.lifetime.as_millis(), self.age_millis(resident));
        match lifetime.checked_sub(age) {
            Some(left) => seconds(left),
            None => -seconds(age - lifetime),
        }
    }

    /// RFC 9111 §4.2: the lifetime exceeds the age.
    pub fn is_fresh(&self, resident: Duration) -> bool {
        self.stale_millis(resident).is_none()
    }

    /// The current age in milliseconds.
    pub(super) fn age_millis(&self, resident: Duration) -> u64 {
        self.initial_age.saturating_add(millis(resident))
    }

    /// For how many milliseconds it has been stale; `None` while it is fresh.
    pub(super) fn stale_millis(&self, resident: Duration) -> Option<u64> {
        self.age_millis(resident)
            .checked_sub(self.lifetime.as_millis())
    }

    /// The same response, stale from now on and only to be served after validation, as after a HEAD response that differs
    /// (RFC 9111 §4.3.5).
    #[must_use]
    pub const fn expired(self) -> Self {
        Self {
            lifetime: DeltaSeconds::ZERO,
            must_validate: Some(MustValidate::NoCache),
            ..self
        }
    }

    /// Whether it is only to be served after validation, however fresh its fields would make it: see
    /// [`expired`](Self::expired).
    pub fn is_expired(&self) -> bool {
        self.lifetime == DeltaSeconds::ZERO && self.must_validate == Some(MustValidate::NoCache)
    }

    /// The same response without `stale-while-revalidate`: the response to a refresh could not take its place.
    #[must_use]
    pub const fn to_be_validated(self) -> Self {
        Self {
            stale_while_revalidate: DeltaSeconds::ZERO,
            ..self
        }
    }

    /// The same response without `immutable`: it came over an unauthenticated path, or nothing confirms its length (RFC 8246
    /// §3).
    #[must_use]
    pub const fn mutable(self) -> Self {
        Self {
            immutable: false,
            ..self
        }
    }
}

impl MustValidate {
    fn of(directives: &ResponseDirectives) -> Option<Self> {
        if directives.no_cache.is_whole() {
            Some(Self::NoCache)
        } else if directives.must_revalidate {
            Some(Self::MustRevalidate)
        } else if directives.proxy_revalidate {
            Some(Self::ProxyRevalidate)
        } else {
            directives.s_maxage.map(|_| Self::SMaxage)
        }
    }

    /// As it appears in Cache-Status and logs.
    pub const fn token(self) -> &'static str {
        match self {
            Self::NoCache => "no-cache",
            Self::MustRevalidate => "must-revalidate",
            Self::ProxyRevalidate => "proxy-revalidate",
            Self::SMaxage => "s-maxage",
        }
    }
}

impl LifetimeSource {
    /// As it appears in `explain` and logs.
    pub const fn token(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::Operator => "operator",
        }
    }
}

/// The longest heuristic lifetime of an error: a missing resource may soon exist, and the Last-Modified of an error, if it
/// has one, is that of the framework's error page.
const MAX_ERROR: DeltaSeconds = DeltaSeconds::new(60);

/// A freshness lifetime and where it comes from.
#[derive(Clone, Copy, Default)]
struct Lifetime(DeltaSeconds, LifetimeSource);

/// RFC 9111 §4.2.1, for a shared cache: s-maxage, max-age, Expires; the first there is. A targeted field stands for
/// Cache-Control and Expires both (RFC 9213 §2.2).
fn explicit_lifetime(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    date: Timestamp,
    receipt: Receipt,
) -> Option<Lifetime> {
    let s_maxage = directives
        .s_maxage
        .map(|secs| Lifetime(secs, LifetimeSource::SMaxage));
    let max_age = || {
        directives
            .max_age
            .map(|secs| Lifetime(secs, LifetimeSource::MaxAge))
    };
    let expires = || {
        if directives.targeted {
            return None;
        }
        headers
            .get_all(EXPIRES)
            .iter()
            // RFC 9111 §5.3: an invalid date is one in the past. Of several values the earliest counts.
            .map(|value| parse_date(value, receipt).unwrap_or_default())
            .min()
            .map(|expires| {
                Lifetime(
                    DeltaSeconds::from_duration(expires.since(date)),
                    LifetimeSource::Expires,
                )
            })
    };
    s_maxage.or_else(max_age).or_else(expires)
}

/// RFC 9111 §4.2.2: a share of the time since Last-Modified; `None` when there is no such field.
fn heuristic_lifetime(
    headers: &HeaderMap,
    date: Timestamp,
    receipt: Receipt,
    heuristic: &Heuristic,
) -> Option<Lifetime> {
    let modified = parse_date(headers.get(LAST_MODIFIED)?, receipt)?;
    let percent = match heuristic.percent {
        0 => return None,
        percent => u128::from(percent.min(100)),
    };
    let secs = date.since(modified).as_millis() * percent / 100_000;
    let secs = DeltaSeconds::new(u64::try_from(secs).unwrap_or(u64::MAX));
    Some(Lifetime(secs.min(heuristic.max), LifetimeSource::Heuristic))
}

/// The lifetime by the operator's TTL. Where `assigned` is false, that can only shorten it.
fn operated(
    own: Lifetime,
    explicit: bool,
    mode: TtlMode,
    ttl: DeltaSeconds,
    assigned: bool,
) -> Lifetime {
    let longer = ttl > own.0;
    let applies = match mode {
        TtlMode::Fallback => assigned && !explicit,
        TtlMode::Cap => !longer,
        TtlMode::Floor => assigned && longer,
        TtlMode::Override => assigned || !longer,
    };
    if applies && ttl != own.0 {
        Lifetime(ttl, LifetimeSource::Operator)
    } else {
        own
    }
}

/// RFC 9111 §4.2.3, in milliseconds. Dates have whole seconds, so they are compared as such: else the origin's newest
/// response would be up to a second old.
fn corrected_initial_age(headers: &HeaderMap, date: Timestamp, receipt: Receipt) -> u64 {
    let Receipt {
        request_time,
        response_time,
    } = receipt;
    let apparent_age = response_time.as_secs().saturating_sub(date.as_secs());
    let response_delay = millis(response_time.since(request_time));
    let corrected_age_value = age_value(headers)
        .as_millis()
        .saturating_add(response_delay);
    corrected_age_value.max(apparent_age.saturating_mul(1000))
}

/// The first member of Age, whatever follows it; zero when that is no number of seconds (RFC 9111 §5.1).
fn age_value(headers: &HeaderMap) -> DeltaSeconds {
    members(headers, &AGE)
        .next()
        .and_then(|age| DeltaSeconds::parse(age.iter().copied()))
        .unwrap_or_default()
}

/// Takes Age out of a response: the line that its age is read from, where it has several.
pub fn take_age(fields: &mut HeaderMap) -> Option<HeaderValue> {
    let has_member = |line: &&HeaderValue| line.as_bytes().iter().any(|o| !b", \t".contains(o));
    let mut lines = fields.get_all(AGE).iter();
    let first = lines.next()?;
    let read = match has_member(&first) {
        true => first,
        false => lines.find(has_member).unwrap_or(first),
    };
    let read = read.clone();
    fields.remove(AGE);
    Some(read)
}

/// Status codes whose definition allows a heuristic expiration time: RFC 9110 §15.1, and 451 (RFC 7725 §3).
pub fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 451 | 501
    )
}

fn parse_date(value: &HeaderValue, receipt: Receipt) -> Option<Timestamp> {
    Timestamp::parse_http_date_at(value.as_bytes(), receipt.response_time)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
