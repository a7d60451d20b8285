use super::RangeSelection::{Multiple, Single, Unsatisfiable, Whole};
use super::*;
use proptest::prelude::*;

const T1: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const DATE: &str = "Wed, 16 Nov 1994 12:45:26 GMT";

fn range(first: u64, last: u64) -> ByteRange {
    ByteRange::new(first, last).unwrap()
}

fn ask(value: &str, complete_length: u64) -> RangeSelection {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, value.parse().unwrap());
    let validators = Validators::default();
    select(
        &Method::GET,
        &request,
        StatusCode::OK,
        &validators,
        complete_length,
    )
}

#[test]
fn a_single_range_is_cut_to_the_representation() {
    let cases = [
        ("bytes=0-499", Single(range(0, 499))),
        ("bytes=500-999", Single(range(500, 999))),
        ("bytes=-500", Single(range(9500, 9999))),
        ("bytes=9500-", Single(range(9500, 9999))),
        ("bytes=9999-", Single(range(9999, 9999))),
        ("bytes=0-0", Single(range(0, 0))),
        ("bytes=0-", Single(range(0, 9999))),
        ("bytes=-1", Single(range(9999, 9999))),
        ("bytes=-20000", Single(range(0, 9999))),
        ("bytes=9000-20000", Single(range(9000, 9999))),
        ("bytes=1-18446744073709551615", Single(range(1, 9999))),
        ("bytes=1-99999999999999999999999", Single(range(1, 9999))),
        ("bytes=-99999999999999999999999", Single(range(0, 9999))),
        ("BYTES=0-1", Single(range(0, 1))),
        ("bytes= 0-1 ", Single(range(0, 1))),
        ("bytes=,0-1, ,", Single(range(0, 1))),
        ("bytes=00-01", Single(range(0, 1))),
        ("bytes=10000-", Unsatisfiable),
        ("bytes=10000-10001", Unsatisfiable),
        ("bytes=99999999999999999999999-", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=-0,10000-", Unsatisfiable),
    ];
    for (value, expected) in cases {
        assert_eq!(ask(value, 10_000), expected, "{value}");
    }
}

#[test]
fn an_invalid_range_and_another_unit_are_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=2-1",
        "bytes=0-1,2-1",
        "bytes=0-1,x",
        "bytes=0 - 1",
        "bytes=0-1-2",
        "bytes=+0-1",
        "bytes=--1",
        "bytes =0-1",
        "bytes:0-1",
        "items=0-1",
        "0-1",
    ] {
        assert_eq!(ask(value, 10_000), Whole, "{value}");
    }
}

#[test]
fn several_ranges_keep_their_order_and_join_where_they_overlap() {
    let cases = [
        (
            "bytes=0-0,-1",
            Multiple(vec![range(0, 0), range(9999, 9999)]),
        ),
        (
            "bytes= 0-999, 4500-5499, -1000",
            Multiple(vec![range(0, 999), range(4500, 5499), range(9000, 9999)]),
        ),
        (
            "bytes=-1,0-0",
            Multiple(vec![range(9999, 9999), range(0, 0)]),
        ),
        (
            "bytes=500-600,601-999",
            Multiple(vec![range(500, 600), range(601, 999)]),
        ),
        ("bytes=500-700,601-999", Single(range(500, 999))),
        ("bytes=0-1,20000-", Single(range(0, 1))),
        (
            "bytes=0-1,20000-,5-6",
            Multiple(vec![range(0, 1), range(5, 6)]),
        ),
        (
            "bytes=7-8,0-2,1-4",
            Multiple(vec![range(7, 8), range(0, 4)]),
        ),
        ("bytes=0-,0-", Single(range(0, 9999))),
    ];
    for (value, expected) in cases {
        assert_eq!(ask(value, 10_000), expected, "{value}");
    }
}

#[test]
fn abusive_sets_are_answered_whole() {
    let list = |ranges: Vec<String>| format!("bytes={}", ranges.join(","));
    let apart = |n: u64| (0..n).map(|i| format!("{}-{}", i * 10, i * 10));
    let cases = [
        ("overlapping", "bytes=0-10,5-15,10-20".to_owned()),
        ("the same again", "bytes=0-,0-,0-".to_owned()),
        ("too many", list(apart(65).collect())),
        ("many, not ascending", list(apart(9).rev().collect())),
    ];
    for (what, value) in cases {
        assert_eq!(ask(&value, 10_000), Whole, "{what}");
    }
    let many = ask(&list(apart(64).collect()), 10_000);
    assert!(matches!(many, Multiple(parts) if parts.len() == 64));
    let few = ask(&list(apart(8).rev().collect()), 10_000);
    assert!(matches!(few, Multiple(parts) if parts.len() == 8));
}

#[test]
fn ranges_are_for_get_and_ok_and_content() {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    let none = Validators::default();
    let ask = |method: &str, status, length| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        select(&method, &request, status, &none, length)
    };
    assert_eq!(ask("GET", StatusCode::OK, 10), Single(range(0, 1)));
    assert_eq!(ask("QUERY", StatusCode::OK, 10), Single(range(0, 1)));
    assert_eq!(ask("HEAD", StatusCode::OK, 10), Whole);
    assert_eq!(ask("POST", StatusCode::OK, 10), Whole);
    assert_eq!(ask("GET", StatusCode::NOT_FOUND, 10), Whole);
    assert_eq!(ask("GET", StatusCode::PARTIAL_CONTENT, 10), Whole);
    assert_eq!(ask("GET", StatusCode::OK, 0), Whole);

    request.append(header::RANGE, HeaderValue::from_static("bytes=0-1"));
    let twice = select(&Method::GET, &request, StatusCode::OK, &none, 10);
    assert_eq!(twice, Whole);
    let without = select(&Method::GET, &HeaderMap::new(), StatusCode::OK, &none, 10);
    assert_eq!(without, Whole);
}

