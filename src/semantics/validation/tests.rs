use super::*;
use proptest::prelude::*;

const T1: &str = "Tue, 15 Nov 1994 12:45:26 GMT";
const T2: &str = "Tue, 15 Nov 1994 13:00:00 GMT";
const DATE: &str = "Wed, 16 Nov 1994 12:45:26 GMT";
const NEXT_DAY: &str = "Thu, 17 Nov 1994 12:45:26 GMT";

type Lines = &'static [(&'static str, &'static str)];

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn validators(lines: &[(&'static str, &'static str)]) -> Validators {
    Validators::of(&headers(lines))
}

fn all_selected(stored: &[Validators]) -> impl Iterator<Item = Candidate<'_>> {
    stored.iter().map(|validators| Candidate {
        validators,
        selected: true,
    })
}

#[test]
fn validators_of_their_own_octets_are_the_same() {
    for lines in [
        &[][..],
        &[("etag", "W/\"a\""), ("date", DATE)],
        &[("last-modified", T1), ("date", DATE)],
        &[("etag", "a"), ("last-modified", T1)],
    ] {
        let validators = Validators::of(&headers(lines));
        assert_eq!(validators.detached(), validators, "{lines:?}");
    }
}

#[test]
fn last_modified_is_strong_when_date_is_later() {
    let cases: [(Lines, Option<bool>); 8] = [
        (&[("last-modified", T1), ("date", DATE)], Some(true)),
        (&[("last-modified", T1), ("date", T1)], Some(false)),
        (&[("last-modified", T2), ("date", T1)], Some(false)),
        (
            &[
                ("last-modified", T1),
                ("date", "Tue, 15 Nov 1994 12:45:27 GMT"),
            ],
            Some(true),
        ),
        (&[("last-modified", T1)], Some(false)),
        (&[("last-modified", "yesterday"), ("date", DATE)], None),
        (&[("last-modified", T1), ("last-modified", T2)], None),
        (&[("last-modified", T1), ("last-modified", T1)], Some(false)),
    ];
    for (lines, strong) in cases {
        let found = validators(lines).last_modified.map(|found| found.strong);
        assert_eq!(found, strong, "{lines:?}");
    }
}

