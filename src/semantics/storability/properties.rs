//! What holds for any message.

use proptest::prelude::*;

use super::super::policy::TtlMode;
use super::tests::*;
use super::*;

fn case() -> impl Strategy<Value = Case> {
    let request = proptest::sample::subsequence(
        vec![
            "authorization: a",
            "cookie: a=b",
            "cache-control: no-store",
            "x-api-key: k",
        ],
        0..=4,
    );
    let response = proptest::sample::subsequence(
        vec![
            "cache-control: max-age=60",
            "cache-control: s-maxage=60",
            "cache-control: public",
            "cache-control: must-revalidate",
            "cache-control: no-cache",
            "cache-control: must-understand",
            "cdn-cache-control: max-age=60",
            "expires: 0",
            "etag: \"a\"",
            "vary: cookie",
            "vary: *",
            "set-cookie: a=b",
            "age: 100",
        ],
        0..=13,
    );
    let method = proptest::sample::select(vec!["GET", "QUERY", "HEAD", "POST", "PUT"]);
    let status = proptest::sample::select(vec![200_u16, 206, 299, 304, 404, 500, 599]);
    (
        request,
        response,
        method,
        status,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(request, response, method, status, ttl, answers_get)| Case {
                method,
                request: lines(&request),
                status,
                response: lines(&response),
                answers_get,
                policy: Policy {
                    credential_fields: vec![http::HeaderName::from_static("x-api-key")],
                    ..if ttl {
                        operator(TtlMode::Override)
                    } else {
                        Policy::default()
                    }
                },
                ..Case::default()
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn more_restriction_never_stores_more(
        case in case(),
        restriction in proptest::sample::select(vec![
            "cache-control: no-store", "cache-control: private", "vary: *", "set-cookie: a=b", "cache-control: max-age=0",
        ]),
    ) {
        let mut restricted = case.clone();
        restricted.response.push(restriction.into());
        // A max-age beside must-understand or where there is no lifetime at all is one; elsewhere it only shortens.
        prop_assume!(!restriction.ends_with("max-age=0") || case.response.iter().any(|line| line.contains("max-age")));
        prop_assert!(case.refusal().is_none() || restricted.refusal().is_some());
    }

    #[test]
    fn a_request_with_more_to_hide_never_stores_more(
        case in case(),
        field in proptest::sample::select(vec!["authorization: a", "cookie: a=b", "x-api-key: k", "cache-control: no-store"]),
    ) {
        let mut restricted = case.clone();
        restricted.request.push(field.into());
        prop_assert!(case.refusal().is_none() || restricted.refusal().is_some());
    }

    #[test]
    fn no_store_and_private_are_never_stored(case in case()) {
        for directive in ["cache-control: no-store", "cache-control: private"] {
            let mut restricted = case.clone();
            restricted.response.retain(|line| !line.contains("must-understand") && !line.starts_with("cdn-"));
            restricted.response.push(directive.into());
            prop_assert!(restricted.refusal().is_some());
        }
    }
}
