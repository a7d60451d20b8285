use super::super::policy::Ignore;
use super::*;
use crate::semantics::policy::OperatorTtl;

/// When the responses of these tests arrive.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

pub(super) const AT_ONCE: Receipt = Receipt {
    request_time: NOW,
    response_time: NOW,
};

/// A date so many seconds from now.
pub(super) fn date(offset: i64) -> String {
    let secs = NOW.as_secs().saturating_add_signed(offset);
    Timestamp::from_secs(secs).to_http_date()
}

pub(super) fn headers<T: AsRef<str>>(fields: &[(&'static str, T)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, value.as_ref().parse().unwrap());
    }
    headers
}

type Fields<'a> = &'a [(&'static str, &'a str)];

pub(super) struct Case {
    pub(super) status: u16,
    pub(super) credentialed: bool,
    pub(super) policy: Policy,
    pub(super) receipt: Receipt,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            status: 200,
            credentialed: false,
            policy: Policy::default(),
            receipt: AT_ONCE,
        }
    }
}

impl Case {
    pub(super) fn compute<T: AsRef<str>>(&self, fields: &[(&'static str, T)]) -> Freshness {
        let headers = headers(fields);
        Freshness::compute(
            StatusCode::from_u16(self.status).unwrap(),
            &headers,
            &ResponseDirectives::parse(&headers, &self.policy.targeted_fields),
            self.receipt,
            self.credentialed,
            &self.policy,
        )
    }

    pub(super) fn lifetime<T: AsRef<str>>(
        &self,
        fields: &[(&'static str, T)],
    ) -> (u32, LifetimeSource) {
        let freshness = self.compute(fields);
        (freshness.lifetime.as_secs(), freshness.source)
    }
}

pub(super) fn compute<T: AsRef<str>>(fields: &[(&'static str, T)]) -> Freshness {
    Case::default().compute(fields)
}

#[test]
fn the_first_explicit_lifetime_counts() {
    use LifetimeSource::{Expires, MaxAge, None, SMaxage};
    let (cc, expires) = ("cache-control", "expires");
    let hour = date(3600);
    let past = date(-3600);
    let cases: [(Fields, (u32, LifetimeSource)); 15] = [
        (&[], (0, None)),
        (&[(cc, "max-age=60")], (60, MaxAge)),
        (&[(cc, "s-maxage=60")], (60, SMaxage)),
        (&[(cc, "max-age=60, s-maxage=5")], (5, SMaxage)),
        (&[(cc, "s-maxage=60, max-age=5")], (60, SMaxage)),
        (
            &[(cc, "s-maxage=0, max-age=60"), (expires, &hour)],
            (0, SMaxage),
        ),
        (&[(cc, "s-maxage=x, max-age=60")], (0, SMaxage)),
        (&[(expires, &hour)], (3600, Expires)),
        (&[(expires, &past)], (0, Expires)),
        (&[(cc, "max-age=60"), (expires, &past)], (60, MaxAge)),
        (&[(cc, "max-age=60"), (expires, "0")], (60, MaxAge)),
        (&[(cc, "max-age=0"), (expires, &hour)], (0, MaxAge)),
        (&[(cc, "max-age=-1"), (expires, &hour)], (0, MaxAge)),
        (&[(cc, "s-maxage=60"), (expires, &past)], (60, SMaxage)),
        (&[(cc, "foo"), (expires, &hour)], (3600, Expires)),
    ];
    for (fields, expected) in cases {
        assert_eq!(Case::default().lifetime(fields), expected, "{fields:?}");
        let explicit = (expected.1 != None).then(|| DeltaSeconds::new(expected.0.into()));
        assert_eq!(compute(fields).explicit, explicit, "{fields:?}");
    }
}

#[test]
fn expires_counts_from_date_and_an_invalid_one_is_past() {
    let hour = date(3600);
    let cases: [(Fields, u32); 14] = [
        (&[("date", &date(0)), ("expires", &hour)], 3600),
        (&[("date", &date(-3600)), ("expires", &hour)], 7200),
        (&[("date", &date(1800)), ("expires", &hour)], 1800),
        (&[("date", &date(3600)), ("expires", &hour)], 0),
        (&[("date", &date(7200)), ("expires", &hour)], 0),
        // RFC 9110 §6.6.1: as if it had been received with the time of receipt.
        (&[("date", "x"), ("expires", &hour)], 3600),
        (&[("expires", "0")], 0),
        (&[("expires", "-1")], 0),
        (&[("expires", "")], 0),
        (&[("expires", &hour.replace("GMT", "UTC"))], 0),
        (&[("expires", &hour.to_lowercase())], 3600),
        // Two dates in one line are no date; of two lines the earlier counts.
        (&[("expires", &format!("{hour}, {hour}"))], 0),
        (&[("expires", &hour), ("expires", &date(60))], 60),
        (&[("expires", &hour), ("expires", "0")], 0),
    ];
    for (fields, expected) in cases {
        let expected = (expected, LifetimeSource::Expires);
        assert_eq!(Case::default().lifetime(fields), expected, "{fields:?}");
    }
}

#[test]
fn expires_is_rounded_down_to_whole_seconds() {
    let receipt = Receipt {
        request_time: NOW,
        response_time: Timestamp::from_millis(NOW.as_millis() + 1),
    };
    let case = Case {
        receipt,
        ..Case::default()
    };
    assert_eq!(case.lifetime(&[("expires", date(10))]).0, 9);
}

#[test]
fn a_targeted_field_stands_for_cache_control_and_expires() {
    let cdn = "cdn-cache-control";
    let cc = ("cache-control", "max-age=1");
    let expires = date(3600);
    let expires = ("expires", expires.as_str());
    let cases: [(Fields, (u32, LifetimeSource)); 6] = [
        (
            &[(cdn, "max-age=60"), cc, expires],
            (60, LifetimeSource::MaxAge),
        ),
        (
            &[(cdn, "s-maxage=5, max-age=60"), cc, expires],
            (5, LifetimeSource::SMaxage),
        ),
        (
            &[(cdn, "max-age=0"), cc, expires],
            (0, LifetimeSource::MaxAge),
        ),
        (
            &[(cdn, "max-age=\"60\""), cc, expires],
            (0, LifetimeSource::MaxAge),
        ),
        (&[(cdn, "none"), cc, expires], (0, LifetimeSource::None)),
        (&[(cdn, "&&&"), cc, expires], (1, LifetimeSource::MaxAge)),
    ];
    for (fields, expected) in cases {
        assert_eq!(Case::default().lifetime(fields), expected, "{fields:?}");
    }
}

#[test]
fn heuristics_need_a_status_that_allows_them_or_public() {
    let cacheable = [
        200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 451, 501,
    ];
    let day = 24 * 60 * 60;
    for status in 200..=599 {
        let case = Case {
            status,
            ..Case::default()
        };
        let fields = [("last-modified", date(-10 * day))];
        let most = if status < 400 { day as u32 } else { 60 };
        let expected = if cacheable.contains(&status) {
            (most, LifetimeSource::Heuristic)
        } else {
            (0, LifetimeSource::None)
        };
        assert_eq!(case.lifetime(&fields), expected, "{status}");
        let fields = [
            ("last-modified", date(-10 * day)),
            ("cache-control", "public".into()),
        ];
        assert_eq!(
            case.lifetime(&fields).1,
            LifetimeSource::Heuristic,
            "{status}"
        );
    }
}

#[test]
fn heuristics_are_a_share_of_the_time_since_last_modified() {
    let heuristic = |percent, max| Case {
        policy: Policy {
            heuristic: Heuristic {
                percent,
                max: DeltaSeconds::new(max),
            },
            ..Policy::default()
        },
        ..Case::default()
    };
    type Owned<'a> = &'a [(&'static str, String)];
    let cases: [(Case, Owned, u32); 10] = [
        (Case::default(), &[("last-modified", date(-100))], 10),
        (Case::default(), &[("last-modified", date(-109))], 10),
        (Case::default(), &[("last-modified", date(-9))], 0),
        (Case::default(), &[("last-modified", date(100))], 0),
        (Case::default(), &[("last-modified", "x".into())], 0),
        (
            Case::default(),
            &[("last-modified", date(-100)), ("date", date(-50))],
            5,
        ),
        (heuristic(50, 1000), &[("last-modified", date(-100))], 50),
        (heuristic(255, 1000), &[("last-modified", date(-100))], 100),
        (heuristic(50, 20), &[("last-modified", date(-100))], 20),
        (heuristic(0, 20), &[("last-modified", date(-100))], 0),
    ];
    for (case, fields, expected) in cases {
        assert_eq!(
            case.lifetime(fields).0,
            expected,
            "{:?} {fields:?}",
            case.policy.heuristic
        );
    }
    let off = heuristic(0, 20).lifetime(&[("last-modified", date(-100))]);
    assert_eq!(off, (0, LifetimeSource::None));
}

#[test]
fn heuristics_never_replace_explicit_freshness() {
    for explicit in [
        ("cache-control", "max-age=0"),
        ("cache-control", "max-age=x"),
        ("cache-control", "s-maxage=0"),
        ("expires", "0"),
    ] {
        let modified = date(-1_000_000);
        let fields = [explicit, ("last-modified", &modified)];
        assert_eq!(Case::default().lifetime(&fields).0, 0, "{explicit:?}");
    }
}

#[test]
fn credentials_rule_out_heuristics_unless_the_route_opts_in() {
    let fields = [("last-modified", date(-100))];
    let credentialed = Case {
        credentialed: true,
        ..Case::default()
    };
    assert_eq!(credentialed.lifetime(&fields), (0, LifetimeSource::None));
    let opted_in = Case {
        policy: Policy {
            ignore: Ignore {
                credentials: true,
                ..Ignore::default()
            },
            ..Policy::default()
        },
        ..credentialed
    };
    assert_eq!(opted_in.lifetime(&fields), (10, LifetimeSource::Heuristic));
}

#[test]
fn an_operators_lifetime_meets_the_origins_as_its_mode_says() {
    use LifetimeSource::{Heuristic, MaxAge, None, Operator};
    use TtlMode::{Cap, Fallback, Floor, Override};
    let silent = ("x", String::new());
    let modified = ("last-modified", date(-600));
    let short = ("cache-control", "max-age=10".into());
    let long = ("cache-control", "max-age=100".into());
    let zero = ("cache-control", "max-age=0".into());
    // The operator's is 50 s; the last column is for requests with credentials.
    let cases = [
        (Fallback, &silent, (50, Operator), (0, None)),
        (Fallback, &modified, (50, Operator), (0, None)),
        (Fallback, &short, (10, MaxAge), (10, MaxAge)),
        (Fallback, &zero, (0, MaxAge), (0, MaxAge)),
        (Cap, &silent, (0, None), (0, None)),
        (Cap, &modified, (50, Operator), (0, None)),
        (Cap, &short, (10, MaxAge), (10, MaxAge)),
        (Cap, &long, (50, Operator), (50, Operator)),
        (Floor, &silent, (50, Operator), (0, None)),
        (Floor, &modified, (60, Heuristic), (0, None)),
        (Floor, &short, (50, Operator), (10, MaxAge)),
        (Floor, &long, (100, MaxAge), (100, MaxAge)),
        (Override, &silent, (50, Operator), (0, None)),
        (Override, &short, (50, Operator), (10, MaxAge)),
        (Override, &long, (50, Operator), (50, Operator)),
        (Override, &zero, (50, Operator), (0, MaxAge)),
    ];
    for (mode, field, expected, with_credentials) in cases {
        // Ten per cent of 600 s are more than 50 s, so that Cap has something to do.
        let mut case = Case {
            policy: Policy {
                ttl: Some(OperatorTtl::of(mode, DeltaSeconds::new(50))),
                ..Policy::default()
            },
            ..Case::default()
        };
        let fields = [(field.0, field.1.as_str())];
        assert_eq!(case.lifetime(&fields), expected, "{mode:?} {field:?}");
        case.credentialed = true;
        assert_eq!(
            case.lifetime(&fields),
            with_credentials,
            "{mode:?} {field:?} with credentials"
        );
        case.policy.ignore.credentials = true;
        assert_eq!(
            case.lifetime(&fields),
            expected,
            "{mode:?} {field:?} opted in"
        );
        // A status that is not listed.
        let case = Case {
            status: 404,
            credentialed: false,
            ..case
        };
        assert_ne!(case.lifetime(&fields).1, Operator, "{mode:?} {field:?} 404");
    }
}

#[test]
fn an_operators_lifetime_leaves_other_directives_alone() {
    let case = Case {
        policy: Policy {
            ttl: Some(OperatorTtl::of(TtlMode::Override, DeltaSeconds::new(50))),
            ..Policy::default()
        },
        ..Case::default()
    };
    let no_cache = case.compute(&[("cache-control", "no-cache")]);
    assert_eq!(no_cache.must_validate, Some(MustValidate::NoCache));
    let s_maxage = case.compute(&[("cache-control", "s-maxage=5")]);
    assert_eq!(s_maxage.must_validate, Some(MustValidate::SMaxage));
    assert_eq!(s_maxage.explicit, Some(DeltaSeconds::new(5)));
}

#[test]
fn what_forbids_staleness_is_known() {
    let cases = [
        ("max-age=5", None),
        ("no-cache", Some(MustValidate::NoCache)),
        ("no-cache=\"a\"", None),
        ("must-revalidate", Some(MustValidate::MustRevalidate)),
        ("proxy-revalidate", Some(MustValidate::ProxyRevalidate)),
        ("s-maxage=5", Some(MustValidate::SMaxage)),
        (
            "s-maxage=5, must-revalidate, no-cache",
            Some(MustValidate::NoCache),
        ),
        (
            "s-maxage=5, proxy-revalidate",
            Some(MustValidate::ProxyRevalidate),
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(
            compute(&[("cache-control", value)]).must_validate,
            expected,
            "{value}"
        );
    }
}

#[test]
fn windows_are_the_responses_or_else_the_routes() {
    let mut case = Case::default();
    let windows = |case: &Case, value| {
        let freshness = case.compute(&[("cache-control", value)]);
        (
            freshness.stale_while_revalidate.as_secs(),
            freshness.stale_if_error.as_secs(),
        )
    };
    let own = "stale-while-revalidate=1, stale-if-error=2";
    assert_eq!(windows(&case, "max-age=5"), (0, 0));
    assert_eq!(windows(&case, own), (1, 2));
    case.policy.stale_while_revalidate = Some(DeltaSeconds::new(3));
    case.policy.stale_if_error = Some(DeltaSeconds::new(4));
    assert_eq!(windows(&case, "max-age=5"), (3, 4));
    assert_eq!(windows(&case, own), (1, 2));
    assert_eq!(
        windows(&case, "stale-while-revalidate=x, stale-if-error=0"),
        (0, 0)
    );
}

#[test]
fn the_age_field_is_read_as_its_first_member_or_not_at_all() {
    let cases: [(&[&str], u64); 20] = [
        (&[], 0),
        (&["0"], 0),
        (&["7200"], 7200),
        (&["007200"], 7200),
        (&["7200, 0"], 7200),
        (&["0, 7200"], 0),
        (&["7200", "0"], 7200),
        (&["0", "7200"], 0),
        (&[", 7200"], 7200),
        (&["", "7200"], 7200),
        (&["abc"], 0),
        (&["-7200"], 0),
        (&["+7200"], 0),
        (&["7200.0"], 0),
        (&["7200a"], 0),
        (&["a7200"], 0),
        (&["7200;foo=bar"], 0),
        (&["\"7200\""], 0),
        (&["abc, 7200"], 0),
        (&["99999999999999999999"], 2_147_483_648),
    ];
    for (lines, secs) in cases {
        let fields: Vec<_> = lines.iter().map(|line| ("age", *line)).collect();
        assert_eq!(compute(&fields).initial_age, secs * 1000, "{lines:?}");
    }
}

#[test]
fn the_initial_age_is_the_larger_of_two_estimates() {
    // Age, Date before now, response delay in ms, initial age in ms.
    let cases: [(Option<u64>, i64, u64, u64); 10] = [
        (None, 0, 0, 0),
        (None, 0, 1_500, 1_500),
        (None, 100, 0, 100_000),
        (None, 100, 1_500, 100_000),
        // The upstream's clock is ahead: no negative age.
        (None, -100, 0, 0),
        (None, -100, 1_500, 1_500),
        (Some(30), 0, 0, 30_000),
        (Some(30), 0, 1_500, 31_500),
        (Some(30), 100, 1_500, 100_000),
        (Some(30), -100, 1_500, 31_500),
    ];
    for (age, before, delay, expected) in cases {
        let case = Case {
            receipt: Receipt {
                request_time: Timestamp::from_millis(NOW.as_millis() - delay),
                response_time: NOW,
            },
            ..Case::default()
        };
        let mut fields = vec![("date", date(-before))];
        fields.extend(age.map(|age| ("age", age.to_string())));
        assert_eq!(
            case.compute(&fields).initial_age,
            expected,
            "{age:?} {before} {delay}"
        );
    }
}

#[test]
fn a_response_is_not_born_old_because_dates_have_whole_seconds() {
    let received = Timestamp::from_millis(NOW.as_millis() + 999);
    let case = Case {
        receipt: Receipt {
            request_time: received,
            response_time: received,
        },
        ..Case::default()
    };
    let freshness = case.compute(&[("date", date(0))]);
    assert_eq!(freshness.initial_age, 0);
    assert_eq!(freshness.date, NOW);
}

#[test]
fn fractions_of_seconds_add_up_before_they_are_cut_off() {
    let case = Case {
        receipt: Receipt {
            request_time: Timestamp::from_millis(NOW.as_millis() - 600),
            response_time: NOW,
        },
        ..Case::default()
    };
    let freshness = case.compute(&[("cache-control", "max-age=2")]);
    let resident = Duration::from_millis(600);
    assert_eq!(freshness.age(resident).as_secs(), 1);
    assert_eq!(freshness.ttl(resident), 1);
}

#[test]
fn fresh_means_that_the_lifetime_exceeds_the_age() {
    let freshness = compute(&[("cache-control", "max-age=5")]);
    // Resident ms, age, ttl, fresh.
    let cases = [
        (0, 0, 5, true),
        (1, 0, 5, true),
        (999, 0, 5, true),
        (1_000, 1, 4, true),
        (4_999, 4, 1, true),
        (5_000, 5, 0, false),
        (5_001, 5, -1, false),
        (6_000, 6, -1, false),
        (6_001, 6, -2, false),
    ];
    for (millis, age, ttl, fresh) in cases {
        let resident = Duration::from_millis(millis);
        assert_eq!(freshness.age(resident).as_secs(), age, "{millis}");
        assert_eq!(freshness.ttl(resident), ttl, "{millis}");
        assert_eq!(freshness.is_fresh(resident), fresh, "{millis}");
    }
    assert!(!compute(&[("cache-control", "max-age=0")]).is_fresh(Duration::ZERO));
}

#[test]
fn an_expired_response_is_stale_and_needs_validation() {
    let expired = compute(&[("cache-control", "max-age=60")]).expired();
    assert!(!expired.is_fresh(Duration::ZERO));
    assert_eq!(expired.must_validate, Some(MustValidate::NoCache));
}

#[test]
fn sources_and_causes_have_the_names_of_their_directives() {
    use LifetimeSource::{Expires, Heuristic, MaxAge, None, Operator, SMaxage};
    let sources = [None, SMaxage, MaxAge, Expires, Heuristic, Operator].map(LifetimeSource::token);
    let names = [
        "none",
        "s-maxage",
        "max-age",
        "expires",
        "heuristic",
        "operator",
    ];
    assert_eq!(sources, names);
    let causes = [
        MustValidate::NoCache,
        MustValidate::MustRevalidate,
        MustValidate::ProxyRevalidate,
        MustValidate::SMaxage,
    ];
    let names = [
        "no-cache",
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage",
    ];
    assert_eq!(causes.map(MustValidate::token), names);
}

#[test]
fn immutable_can_be_taken_back() {
    let immutable = compute(&[("cache-control", "max-age=60, immutable")]);
    assert!(immutable.immutable);
    assert!(!immutable.mutable().immutable);
}

#[test]
fn upstream_clock_skew_makes_a_response_older_never_younger() {
    // Regression: caches that ignore the apparent age serve a response for longer than its origin allows.
    let freshness = compute(&[("date", date(-60)), ("cache-control", "max-age=60".into())]);
    assert!(!freshness.is_fresh(Duration::ZERO));
}
