//! How long a response is fresh, and how old it is (RFC 9111 §4.2), as its fields are written in the wild.

use super::{before, is_reused, secs, with};
use crate::common::{Gateway, Origin, http_date, reply};

const OLD: (&str, &str) = ("Last-Modified", "Sun, 01 Nov 2020 08:00:00 GMT");

#[test]
fn lifetimes_are_read_as_tolerantly_as_the_rules_say() {
    // (fields, fresh after a second, fresh after a hundred)
    let table: &[(&[(&str, &str)], bool, bool)] = &[
        // §5.2: names without regard to case, optional white space, quoted or token arguments
        (&[("Cache-Control", "max-age=60")], true, false),
        (&[("Cache-Control", "MaX-aGe=60")], true, false),
        (&[("Cache-Control", "max-age=\"60\"")], true, false),
        (&[("Cache-Control", " , max-age=60 ,, ")], true, false),
        (&[("Cache-Control", "\tmax-age=60\t")], true, false),
        (
            &[("Cache-Control", "foo=\"max-age=3600\", max-age=60")],
            true,
            false,
        ),
        (
            &[
                ("Cache-Control", "foo, max-age=60"),
                ("Cache-Control", "bar"),
            ],
            true,
            false,
        ),
        (
            &[("Cache-Control", "extension=\"a, no-store\", max-age=60")],
            true,
            false,
        ),
        // §1.2.2: overflow counts as 2^31
        (
            &[("Cache-Control", "max-age=99999999999999999999")],
            true,
            true,
        ),
        (&[("Cache-Control", "max-age=2147483649")], true, true),
        (&[("Cache-Control", "max-age=060")], true, false),
        // §4.2.1: what is invalid is stale
        (&[("Cache-Control", "max-age=-60")], false, false),
        (&[("Cache-Control", "max-age=60.5")], false, false),
        (&[("Cache-Control", "max-age=sixty")], false, false),
        (&[("Cache-Control", "max-age=")], false, false),
        (&[("Cache-Control", "max-age")], false, false),
        (&[("Cache-Control", "max-age=0")], false, false),
        (&[("Cache-Control", "'max-age=60'")], false, false),
        // §5.2.2.10: s-maxage goes before max-age, and max-age before Expires (§5.3)
        (&[("Cache-Control", "s-maxage=60, max-age=0")], true, false),
        (
            &[("Cache-Control", "max-age=3600, s-maxage=60")],
            true,
            false,
        ),
        (
            &[
                ("Cache-Control", "max-age=60"),
                ("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
            true,
            false,
        ),
        (
            &[("Cache-Control", "s-maxage=0, max-age=3600")],
            false,
            false,
        ),
        // §5.3: an invalid date is in the past
        (&[("Expires", "0")], false, false),
        (&[("Expires", "-1")], false, false),
        (&[("Expires", "")], false, false),
        (&[("Expires", "tomorrow")], false, false),
        (
            &[("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
            false,
            false,
        ),
        (&[("Expires", "Sun, 01 Nov 2099 08:00:00 GMT")], true, true),
        (&[("Expires", "Sunday, 01-Nov-48 08:00:00 GMT")], true, true),
        (&[("Expires", "Sun Nov  1 08:00:00 2099")], true, true),
        (
            &[("Expires", "Sun, 01 Nov 2099 08:00:00 PST")],
            false,
            false,
        ),
        (&[("Expires", "0"), OLD], false, false),
        // §4.2.2: heuristics where nothing is said, and only there
        (&[OLD], true, true),
        (&[("Cache-Control", "max-age=60"), OLD], true, false),
        (&[], false, false),
        (&[("Last-Modified", "yesterday")], false, false),
    ];
    for (lines, soon, late) in table {
        assert_eq!(is_reused(200, lines, 1), *soon, "after 1 s: {lines:?}");
        assert_eq!(is_reused(200, lines, 100), *late, "after 100 s: {lines:?}");
    }
}

#[test]
fn expires_counts_from_date() {
    // RFC 9111 §4.2.1
    let origin = Origin::start(|request, conn| {
        let (date, expires) = (http_date(-30), http_date(30));
        conn.reply(
            request,
            &reply(200)
                .field("Date", date)
                .field("Expires", expires)
                .body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(200);
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit());
    assert!(
        (25..=31).contains(&hit.number("ttl").unwrap()),
        "{}",
        hit.cache_status()
    );
    gateway.advance(secs(31));
    assert!(!gateway.get("/a").is_hit());
}

#[test]
fn age_counts_against_the_lifetime_and_is_passed_on() {
    // RFC 9111 §4.2.3, §5.1: (Age, fresh under max-age=60 at once, the Age told)
    let table = [
        ("0", true, Some(0)),
        ("30", true, Some(30)),
        ("59", true, Some(59)),
        ("60", false, None),
        ("3600", false, None),
        ("99999999999", false, None),
    ];
    for (age, fresh, told) in table {
        let (_origin, gateway) = before(&[("Cache-Control", "max-age=60"), ("Age", age)]);
        assert_eq!(
            gateway.get("/a").expect(200).age(),
            age.parse().ok().map(|age: u64| age.min(1 << 31)),
            "{age}"
        );
        let second = gateway.get("/a").expect(200);
        assert_eq!(second.is_hit(), fresh, "{age}");
        if let Some(told) = told {
            assert!(
                (told..=told + 1).contains(&second.age().unwrap()),
                "{age}: {:?}",
                second.age()
            );
        }
    }
}

#[test]
fn a_response_that_came_without_an_age_gets_one_only_from_the_store() {
    // RFC 9111 §4, §5.1
    let (_origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    assert_eq!(gateway.get("/a").age(), None);
    gateway.advance(secs(7));
    assert_eq!(gateway.get("/a").age(), Some(7));
}

#[test]
fn an_old_date_makes_a_response_old() {
    // RFC 9111 §4.2.3: apparent_age
    for (ago, fresh) in [(10, true), (120, false)] {
        let origin = Origin::start(move |request, conn| {
            let answer = reply(200)
                .field("Date", http_date(-ago))
                .field("Cache-Control", "max-age=60");
            conn.reply(request, &answer.body("1984"));
        });
        let gateway = Gateway::before(&origin).manual_clock().start();
        gateway.get("/a").expect(200);
        assert_eq!(gateway.get("/a").is_hit(), fresh, "{ago}");
    }
}

#[test]
fn only_some_statuses_are_fresh_by_heuristics_and_all_by_explicit_freshness() {
    // RFC 9110 §15.1, RFC 9111 §4.2.2
    for status in [200, 203, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert!(is_reused(status, &[OLD], 1), "{status} by heuristics");
    }
    for status in [201, 202, 302, 303, 307, 400, 403, 500, 503, 299, 599] {
        assert!(!is_reused(status, &[OLD], 1), "{status} by heuristics");
    }
    for status in [
        200, 201, 202, 203, 204, 299, 302, 303, 307, 400, 403, 404, 418, 451, 499, 500, 502, 503,
        504, 599,
    ] {
        assert!(
            is_reused(status, &[("Cache-Control", "max-age=60")], 1),
            "{status} by max-age"
        );
        assert!(
            is_reused(status, &[("Expires", "Sun, 01 Nov 2099 08:00:00 GMT")], 1),
            "{status} by Expires"
        );
    }
}

#[test]
fn an_operator_s_lifetime_meets_the_origin_s_as_its_mode_says() {
    // (mode, the origin's Cache-Control, fresh after 5 s, after 30 s, after 90 s), with ttl = 20s
    let table = [
        ("fallback", None, [true, false, false]),
        ("fallback", Some("max-age=60"), [true, true, false]),
        ("cap", Some("max-age=60"), [true, false, false]),
        ("cap", Some("max-age=10"), [true, false, false]),
        ("floor", Some("max-age=60"), [true, true, false]),
        ("floor", Some("max-age=1"), [true, false, false]),
        ("override", Some("max-age=60"), [true, false, false]),
        ("override", Some("max-age=0"), [true, false, false]),
        ("override", Some("no-store"), [false, false, false]),
        (
            "override",
            Some("private, max-age=60"),
            [false, false, false],
        ),
    ];
    for (mode, says, expected) in table {
        for (after, fresh) in [5, 30, 90].into_iter().zip(expected) {
            let lines: Vec<_> = says
                .map(|says| ("Cache-Control", says))
                .into_iter()
                .collect();
            let origin = Origin::answering(with(reply(200), &lines).body("1984"));
            let route = format!("ttl = \"20s\"\nttl_mode = \"{mode}\"");
            let gateway = Gateway::before(&origin)
                .route("/{*all}", &route)
                .manual_clock()
                .start();
            gateway.get("/a").expect(200);
            gateway.advance(secs(after));
            assert_eq!(
                gateway.get("/a").is_hit(),
                fresh,
                "{mode}, {says:?}, after {after} s"
            );
        }
    }
}
