//! What would happen to a request now, why, and what to change for it to be answered from the store.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE};

use super::hypothetical::Hypothetical;
use crate::cache::resource::Resource;
use crate::cache::stored::StoredResponse;
use crate::clock::Now;
use crate::proxy::gate::explained::Foreseen;
use crate::proxy::lookup::{Lookup, Miss};
use crate::proxy::request::{Class, Request, Traits};
use crate::semantics::cache_control::ResponseDirectives;
use crate::semantics::cache_status::{CacheStatus, Detail, ForwardReason};
use crate::semantics::freshness::{LifetimeSource, MustValidate};
use crate::semantics::reasons::{Kind, Reason};
use crate::telemetry::latest::{Latest, Outcome};

/// What would happen.
#[derive(Debug)]
pub(super) struct Verdict {
    /// `hit`, `stale`, `validate`, `miss`, `pass`, `own`, `error` or `unknown`.
    pub result: &'static str,
    /// `None` where the gateway does not get to know.
    pub status: Option<CacheStatus>,
    pub reason: Option<&'static Reason>,
    /// In sentences.
    pub why: String,
    /// What to change, the first the most likely; empty for a hit.
    pub change: Vec<String>,
}

impl Verdict {
    /// What comes of the request; `lookup` is `None` where it is not looked up.
    pub fn of(asked: &Hypothetical, lookup: Option<&Lookup>) -> Self {
        let request = &asked.request;
        let at_gate = match asked.met {
            Foreseen::Passed { .. } | Foreseen::Unverified => None,
            Foreseen::Refused => Some(("error", "refused")),
            Foreseen::Unauthorized => Some(("error", "unauthorized")),
            Foreseen::Preflight => Some(("own", "preflight")),
            Foreseen::Responded(_) => Some(("own", "responded")),
        };
        if let Some((result, token)) = at_gate {
            return Self::of_reason(result, Kind::Own, token);
        }
        match lookup {
            None => passed_on(request),
            Some(Lookup::Unsatisfiable) => {
                let own = Detail::Other("only-if-cached");
                Self::of_reason("error", Kind::Own, own.text())
            }
            Some(Lookup::Deliver { stored, status, .. }) => hit(stored, status, request.now),
            Some(Lookup::Miss(miss)) => missed(miss, asked, false),
            Some(Lookup::Pass(miss)) => missed(miss, asked, true),
        }
    }

    /// What comes of a request for what memory does not have, and the disk tier has.
    pub fn of_kept() -> Self {
        Self {
            result: "unknown",
            status: None,
            reason: None,
            why: "Nothing is in memory for this URL, but the disk tier has something: a request has that read first, and what it is \
                  of use for is known then."
                .to_owned(),
            change: Vec::new(),
        }
    }

    fn of_reason(result: &'static str, kind: Kind, token: &str) -> Self {
        let reason = Reason::find(kind, token);
        let status = match kind {
            Kind::Own => reason.map(|reason| CacheStatus {
                detail: Some(Detail::Other(reason.token)),
                ..CacheStatus::default()
            }),
            _ => None,
        };
        Self {
            result,
            status,
            reason,
            why: reason.map_or("", |reason| reason.sentence).to_owned(),
            change: cures(reason),
        }
    }

    fn forwarded(mut self, status: CacheStatus) -> Self {
        self.status = Some(status);
        self
    }
}

fn cures(reason: Option<&Reason>) -> Vec<String> {
    let cure = reason.map(|reason| reason.cure.to_owned());
    cure.filter(|cure| !cure.is_empty()).into_iter().collect()
}

/// A request that the cache is not asked about.
fn passed_on(request: &Request) -> Verdict {
    let traits = request.traits;
    let (forward, kind, token) = match request.class {
        Class::Unsafe | Class::Other => (ForwardReason::Method, Kind::Forward, "method"),
        _ if traits.any(Traits::HANDOVER) => (ForwardReason::Bypass, Kind::Passed, "handover"),
        _ if request.route.bypass && is_ambiguous(request) => {
            (ForwardReason::Bypass, Kind::Passed, "ambiguous")
        }
        _ if request.route.bypass => (ForwardReason::Bypass, Kind::Passed, "route"),
        _ if traits.any(Traits::UPGRADE) => (ForwardReason::Bypass, Kind::Passed, "upgrade"),
        Class::Query => {
            return Verdict {
                result: "unknown",
                status: None,
                reason: None,
                why: "A QUERY is looked up by its content, which is not known here.".to_owned(),
                change: Vec::new(),
            };
        }
        _ => (ForwardReason::Bypass, Kind::Passed, "content"),
    };
    Verdict::of_reason("pass", kind, token).forwarded(CacheStatus::forwarded(forward))
}

