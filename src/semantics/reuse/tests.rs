use super::super::cache_control::ResponseDirectives;
use super::super::freshness::Receipt;
use super::super::time::Timestamp;
use super::*;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// The freshness of a response with this Cache-Control, received at once, and with this Age.
pub(super) fn response(cache_control: &str, age: u64) -> Freshness {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
    headers.insert(http::header::AGE, age.into());
    let policy = Policy::default();
    Freshness::compute(
        StatusCode::OK,
        &headers,
        &ResponseDirectives::parse(&headers, &policy.targeted_fields),
        Receipt {
            request_time: NOW,
            response_time: NOW,
        },
        false,
        &policy,
    )
}

pub(super) fn request(cache_control: &str) -> RequestDirectives {
    let mut headers = HeaderMap::new();
    if !cache_control.is_empty() {
        headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
    }
    RequestDirectives::parse(&headers)
}

pub(super) fn found(
    response_directives: &str,
    age: u64,
    resident: Duration,
    request_directives: &str,
) -> Reuse {
    let freshness = response(response_directives, age);
    let selection = Selection::Found {
        freshness: &freshness,
        resident,
    };
    decide(selection, &request(request_directives))
}

/// The decision in a word.
fn word(reuse: Reuse) -> &'static str {
    match reuse {
        Reuse::Fresh { .. } => "fresh",
        Reuse::Stale { .. } => "stale",
        Reuse::StaleWhileRevalidate { .. } => "behind",
        Reuse::Validate { reason, .. } => reason.token(),
        Reuse::Miss(reason) => reason.token(),
        Reuse::Unsatisfiable => "unsatisfiable",
    }
}

#[test]
fn nothing_selected_is_a_miss_with_its_reason() {
    assert_eq!(
        decide(Selection::UriMiss, &request("")),
        Reuse::Miss(ForwardReason::UriMiss)
    );
    assert_eq!(
        decide(Selection::VaryMiss, &request("")),
        Reuse::Miss(ForwardReason::VaryMiss)
    );
}

#[test]
fn a_fresh_response_is_reused_and_a_stale_one_validated() {
    for (directives, millis, expected) in [
        ("max-age=60", 0, "fresh"),
        ("max-age=60", 59_999, "fresh"),
        ("max-age=60", 60_000, "stale"),
        ("max-age=60", 60_001, "stale"),
        ("max-age=0", 0, "stale"),
        ("foo", 0, "stale"),
    ] {
        let reuse = found(directives, 0, Duration::from_millis(millis), "");
        assert_eq!(word(reuse), expected, "{directives} {millis}");
        assert_eq!(matches!(reuse, Reuse::Validate { .. }), expected == "stale");
    }
}

#[test]
fn a_decision_carries_age_and_ttl() {
    let resident = Duration::from_millis(7_500);
    let (age, ttl) = (DeltaSeconds::new(17), 3);
    assert_eq!(
        found("max-age=20", 10, resident, ""),
        Reuse::Fresh { age, ttl }
    );
    let ttl = -3;
    let reason = ValidateReason::Stale;
    assert_eq!(
        found("max-age=15", 10, resident, ""),
        Reuse::Validate { reason, age, ttl }
    );
    let why = StaleReason::MaxStale;
    assert_eq!(
        found("max-age=15", 10, resident, "max-stale"),
        Reuse::Stale { age, ttl, why }
    );
    assert_eq!(
        found("max-age=15, stale-while-revalidate=60", 10, resident, ""),
        Reuse::StaleWhileRevalidate { age, ttl }
    );
}

#[test]
fn no_cache_in_a_response_needs_validation_always() {
    // Regression: max-stale must not revive it.
    for asks in [
        "",
        "max-stale",
        "max-stale=100",
        "max-age=100, max-stale",
        "no-cache",
        "max-age=0",
    ] {
        for directives in [
            "no-cache, max-age=60",
            "no-cache",
            "max-age=0, no-cache, stale-while-revalidate=60",
        ] {
            let reuse = found(directives, 0, Duration::ZERO, asks);
            assert_eq!(word(reuse), "no-cache", "{directives} / {asks}");
        }
    }
    let named = found("no-cache=\"a\", max-age=60", 0, Duration::ZERO, "");
    assert_eq!(word(named), "fresh");
}

