//! Credentials and cookies: what one user's request fetched, and what another may get of it.

use super::super::policy::{SetCookie, TtlMode};
use super::tests::*;
use super::*;

#[test]
fn credentials_are_authorization_cookie_and_what_the_operator_lists() {
    let policy = Policy {
        credential_fields: vec![http::HeaderName::from_static("x-api-key")],
        ..Policy::default()
    };
    let (no, yes) = (false, true);
    for (line, authorization, cookie, listed, certificate) in [
        ("authorization: a", yes, no, no, no),
        ("cookie: a=b", no, yes, no, no),
        ("x-api-key: a", no, no, yes, no),
        ("client-cert: :YQ==:", no, no, no, yes),
        ("x-other: a", no, no, no, no),
    ] {
        let found = Credentials::of(&headers(&lines(&[line])), &policy);
        let expected = Credentials {
            authorization,
            cookie,
            listed,
            certificate,
        };
        assert_eq!(found, expected, "{line}");
        assert_eq!(found.any(), line != "x-other: a", "{line}");
    }
}

#[test]
fn authorization_needs_the_responses_leave() {
    for (value, expected) in [
        ("max-age=60", Some(NoStoreReason::Authorization)),
        (
            "max-age=60, proxy-revalidate",
            Some(NoStoreReason::Authorization),
        ),
        ("max-age=60, public", None),
        ("max-age=60, must-revalidate", None),
        ("s-maxage=60", None),
    ] {
        let case = Case {
            request: lines(&["authorization: Basic YTpi"]),
            ..Case::response(&[&format!("cache-control: {value}")])
        };
        assert_eq!(case.refusal(), expected, "{value}");
    }
    // A targeted field or a Vary is none of the directives of §3.5.
    for response in [
        &["cdn-cache-control: max-age=60"][..],
        &["cache-control: max-age=60", "vary: authorization"],
    ] {
        let mut case = Case {
            request: lines(&["authorization: x"]),
            ..Case::response(response)
        };
        assert_eq!(
            case.refusal(),
            Some(NoStoreReason::Authorization),
            "{response:?}"
        );
        case.policy.ignore.credentials = true;
        assert_eq!(case.refusal(), None, "{response:?}");
    }
}

#[test]
fn other_credentials_need_the_responses_leave_too() {
    let policy = Policy {
        credential_fields: vec![
            http::HeaderName::from_static("x-api-key"),
            http::HeaderName::from_static("x-user"),
        ],
        ..Policy::default()
    };
    let refused = Some(NoStoreReason::Credentials);
    let cases: [(&str, &[&str], Option<NoStoreReason>); 14] = [
        ("cookie: a=b", &["cache-control: max-age=60"], refused),
        ("cookie: a=b", &["cache-control: max-age=60, public"], None),
        (
            "cookie: a=b",
            &["cache-control: max-age=60, must-revalidate"],
            None,
        ),
        ("cookie: a=b", &["cache-control: s-maxage=60"], None),
        ("cookie: a=b", &["cdn-cache-control: max-age=60"], None),
        (
            "cookie: a=b",
            &["cache-control: max-age=60", "vary: accept, cookie"],
            None,
        ),
        (
            "cookie: a=b",
            &["cache-control: max-age=60", "vary: accept"],
            refused,
        ),
        ("cookie: a=b", &["etag: \"a\"", "vary: cookie"], refused),
        ("x-api-key: a", &["cache-control: max-age=60"], refused),
        ("x-api-key: a", &["cache-control: max-age=60, public"], None),
        (
            "x-api-key: a",
            &["cache-control: max-age=60", "vary: x-api-key"],
            refused,
        ),
        (
            "x-api-key: a",
            &["cache-control: max-age=60", "vary: x-api-key, x-user"],
            None,
        ),
        (
            "x-api-key: a",
            &["cache-control: max-age=60", "vary: cookie"],
            refused,
        ),
        ("x-other: a", &["cache-control: max-age=60"], None),
    ];
    for (request, response, expected) in cases {
        let mut case = Case {
            request: lines(&[request]),
            policy: policy.clone(),
            ..Case::response(response)
        };
        assert_eq!(case.refusal(), expected, "{request} {response:?}");
        case.policy.ignore.credentials = true;
        assert_eq!(case.refusal(), None, "{request} {response:?}");
    }
}