pub(super) fn is_ambiguous(request: &Request) -> bool {
    request.readings().len() > 1
}

fn hit(stored: &StoredResponse, status: &CacheStatus, now: Now) -> Verdict {
    let freshness = &stored.head.freshness;
    let ttl = freshness.ttl(stored.head.resident(now));
    let source = lifetime_from(freshness.source);
    let lifetime = freshness.lifetime;
    let reason = status
        .detail
        .and_then(|detail| Reason::of_detail(detail.text()));
    let (result, why) = match reason {
        None => (
            "hit",
            format!("It is fresh for {ttl} s more: its lifetime is {lifetime} s, {source}."),
        ),
        Some(reason) => (
            "stale",
            format!("It has been stale for {} s. {}", -ttl, reason.sentence),
        ),
    };
    Verdict {
        result,
        status: Some(status.clone()),
        reason,
        why,
        change: Vec::new(),
    }
}

/// Where a lifetime comes from, in words.
pub(super) fn lifetime_from(source: LifetimeSource) -> &'static str {
    match source {
        LifetimeSource::None => "since nothing gives it one",
        LifetimeSource::SMaxage => "by the API's `s-maxage`",
        LifetimeSource::MaxAge => "by the API's `max-age`",
        LifetimeSource::Expires => "by the API's `Expires`",
        LifetimeSource::Heuristic => "by its Last-Modified",
        LifetimeSource::Operator => "by `ttl`",
    }
}

fn missed(miss: &Miss, asked: &Hypothetical, is_passed: bool) -> Verdict {
    let request = &asked.request;
    let result = match (is_passed, &miss.selected) {
        (true, _) => "pass",
        (false, Some(_)) if miss.reason != ForwardReason::Partial => "validate",
        (false, _) => "miss",
    };
    let verdict = if request.directives.no_store {
        Verdict::of_reason(result, Kind::NotStored, "request-no-store")
    } else if let Some(marked) = miss.marked {
        not_stored(result, marked.token(), asked)
    } else {
        match miss.reason {
            ForwardReason::Stale => stale(miss, asked, result),
            ForwardReason::Request => Verdict::of_reason(result, Kind::Forward, "request"),
            ForwardReason::Partial => Verdict::of_reason(result, Kind::Forward, "partial"),
            ForwardReason::VaryMiss => {
                let mut verdict = Verdict::of_reason(result, Kind::Forward, "vary-miss");
                let variants = miss.resource.as_ref().map_or(&[][..], Resource::variants);
                if let Some(nearest) = variants.first() {
                    verdict.why += &format!(" {}.", differences(nearest, request).join("; "));
                }
                verdict
            }
            _ => nothing_stored(miss, asked, result),
        }
    };
    verdict.forwarded(miss.status())
}

/// A response to such a request was not stored for the reason with this token.
fn not_stored(result: &'static str, token: &str, asked: &Hypothetical) -> Verdict {
    let mut verdict = Verdict::of_reason(result, Kind::NotStored, token);
    if let Some(latest) = &asked.latest {
        verdict.why += &format!(" ({}.)", seen(latest, asked.request.now));
    }
    verdict
}

/// `The latest response, 200, came 12 s ago`.
fn seen(latest: &Latest, now: Now) -> String {
    let ago = now.mono.since(latest.when).as_secs();
    format!("The latest response, {}, came {ago} s ago", latest.status)
}

fn stale(miss: &Miss, asked: &Hypothetical, result: &'static str) -> Verdict {
    let now = asked.request.now;
    let mut verdict = match miss.why {
        Some(Detail::Validated(why)) => Verdict::of_reason(result, Kind::Reuse, why.token()),
        _ => Verdict::of_reason(result, Kind::Forward, "stale"),
    };
    let Some(stored) = &miss.selected else {
        return verdict;
    };
    let freshness = &stored.head.freshness;
    let targeted = &asked.request.route.cache.targeted_fields;
    let says_no_cache = || {
        let directives = ResponseDirectives::parse(&stored.head.fields.to_map(), targeted);
        directives.no_cache.is_whole()
    };
    if freshness.must_validate == Some(MustValidate::NoCache) && !says_no_cache() {
        verdict.why =
            "A soft purge, a write or a HEAD has it validated before it is used again.".to_owned();
        verdict.change = vec!["Request it: the API's answer makes it fresh.".to_owned()];
        return verdict;
    }
    let ttl = freshness.ttl(stored.head.resident(now));
    if ttl <= 0 && freshness.must_validate != Some(MustValidate::NoCache) {
        let (lifetime, source) = (freshness.lifetime, lifetime_from(freshness.source));
        verdict.why += &format!(
            " It has been stale for {} s: its lifetime is {lifetime} s, {source}.",
            -ttl
        );
    }
    if let Some(latest) = asked.latest
        && latest.outcome == Outcome::NotStored
        && latest.when > stored.head.received().mono
        && let Some(why) = latest.why()
    {
        verdict.why += &format!(
            " {}, and was not stored: {}",
            seen(&latest, now),
            why.sentence
        );
        verdict.change.splice(0..0, cures(Some(why)));
    }
    verdict
}

