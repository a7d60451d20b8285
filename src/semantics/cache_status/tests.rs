use proptest::prelude::*;
use sfv::{BareItem, List, ListEntry, Parser};

use super::super::freshness::MustValidate;
use super::*;

fn written(status: &CacheStatus, name: &str) -> String {
    let mut out = Vec::new();
    status.write_to(&InstanceName::new(name), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn members_are_written_with_the_parameters_that_mean_something() {
    let uri_miss = CacheStatus::forwarded(ForwardReason::UriMiss);
    let cases = [
        (CacheStatus::hit(376), "bookend; hit; ttl=376"),
        (CacheStatus::hit(-412), "bookend; hit; ttl=-412"),
        (CacheStatus::hit(0), "bookend; hit; ttl=0"),
        (uri_miss.clone(), "bookend; fwd=uri-miss"),
        (
            CacheStatus {
                forward_status: Some(StatusCode::OK),
                stored: true,
                ..uri_miss.clone()
            },
            "bookend; fwd=uri-miss; fwd-status=200; stored",
        ),
        (
            CacheStatus {
                forward_status: Some(StatusCode::NOT_MODIFIED),
                stored: true,
                ttl: Some(60),
                detail: Some(Detail::Validated(ValidateReason::MustValidate(
                    MustValidate::SMaxage,
                ))),
                ..CacheStatus::forwarded(ForwardReason::Stale)
            },
            "bookend; fwd=stale; fwd-status=304; stored; ttl=60; detail=s-maxage",
        ),
        (
            CacheStatus {
                collapsed: Some(true),
                ..uri_miss.clone()
            },
            "bookend; fwd=uri-miss; collapsed",
        ),
        (
            CacheStatus {
                collapsed: Some(false),
                ..uri_miss.clone()
            },
            "bookend; fwd=uri-miss; collapsed=?0",
        ),
        (
            CacheStatus {
                detail: Some(Detail::NotStored(NoStoreReason::Private)),
                ..uri_miss.clone()
            },
            "bookend; fwd=uri-miss; detail=private",
        ),
        (
            CacheStatus {
                detail: Some(Detail::Stale(StaleReason::Error)),
                ..CacheStatus::hit(-1)
            },
            "bookend; hit; ttl=-1; detail=stale-if-error",
        ),
        (
            CacheStatus {
                key: Some("GET \"http://a/\\é\"".into()),
                ..CacheStatus::hit(1)
            },
            r#"bookend; hit; ttl=1; key="GET \"http://a/\\?\"""#,
        ),
        (
            CacheStatus {
                detail: Some(Detail::Other("too large")),
                ..uri_miss
            },
            "bookend; fwd=uri-miss; detail=\"too large\"",
        ),
        // hit and fwd exclude one another, and so do their parameters.
        (
            CacheStatus {
                stored: true,
                collapsed: Some(true),
                forward_status: Some(StatusCode::OK),
                ..CacheStatus::hit(1)
            },
            "bookend; hit; ttl=1",
        ),
        (
            CacheStatus {
                hit: true,
                ..CacheStatus::forwarded(ForwardReason::Partial)
            },
            "bookend; fwd=partial",
        ),
        (
            CacheStatus {
                ttl: Some(i64::MIN),
                ..CacheStatus::default()
            },
            "bookend; ttl=-999999999999999",
        ),
    ];
    for (status, expected) in cases {
        assert_eq!(written(&status, "bookend"), expected, "{status:?}");
    }
}

#[test]
fn every_reason_has_the_name_that_the_rfc_gives_it() {
    use ForwardReason::*;
    let named = [
        (Bypass, "bypass"),
        (Method, "method"),
        (UriMiss, "uri-miss"),
        (VaryMiss, "vary-miss"),
        (Miss, "miss"),
        (Request, "request"),
        (Stale, "stale"),
        (Partial, "partial"),
    ];
    for (reason, name) in named {
        assert_eq!(reason.to_string(), name);
    }
}

#[test]
fn a_name_is_a_token_or_else_a_string() {
    for (name, expected) in [
        ("bookend", "bookend; hit; ttl=1"),
        ("cache-3.example.com", "cache-3.example.com; hit; ttl=1"),
        ("a:80/x", "a:80/x; hit; ttl=1"),
        ("*x", "*x; hit; ttl=1"),
        ("10.0.0.1", "\"10.0.0.1\"; hit; ttl=1"),
        ("CDN Company Here", "\"CDN Company Here\"; hit; ttl=1"),
        ("a\"b\\c", r#""a\"b\\c"; hit; ttl=1"#),
        ("b\u{fc}cher\r\n", "\"b?cher??\"; hit; ttl=1"),
        ("", "\"\"; hit; ttl=1"),
    ] {
        assert_eq!(written(&CacheStatus::hit(1), name), expected, "{name}");
    }
}

#[test]
fn the_member_follows_those_of_the_caches_behind() {
    let mut headers = HeaderMap::new();
    headers.append(
        "cache-status",
        HeaderValue::from_static("OriginCache; hit; ttl=1100"),
    );
    headers.append(
        "cache-status",
        HeaderValue::from_static("\"Another One\"; fwd=miss"),
    );
    CacheStatus::hit(545).append_to(&mut headers, &InstanceName::new("bookend"));
    let lines: Vec<_> = headers.get_all("cache-status").iter().collect();
    assert_eq!(
        lines,
        [
            "OriginCache; hit; ttl=1100",
            "\"Another One\"; fwd=miss",
            "bookend; hit; ttl=545"
        ]
    );
}

#[test]
fn a_long_member_is_written_whole() {
    let key = "k".repeat(5_000);
    let status = CacheStatus {
        key: Some(key.as_str().into()),
        ..CacheStatus::hit(1)
    };
    let mut headers = HeaderMap::new();
    status.append_to(&mut headers, &InstanceName::new("bookend"));
    assert_eq!(
        headers["cache-status"],
        format!("bookend; hit; ttl=1; key=\"{key}\"").as_str()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_member_is_a_structured_field(
        name in any::<String>(),
        key in proptest::option::of(any::<String>()),
        (hit, stored, ttl) in any::<(bool, bool, Option<i64>)>(),
        collapsed in any::<Option<bool>>(),
        status in proptest::option::of(100_u16..1000),
    ) {
        let value = CacheStatus {
            hit,
            forward: (!hit).then_some(ForwardReason::Miss),
            forward_status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            ttl,
            stored,
            collapsed,
            key: key.map(Into::into),
            detail: Some(Detail::NotStored(NoStoreReason::SetCookie)),
        };
        let mut headers = HeaderMap::new();
        value.append_to(&mut headers, &InstanceName::new(&name));
        let list: List = Parser::new(headers["cache-status"].as_bytes()).parse().unwrap();
        let [ListEntry::Item(item)] = list.as_slice() else {
            panic!("{list:?} is not one item");
        };
        prop_assert!(matches!(item.bare_item, BareItem::String(_) | BareItem::Token(_)));
        prop_assert_eq!(item.params.contains_key("hit"), hit);
        prop_assert_eq!(item.params.contains_key("fwd"), !hit);
        prop_assert_eq!(item.params.contains_key("stored"), stored && !hit);
        prop_assert_eq!(item.params.contains_key("ttl"), ttl.is_some());
    }
}
