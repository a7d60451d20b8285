use super::super::freshness::Receipt;
use super::super::policy::{OperatorTtl, TtlMode};
use super::super::time::Timestamp;
use super::*;

pub(super) const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

/// A response and the request it answers; every field is a line `name: value`.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) request: Vec<String>,
    pub(super) status: u16,
    pub(super) response: Vec<String>,
    pub(super) preconditioned: bool,
    pub(super) answers_get: bool,
    pub(super) policy: Policy,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            method: "GET",
            request: Vec::new(),
            status: 200,
            response: vec!["cache-control: max-age=60".into()],
            preconditioned: false,
            answers_get: false,
            policy: Policy::default(),
        }
    }
}

pub(super) fn headers(lines: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, value.parse().unwrap());
    }
    headers
}

pub(super) fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

impl Case {
    pub(super) fn response(response: &[&str]) -> Self {
        Self {
            response: lines(response),
            ..Self::default()
        }
    }

    pub(super) fn assess(&self) -> Storability {
        let request = headers(&self.request);
        let headers = headers(&self.response);
        let directives = ResponseDirectives::parse(&headers, &self.policy.targeted_fields);
        let status = StatusCode::from_u16(self.status).unwrap();
        let credentials = Credentials::of(&request, &self.policy);
        let freshness = Freshness::compute(
            status,
            &headers,
            &directives,
            Receipt {
                request_time: NOW,
                response_time: NOW,
            },
            credentials.any(),
            &self.policy,
        );
        assess(&StoreInput {
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            request: RequestDirectives::parse(&request).honoured(&self.policy.honour),
            credentials,
            preconditioned: self.preconditioned,
            negotiated: names_negotiation(&request, &headers),
            answers_get: self.answers_get,
            status,
            headers: &headers,
            directives: &directives,
            freshness: &freshness,
            policy: &self.policy,
        })
    }

    /// `None` when it is stored.
    pub(super) fn refusal(&self) -> Option<NoStoreReason> {
        match self.assess() {
            Storability::Store(_) => None,
            Storability::Refuse(reason) => Some(reason),
        }
    }
}

pub(super) fn operator(mode: TtlMode) -> Policy {
    Policy {
        ttl: Some(OperatorTtl::of(mode, DeltaSeconds::new(300))),
        ..Policy::default()
    }
}

#[test]
fn methods_that_are_understood_are_stored() {
    use NoStoreReason::{Head, Method};
    for (method, expected) in [
        ("GET", None),
        ("QUERY", None),
        ("HEAD", Some(Head)),
        ("PUT", Some(Method)),
        ("DELETE", Some(Method)),
        ("PATCH", Some(Method)),
        ("OPTIONS", Some(Method)),
        ("PROPFIND", Some(Method)),
        ("get", Some(Method)),
        ("FOO", Some(Method)),
    ] {
        let case = Case {
            method,
            ..Case::default()
        };
        assert_eq!(case.refusal(), expected, "{method}");
    }
}

#[test]
fn a_post_response_needs_explicit_freshness_and_its_target_as_content_location() {
    let post = Case {
        method: "POST",
        answers_get: true,
        ..Case::default()
    };
    assert_eq!(post.refusal(), None);
    let refused = [
        Case {
            answers_get: false,
            ..post.clone()
        },
        Case {
            response: lines(&["last-modified: Sun, 06 Nov 1994 08:49:37 GMT"]),
            ..post.clone()
        },
        Case {
            response: lines(&["etag: \"a\""]),
            policy: operator(TtlMode::Fallback),
            ..post.clone()
        },
    ];
    for case in refused {
        assert_eq!(case.refusal(), Some(NoStoreReason::Post), "{case:?}");
    }
}

#[test]
fn final_statuses_with_explicit_freshness_are_stored_known_or_not() {
    let never = [304, 428, 429, 431, 511];
    for status in 200..=599 {
        if status == 206 {
            continue;
        }
        let case = Case {
            status,
            ..Case::default()
        };
        let expected = match status {
            status if never.contains(&status) => Some(NoStoreReason::Status),
            406 | 412..=417 | 421 | 422 => Some(NoStoreReason::RequestFields),
            _ => None,
        };
        assert_eq!(case.refusal(), expected, "{status}");
    }
    for status in [100, 101, 102, 103, 199] {
        let case = Case {
            status,
            ..Case::default()
        };
        assert_eq!(case.refusal(), Some(NoStoreReason::Interim), "{status}");
    }
}

