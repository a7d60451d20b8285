use http::header::{AUTHORIZATION, CACHE_CONTROL, PRAGMA, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::semantics::policy::HonourRequest;
use crate::semantics::time::DeltaSeconds;

fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(
            name.clone(),
            HeaderValue::from_bytes(line.as_bytes()).unwrap(),
        );
    }
    headers
}

fn response(lines: &[&str]) -> ResponseDirectives {
    ResponseDirectives::parse(&headers(CACHE_CONTROL, lines), &[])
}

fn request(lines: &[&str]) -> RequestDirectives {
    RequestDirectives::parse(&headers(CACHE_CONTROL, lines))
}

fn secs(secs: u64) -> DeltaSeconds {
    DeltaSeconds::new(secs)
}

#[test]
fn a_request_without_the_fields_asks_for_nothing() {
    assert_eq!(
        RequestDirectives::parse(&HeaderMap::new()),
        RequestDirectives::default()
    );
}

#[test]
fn request_directives_are_read() {
    let all = request(&[
        "max-age=1, MIN-FRESH=2",
        "No-Cache,no-store",
        "no-transform, only-if-cached",
    ]);
    let expected = RequestDirectives {
        max_age: Some(secs(1)),
        min_fresh: Some(secs(2)),
        no_cache: true,
        no_store: true,
        no_transform: true,
        only_if_cached: true,
        ..RequestDirectives::default()
    };
    assert_eq!(all, expected);
    assert_eq!(request(&["stale-if-error=9"]).stale_if_error, Some(secs(9)));
}

#[test]
fn of_several_request_limits_the_most_restrictive_counts() {
    let cases: [(&str, Option<u64>, Option<u64>); 7] = [
        (
            "max-age=5, max-age=1, min-fresh=1, min-fresh=5",
            Some(1),
            Some(5),
        ),
        (
            "max-age=1, max-age=5, min-fresh=5, min-fresh=1",
            Some(1),
            Some(5),
        ),
        ("max-age=\"5\", min-fresh=\"5\"", Some(5), Some(5)),
        ("max-age=x, max-age=5", Some(0), None),
        ("max-age", Some(0), None),
        ("max-age=-1", Some(0), None),
        ("min-fresh=x, min-fresh=5", None, Some(u64::MAX)),
    ];
    for (line, max_age, min_fresh) in cases {
        let found = request(&[line]);
        assert_eq!(found.max_age, max_age.map(DeltaSeconds::new), "{line}");
        assert_eq!(found.min_fresh, min_fresh.map(DeltaSeconds::new), "{line}");
    }
}

#[test]
fn max_stale_has_a_limit_or_none() {
    let cases = [
        ("max-stale", MaxStale::Any),
        ("MAX-STALE", MaxStale::Any),
        ("max-stale=10", MaxStale::Limit(secs(10))),
        ("max-stale=\"10\"", MaxStale::Limit(secs(10))),
        ("max-stale=99999999999", MaxStale::Limit(DeltaSeconds::MAX)),
        ("max-stale, max-stale=10", MaxStale::Limit(secs(10))),
        ("max-stale=10, max-stale=5", MaxStale::Limit(secs(5))),
        ("max-stale=", MaxStale::None),
        ("max-stale=x", MaxStale::None),
        ("max-stale=-1", MaxStale::None),
        ("max-stale=1.5", MaxStale::None),
        ("max-stale =1", MaxStale::None),
        ("max-stale, max-stale=x", MaxStale::None),
        ("x-max-stale", MaxStale::None),
    ];
    for (line, expected) in cases {
        assert_eq!(request(&[line]).max_stale, expected, "{line}");
    }
}