#[test]
fn if_range_wants_exactly_the_strong_validator() {
    type Lines = &'static [(&'static str, &'static str)];
    const TAGGED: Lines = &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)];
    const WEAK: Lines = &[("etag", r#"W/"a""#), ("last-modified", T1), ("date", DATE)];
    const UNQUOTED: Lines = &[("etag", "book-123")];
    const DATED: Lines = &[("last-modified", T1), ("date", DATE)];
    const DATED_WEAKLY: Lines = &[("last-modified", T1), ("date", T1)];
    let cases: [(&str, Lines, bool); 14] = [
        (r#""a""#, TAGGED, true),
        (r#""b""#, TAGGED, false),
        (r#"W/"a""#, TAGGED, false),
        (r#"W/"a""#, WEAK, false),
        (r#""a""#, WEAK, false),
        ("book-123", UNQUOTED, false),
        (r#""book-123""#, UNQUOTED, false),
        ("*", TAGGED, false),
        (T1, DATED, true),
        (T1, TAGGED, true),
        ("Tue, 15 Nov 1994 12:45:27 GMT", DATED, false),
        (DATE, DATED, false),
        (T1, DATED_WEAKLY, false),
        (T1, UNQUOTED, false),
    ];
    for (value, stored, holds) in cases {
        let mut headers = HeaderMap::new();
        for (name, value) in stored {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        request.insert(header::IF_RANGE, value.parse().unwrap());
        let validators = Validators::of(&headers);
        let found = select(&Method::GET, &request, StatusCode::OK, &validators, 10);
        let expected = if holds { Single(range(0, 1)) } else { Whole };
        assert_eq!(found, expected, "{value} {stored:?}");
    }
    let mut twice = HeaderMap::new();
    twice.append(header::IF_RANGE, HeaderValue::from_static(r#""a""#));
    twice.append(header::IF_RANGE, HeaderValue::from_static(r#""a""#));
    assert!(!if_range_holds(&twice, &Validators::default()));
    assert!(if_range_holds(&HeaderMap::new(), &Validators::default()));
}

#[test]
fn a_206_carries_the_fields_of_the_200_but_not_again_what_if_range_proves_known() {
    let mut selected = HeaderMap::new();
    for (name, value) in [
        ("date", DATE),
        ("cache-control", "max-age=1"),
        ("etag", r#""a""#),
        ("expires", "0"),
        ("content-location", "/a"),
        ("vary", "accept"),
        ("content-type", "text/plain"),
        ("content-length", "10"),
        ("last-modified", T1),
        ("x", "1"),
    ] {
        selected.insert(name, HeaderValue::from_static(value));
    }
    let mut expected = selected.clone();
    expected.remove("content-length");
    let mut request = HeaderMap::new();
    assert_eq!(partial_fields(&selected, &request), expected);

    request.insert(header::IF_RANGE, HeaderValue::from_static(r#""a""#));
    expected.remove("content-type");
    expected.remove("last-modified");
    assert_eq!(partial_fields(&selected, &request), expected);
}

/// Octet by octet: which ones `spec` means.
fn slow_contains(spec: RangeSpec, length: u64, at: u64) -> bool {
    match spec {
        RangeSpec::From { first, last } => at < length && first <= at && at <= last,
        RangeSpec::Suffix { length: suffix } => {
            at < length && u128::from(at) + u128::from(suffix) >= u128::from(length)
        }
    }
}

fn spec() -> impl Strategy<Value = RangeSpec> {
    let number = || prop_oneof![4 => 0..40_u64, 1 => any::<u64>()];
    prop_oneof![
        (number(), number()).prop_map(|(a, b)| RangeSpec::From {
            first: a.min(b),
            last: a.max(b)
        }),
        number().prop_map(|length| RangeSpec::Suffix { length }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_spec_resolves_to_the_octets_it_means(spec in spec(), length in 0..40_u64) {
        let found = spec.resolve(length);
        for at in 0..40 {
            let inside = found.is_some_and(|r| r.first() <= at && at <= r.last());
            prop_assert_eq!(inside, slow_contains(spec, length, at), "{}", at);
        }
    }

    #[test]
    fn resolving_never_overflows(spec in spec(), length in any::<u64>()) {
        if let Some(found) = spec.resolve(length) {
            prop_assert!(found.end() <= length);
            prop_assert_eq!(found.len(), found.end() - found.first());
        }
    }

    #[test]
    fn satisfied_ranges_cover_the_union_without_overlap(
        specs in prop::collection::vec(spec(), 1..6),
        length in 1..40_u64,
    ) {
        let ranges = match satisfy(&specs, length) {
            Whole => return Ok(()),
            Unsatisfiable => Vec::new(),
            Single(only) => vec![only],
            Multiple(ranges) => ranges,
        };
        for at in 0..40 {
            let times = ranges.iter().filter(|r| r.first() <= at && at <= r.last()).count();
            let meant = specs.iter().any(|spec| slow_contains(*spec, length, at));
            prop_assert_eq!(times, usize::from(meant), "{}", at);
        }
    }

    #[test]
    fn any_value_is_parsed_without_panic(value in "(bytes=)?[0-9a-z ,=-]{0,24}") {
        ask(&value, 100);
    }
}
