use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::semantics::time::Timestamp;

type Lines = &'static [(&'static str, &'static str)];

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn fields(names: &[&'static str]) -> Vary {
    Vary::Fields(
        names
            .iter()
            .map(|name| HeaderName::from_static(name))
            .collect(),
    )
}

#[test]
fn vary_is_a_list_of_names_or_matches_nothing() {
    let cases: [(&[&str], Vary); 16] = [
        (&[], Vary::None),
        (&[""], Vary::None),
        (&[" , "], Vary::None),
        (&["Accept"], fields(&["accept"])),
        (&["Foo, accept ,,ACCEPT"], fields(&["accept", "foo"])),
        (&["foo", "bar"], fields(&["bar", "foo"])),
        (&["*"], Vary::Any),
        (&["*, *"], Vary::Any),
        (&["foo, *"], Vary::Any),
        (&["*, foo"], Vary::Any),
        (&[", *"], Vary::Any),
        (&["", "*"], Vary::Any),
        (&["foo", "*"], Vary::Any),
        (&["*", "foo"], Vary::Any),
        (&["foo bar"], Vary::Any),
        (&["foo; bar"], Vary::Any),
    ];
    for (lines, expected) in cases {
        let mut response = HeaderMap::new();
        for line in lines {
            response.append(header::VARY, line.parse().unwrap());
        }
        assert_eq!(Vary::parse(&response), expected, "{lines:?}");
    }
    for name in ["X-Forwarded-For", "Forwarded"] {
        let response = headers(&[("vary", name)]);
        assert_eq!(Vary::parse(&response), Vary::Any, "{name}");
    }
    let many: Vec<_> = (0..=nominated::MOST_FIELDS)
        .map(|i| format!("f{i}"))
        .collect();
    let response = headers(&[("vary", &many.join(","))]);
    assert_eq!(Vary::parse(&response), Vary::Any);
}

/// Whether a response stored for `one` is selected by `another`, by all fields that either has.
fn same_variant(one: &HeaderMap, another: &HeaderMap, policy: &VaryPolicy) -> bool {
    let names = one.keys().chain(another.keys()).cloned();
    let vary = Vary::Fields(names.collect());
    let key = VariantKey::of(&vary, one, policy);
    let other = VariantKey::of(&vary, another, policy);
    let matches = key.matches(another, policy);
    assert_eq!(matches, other.matches(one, policy), "symmetric");
    assert_eq!(matches, key == other, "keys are equal just when they match");
    matches
}

#[test]
fn insignificant_differences_select_the_same_variant() {
    let cases: [(Lines, Lines); 28] = [
        (&[("foo", "1")], &[("foo", "1")]),
        (&[("foo", "1, 2")], &[("foo", "1,2")]),
        (&[("foo", "1, 2")], &[("foo", "1 \t,\t2")]),
        (&[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")]),
        (&[("foo", "\"a, b\" , c")], &[("foo", "\"a, b\",c")]),
        (
            &[("accept-language", "en, de")],
            &[("accept-language", "en,de")],
        ),
        (
            &[("accept-language", "en, de")],
            &[("accept-language", "eN, De")],
        ),
        (
            &[("accept-language", "en, de")],
            &[("accept-language", "de, en")],
        ),
        (
            &[("accept-language", "en, de")],
            &[("accept-language", "  en ,   de")],
        ),
        (
            &[("accept-language", "en, de")],
            &[("accept-language", "en"), ("accept-language", "de")],
        ),
        (
            &[("accept-language", "en;q=0.5, de")],
            &[("accept-language", "de, EN ;Q=0.500")],
        ),
        (
            &[("accept-language", "en")],
            &[("accept-language", "en;q=1.0")],
        ),
        (
            &[("accept-language", "en")],
            &[("accept-language", ", en,,")],
        ),
        (
            &[("accept-language", "en")],
            &[("accept-language", "en, en")],
        ),
        (
            &[("accept-encoding", "gzip, br")],
            &[("accept-encoding", "BR,gzip")],
        ),
        (
            &[("accept-encoding", "gzip")],
            &[("accept-encoding", "x-gzip")],
        ),
        (
            &[("accept-encoding", "gzip;q=1, *;q=0")],
            &[("accept-encoding", "*; q=0.000, gzip")],
        ),
        (&[("accept-encoding", "")], &[("accept-encoding", " , ")]),
        (
            &[("accept-charset", "UTF-8")],
            &[("accept-charset", "utf-8")],
        ),
        (
            &[("accept", "text/html, */*;q=0.1")],
            &[("accept", "*/*; q=0.1,TEXT/HTML")],
        ),
        (
            &[("accept", "text/html;Level=1")],
            &[("accept", "text/html; level=\"1\"")],
        ),
        (
            &[("accept", "text/html;charset=UTF-8")],
            &[("accept", "text/html;charset=utf-8")],
        ),
        (
            &[("accept", "text/html;q=0.5;level=1")],
            &[("accept", "text/html;level=1;q=0.5")],
        ),
        (&[("accept", "a/b; c=\"x\\y\"")], &[("accept", "a/b;c=xy")]),
        (&[("accept", "a/b;;")], &[("accept", "a/b")]),
        (&[("host", "Example.com")], &[("host", "example.com")]),
        (
            &[("cookie", "a=1; b=2")],
            &[("cookie", "a=1"), ("cookie", "b=2")],
        ),
        (&[], &[]),
    ];
    for (one, another) in cases {
        let policy = VaryPolicy::default();
        assert!(
            same_variant(&headers(one), &headers(another), &policy),
            "{one:?} {another:?}"
        );
    }
}

#[test]
fn significant_differences_select_another_variant() {
    let cases: [(Lines, Lines); 37] = [
        (&[("foo", "1")], &[("foo", "2")]),
        (&[("foo", "1")], &[]),
        (&[], &[("foo", "1")]),
        (&[("foo", "")], &[]),
        (&[("foo", "1, 2")], &[("foo", "2, 1")]),
        (&[("foo", "a")], &[("foo", "A")]),
        (&[("foo", "a b")], &[("foo", "a  b")]),
        (&[("foo", "a,,b")], &[("foo", "a,b")]),
        (&[("foo", "\"a, b\"")], &[("foo", "\"a,b\"")]),
        (&[("foo", "1"), ("bar", "1")], &[("foo", "1"), ("bar", "2")]),
        (&[("foo", "1"), ("bar", "1")], &[("foo", "1")]),
        (&[("accept-encoding", "")], &[]),
        (&[("accept-encoding", "gzip")], &[]),
        (
            &[("accept-encoding", "gzip")],
            &[("accept-encoding", "gzip;q=0")],
        ),
        (
            &[("accept-encoding", "gzip")],
            &[("accept-encoding", "gzip, br")],
        ),
        (
            &[("accept-encoding", "gzip, br;q=0.5")],
            &[("accept-encoding", "gzip;q=0.5, br")],
        ),
        (
            &[("accept-encoding", "gzip, gzip;q=0.5")],
            &[("accept-encoding", "gzip;q=0.5, gzip")],
        ),
        (
            &[("accept-language", "en;q=0.5")],
            &[("accept-language", "en;q=0.51")],
        ),
        (
            &[("accept-language", "en;q=0.5555")],
            &[("accept-language", "en;q=0.555")],
        ),
        (
            &[("accept-language", "en;q=500")],
            &[("accept-language", "en;q=0.5")],
        ),
        (
            &[("accept-language", "en")],
            &[("accept-language", "en-gb")],
        ),
        (&[("accept", "text/html")], &[("accept", "text/*")]),
        (&[("accept", "a/b;c=x")], &[("accept", "a/b;c=X")]),
        (&[("accept", "a/b;c=x")], &[("accept", "a/b")]),
        (
            &[("authorization", "Basic a, b")],
            &[("authorization", "Basic a,b")],
        ),
        (&[("cookie", "a=1,2")], &[("cookie", "a=1, 2")]),
        (
            &[("user-agent", "x (KHTML, like Gecko)")],
            &[("user-agent", "x (KHTML,like Gecko)")],
        ),
        (&[("cookie", "a=1; b=2")], &[("cookie", "b=2; a=1")]),
        // Commas and spaces in a quoted string, whose end a quoted-pair does not make.
        (&[("foo", r#""a ,b""#)], &[("foo", r#""a,b""#)]),
        (&[("foo", r#""a\" , b""#)], &[("foo", r#""a\",b""#)]),
        (&[("foo", r#"\"a, b""#)], &[("foo", r#"\"a,b""#)]),
        // Not of the field's grammar: nothing is known of the order.
        (&[("accept", "*/html, a/b")], &[("accept", "a/b, */html")]),
        (&[("accept", "a b/c, d/e")], &[("accept", "d/e, a b/c")]),
        (&[("accept", "a/b c, d/e")], &[("accept", "d/e, a/b c")]),
        (&[("accept", "a/b;c=@, d/e")], &[("accept", "d/e, a/b;c=@")]),
        (
            &[("accept-language", "en;q=1.5")],
            &[("accept-language", "en")],
        ),
        (
            &[("accept-language", "x-gzip")],
            &[("accept-language", "gzip")],
        ),
    ];
    for (one, another) in cases {
        let policy = VaryPolicy::default();
        assert!(
            !same_variant(&headers(one), &headers(another), &policy),
            "{one:?} {another:?}"
        );
    }
}

#[test]
fn weighted_fields_have_one_normal_form() {
    for (name, value, expected) in [
        ("accept-language", "en ;q=0.5,  DE", "de,en;q=0.500"),
        ("accept-language", "en;q=1.0, en", "en"),
        ("accept-encoding", "", ""),
        ("accept-encoding", "x-gzip;q=0, *", "*,gzip;q=0.000"),
        (
            "accept",
            r#"a/b;C="x\"\\\y";q=0.25, */*"#,
            r#"*/*,a/b;c="x\"\\y";q=0.250"#,
        ),
        ("foo", "b , a,,", "b,a,,"),
    ] {
        let name = HeaderName::from_static(name);
        let found = normalise::normal_form(&name, value.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found), expected, "{name}: {value}");
    }
}

#[test]
fn only_nominated_fields_select() {
    let policy = VaryPolicy::default();
    let key = VariantKey::of(
        &fields(&["foo"]),
        &headers(&[("foo", "1"), ("bar", "1")]),
        &policy,
    );
    assert!(key.matches(&headers(&[("foo", "1"), ("bar", "2")]), &policy));
    assert_eq!(key.weight(), size_of::<Selecting>() + "1".len());
    let reduced = headers(&[("accept-encoding", "br, GZIP")]);
    let reduced = VariantKey::of(&fields(&["accept-encoding"]), &reduced, &policy);
    let octets = "br, GZIP".len() + "br,gzip".len();
    assert_eq!(reduced.weight(), size_of::<Selecting>() + octets);
    let key = VariantKey::of(&Vary::None, &headers(&[("foo", "1")]), &policy);
    assert!(key.matches(&headers(&[("foo", "2")]), &policy));
    assert_eq!(key.weight(), 0);
}

#[test]
fn a_key_tells_other_requests_apart_and_describes_itself() {
    let policy = VaryPolicy::default();
    let one = headers(&[("foo", "1"), ("accept-encoding", "br, gzip")]);
    let same = headers(&[("foo", "1"), ("accept-encoding", "GZIP, br"), ("bar", "2")]);
    let other = headers(&[("foo", "2")]);
    let vary = fields(&["accept-encoding", "foo"]);
    let key = VariantKey::of(&vary, &other, &policy);
    assert!(!key.tells_apart(&one, &same, &policy));
    assert!(key.tells_apart(&one, &other, &policy));
    assert!(!key.tells_apart(&other, &other, &policy));
    assert_eq!(key.describe(), ["accept-encoding", "foo: 2"]);
    assert_eq!(VariantKey::of(&Vary::Any, &one, &policy).describe(), ["*"]);
    assert!(
        VariantKey::of(&Vary::None, &one, &policy)
            .describe()
            .is_empty()
    );
}

#[test]
fn a_star_never_matches_not_even_itself() {
    let policy = VaryPolicy::default();
    let request = headers(&[("foo", "1")]);
    let key = VariantKey::of(&Vary::Any, &request, &policy);
    assert!(!key.matches(&request, &policy));
}

fn routed() -> VaryPolicy {
    VaryPolicy {
        languages: ["en", "de", "pt-BR"].map(String::from).to_vec(),
        encodings: ["br", "gzip"].map(String::from).to_vec(),
    }
}

#[test]
fn a_route_reduces_to_its_languages_and_codings() {
    let to = |value| Reduced::To(HeaderValue::from_static(value));
    let cases = [
        ("accept-language", "de", to("de")),
        ("accept-language", "de-AT, en;q=0.9", to("de")),
        ("accept-language", "DE-at;q=0.2, fr", to("de")),
        ("accept-language", "fr, en-GB;q=0.8, de;q=0.9", to("de")),
        ("accept-language", "pt-br", to("pt-BR")),
        ("accept-language", "pt", to("pt-BR")),
        ("accept-language", "de, en", to("en")),
        ("accept-language", "*", to("en")),
        ("accept-language", "en;q=0, *", to("de")),
        ("accept-language", "fr", Reduced::Absent),
        ("accept-language", "en;q=0", Reduced::Absent),
        ("accept-language", "d_e", Reduced::AsIs),
        ("accept-encoding", "gzip, deflate, br", to("br, gzip")),
        ("accept-encoding", "gzip", to("gzip")),
        ("accept-encoding", "GZIP;q=0.5, br;q=0.5", to("br, gzip")),
        ("accept-encoding", "gzip, br;q=0.9", to("gzip")),
        ("accept-encoding", "*", to("br, gzip")),
        ("accept-encoding", "br;q=0, *;q=0.1", to("gzip")),
        ("accept-encoding", "deflate", to("identity")),
        ("accept-encoding", "", to("identity")),
        ("accept-encoding", "gzip;q=0", to("identity")),
        ("accept-encoding", "deflate, identity;q=0", Reduced::AsIs),
        ("accept-encoding", "deflate, *;q=0", Reduced::AsIs),
        ("accept-encoding", "gzip;x=1", Reduced::AsIs),
        ("accept", "text/html", Reduced::AsIs),
        ("foo", "gzip", Reduced::AsIs),
    ];
    for (name, value, expected) in cases {
        let name = HeaderName::from_static(name);
        let request = headers(&[(name.as_str().to_owned().leak(), value)]);
        assert_eq!(
            reduce(&name, &request, &routed()),
            expected,
            "{name}: {value}"
        );
        assert_eq!(
            reduce(&name, &HeaderMap::new(), &routed()),
            Reduced::AsIs,
            "absent"
        );
    }
    let request = headers(&[("accept-language", "de")]);
    let without = reduce(&header::ACCEPT_LANGUAGE, &request, &VaryPolicy::default());
    assert_eq!(without, Reduced::AsIs);
}

#[test]
fn what_is_reduced_to_the_same_selects_the_same() {
    let pairs: [(Lines, Lines, bool); 6] = [
        (
            &[("accept-language", "de-AT, en;q=0.5")],
            &[("accept-language", "de")],
            true,
        ),
        (
            &[("accept-encoding", "gzip, deflate, br, zstd")],
            &[("accept-encoding", "br, gzip")],
            true,
        ),
        (
            &[("accept-encoding", "deflate")],
            &[("accept-encoding", "identity")],
            true,
        ),
        (&[("accept-language", "fr")], &[], true),
        (&[("accept-encoding", "deflate")], &[], false),
        (
            &[("accept-language", "de")],
            &[("accept-language", "en")],
            false,
        ),
    ];
    for (one, another, expected) in pairs {
        let found = same_variant(&headers(one), &headers(another), &routed());
        assert_eq!(found, expected, "{one:?} {another:?}");
    }
}

#[test]
fn preference_then_recency_chooses_among_matching_responses() {
    // (request, stored responses with their Date in seconds, the best)
    type Case = (Lines, &'static [(Lines, u64)], Option<usize>);
    const VARY: (&str, &str) = ("vary", "accept, accept-language, accept-encoding");
    let cases: [Case; 10] = [
        (&[], &[], None),
        (&[], &[(&[], 1)], Some(0)),
        (&[], &[(&[], 1), (&[], 3), (&[], 2)], Some(1)),
        (
            &[("accept-language", "en;q=0.5, de")],
            &[
                (&[VARY, ("content-language", "de")], 1),
                (&[VARY, ("content-language", "en")], 2),
            ],
            Some(0),
        ),
        (
            &[("accept-language", "en, de")],
            &[
                (&[VARY, ("content-language", "de")], 1),
                (&[VARY, ("content-language", "en")], 2),
            ],
            Some(1),
        ),
        (
            &[("accept", "text/*;q=0.3, text/plain;q=0.7, */*;q=0.5")],
            &[
                (&[VARY, ("content-type", "text/html")], 3),
                (&[VARY, ("content-type", "text/plain;charset=utf-8")], 1),
                (&[VARY, ("content-type", "image/png")], 2),
            ],
            Some(1),
        ),
        (
            &[("accept", "text/plain;q=0.7, text/plain;format=flowed")],
            &[
                (&[VARY, ("content-type", "text/plain; Format=Flowed")], 1),
                (&[VARY, ("content-type", "text/plain")], 2),
            ],
            Some(0),
        ),
        (
            &[("accept-encoding", "gzip, br;q=0.5")],
            &[
                (&[VARY, ("content-encoding", "br")], 2),
                (&[VARY, ("content-encoding", "gzip")], 1),
                (&[VARY], 3),
            ],
            Some(1),
        ),
        // The one that omits Vary was sent by mistake for requests like this.
        (
            &[("accept-language", "de")],
            &[
                (&[VARY, ("content-language", "de")], 1),
                (&[VARY, ("content-language", "de")], 2),
                (&[("content-language", "en")], 3),
            ],
            Some(1),
        ),
        // Not nominated: no preference.
        (
            &[("accept-language", "en;q=0.5, de")],
            &[
                (&[("content-language", "de")], 1),
                (&[("content-language", "en")], 2),
            ],
            Some(1),
        ),
    ];
    for (request, stored, expected) in cases {
        let responses: Vec<_> = stored
            .iter()
            .map(|(lines, date)| (headers(lines), Timestamp::from_secs(*date)))
            .collect();
        let matching = responses.iter().map(|(headers, date)| (headers, *date));
        assert_eq!(prefer(&headers(request), matching), expected, "{request:?}");
    }
}

fn field_value() -> impl Strategy<Value = String> {
    let member = "(en|DE|gzip|text/html|\\*/\\*|a=\"b,c\"|x y)? ?(;q=[01](\\.[05]{0,3})?)? ?";
    prop::collection::vec(member, 0..4).prop_map(|members| members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn matching_is_reflexive_and_the_normal_form_is_stable(
        name in prop::sample::select(vec!["accept", "accept-language", "accept-encoding", "foo", "cookie"]),
        value in field_value(),
        routed_too in any::<bool>(),
    ) {
        let policy = if routed_too { routed() } else { VaryPolicy::default() };
        let name = HeaderName::from_static(name);
        let mut request = HeaderMap::new();
        request.insert(name.clone(), value.parse().unwrap());
        let key = VariantKey::of(&Vary::Fields(smallvec::smallvec![name.clone()]), &request, &policy);
        prop_assert!(key.matches(&request, &policy));

        let sent = normalise::joined(&name, &request).unwrap();
        let once = normalise::normal_form(&name, &sent).into_owned();
        let twice = normalise::normal_form(&name, &once).into_owned();
        prop_assert_eq!(twice, once);
        if let Reduced::To(reduced) = reduce(&name, &request, &policy) {
            request.insert(name.clone(), reduced.clone());
            let again = reduce(&name, &request, &policy);
            prop_assert_eq!(again, Reduced::To(reduced));
            prop_assert!(key.matches(&request, &policy), "what is forwarded selects the same");
        }
    }

    #[test]
    fn the_order_of_weighted_members_never_matters(members in prop::collection::vec("[a-c](;q=0\\.[0-9])?", 1..5)) {
        let policy = VaryPolicy::default();
        let there = headers(&[("accept-encoding", &members.join(","))]);
        let back: Vec<_> = members.iter().rev().cloned().collect();
        let back = headers(&[("accept-encoding", &back.join(" , "))]);
        let distinct = |m: &String| members.iter().filter(|n| n[..1] == m[..1]).count() == 1;
        if members.iter().all(distinct) {
            prop_assert!(same_variant(&there, &back, &policy));
        }
    }

    #[test]
    fn any_request_field_is_compared_without_panic(value in "[ -~]{0,20}", other in "[ -~]{0,20}") {
        for name in ["accept", "accept-language", "accept-encoding", "foo"] {
            let name: &'static str = name;
            same_variant(&headers(&[(name, &value)]), &headers(&[(name, &other)]), &routed());
        }
    }
}