#[test]
fn without_explicit_freshness_the_status_or_public_must_allow_it() {
    let cacheable = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501];
    for status in [
        200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414,
        451, 500, 501, 502, 503, 504, 599,
    ] {
        let case = Case {
            status,
            ..Case::response(&["etag: \"a\""])
        };
        let expected = (!cacheable.contains(&status)).then_some(NoStoreReason::NotCacheable);
        assert_eq!(case.refusal(), expected, "{status}");
        let public = Case {
            status,
            ..Case::response(&["etag: \"a\"", "cache-control: public"])
        };
        assert_eq!(public.refusal(), None, "{status} public");
    }
}

#[test]
fn any_of_the_origins_lifetimes_makes_a_response_cacheable() {
    let year = "expires: Thu, 18 Aug 2050 02:01:18 GMT";
    for line in [
        "cache-control: max-age=60",
        "cache-control: s-maxage=60",
        year,
        "cdn-cache-control: max-age=60",
    ] {
        let case = Case {
            status: 201,
            ..Case::response(&[line])
        };
        assert_eq!(case.refusal(), None, "{line}");
    }
}

#[test]
fn an_operators_lifetime_makes_a_listed_status_cacheable() {
    let mut policy = operator(TtlMode::Fallback);
    let silent = Case {
        policy: policy.clone(),
        ..Case::response(&[])
    };
    assert_eq!(silent.refusal(), None);
    assert_eq!(
        Case {
            status: 201,
            ..silent.clone()
        }
        .refusal(),
        Some(NoStoreReason::NotCacheable)
    );
    policy
        .ttl
        .as_mut()
        .unwrap()
        .lifetimes
        .push((StatusCode::CREATED, DeltaSeconds::new(300)));
    assert_eq!(
        Case {
            status: 201,
            policy,
            ..silent
        }
        .refusal(),
        None
    );
}

#[test]
fn no_store_of_either_side_forbids_storing() {
    let request = Case {
        request: lines(&["cache-control: no-store"]),
        ..Case::default()
    };
    assert_eq!(request.refusal(), Some(NoStoreReason::RequestNoStore));
    for value in [
        "no-store",
        "No-Store",
        "max-age=60, no-store",
        "no-store, public, s-maxage=60",
        "no-store=\"x\"",
    ] {
        let case = Case::response(&[&format!("cache-control: {value}")]);
        assert_eq!(case.refusal(), Some(NoStoreReason::NoStore), "{value}");
    }
    // What the request says is honoured or not by the route, and what the response says ignored only by name.
    let mut deaf = request.clone();
    deaf.policy.honour.no_store = false;
    assert_eq!(deaf.refusal(), None);
    let mut ignoring = Case::response(&["cache-control: max-age=60, no-store"]);
    ignoring.policy = operator(TtlMode::Override);
    assert_eq!(ignoring.refusal(), Some(NoStoreReason::NoStore));
    ignoring.policy.ignore.no_store = true;
    assert_eq!(ignoring.refusal(), None);
}

#[test]
fn must_understand_overrides_no_store_where_the_status_is_understood() {
    for (status, value, expected) in [
        (200, "max-age=60, must-understand", None),
        (200, "max-age=60, no-store, must-understand", None),
        (404, "max-age=60, must-understand, no-store", None),
        (
            299,
            "max-age=60, must-understand",
            Some(NoStoreReason::NotUnderstood),
        ),
        (
            599,
            "max-age=60, must-understand, no-store",
            Some(NoStoreReason::NotUnderstood),
        ),
        (599, "max-age=60", None),
    ] {
        let case = Case {
            status,
            ..Case::response(&[&format!("cache-control: {value}")])
        };
        assert_eq!(case.refusal(), expected, "{status} {value}");
    }
}