/// Why a request does not select a stored response; empty where it does.
pub(super) fn differences(stored: &StoredResponse, request: &Request) -> Vec<String> {
    let policy = &request.route.cache.vary;
    let is_secret = |name: &HeaderName| {
        let rules = request.route.requests.as_ref();
        [AUTHORIZATION, COOKIE].contains(name)
            || request.route.cache.credential_fields.contains(name)
            || rules.is_some_and(|rules| rules.fields.names().any(|own| own == name))
    };
    let shown = |name: &HeaderName, value: Option<String>| match value {
        None => "none".to_owned(),
        Some(_) if is_secret(name) => "another value".to_owned(),
        Some(value) => format!("\"{value}\""),
    };
    let Some(variant) = stored.head.variant() else {
        return match stored.head.digest() {
            Some(_) => vec!["It answers a QUERY".to_owned()],
            None => Vec::new(),
        };
    };
    if variant.is_any() {
        return vec!["It says `Vary: *`".to_owned()];
    }
    let differing = variant.differing(request.headers(), policy).into_iter();
    let mut told: Vec<_> = differing
        .map(|(name, own, other)| {
            let (own, other) = (shown(name, own), shown(name, other));
            format!("`{name}`: the stored response is for {own}, the request has {other}")
        })
        .collect();
    if told.is_empty() && stored.head.digest() != request.digest.as_ref() {
        told.push("It answers a QUERY".to_owned());
    }
    told
}

fn nothing_stored(miss: &Miss, asked: &Hypothetical, result: &'static str) -> Verdict {
    let (request, now) = (&asked.request, asked.request.now);
    let is_head = request.class == Class::Head;
    let Some(latest) = &asked.latest else {
        return match (is_head, miss.personal) {
            (true, _) => Verdict::of_reason(result, Kind::Passed, "head"),
            (false, true) => Verdict::of_reason(result, Kind::Passed, "personal"),
            (false, false) => Verdict {
                result,
                status: None,
                reason: Reason::find(Kind::Forward, miss.reason.token()),
                why: "Nothing is stored for this URL, and no request for it was seen lately.".to_owned(),
                change: vec!["Request it once, and ask again: then it is known whether its response may be stored.".to_owned()],
            },
        };
    };
    match (latest.outcome, latest.why()) {
        (Outcome::Failed, _) => {
            let token = latest.error.map_or("", |error| error.token());
            let words = latest.error.map_or("", |error| error.explanation());
            Verdict {
                result,
                status: None,
                reason: None,
                why: format!(
                    "Nothing is stored for this URL: {}, with the error `{token}`: {words}.",
                    lowered(&seen(latest, now))
                ),
                change: vec![format!("See `{token}` in docs/operations.md.")],
            }
        }
        (Outcome::NotStored | Outcome::Own, Some(why)) => {
            let mut verdict = not_stored(result, why.token, asked);
            (verdict.reason, verdict.change) = (Some(why), cures(Some(why)));
            if why.kind != Kind::NotStored {
                verdict.why = format!("{} ({}.)", why.sentence, seen(latest, now));
            }
            verdict
        }
        (Outcome::NotStored, None) if is_head => Verdict::of_reason(result, Kind::Passed, "head"),
        (Outcome::NotStored, None) => Verdict {
            result,
            status: None,
            reason: Reason::find(Kind::Forward, miss.reason.token()),
            why: format!(
                "Nothing is stored for this URL. {}, and was passed on.",
                seen(latest, now)
            ),
            change: vec!["Request it once, and ask again.".to_owned()],
        },
        _ => Verdict {
            result,
            status: None,
            reason: Reason::find(Kind::Forward, miss.reason.token()),
            why: format!(
                "It was stored: {}. Since then it was evicted, purged, or changed by a write.",
                lowered(&seen(latest, now))
            ),
            change: vec![
                "See `bookend purges`; where memory is short, raise `memory` in `[cache]`."
                    .to_owned(),
            ],
        },
    }
}

fn lowered(sentence: &str) -> String {
    sentence.replacen("The ", "the ", 1)
}
