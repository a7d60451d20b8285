//! What holds for any message.

use proptest::prelude::*;

use super::tests::*;
use super::*;

fn field_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-4_000_000_000_i64..200_000_000_000).prop_map(date),
        proptest::string::string_regex("[ -~]{0,20}").unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arithmetic_never_overflows(
        values in proptest::collection::vec(
            (proptest::sample::select(vec!["age", "date", "expires", "last-modified"]), field_value()), 0..5),
        max_age in proptest::option::of(any::<u64>()),
        (request_time, response_time, resident) in any::<(u64, u64, u64)>(),
    ) {
        let mut fields: Vec<(&str, String)> = values;
        fields.extend(max_age.map(|secs| ("cache-control", format!("max-age={secs}"))));
        let case = Case {
            receipt: Receipt {
                request_time: Timestamp::from_millis(request_time),
                response_time: Timestamp::from_millis(response_time),
            },
            ..Case::default()
        };
        let freshness = case.compute(&fields);
        for resident in [Duration::from_millis(resident), Duration::MAX] {
            prop_assert!(freshness.age(resident) >= freshness.age(Duration::ZERO));
            prop_assert!(freshness.ttl(resident) <= freshness.ttl(Duration::ZERO));
            prop_assert_eq!(freshness.ttl(resident) > 0, freshness.is_fresh(resident));
        }
    }

    #[test]
    fn age_and_ttl_of_a_fresh_response_add_up(lifetime in 1_u64..4_000_000_000, resident in 0_u64..5_000_000_000_000) {
        let freshness = compute(&[("cache-control", format!("max-age={lifetime}"))]);
        let resident = Duration::from_millis(resident);
        prop_assume!(freshness.is_fresh(resident));
        prop_assert_eq!(
            i64::from(freshness.age(resident).as_secs()) + freshness.ttl(resident),
            i64::from(freshness.lifetime.as_secs())
        );
    }

    #[test]
    fn a_smaller_max_age_is_never_fresher(a: u32, b: u32, resident: u32) {
        let resident = Duration::from_millis(resident.into());
        let fresh = |secs: u32| compute(&[("cache-control", format!("max-age={secs}"))]).is_fresh(resident);
        prop_assert!(fresh(a.min(b)) <= fresh(a.max(b)));
    }

    #[test]
    fn a_larger_age_or_older_date_is_never_fresher(a: u16, b: u16, before in 0_i64..1000, resident: u16) {
        let fresh = |age: u16, before: i64| {
            let fields = [
                ("cache-control", "max-age=500".into()),
                ("age", age.to_string()),
                ("date", date(-before)),
            ];
            compute(&fields).is_fresh(Duration::from_secs(resident.into()))
        };
        prop_assert!(fresh(a.max(b), before) <= fresh(a.min(b), before));
        prop_assert!(fresh(a, before) <= fresh(a, 0));
    }
}