#[test]
fn private_responses_are_not_stored_but_private_fields_only_left_out() {
    for (value, expected) in [
        ("private", Some(NoStoreReason::Private)),
        ("PRIVATE, max-age=60", Some(NoStoreReason::Private)),
        ("private, public, max-age=60", Some(NoStoreReason::Private)),
        ("private=\"\", max-age=60", Some(NoStoreReason::Private)),
        ("private=\"set-cookie\", max-age=60", None),
        ("private=set-cookie, max-age=60", None),
    ] {
        let case = Case::response(&[&format!("cache-control: {value}")]);
        assert_eq!(case.refusal(), expected, "{value}");
    }
    let mut ignoring = Case::response(&["cache-control: private, max-age=60"]);
    ignoring.policy = operator(TtlMode::Override);
    assert_eq!(ignoring.refusal(), Some(NoStoreReason::Private));
    ignoring.policy.ignore.private = true;
    assert_eq!(ignoring.refusal(), None);
}

#[test]
fn targeted_directives_decide_about_storing() {
    let cases: [(&str, &str, Option<NoStoreReason>); 7] = [
        ("max-age=60", "no-store", None),
        ("none", "no-store", Some(NoStoreReason::NeverReusable)),
        ("no-store", "max-age=60", Some(NoStoreReason::NoStore)),
        (
            "private, max-age=60",
            "public",
            Some(NoStoreReason::Private),
        ),
        ("max-age=60", "private", None),
        (
            "no-cache, max-age=60",
            "max-age=60",
            Some(NoStoreReason::NeverReusable),
        ),
        ("max-age=&", "no-store", Some(NoStoreReason::NoStore)),
    ];
    for (targeted, general, expected) in cases {
        let case = Case::response(&[
            &format!("cdn-cache-control: {targeted}"),
            &format!("cache-control: {general}"),
        ]);
        assert_eq!(case.refusal(), expected, "{targeted} / {general}");
    }
    // A field that is not on the list changes nothing.
    let other = Case::response(&["x-cache-control: no-store", "cache-control: max-age=60"]);
    assert_eq!(other.refusal(), None);
}

#[test]
fn what_varies_on_everything_is_not_stored() {
    for value in ["*", "accept, *", "*, accept"] {
        let case = Case::response(&["cache-control: max-age=60", &format!("vary: {value}")]);
        assert_eq!(case.refusal(), Some(NoStoreReason::VaryAny), "{value}");
    }
    assert_eq!(
        Case::response(&["cache-control: max-age=60", "vary: accept"]).refusal(),
        None
    );
}

#[test]
fn a_206_is_stored_as_one_range_of_octets() {
    let case = |method, range: &str| Case {
        method,
        status: 206,
        ..Case::response(&[
            "cache-control: max-age=60",
            &format!("content-range: {range}"),
        ])
    };
    let Storability::Store(keep) = case("GET", "bytes 0-4/10").assess() else {
        panic!("a 206 is not stored");
    };
    assert_eq!(keep.scope, Scope::Partial);
    for (method, range) in [
        ("GET", "bytes 0-4/*"),
        ("GET", "lines 0-4/10"),
        ("GET", "bytes 4-0/10"),
        ("GET", "x"),
        ("QUERY", "bytes 0-4/10"),
    ] {
        let case = case(method, range);
        assert_eq!(
            case.refusal(),
            Some(NoStoreReason::PartialUnit),
            "{method} {range}"
        );
    }
    let several = Case {
        status: 206,
        ..Case::default()
    };
    assert_eq!(several.refusal(), Some(NoStoreReason::PartialUnit));
    let Storability::Store(keep) = Case::default().assess() else {
        panic!("a 200 is not stored");
    };
    assert_eq!(keep.scope, Scope::Whole);
}

#[test]
fn an_answer_to_the_clients_own_conditions_is_not_stored() {
    for (status, preconditioned, expected) in [
        (412, true, Some(NoStoreReason::Precondition)),
        (416, true, Some(NoStoreReason::Precondition)),
        (412, false, Some(NoStoreReason::RequestFields)),
        (416, false, Some(NoStoreReason::RequestFields)),
        (200, true, None),
    ] {
        let case = Case {
            status,
            preconditioned,
            ..Case::default()
        };
        assert_eq!(case.refusal(), expected, "{status} {preconditioned}");
    }
}