#[test]
fn an_operators_lifetime_never_shares_what_credentials_fetched() {
    for mode in [TtlMode::Fallback, TtlMode::Floor, TtlMode::Override] {
        for request in ["authorization: a", "cookie: a=b"] {
            let case = Case {
                request: lines(&[request]),
                policy: operator(mode),
                ..Case::response(&[])
            };
            assert!(case.refusal().is_some(), "{mode:?} {request}");
        }
    }
}

#[test]
fn a_response_that_sets_a_cookie_is_stored_only_at_the_origins_word() {
    let modified = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT";
    // Whether it is stored with "refuse", and with "store".
    let cases: [(&[&str], bool, bool); 18] = [
        (&["cache-control: max-age=60"], false, true),
        (&["expires: Thu, 18 Aug 2050 02:01:18 GMT"], false, true),
        (&["cache-control: max-age=60, must-revalidate"], false, true),
        (&["cache-control: s-maxage=60", "vary: cookie"], true, true),
        (&["cache-control: public", modified], true, true),
        (&["cdn-cache-control: max-age=60"], true, true),
        (
            &["cache-control: max-age=60", "vary: Accept, Cookie"],
            false,
            false,
        ),
        (&["cache-control: max-age=0", modified], false, false),
        (
            &["cache-control: max-age=60, no-cache", modified],
            false,
            false,
        ),
        (
            &["cache-control: public, max-age=0", modified],
            false,
            false,
        ),
        (&["cache-control: public, no-cache", modified], false, false),
        (&["cache-control: s-maxage=0", modified], false, false),
        (&["cache-control: no-cache", modified], false, false),
        (&["expires: 0", modified], false, false),
        (&[modified], false, false),
        (&["etag: \"a\""], false, false),
        (
            &["cache-control: private=\"set-cookie\"", modified],
            true,
            true,
        ),
        (
            &["cache-control: no-cache=set-cookie", modified],
            true,
            true,
        ),
    ];
    for (response, by_default, at_its_lifetime) in cases {
        let mut case = Case::response(response);
        case.response.push("set-cookie: a=b".into());
        for (mode, stored) in [
            (SetCookie::Refuse, by_default),
            (SetCookie::Store, at_its_lifetime),
        ] {
            case.policy.set_cookie = mode;
            let expected = (!stored).then_some(NoStoreReason::SetCookie);
            assert_eq!(case.refusal(), expected, "{mode:?} {response:?}");
        }
        for (mode, ignored) in [(SetCookie::Strip, false), (SetCookie::Refuse, true)] {
            case.policy.set_cookie = mode;
            case.policy.ignore.set_cookie = ignored;
            let Storability::Store(keep) = case.assess() else {
                panic!("{response:?} is not stored although the route strips Set-Cookie");
            };
            assert!(keep.without_set_cookie, "{response:?}");
        }
    }
}

#[test]
fn an_operators_lifetime_does_not_store_cookies() {
    for mode in [
        TtlMode::Fallback,
        TtlMode::Cap,
        TtlMode::Floor,
        TtlMode::Override,
    ] {
        let silent = Case {
            policy: operator(mode),
            ..Case::response(&["set-cookie: a=b", "etag: \"a\""])
        };
        assert_eq!(silent.refusal(), Some(NoStoreReason::SetCookie), "{mode:?}");
        // Where the origin has spoken the operator's lifetime changes nothing about it.
        let mut spoken = Case {
            policy: operator(mode),
            ..Case::response(&["set-cookie: a=b", "cache-control: max-age=3600"])
        };
        assert_eq!(spoken.refusal(), Some(NoStoreReason::SetCookie), "{mode:?}");
        spoken.policy.set_cookie = SetCookie::Store;
        assert_eq!(spoken.refusal(), None, "{mode:?}");
    }
}