#[test]
fn request_directives_limit_what_is_reused() {
    // Response, Age, request, decision at once.
    let cases = [
        ("max-age=3600", 0, "no-cache", "request"),
        ("max-age=3600", 0, "No-Cache", "request"),
        ("max-age=3600", 0, "no-store", "fresh"),
        ("max-age=3600", 0, "max-age=0", "request"),
        ("max-age=3600", 1, "max-age=1", "fresh"),
        ("max-age=3600", 2, "max-age=1", "request"),
        ("max-age=3600", 2, "max-age=x", "request"),
        (
            "max-age=3600",
            1800,
            "max-age=600, max-stale=100",
            "request",
        ),
        ("max-age=1500", 0, "min-fresh=1000", "fresh"),
        ("max-age=1500", 0, "min-fresh=1500", "fresh"),
        ("max-age=1500", 0, "min-fresh=2000", "request"),
        ("max-age=1500", 1000, "min-fresh=500", "fresh"),
        ("max-age=1500", 1000, "min-fresh=501", "request"),
        ("max-age=1500", 1000, "min-fresh=1000", "request"),
        ("max-age=1500", 0, "min-fresh=x", "request"),
        ("max-age=1500", 2000, "no-cache, max-stale", "stale"),
        ("max-age=1500", 2000, "min-fresh=1, max-stale", "stale"),
    ];
    for (directives, age, asks, expected) in cases {
        let reuse = found(directives, age, Duration::ZERO, asks);
        assert_eq!(word(reuse), expected, "{directives} {age} / {asks}");
    }
    let reuse = found("max-age=3600", 0, Duration::from_millis(1), "max-age=0");
    assert_eq!(word(reuse), "request");
}

#[test]
fn max_stale_accepts_as_much_staleness_as_it_says() {
    // Response, Age, request, whether it is served.
    let cases = [
        ("max-age=1500", 2000, "max-stale", true),
        ("max-age=1500", 2000, "max-stale=1000", true),
        ("max-age=1500", 2000, "max-stale=500", true),
        ("max-age=1500", 2000, "max-stale=499", false),
        ("max-age=1500", 2000, "max-stale=0", false),
        ("max-age=1500", 2000, "max-stale=x", false),
        ("max-age=1500", 2000, "max-stale, max-age=3000", true),
        ("max-age=1500", 2000, "max-stale, max-age=1000", false),
        ("max-age=1500, must-revalidate", 2000, "max-stale", false),
        ("max-age=1500, proxy-revalidate", 2000, "max-stale", false),
        ("s-maxage=1500", 2000, "max-stale", false),
    ];
    for (directives, age, asks, served) in cases {
        let reuse = found(directives, age, Duration::ZERO, asks);
        assert_eq!(
            matches!(reuse, Reuse::Stale { .. }),
            served,
            "{directives} {age} / {asks}"
        );
    }
}

#[test]
fn what_forbids_staleness_is_the_reason_to_validate() {
    for (directives, by) in [
        ("max-age=1, must-revalidate", MustValidate::MustRevalidate),
        ("max-age=1, proxy-revalidate", MustValidate::ProxyRevalidate),
        ("s-maxage=1", MustValidate::SMaxage),
    ] {
        let Reuse::Validate { reason, .. } = found(directives, 2, Duration::ZERO, "") else {
            panic!("{directives} is served stale");
        };
        assert_eq!(reason, ValidateReason::MustValidate(by), "{directives}");
        assert_eq!(reason.forward(), ForwardReason::Stale);
        // While it is fresh they forbid nothing.
        assert_eq!(
            word(found(directives, 0, Duration::ZERO, "")),
            "fresh",
            "{directives}"
        );
    }
}

#[test]
fn stale_while_revalidate_ends_with_its_window() {
    let swr = "max-age=10, stale-while-revalidate=5";
    for (millis, expected) in [
        (9_999, "fresh"),
        (10_000, "behind"),
        (14_999, "behind"),
        (15_000, "stale"),
    ] {
        let reuse = found(swr, 0, Duration::from_millis(millis), "");
        assert_eq!(word(reuse), expected, "{millis}");
    }
    assert_eq!(word(found("max-age=10", 10, Duration::ZERO, "")), "stale");
    assert_eq!(
        word(found(
            "max-age=10, stale-while-revalidate=0",
            10,
            Duration::ZERO,
            ""
        )),
        "stale"
    );
}