#[test]
fn validation_sends_all_tags_and_a_single_date() {
    // (stored responses, If-None-Match, If-Modified-Since)
    type Case = (&'static [Lines], Option<&'static str>, Option<&'static str>);
    let cases: [Case; 9] = [
        (&[&[]], None, None),
        (&[&[("etag", r#""a""#)]], Some(r#""a""#), None),
        (&[&[("last-modified", T1)]], None, Some(T1)),
        (
            &[&[("etag", r#"W/"a""#), ("last-modified", T1)]],
            Some(r#"W/"a""#),
            Some(T1),
        ),
        (
            &[
                &[("etag", r#""a""#), ("last-modified", T1)],
                &[("etag", r#""b""#), ("last-modified", T2)],
                &[("etag", r#""a""#)],
                &[("last-modified", T1)],
            ],
            Some(r#""a", "b""#),
            None,
        ),
        (&[&[("etag", "book-123")]], Some("book-123"), None),
        (&[&[("etag", "book,123")]], None, None),
        (&[&[("etag", "*")]], None, None),
        (
            &[&[("last-modified", "Tuesday, 15-Nov-94 12:45:26 GMT")]],
            None,
            Some("Tuesday, 15-Nov-94 12:45:26 GMT"),
        ),
    ];
    for (stored, tags, since) in cases {
        let stored: Vec<_> = stored.iter().map(|lines| validators(lines)).collect();
        let mut request = headers(&[
            ("if-match", r#""client""#),
            ("if-none-match", r#""client""#),
            ("if-modified-since", DATE),
            ("if-unmodified-since", DATE),
            ("if-range", r#""client""#),
            ("range", "bytes=0-1"),
            ("accept", "*/*"),
        ]);
        let conditional = conditional_fields(&mut request, all_selected(&stored));
        let mut expected = headers(&[("accept", "*/*")]);
        if let Some(tags) = tags {
            expected.insert("if-none-match", HeaderValue::from_static(tags));
        }
        if let Some(since) = since {
            expected.insert("if-modified-since", HeaderValue::from_static(since));
        }
        assert_eq!(request, expected, "{stored:?}");
        assert_eq!(conditional, tags.is_some() || since.is_some(), "{stored:?}");
    }
}

#[test]
fn the_missing_part_is_asked_for_with_a_strong_validator_only() {
    let range = ByteRange::new(500, 999).unwrap();
    let cases: [(Lines, Option<&str>); 7] = [
        (&[("etag", r#""a""#)], Some(r#""a""#)),
        (
            &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)],
            Some(r#""a""#),
        ),
        (&[("last-modified", T1), ("date", DATE)], Some(T1)),
        (&[("last-modified", T1), ("date", T1)], None),
        (
            &[("etag", r#"W/"a""#), ("last-modified", T1), ("date", DATE)],
            None,
        ),
        (&[("etag", "book-123")], None),
        (&[], None),
    ];
    for (stored, validator) in cases {
        let mut request = headers(&[("range", "bytes=0-"), ("if-none-match", "*")]);
        let asked = range_fields(&mut request, range, &validators(stored));
        let mut expected = HeaderMap::new();
        if let Some(validator) = validator {
            expected.insert("range", HeaderValue::from_static("bytes=500-999"));
            expected.insert("if-range", HeaderValue::from_static(validator));
        }
        assert_eq!(request, expected, "{stored:?}");
        assert_eq!(asked, validator.is_some(), "{stored:?}");
    }
}

#[test]
fn a_304_names_stored_responses_by_their_validators() {
    const A: Lines = &[("etag", r#""a""#), ("date", DATE)];
    const B: Lines = &[("etag", r#""b""#), ("date", NEXT_DAY)];
    const WEAK: Lines = &[("etag", r#"W/"a""#), ("date", DATE)];
    const WEAK_LATER: Lines = &[("etag", r#"W/"a""#), ("date", NEXT_DAY)];
    const DATED: Lines = &[("last-modified", T1), ("date", DATE)];
    const DATED_WEAKLY: Lines = &[("last-modified", T1), ("date", T1)];
    const A_DATED: Lines = &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)];
    const B_DATED: Lines = &[("etag", r#""b""#), ("last-modified", T1), ("date", DATE)];
    const WEAK_DATED: Lines = &[("etag", r#"W/"a""#), ("last-modified", T1), ("date", T1)];
    const BARE: Lines = &[("date", DATE)];
    // (the 304's fields, stored responses, positions of those it names)
    type Case = (Lines, &'static [Lines], &'static [usize]);
    let cases: [Case; 31] = [
        // Strong: all with the same one.
        (&[("etag", r#""a""#)], &[A], &[0]),
        (&[("etag", r#""b""#)], &[A, B], &[1]),
        (&[("etag", r#""a""#)], &[A, B, A_DATED], &[0, 2]),
        (&[("etag", r#""c""#)], &[A, B], &[]),
        (&[("etag", r#""c""#)], &[A], &[]),
        (&[("etag", r#""a""#)], &[WEAK], &[]),
        (&[("etag", r#""a""#)], &[BARE], &[]),
        (&[("last-modified", T1)], &[DATED], &[0]),
        (&[("last-modified", T1)], &[DATED, DATED], &[0, 1]),
        (&[("last-modified", T2), ("date", DATE)], &[DATED], &[]),
        (
            &[("etag", r#""a""#), ("last-modified", T1)],
            &[A_DATED, B_DATED],
            &[0],
        ),
        // The entity tag contradicts, or the date cannot tell which.
        (
            &[("etag", r#""c""#), ("last-modified", T1), ("date", DATE)],
            &[A_DATED],
            &[],
        ),
        (
            &[("last-modified", T1), ("date", DATE)],
            &[A_DATED, B_DATED],
            &[],
        ),
        // A date stands in where only one side has a tag, or where the stored tag is the same but weak.
        (
            &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)],
            &[DATED],
            &[0],
        ),
        (
            &[("etag", r#""a""#), ("last-modified", T1)],
            &[&[("etag", r#"W/"a""#), ("last-modified", T1), ("date", DATE)]],
            &[0],
        ),
        // Weak: the most recent.
        (&[("etag", r#"W/"a""#)], &[WEAK], &[0]),
        (&[("etag", r#"W/"a""#)], &[WEAK_LATER, WEAK], &[0]),
        (&[("etag", r#"W/"a""#)], &[WEAK, WEAK_LATER], &[1]),
        (&[("etag", r#"W/"a""#)], &[A, B], &[0]),
        (&[("etag", r#"W/"b""#)], &[WEAK], &[]),
        (&[("etag", "book-123")], &[&[("etag", "book-123")]], &[0]),
        (&[("last-modified", T1)], &[DATED_WEAKLY], &[0]),
        (&[("last-modified", T2)], &[DATED_WEAKLY], &[]),
        // A strong date beside the weak tag has to be the same, where there is one to compare.
        (
            &[("etag", r#"W/"a""#), ("last-modified", T2), ("date", DATE)],
            &[WEAK_DATED],
            &[],
        ),
        (
            &[("etag", r#"W/"a""#), ("last-modified", T1), ("date", DATE)],
            &[WEAK_DATED],
            &[0],
        ),
        (
            &[("etag", r#"W/"a""#), ("last-modified", T2)],
            &[WEAK_DATED],
            &[0],
        ),
        (
            &[("etag", r#"W/"a""#), ("last-modified", T2), ("date", DATE)],
            &[WEAK],
            &[0],
        ),
        // None: a single candidate.
        (&[], &[BARE], &[0]),
        (&[], &[A], &[0]),
        (&[], &[A, B], &[]),
        (&[], &[], &[]),
    ];
    for (update, stored, expected) in cases {
        let candidates: Vec<_> = stored.iter().map(|lines| validators(lines)).collect();
        let found = named_by_304(&headers(update), all_selected(&candidates));
        assert_eq!(found.as_slice(), expected, "{update:?} {stored:?}");
    }
}

#[test]
fn another_variant_is_validated_by_a_strong_tag_alone() {
    const STRONG: Lines = &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)];
    const WEAK: Lines = &[("etag", r#"W/"a""#), ("last-modified", T1), ("date", DATE)];
    const DATED: Lines = &[("last-modified", T1), ("date", DATE)];
    const OWN: Lines = &[("etag", r#""own""#), ("last-modified", T2), ("date", DATE)];
    // (the selected one, another, If-None-Match, If-Modified-Since)
    type Case = (
        Option<Lines>,
        Lines,
        Option<&'static str>,
        Option<&'static str>,
    );
    let sent: [Case; 6] = [
        (None, STRONG, None, None),
        (None, WEAK, None, None),
        (None, DATED, None, None),
        (Some(OWN), STRONG, Some(r#""own", "a""#), None),
        (Some(OWN), WEAK, Some(r#""own""#), Some(T2)),
        (Some(DATED), STRONG, None, Some(T1)),
    ];
    for (selected, other, tags, since) in sent {
        let selected = selected.map(validators);
        let other = validators(other);
        let mut request = HeaderMap::new();
        conditional_fields(&mut request, candidates(selected.as_ref(), &other));
        let value = |name| {
            request
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        assert_eq!(value("if-none-match"), tags, "{selected:?} {other:?}");
        assert_eq!(value("if-modified-since"), since, "{selected:?} {other:?}");
    }
    // Where none is selected, those of others are sent once two of them are known to differ.
    for (others, tags) in [
        (&[STRONG, OWN][..], Some(r#""a", "own""#)),
        (&[STRONG, STRONG], None),
        (&[STRONG, WEAK, DATED], None),
        (&[STRONG, WEAK, OWN, STRONG], Some(r#""a", "own""#)),
    ] {
        let others: Vec<_> = others.iter().map(|lines| validators(lines)).collect();
        let mut request = HeaderMap::new();
        let candidates = others.iter().map(|validators| Candidate {
            validators,
            selected: false,
        });
        assert_eq!(conditional_fields(&mut request, candidates), tags.is_some());
        let sent = request.get("if-none-match");
        assert_eq!(sent.and_then(|v| v.to_str().ok()), tags, "{others:?}");
    }
    // (the 304's fields, the selected one, another, positions of those it names)
    let named: [(Lines, Option<Lines>, Lines, &[usize]); 9] = [
        (&[("etag", r#""a""#)], None, STRONG, &[0]),
        (&[("etag", r#""a""#)], Some(OWN), STRONG, &[1]),
        (&[("etag", r#""own""#)], Some(OWN), STRONG, &[0]),
        (&[("etag", r#""own""#)], Some(OWN), OWN, &[0]),
        (&[("etag", r#"W/"a""#)], None, STRONG, &[]),
        (&[("etag", r#"W/"a""#)], None, WEAK, &[]),
        (&[("last-modified", T1)], None, DATED, &[]),
        (&[], None, STRONG, &[]),
        (&[("last-modified", T1)], Some(DATED), DATED, &[0]),
    ];
    for (update, selected, other, expected) in named {
        let selected = selected.map(validators);
        let other = validators(other);
        let found = named_by_304(&headers(update), candidates(selected.as_ref(), &other));
        assert_eq!(
            found.as_slice(),
            expected,
            "{update:?} {selected:?} {other:?}"
        );
    }
}

fn candidates<'a>(
    selected: Option<&'a Validators>,
    other: &'a Validators,
) -> impl Iterator<Item = Candidate<'a>> {
    let selected = selected.map(|validators| Candidate {
        validators,
        selected: true,
    });
    let other = Candidate {
        validators: other,
        selected: false,
    };
    selected.into_iter().chain([other])
}

#[test]
fn an_update_replaces_fields_whole_and_leaves_the_others() {
    // (stored, update, after)
    let cases: [(Lines, Lines, Lines); 9] = [
        (
            &[("etag", r#""a""#), ("foo", "1")],
            &[("foo", "2"), ("bar", "3")],
            &[("etag", r#""a""#), ("foo", "2"), ("bar", "3")],
        ),
        (
            &[("foo", "1"), ("foo", "2"), ("bar", "3")],
            &[("foo", "4")],
            &[("foo", "4"), ("bar", "3")],
        ),
        (
            &[("foo", "1")],
            &[("foo", "2"), ("foo", "3")],
            &[("foo", "2"), ("foo", "3")],
        ),
        (
            &[("content-length", "10"), ("content-type", "a/b")],
            &[("content-length", "0"), ("content-type", "c/d")],
            &[("content-length", "10"), ("content-type", "c/d")],
        ),
        (
            &[("content-encoding", "gzip")],
            &[("content-encoding", "br"), ("content-range", "bytes 0-1/2")],
            &[("content-encoding", "gzip")],
        ),
        (
            &[("cache-control", "max-age=1"), ("expires", T1)],
            &[("cache-control", "max-age=2")],
            &[("cache-control", "max-age=2"), ("expires", T1)],
        ),
        (
            &[("foo", "1")],
            &[
                ("connection", "foo, close"),
                ("foo", "2"),
                ("keep-alive", "timeout=1"),
                ("transfer-encoding", "chunked"),
                ("proxy-authenticate", "Basic"),
                ("proxy-authentication-info", "x"),
                ("proxy-authorization", "y"),
            ],
            &[("foo", "1")],
        ),
        (&[("age", "100")], &[("date", DATE)], &[("date", DATE)]),
        (&[("age", "100")], &[("age", "3")], &[("age", "3")]),
    ];
    for (stored, update, after) in cases {
        let found = freshen(&headers(stored), &headers(update));
        assert_eq!(found, headers(after), "{stored:?} {update:?}");
    }
}

#[test]
fn a_head_response_updates_or_invalidates() {
    use HeadOutcome::{Ignore, Invalidate, Update};
    const STORED: Lines = &[("etag", r#""a""#), ("last-modified", T1)];
    let cases: [(u16, Lines, HeadOutcome); 14] = [
        (200, &[], Update),
        (200, &[("etag", r#""a""#)], Update),
        (200, &[("etag", r#""b""#)], Invalidate),
        (200, &[("etag", r#"W/"a""#)], Invalidate),
        (200, &[("last-modified", T1)], Update),
        (200, &[("last-modified", T2)], Invalidate),
        (
            200,
            &[("etag", r#""a""#), ("last-modified", T2)],
            Invalidate,
        ),
        (200, &[("content-length", "10")], Update),
        (200, &[("content-length", "11")], Invalidate),
        (200, &[("content-length", "ten")], Invalidate),
        (200, &[("content-length", "+10")], Invalidate),
        (
            200,
            &[("etag", r#""a""#), ("content-length", "9")],
            Invalidate,
        ),
        (404, &[("etag", r#""b""#)], Ignore),
        (304, &[], Ignore),
    ];
    for (status, head, expected) in cases {
        let stored = Stored {
            status: StatusCode::OK,
            headers: &headers(STORED),
            length: Some(10),
        };
        let status = StatusCode::from_u16(status).unwrap();
        let found = compare_with_head(&stored, status, &headers(head));
        assert_eq!(found, expected, "{status} {head:?}");
    }
    let gone = Stored {
        status: StatusCode::NOT_FOUND,
        headers: &HeaderMap::new(),
        length: None,
    };
    let found = compare_with_head(&gone, StatusCode::OK, &HeaderMap::new());
    assert_eq!(found, Invalidate);
}

#[test]
fn parts_share_a_strong_validator_or_are_not_combined() {
    let cases: [(Lines, Lines, bool); 8] = [
        (&[("etag", r#""a""#)], &[("etag", r#""a""#)], true),
        (&[("etag", r#""a""#)], &[("etag", r#""b""#)], false),
        (&[("etag", r#"W/"a""#)], &[("etag", r#"W/"a""#)], false),
        (&[("etag", "a")], &[("etag", "a")], false),
        (
            &[("last-modified", T1), ("date", DATE)],
            &[("last-modified", T1), ("date", DATE)],
            true,
        ),
        (
            &[("last-modified", T1), ("date", T1)],
            &[("last-modified", T1), ("date", DATE)],
            false,
        ),
        (
            &[("etag", r#""a""#), ("last-modified", T1), ("date", DATE)],
            &[("last-modified", T1), ("date", DATE)],
            false,
        ),
        (&[], &[], false),
    ];
    for (a, b, expected) in cases {
        let (a, b) = (validators(a), validators(b));
        assert_eq!(a.share_strong(&b), expected, "{a:?} {b:?}");
        assert_eq!(b.share_strong(&a), expected, "{b:?} {a:?}");
    }
}

fn field_lines() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec(
        (
            prop::sample::select(vec!["a", "b", "c", "content-length", "age"]),
            "[0-9]{1,2}",
        ),
        0..8,
    )
    .prop_map(|lines| {
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        lines.into_iter().map(owned).collect()
    })
}

fn map_of(lines: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

/// §3.2 field by field.
fn slow_freshen(stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in stored.keys().chain(update.keys()) {
        if fields.contains_key(name) {
            continue;
        }
        let from = if name == header::CONTENT_LENGTH {
            stored
        } else if name == header::AGE || update.contains_key(name) {
            update
        } else {
            stored
        };
        for value in from.get_all(name) {
            fields.append(name.clone(), value.clone());
        }
    }
    fields
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn freshen_agrees_with_the_rule_field_by_field(stored in field_lines(), update in field_lines()) {
        let (stored, update) = (map_of(&stored), map_of(&update));
        let after = freshen(&stored, &update);
        prop_assert_eq!(&after, &slow_freshen(&stored, &update));
        prop_assert_eq!(freshen(&after, &update), after);
    }

    #[test]
    fn a_304_names_only_candidates_and_none_twice(
        update in "(W/)?\"[ab]\"|a|",
        stored in prop::collection::vec("(W/)?\"[ab]\"|a|", 0..5),
    ) {
        let map = |tag: &String| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, tag.parse().unwrap());
            headers
        };
        let candidates: Vec<_> = stored.iter().map(|t| Validators::of(&map(t))).collect();
        let named = named_by_304(&map(&update), all_selected(&candidates));
        prop_assert!(named.iter().all(|&at| at < candidates.len()));
        prop_assert!(named.windows(2).all(|pair| pair[0] < pair[1]));
        if update.starts_with('"') {
            let strong = |at: &usize| stored[*at] == update;
            prop_assert!(named.iter().all(strong));
        }
    }
}
