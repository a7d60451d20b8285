//! What holds for any message.

use proptest::prelude::*;

use super::tests::*;
use super::*;

/// How much a decision lets the client have without the upstream.
fn permissiveness(reuse: Reuse) -> u8 {
    match reuse {
        Reuse::Fresh { .. } | Reuse::Stale { .. } | Reuse::StaleWhileRevalidate { .. } => 1,
        Reuse::Validate { .. } | Reuse::Miss(_) | Reuse::Unsatisfiable => 0,
    }
}

fn response_line() -> impl Strategy<Value = String> {
    let directive = prop_oneof![
        (0_u32..40).prop_map(|n| format!("max-age={n}")),
        (0_u32..40).prop_map(|n| format!("s-maxage={n}")),
        (0_u32..40).prop_map(|n| format!("stale-while-revalidate={n}")),
        (0_u32..40).prop_map(|n| format!("stale-if-error={n}")),
        proptest::sample::select(vec![
            "no-cache",
            "must-revalidate",
            "proxy-revalidate",
            "public",
            "immutable",
            "foo"
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(directive, 0..4).prop_map(|all| all.join(", "))
}

fn request_line() -> impl Strategy<Value = String> {
    let directive = prop_oneof![
        (0_u32..40).prop_map(|n| format!("max-age={n}")),
        (0_u32..40).prop_map(|n| format!("min-fresh={n}")),
        (0_u32..40).prop_map(|n| format!("max-stale={n}")),
        (0_u32..40).prop_map(|n| format!("stale-if-error={n}")),
        proptest::sample::select(vec!["no-cache", "no-store", "max-stale", "only-if-cached"])
            .prop_map(str::to_owned),
    ];
    proptest::collection::vec(directive, 0..4).prop_map(|all| all.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_restriction_never_makes_reuse_more_permissive(
        directives in response_line(),
        asks in request_line(),
        age in 0_u64..80,
        more in proptest::sample::select(vec!["no-cache", "must-revalidate", "proxy-revalidate"]),
        asks_more in proptest::sample::select(vec!["no-cache", "max-age=3", "min-fresh=3", "no-store"]),
    ) {
        let reuse = permissiveness(found(&directives, age, Duration::ZERO, &asks));
        let restricted = format!("{directives}, {more}");
        prop_assert!(permissiveness(found(&restricted, age, Duration::ZERO, &asks)) <= reuse);
        let asked = format!("{asks}, {asks_more}");
        prop_assert!(permissiveness(found(&directives, age, Duration::ZERO, &asked)) <= reuse);
    }

    #[test]
    fn getting_older_never_makes_reuse_more_permissive(
        directives in response_line(), asks in request_line(), age in 0_u64..80, more in 0_u64..80,
    ) {
        let young = permissiveness(found(&directives, age, Duration::ZERO, &asks));
        let old = permissiveness(found(&directives, age, Duration::from_millis(more * 500), &asks));
        prop_assert!(old <= young);
    }

    #[test]
    fn what_is_not_fresh_and_not_permitted_is_not_served(
        directives in response_line(), asks in request_line(), age in 0_u64..80,
    ) {
        let freshness = response(&directives, age);
        let fresh = freshness.is_fresh(Duration::ZERO);
        let forbidden = directives.contains("no-cache")
            || !fresh && ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|d| directives.contains(d));
        let permitted = directives.contains("stale-while-revalidate") || asks.contains("max-stale");
        if forbidden || !fresh && !permitted || asks.contains("no-cache") {
            prop_assert_eq!(permissiveness(found(&directives, age, Duration::ZERO, &asks)), 0);
        }
    }

    #[test]
    fn restrictions_never_serve_more_on_error(
        directives in response_line(), asks in request_line(), age in 0_u64..80,
        more in proptest::sample::select(vec!["no-cache", "must-revalidate", "proxy-revalidate"]),
    ) {
        let served = |directives: &str, asks: &str| {
            let freshness = response(directives, age);
            let policy = Policy::default();
            on_error(Failure::Disconnected, &freshness, Duration::ZERO, &request(asks), &policy).is_some()
        };
        let before = served(&directives, &asks);
        let restricted = format!("{directives}, {more}");
        let asked = format!("{asks}, no-cache");
        prop_assert!(served(&restricted, &asks) <= before);
        prop_assert!(served(&directives, &asked) <= before);
    }
}