#[test]
fn stale_while_revalidate_yields_to_other_directives() {
    let cases = [
        ("max-age=10, stale-while-revalidate=5", "no-cache", "stale"),
        (
            "max-age=10, stale-while-revalidate=5",
            "max-age=60",
            "stale",
        ),
        (
            "max-age=10, stale-while-revalidate=5",
            "min-fresh=0",
            "stale",
        ),
        // A client that takes a stale response gets it validated behind, too.
        (
            "max-age=10, stale-while-revalidate=5",
            "max-stale",
            "behind",
        ),
        (
            "max-age=10, stale-while-revalidate=5",
            "max-age=60, max-stale",
            "behind",
        ),
        (
            "max-age=10, stale-while-revalidate=5, must-revalidate",
            "",
            "must-revalidate",
        ),
        (
            "max-age=10, stale-while-revalidate=5, proxy-revalidate",
            "",
            "proxy-revalidate",
        ),
        ("s-maxage=10, stale-while-revalidate=5", "", "s-maxage"),
        (
            "max-age=10, stale-while-revalidate=5, no-cache",
            "",
            "no-cache",
        ),
    ];
    for (directives, asks, expected) in cases {
        let reuse = found(directives, 12, Duration::ZERO, asks);
        assert_eq!(word(reuse), expected, "{directives} / {asks}");
    }
}

#[test]
fn a_fresh_immutable_response_is_validated_only_for_no_cache() {
    let immutable = "max-age=60, immutable";
    for (age, asks, expected) in [
        (10, "max-age=0", "fresh"),
        (10, "max-age=5", "fresh"),
        (10, "min-fresh=55", "request"),
        (10, "no-cache", "request"),
        (60, "", "stale"),
        (60, "max-age=100", "stale"),
    ] {
        assert_eq!(
            word(found(immutable, age, Duration::ZERO, asks)),
            expected,
            "{age} {asks}"
        );
    }
    assert_eq!(
        word(found(
            "max-age=60",
            10,
            Duration::ZERO,
            "max-age=0, immutable"
        )),
        "request"
    );
}

#[test]
fn only_if_cached_never_goes_forward() {
    let only = request("only-if-cached");
    assert_eq!(decide(Selection::UriMiss, &only), Reuse::Unsatisfiable);
    assert_eq!(decide(Selection::VaryMiss, &only), Reuse::Unsatisfiable);
    for (directives, age, asks, expected) in [
        ("max-age=60", 0, "only-if-cached", "fresh"),
        ("max-age=60", 60, "only-if-cached", "unsatisfiable"),
        ("max-age=60", 60, "only-if-cached, max-stale", "stale"),
        (
            "max-age=60, stale-while-revalidate=5",
            60,
            "only-if-cached",
            "behind",
        ),
        (
            "max-age=60",
            30,
            "only-if-cached, max-age=10",
            "unsatisfiable",
        ),
        ("no-cache", 0, "only-if-cached", "unsatisfiable"),
    ] {
        assert_eq!(
            word(found(directives, age, Duration::ZERO, asks)),
            expected,
            "{directives} / {asks}"
        );
    }
}

#[test]
fn reasons_to_validate_become_reasons_to_forward() {
    assert_eq!(ValidateReason::Request.forward(), ForwardReason::Request);
    assert_eq!(ValidateReason::NoCache.forward(), ForwardReason::Stale);
    assert_eq!(ValidateReason::Stale.forward(), ForwardReason::Stale);
}