#[test]
fn what_could_never_be_used_is_not_stored() {
    let refused = Some(NoStoreReason::NeverReusable);
    let cases: [(&[&str], Option<NoStoreReason>); 17] = [
        (&[], refused),
        (&["etag: \"a\""], None),
        (&["last-modified: Sun, 06 Nov 1994 08:49:37 GMT"], None),
        (&["last-modified: yesterday"], refused),
        (&["cache-control: no-cache"], refused),
        (&["cache-control: no-cache, max-age=60"], refused),
        (&["cache-control: no-cache", "etag: \"a\""], None),
        (&["cache-control: max-age=0"], refused),
        (&["cache-control: max-age=0", "etag: \"a\""], None),
        (&["expires: 0"], refused),
        (
            &["cache-control: max-age=0, stale-while-revalidate=5"],
            None,
        ),
        (&["cache-control: max-age=0, stale-if-error=5"], None),
        (
            &["cache-control: max-age=0, stale-if-error=5, must-revalidate"],
            refused,
        ),
        // Stale on arrival: of use only to a client with max-stale.
        (&["cache-control: max-age=60", "age: 60"], None),
        (
            &["cache-control: max-age=60, must-revalidate", "age: 60"],
            refused,
        ),
        (&["cache-control: s-maxage=60", "age: 60"], refused),
        (
            &["cache-control: s-maxage=60", "age: 60", "etag: \"a\""],
            None,
        ),
    ];
    for (response, expected) in cases {
        assert_eq!(Case::response(response).refusal(), expected, "{response:?}");
    }
}

#[test]
fn reasons_have_tokens_of_their_own() {
    use NoStoreReason::*;
    let all = [
        Method,
        Head,
        Post,
        RequestNoStore,
        Interim,
        Status,
        Precondition,
        NotUnderstood,
        PartialUnit,
        NoStore,
        Private,
        Authorization,
        Credentials,
        SetCookie,
        VaryAny,
        NotCacheable,
        NeverReusable,
    ];
    let tokens: std::collections::HashSet<_> = all.iter().map(ToString::to_string).collect();
    assert_eq!(tokens.len(), all.len());
    assert!(
        tokens
            .iter()
            .all(|token| token.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
    );
    assert!(
        NoStore.is_in_response() && SetCookie.is_in_response() && NeverReusable.is_in_response()
    );
    assert!(
        !RequestNoStore.is_in_response()
            && !Authorization.is_in_response()
            && !Credentials.is_in_response()
    );
}

#[test]
fn fields_that_are_not_for_the_store_are_left_out() {
    let response = headers(&lines(&[
        "content-type: text/plain",
        "x-new: 1",
        "x-new: 2",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "secret: s",
        "connection: close, x-hop",
        "x-hop: 1",
        "keep-alive: timeout=5",
        "transfer-encoding: chunked",
        "upgrade: h2c",
        "te: trailers",
        "trailer: x",
        "proxy-authenticate: Basic",
        "proxy-authentication-info: x",
        "proxy-authorization: Basic",
        "cache-control: max-age=60, private=\"Secret\", no-cache=\"x-nc\"",
        "x-nc: 1",
    ]));
    let directives = ResponseDirectives::parse(&response, &[]);
    let keep = Keep {
        scope: Scope::Whole,
        without_set_cookie: false,
    };
    let stored = stored_fields(&response, &directives, keep);
    let mut names: Vec<_> = stored.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["cache-control", "content-type", "set-cookie", "x-new"]
    );
    // Regression: repeated fields stay as many as they were.
    assert_eq!(stored.get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        stored.get_all("x-new").iter().collect::<Vec<_>>(),
        ["1", "2"]
    );
    let without = Keep {
        without_set_cookie: true,
        ..keep
    };
    assert!(!stored_fields(&response, &directives, without).contains_key("set-cookie"));
}