#[test]
fn pragma_counts_only_where_there_is_no_cache_control() {
    let cases: [(&[(&'static str, &str)], bool); 7] = [
        (&[("pragma", "no-cache")], true),
        (&[("pragma", "foo=\"x, y\", NO-CACHE")], true),
        (&[("pragma", "foo"), ("pragma", "no-cache")], true),
        (&[("pragma", "foo")], false),
        (&[("pragma", "foo=\"no-cache\"")], false),
        (
            &[("pragma", "no-cache"), ("cache-control", "max-age=60")],
            false,
        ),
        (&[("pragma", "no-cache"), ("cache-control", "")], false),
    ];
    for (fields, expected) in cases {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        assert_eq!(
            RequestDirectives::parse(&headers).no_cache,
            expected,
            "{fields:?}"
        );
    }
}

#[test]
fn each_request_directive_can_be_left_unhonoured() {
    let honour = HonourRequest::default();
    let all = request(&[
        "max-age=1, min-fresh=2, max-stale=3, stale-if-error=4, no-cache, no-store, only-if-cached",
    ]);
    assert_eq!(all.honoured(&honour), all);
    let cases: [(HonourRequest, RequestDirectives); 6] = [
        (
            HonourRequest {
                max_age: false,
                ..honour
            },
            RequestDirectives {
                max_age: None,
                ..all
            },
        ),
        (
            HonourRequest {
                min_fresh: false,
                ..honour
            },
            RequestDirectives {
                min_fresh: None,
                ..all
            },
        ),
        (
            HonourRequest {
                max_stale: false,
                ..honour
            },
            RequestDirectives {
                max_stale: MaxStale::None,
                stale_if_error: None,
                ..all
            },
        ),
        (
            HonourRequest {
                no_cache: false,
                ..honour
            },
            RequestDirectives {
                no_cache: false,
                ..all
            },
        ),
        (
            HonourRequest {
                no_store: false,
                ..honour
            },
            RequestDirectives {
                no_store: false,
                ..all
            },
        ),
        (
            HonourRequest {
                only_if_cached: false,
                ..honour
            },
            RequestDirectives {
                only_if_cached: false,
                ..all
            },
        ),
    ];
    for (honour, expected) in cases {
        assert_eq!(all.honoured(&honour), expected, "{honour:?}");
    }
    // Pragma has a switch of its own.
    let pragma = RequestDirectives::parse(&headers(PRAGMA, &["no-cache"]));
    let deaf = HonourRequest {
        pragma: false,
        ..honour
    };
    assert!(
        pragma
            .honoured(&HonourRequest {
                no_cache: false,
                ..honour
            })
            .no_cache
    );
    assert!(!pragma.honoured(&deaf).no_cache);
    assert!(all.honoured(&deaf).no_cache);
}

#[test]
fn response_directives_are_read() {
    let found = response(&[
        "max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4",
        "no-cache, private, no-store, no-transform, must-revalidate, proxy-revalidate",
        "must-understand, public, immutable",
    ]);
    let expected = ResponseDirectives {
        max_age: Some(secs(1)),
        s_maxage: Some(secs(2)),
        limit: None,
        stale_while_revalidate: Some(secs(3)),
        stale_if_error: Some(secs(4)),
        no_cache: Scoped::Whole,
        private: Scoped::Whole,
        no_store: true,
        no_transform: true,
        must_revalidate: true,
        proxy_revalidate: true,
        must_understand: true,
        public: true,
        immutable: true,
        targeted: false,
    };
    assert_eq!(found, expected);
}

#[test]
fn max_age_is_read_tolerantly_and_invalid_ones_are_stale() {
    let cases: [(&[&str], Option<u64>); 34] = [
        (&["max-age=3600"], Some(3600)),
        (&["MaX-aGe=3600"], Some(3600)),
        (&[" \tmax-age=3600\t , foo"], Some(3600)),
        (&["foo, max-age=3600"], Some(3600)),
        (&["foo=bar,,,max-age=3600,"], Some(3600)),
        (&["foo", "max-age=3600"], Some(3600)),
        (&["max-age=\"3600\""], Some(3600)),
        (&["max-age=0003600"], Some(3600)),
        (&["max-age=2147483647"], Some(2_147_483_647)),
        (&["max-age=2147483648"], Some(2_147_483_648)),
        (&["max-age=99999999999999999999"], Some(2_147_483_648)),
        (&["extension=\"max-age=3600\""], None),
        (&["extension=\"a, max-age=3600\""], None),
        (&["extension=\"a, \\\", max-age=3600\""], None),
        (&["max-age=1, extension=\"max-age=3600\""], Some(1)),
        (&["extension=\"max-age=3600\", max-age=1"], Some(1)),
        (&["xmax-age=3600"], None),
        (&["max-agex=3600"], None),
        (&["max_age=3600"], None),
        (&["max-age"], Some(0)),
        (&["max-age="], Some(0)),
        (&["max-age=\"\""], Some(0)),
        (&["max-age=-3600"], Some(0)),
        (&["max-age=+3600"], Some(0)),
        (&["max-age=3600.0"], Some(0)),
        (&["max-age=a3600"], Some(0)),
        (&["max-age=3600a"], Some(0)),
        (&["max-age='3600'"], Some(0)),
        (&["max-age =3600"], Some(0)),
        (&["max-age= 3600"], Some(0)),
        (&["max-age=3600; foo"], Some(0)),
        (&["max-age=3600, max-age=1"], Some(1)),
        (&["max-age=1", "max-age=3600"], Some(1)),
        (&["max-age=3600, max-age=x"], Some(0)),
    ];
    for (lines, expected) in cases {
        assert_eq!(
            response(lines).max_age,
            expected.map(DeltaSeconds::new),
            "{lines:?}"
        );
    }
}

#[test]
fn what_restricts_counts_in_any_case_and_with_any_argument() {
    for line in [
        "no-store",
        "NO-STORE",
        "No-Store=1",
        "no-store =1",
        "no-store;max-age=5",
        "x=\", no-store",
    ] {
        assert!(response(&[line]).no_store, "{line}");
    }
    for line in ["must-revalidate", "Must-Revalidate=\"x\""] {
        assert!(response(&[line]).must_revalidate, "{line}");
    }
    for line in ["foo=\"no-store\"", "no-storex", "no_store"] {
        assert!(!response(&[line]).no_store, "{line}");
    }
}

#[test]
fn what_permits_counts_only_as_it_is_defined() {
    for (line, public) in [
        ("public", true),
        ("PUBLIC", true),
        ("public=1", false),
        ("public x", false),
    ] {
        assert_eq!(response(&[line]).public, public, "{line}");
    }
}

#[test]
fn immutable_counts_with_any_argument_and_once() {
    for line in [
        "immutable",
        "immutable, immutable",
        "immutable=foo",
        "IMMUTABLE=\"a, b\"",
    ] {
        assert!(response(&[line]).immutable, "{line}");
    }
}

#[test]
fn fields_may_be_named_and_an_invalid_list_means_the_whole_response() {
    let fields = |names: &[&str]| {
        Scoped::Fields(
            names
                .iter()
                .map(|n| HeaderName::from_bytes(n.as_bytes()).unwrap())
                .collect(),
        )
    };
    let cases = [
        ("foo", Scoped::Absent),
        ("private", Scoped::Whole),
        ("private=\"Set-Cookie\"", fields(&["set-cookie"])),
        ("private=set-cookie", fields(&["set-cookie"])),
        ("private=\"a , b,,\tc\"", fields(&["a", "b", "c"])),
        ("private=\"a\", private=\"b\"", fields(&["a", "b"])),
        ("private=\"a\", private", Scoped::Whole),
        ("private, private=\"a\"", Scoped::Whole),
        ("private=\"\"", Scoped::Whole),
        ("private=", Scoped::Whole),
        ("private=\"a b\"", Scoped::Whole),
        ("private=\"a, b", Scoped::Whole),
        ("private =\"a\"", Scoped::Whole),
    ];
    for (line, expected) in cases {
        assert_eq!(response(&[line]).private, expected, "{line}");
        let line = line.replace("private", "no-cache");
        assert_eq!(response(&[&line]).no_cache, expected, "{line}");
    }
    assert_eq!(
        response(&["no-cache=set-cookie"]).no_cache.fields(),
        [SET_COOKIE]
    );
    assert!(response(&["private"]).private.is_whole());
    assert!(response(&["private"]).private.fields().is_empty());
    assert!(!response(&["private=authorization"]).private.is_whole());
    assert_eq!(
        response(&["private=authorization"]).private.fields(),
        [AUTHORIZATION]
    );
}

#[test]
fn sharing_is_allowed_by_three_directives_only() {
    let cases = [
        ("public", true),
        ("must-revalidate", true),
        ("s-maxage=5", true),
        ("max-age=5", false),
        ("proxy-revalidate", false),
        ("no-cache", false),
        ("immutable", false),
    ];
    for (line, expected) in cases {
        assert_eq!(response(&[line]).allow_sharing(), expected, "{line}");
    }
}

/// Pieces that make up lines close to real ones.
fn line() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "max-age",
        "s-maxage",
        "no-cache",
        "no-store",
        "private",
        "max-stale",
        "min-fresh",
        "must-revalidate",
        "public",
        "=",
        "=",
        "60",
        "0",
        "-1",
        "\"",
        "\\",
        ",",
        ", ",
        " ",
        "\t",
        "foo",
        "x",
    ]);
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_octets_are_read_without_panic(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append(CACHE_CONTROL, value.clone());
                headers.append(PRAGMA, value.clone());
                headers.append("cdn-cache-control", value);
            }
        }
        RequestDirectives::parse(&headers);
        ResponseDirectives::parse(&headers, &[]);
        ResponseDirectives::parse(&headers, &[HeaderName::from_static("cdn-cache-control")]);
    }

    #[test]
    fn the_case_of_directives_does_not_matter(line in line()) {
        prop_assert_eq!(response(&[&line]), response(&[&line.to_uppercase()]));
        prop_assert_eq!(request(&[&line]), request(&[&line.to_uppercase()]));
    }

    #[test]
    fn one_line_or_several_make_no_difference(one in line(), other in line()) {
        // Where quotes are balanced: combining lines may otherwise make a quoted string of two halves.
        prop_assume!(!one.contains('"') && !other.contains('"'));
        let combined = format!("{one}, {other}");
        prop_assert_eq!(response(&[&one, &other]), response(&[&combined]));
        prop_assert_eq!(request(&[&one, &other]), request(&[&combined]));
    }

    #[test]
    fn another_line_never_permits_more(one in line(), other in line()) {
        let (before, after) = (response(&[&one]), response(&[&one, &other]));
        prop_assert!(after.no_store >= before.no_store);
        prop_assert!(after.must_revalidate >= before.must_revalidate);
        prop_assert!(after.private.is_whole() >= before.private.is_whole());
        prop_assert!(after.no_cache.is_whole() >= before.no_cache.is_whole());
        for (before, after) in [(before.max_age, after.max_age), (before.s_maxage, after.s_maxage)] {
            prop_assert!(before.is_none_or(|before| after.is_some_and(|after| after <= before)));
        }
        let (before, after) = (request(&[&one]), request(&[&one, &other]));
        prop_assert!(after.no_store >= before.no_store);
        prop_assert!(after.min_fresh >= before.min_fresh);
        prop_assert!(before.max_age.is_none_or(|before| after.max_age.is_some_and(|after| after <= before)));
    }
}