fn failed(
    failure: Failure,
    directives: &str,
    age: u64,
    asks: &str,
    policy: &Policy,
) -> &'static str {
    let freshness = response(directives, age);
    match on_error(failure, &freshness, Duration::ZERO, &request(asks), policy) {
        None => "error",
        Some(Reuse::Fresh { .. }) => "fresh",
        Some(Reuse::Stale { why, .. }) => why.token(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn stale_if_error_ends_with_its_window() {
    let policy = connected();
    let down = Failure::Disconnected;
    let cases = [
        (
            "max-age=600, stale-if-error=1200",
            900,
            "",
            "stale-if-error",
        ),
        (
            "max-age=600, stale-if-error=1200",
            1800,
            "",
            "stale-if-error",
        ),
        ("max-age=600, stale-if-error=1200", 1801, "", "error"),
        ("max-age=600, stale-if-error=0", 600, "", "error"),
        ("max-age=600", 600, "", "error"),
        ("max-age=600", 900, "stale-if-error=300", "stale-if-error"),
        ("max-age=600", 900, "stale-if-error=299", "error"),
        ("max-age=600", 900, "max-stale", "error"),
        // Each permits by itself.
        (
            "max-age=600, stale-if-error=10",
            900,
            "stale-if-error=300",
            "stale-if-error",
        ),
        (
            "max-age=600, stale-if-error=300",
            900,
            "stale-if-error=10",
            "stale-if-error",
        ),
    ];
    for (directives, age, asks, expected) in cases {
        assert_eq!(
            failed(down, directives, age, asks, &policy),
            expected,
            "{directives} {age} / {asks}"
        );
    }
    let freshness = response("max-age=600, stale-if-error=1200", 0);
    let just_too_late = Duration::from_millis(1_800_001);
    assert_eq!(
        on_error(down, &freshness, just_too_late, &request(""), &policy),
        None
    );
}

#[test]
fn no_error_makes_a_response_reusable_that_must_be_validated() {
    let policy = Policy {
        stale_if_error: Some(DeltaSeconds::new(10_000)),
        stale_if_disconnected: Some(DeltaSeconds::new(10_000)),
        ..connected()
    };
    for directive in [
        "no-cache",
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage=600",
    ] {
        let directives = format!("max-age=600, stale-if-error=1200, {directive}");
        let outcome = failed(
            Failure::Disconnected,
            &directives,
            900,
            "stale-if-error=1200",
            &policy,
        );
        assert_eq!(outcome, "error", "{directive}");
    }
    // Within its lifetime no-cache forbids as much.
    let fresh = "max-age=600, stale-if-error=1200, no-cache";
    let outcome = failed(
        Failure::Disconnected,
        fresh,
        0,
        "stale-if-error=1200",
        &policy,
    );
    assert_eq!(outcome, "error");
}

#[test]
fn an_error_is_what_rfc_5861_calls_one() {
    let policy = connected();
    for status in 200..=599 {
        let failure = Failure::Status(StatusCode::from_u16(status).unwrap());
        let expected = matches!(status, 500 | 502 | 503 | 504);
        let outcome = failed(
            failure,
            "max-age=600, stale-if-error=1200",
            900,
            "",
            &policy,
        );
        assert_eq!(outcome == "stale-if-error", expected, "{status}");
    }
}

/// A policy that allows nothing for a lost upstream.
fn connected() -> Policy {
    Policy {
        stale_if_disconnected: None,
        ..Policy::default()
    }
}

#[test]
fn a_lost_upstream_lets_a_stale_response_out_only_as_the_route_says() {
    let mut policy = connected();
    let unavailable = Failure::Status(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        failed(Failure::Disconnected, "max-age=60", 90, "", &policy),
        "error"
    );
    policy.stale_if_disconnected = Some(DeltaSeconds::new(30));
    assert_eq!(
        failed(Failure::Disconnected, "max-age=60", 90, "", &policy),
        "disconnected"
    );
    assert_eq!(
        failed(Failure::Disconnected, "max-age=60", 91, "", &policy),
        "error"
    );
    assert_eq!(failed(unavailable, "max-age=60", 90, "", &policy), "error");
    assert_eq!(
        failed(Failure::Disconnected, "max-age=60", 90, "no-cache", &policy),
        "error"
    );
    let both = "max-age=60, stale-if-error=30";
    assert_eq!(
        failed(Failure::Disconnected, both, 90, "", &policy),
        "stale-if-error"
    );
}

#[test]
fn a_request_for_validation_gets_the_error_unless_it_says_otherwise() {
    let policy = connected();
    let sie = "max-age=600, stale-if-error=1200";
    for (age, asks, expected) in [
        (900, "no-cache", "error"),
        (900, "no-cache, stale-if-error=300", "stale-if-error"),
        (900, "max-age=0", "stale-if-error"),
        // Fresh, but validated because the request asked for it.
        (0, "max-age=0", "fresh"),
        (0, "no-cache", "error"),
    ] {
        assert_eq!(
            failed(Failure::Disconnected, sie, age, asks, &policy),
            expected,
            "{age} / {asks}"
        );
    }
    assert_eq!(
        failed(
            Failure::Disconnected,
            "max-age=600",
            0,
            "max-age=0",
            &policy
        ),
        "error"
    );
    let fresh = failed(
        Failure::Disconnected,
        "s-maxage=600, stale-if-error=9",
        0,
        "max-age=0",
        &policy,
    );
    assert_eq!(fresh, "fresh");
}

#[test]
fn targeted_directives_forbid_and_allow_like_others() {
    let mut headers = HeaderMap::new();
    headers.insert(
        "cdn-cache-control",
        "max-age=10, must-revalidate".parse().unwrap(),
    );
    headers.insert(
        CACHE_CONTROL,
        "max-age=10, stale-while-revalidate=60".parse().unwrap(),
    );
    let targeted = [HeaderName::from_static("cdn-cache-control")];
    let freshness = Freshness::compute(
        StatusCode::OK,
        &headers,
        &ResponseDirectives::parse(&headers, &targeted),
        Receipt {
            request_time: NOW,
            response_time: NOW,
        },
        false,
        &Policy::default(),
    );
    let selection = Selection::Found {
        freshness: &freshness,
        resident: Duration::from_secs(20),
    };
    assert_eq!(
        word(decide(selection, &request("max-stale"))),
        "must-revalidate"
    );
}
