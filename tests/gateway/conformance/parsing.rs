//! Cache-Control, Expires, Date and Age as servers write them in the wild, well and badly (RFC 9111 §4.2, §5).

use super::bench::{Bench, Lines, Rows, at, ok};
use super::with;
use crate::common::{Gate, get, reply};

/// How long a response answers from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    Never,
    Minute,
    /// For an hour at least.
    Long,
}

use Fresh::{Long, Minute, Never};

/// Fetches all rows at once; asks for them again at once, after 59 seconds, 61, and most of an hour.
fn lifetimes(rows: &[(Lines<'_>, Fresh)]) {
    let bench = Bench::new();
    let pages: Vec<_> = rows
        .iter()
        .map(|(lines, _)| bench.answering([ok(lines)]))
        .collect();
    for page in &pages {
        page.get().expect(200);
    }
    let mut failed = Rows::default();
    let mut reused = |after: &str, wanted: &dyn Fn(Fresh) -> bool| {
        for (page, (lines, fresh)) in pages.iter().zip(rows) {
            let answer = page.ask(&[("Cache-Control", "only-if-cached")]);
            failed.check(answer.is_hit() == wanted(*fresh), || {
                format!("{lines:?} {after}: {}", answer.cache_status())
            });
        }
    };
    reused("at once", &|fresh| fresh != Never);
    bench.pass(59);
    reused("after 59 s", &|fresh| fresh != Never);
    bench.pass(2);
    reused("after 61 s", &|fresh| fresh == Long);
    bench.pass(3000);
    reused("after 3061 s", &|fresh| fresh == Long);
}

/// The same for so many lines of one field each, beside those that all rows have.
fn lines_of(name: &str, all: Lines<'_>, rows: &[(&[&str], Fresh)]) {
    let lines: Vec<Vec<(&str, &str)>> = rows
        .iter()
        .map(|(values, _)| {
            let own = values.iter().map(|value| (name, *value));
            all.iter().copied().chain(own).collect()
        })
        .collect();
    let rows: Vec<(Lines<'_>, Fresh)> = lines
        .iter()
        .zip(rows)
        .map(|(lines, (_, fresh))| (lines.as_slice(), *fresh))
        .collect();
    lifetimes(&rows);
}

fn cache_control(rows: &[(&[&str], Fresh)]) {
    lines_of("Cache-Control", &[], rows);
}

#[test]
fn max_age_in_the_wild() {
    cache_control(&[
        // RFC 9111 §5.2.2.1, §1.2.2
        (&["max-age=60"], Minute),
        (&["max-age=3600"], Long),
        (&["max-age=0"], Never),
        (&["max-age=2147483647"], Long),
        (&["max-age=2147483648"], Long),
        (&["max-age=2147483649"], Long),
        (&["max-age=4294967296"], Long),
        (&["max-age=18446744073709551616"], Long),
        (&["max-age=000000000000000000000000000060"], Minute),
        // §5.2: a quoted argument is accepted; apostrophes are no quotes
        (&["max-age=\"60\""], Minute),
        (&["max-age=\"6\\0\""], Minute),
        (&["max-age='60'"], Never),
        (&["max-age=\"60"], Never),
        (&["max-age=60\""], Never),
        (&["max-age=\" 60\""], Never),
        // §4.2.1: invalid freshness information is stale
        (&["max-age=-1"], Never),
        (&["max-age=-3600"], Never),
        (&["max-age=+3600"], Never),
        (&["max-age=3600.0"], Never),
        (&["max-age=3600.5"], Never),
        (&["max-age=1e9"], Never),
        (&["max-age=0xFFFF"], Never),
        (&["max-age=a3600"], Never),
        (&["max-age=3600a"], Never),
        (&["max-age=3600s"], Never),
        (&["max-age=3600 s"], Never),
        (&["max-age=3600;foo=bar"], Never),
        (&["max-age:3600"], Never),
        (&["max-age3600"], Never),
        (&["max_age=3600"], Never),
        (&["x-max-age=3600"], Never),
        (&["max-age-x=3600"], Never),
        (&["max-age"], Never),
        (&["max-age="], Never),
        (&["max-age=\"\""], Never),
        // §5.2: names have no case
        (&["MAX-AGE=60"], Minute),
        (&["Max-Age=60"], Minute),
        // RFC 9110 §5.6.1.2: empty members, white space around members
        (&[", max-age=60"], Minute),
        (&[",,,max-age=60,,"], Minute),
        (&[" \t max-age=60 \t "], Minute),
        (&["foo,max-age=60,bar"], Minute),
        (&["foo\t,\tmax-age=60"], Minute),
        (&["", "max-age=60"], Minute),
        (&["max-age=60", ""], Minute),
        // RFC 9110 §5.3: lines are one list
        (&["foo", "max-age=60", "bar"], Minute),
        // RFC 9110 §5.6.4: what is quoted is no directive
        (&["ext=\"max-age=3600\", max-age=60"], Minute),
        (&["max-age=60, ext=\"max-age=3600\""], Minute),
        (&["ext=\"a, max-age=3600, b\", max-age=60"], Minute),
        (&["ext=\"\\\", no-store, \\\"\", max-age=60"], Minute),
        (&["ext=\"no-store\""], Never),
        (&["ext=no-store, max-age=60"], Minute),
        // §5.2.3: unknown directives mean nothing
        (&["max-age=60, foo"], Minute),
        (&["max-age=60, foo=bar"], Minute),
        (&["max-age=60, foo=\"bar baz\""], Minute),
        (
            &["max-age=60, FOO=1, no_store, nostore, no-store-x"],
            Minute,
        ),
        (
            &["max-age=60, max-stale=3600, min-fresh=9, only-if-cached"],
            Minute,
        ),
    ]);
}

#[test]
fn several_lifetimes_yield_the_most_restrictive() {
    // RFC 9111 §4.2.1: the first, or stale; and where directives conflict the most restrictive
    cache_control(&[
        (&["max-age=60, max-age=60"], Minute),
        (&["max-age=0, max-age=3600"], Never),
        (&["max-age=3600, max-age=0"], Never),
        (&["max-age=0", "max-age=3600"], Never),
        (&["max-age=3600", "max-age=0"], Never),
        (&["max-age=3600, max-age=nonsense"], Never),
        (&["max-age=nonsense, max-age=3600"], Never),
        (&["max-age=3600, no-store"], Never),
        (&["no-store", "max-age=3600"], Never),
        (&["public, private, max-age=3600"], Never),
        (&["s-maxage=60, s-maxage=0"], Never),
        (&["s-maxage=0, s-maxage=60"], Never),
        // §5.2.2.10
        (&["s-maxage=60"], Minute),
        (&["S-MaxAge=60"], Minute),
        (&["s-maxage=\"60\""], Minute),
        (&["max-age=0, s-maxage=60"], Minute),
        (&["s-maxage=60, max-age=0"], Minute),
        (&["s-maxage=60", "max-age=3600"], Minute),
        (&["max-age=60, s-maxage=3600"], Long),
        (&["max-age=3600, s-maxage=0"], Never),
        (&["max-age=3600, s-maxage=x"], Never),
        (&["max-age=3600, s-maxage"], Never),
        (&["max-age=3600, s-maxage=-1"], Never),
        (&["max-age=60, smax-age=3600, s-max-age=3600"], Minute),
    ]);
}

#[test]
fn other_response_directives_in_the_wild() {
    cache_control(&[
        // RFC 9111 §5.2.2.9: no freshness by itself
        (&["public"], Never),
        (&["public, max-age=60"], Minute),
        (&["must-revalidate"], Never),
        (&["must-revalidate, max-age=60"], Minute),
        (&["proxy-revalidate, max-age=60"], Minute),
        (&["immutable, max-age=60"], Minute),
        (&["immutable"], Never),
        (&["no-transform, max-age=60"], Minute),
        // §5.2.2.5, §5.2.2.7, §5.2.2.4: an argument that they do not have, or a broken one, does not weaken them
        (&["no-store=0, max-age=3600"], Never),
        (&["no-store=\"\", max-age=3600"], Never),
        (&["No-STORE, max-age=3600"], Never),
        (&["private, max-age=3600"], Never),
        (&["private=\"\", max-age=3600"], Never),
        (&["private=\"set-cookie, max-age=3600"], Never),
        (&["no-cache, max-age=3600"], Never),
        (&["no-cache=\"\", max-age=3600"], Never),
        (&["no-cache=\"a b\", max-age=3600"], Never),
        // with names they concern these fields only
        (&["private=\"x-a\", max-age=60"], Minute),
        (&["private=x-a, max-age=60"], Minute),
        (&["no-cache=\"x-a, x-b\", max-age=60"], Minute),
        (&["no-cache=\"x-a\", no-cache, max-age=60"], Never),
        (&["private=\"x-a\", private, max-age=60"], Never),
        // §5.2.2.3
        (&["must-understand, no-store, max-age=60"], Minute),
        (&["no-store, max-age=60, must-understand"], Minute),
        (&["must-understand, no-store"], Never),
        (&["must-understand, private, max-age=60"], Never),
        (&["must-understand, max-age=3600"], Long),
    ]);
}

#[test]
fn expires_in_the_wild() {
    // RFC 9110 §5.6.7, RFC 9111 §5.3
    let date = ("Date", "Tue, 14 Nov 2023 22:13:20 GMT");
    lines_of(
        "Expires",
        &[date],
        &[
            (&["Tue, 14 Nov 2023 22:14:20 GMT"], Minute),
            (&["Tuesday, 14-Nov-23 22:14:20 GMT"], Minute),
            (&["Tue Nov 14 22:14:20 2023"], Minute),
            (&["Tue, 14 Nov 2023 23:14:20 GMT"], Long),
            (&["Tue, 19 Jan 2038 03:14:08 GMT"], Long),
            (&["Fri, 31 Dec 9999 23:59:59 GMT"], Long),
            (&["Fri Dec  1 08:00:00 2023"], Long),
            (&["Tue, 14 Nov 2023 22:13:20 GMT"], Never),
            (&["Tue, 14 Nov 2023 22:12:20 GMT"], Never),
            (&["Thu, 01 Jan 1970 00:00:00 GMT"], Never),
            (&["Sun, 06 Nov 1994 08:49:37 GMT"], Never),
            // §4.2: without regard to case
            (&["Tue, 14 Nov 2023 22:14:20 gmt"], Minute),
            (&["tue, 14 Nov 2023 22:14:20 GMT"], Minute),
            (&["Tue, 14 nOV 2023 22:14:20 GMT"], Minute),
            // §4.2: another zone is invalid
            (&["Thu, 14 Nov 2024 22:14:20 UTC"], Never),
            (&["Thu, 14 Nov 2024 22:14:20 AEST"], Never),
            (&["Thu, 14 Nov 2024 22:14:20 +0000"], Never),
            (&["Thu, 14 Nov 2024 22:14:20 GMT+1"], Never),
            (&["Thu, 14 Nov 2024 22:14:20"], Never),
            (&["Thu, 14 Nov 2024 22:14:20 Z"], Never),
            // none of the three formats
            (&["Thu, 14 Nov 24 22:14:20 GMT"], Never),
            (&["Thu 14 Nov 2024 22:14:20 GMT"], Never),
            (&["Thu, 14  Nov 2024 22:14:20 GMT"], Never),
            (&["Thu, 14-Nov-2024 22:14:20 GMT"], Never),
            (&["Thu, 14 Nov 2024 22.14.20 GMT"], Never),
            (&["Thu, 14 Nov 2024 2:14:20 GMT"], Never),
            (&["Thu, 14 Nov 2024 22:14 GMT"], Never),
            (&["14 Nov 2024 22:14:20 GMT"], Never),
            (&["Thu, 4 Nov 2024 22:14:20 GMT"], Never),
            (&["Thu, 14 November 2024 22:14:20 GMT"], Never),
            (&["Thu, 14 Nov 2024 24:14:20 GMT"], Never),
            (&["Thu, 14 Nov 2024 22:60:20 GMT"], Never),
            (&["Sat, 31 Nov 2024 22:14:20 GMT"], Never),
            (&["Thu, 14 Foo 2024 22:14:20 GMT"], Never),
            (&["2024-11-14T22:14:20Z"], Never),
            (&["1731622460"], Never),
            (&["3600"], Never),
            (&["0"], Never),
            (&["-1"], Never),
            (&[""], Never),
            (&["never"], Never),
            (&["\"Thu, 14 Nov 2024 22:14:20 GMT\""], Never),
            // several: the earliest
            (
                &["Thu, 14 Nov 2024 22:14:20 GMT, Thu, 14 Nov 2024 22:14:20 GMT"],
                Never,
            ),
            (
                &[
                    "Thu, 14 Nov 2024 22:14:20 GMT",
                    "Tue, 14 Nov 2023 22:14:20 GMT",
                ],
                Minute,
            ),
            (&["Thu, 14 Nov 2024 22:14:20 GMT", "0"], Never),
        ],
    );
    let late = ("Expires", "Thu, 14 Nov 2024 22:14:20 GMT");
    lifetimes(&[
        // without Date, from the time of receipt (RFC 9110 §6.6.1)
        (&[("Expires", "Tue, 14 Nov 2023 22:14:20 GMT")], Minute),
        (&[late, ("Cache-Control", "max-age=60")], Minute),
        (&[late, ("Cache-Control", "s-maxage=60")], Minute),
        (&[late, ("Cache-Control", "max-age=0")], Never),
        (&[late, ("Cache-Control", "max-age=x")], Never),
        (&[late, ("Cache-Control", "public, foo")], Long),
        (&[("Expires", "0"), ("Cache-Control", "max-age=60")], Minute),
    ]);
}

#[test]
fn age_in_the_wild() {
    // RFC 9111 §5.1: the first member; what is no number is ignored
    lines_of(
        "Age",
        &[("Cache-Control", "max-age=3660")],
        &[
            (&["0"], Long),
            (&["3600"], Minute),
            (&["03600"], Minute),
            (&["3660"], Never),
            (&["7200"], Never),
            (&["2147483647"], Never),
            (&["2147483648"], Never),
            (&["2147483649"], Never),
            (&["99999999999999999999999"], Never),
            (&["-7200"], Long),
            (&["+7200"], Long),
            (&["7200.0"], Long),
            (&["7200a"], Long),
            (&["a7200"], Long),
            (&["7200;foo=bar"], Long),
            (&["\"7200\""], Long),
            (&["foo"], Long),
            (&[""], Long),
            (&["0, 7200"], Long),
            (&["7200, 0"], Never),
            (&["foo, 7200"], Long),
            (&["0", "7200"], Long),
            (&["7200", "0"], Never),
            (&["foo", "7200"], Long),
            (&["7200", "foo"], Never),
        ],
    );
}

#[test]
fn the_age_that_clients_see_is_one_number_and_right() {
    // RFC 9111 §5.1, §4.2.3: (Date, Age as received, Age told at once, and from the store ten seconds later)
    let rows: &[(i64, &[&str], Option<u64>, u64)] = &[
        (0, &[], None, 10),
        (0, &["30"], Some(30), 40),
        (-20, &[], None, 30),
        (-20, &["30"], Some(30), 40),
        (-40, &["30"], Some(40), 50),
        (3600, &[], None, 10),
        (3600, &["30"], Some(30), 40),
        (0, &["7", "9"], Some(7), 17),
        (0, &["7, 9"], Some(7), 17),
        (0, &["x"], Some(0), 10),
        (0, &["-5"], Some(0), 10),
    ];
    let bench = Bench::new();
    let pages: Vec<_> = rows
        .iter()
        .map(|(date, ages, ..)| {
            let answer = ok(&[("Cache-Control", "max-age=600"), ("Date", &at(*date))]);
            let aged = ages
                .iter()
                .fold(answer, |answer, age| answer.field("Age", age));
            bench.answering([aged])
        })
        .collect();
    let mut failed = Rows::default();
    for (page, row) in pages.iter().zip(rows) {
        let answer = page.get();
        let told: Vec<_> = answer.fields.all("age").collect();
        let expected: Vec<_> = row.2.iter().map(u64::to_string).collect();
        failed.check(told == expected, || format!("at once {row:?}: {told:?}"));
    }
    bench.pass(10);
    for (page, row) in pages.iter().zip(rows) {
        let answer = page.get();
        let told: Vec<_> = answer.fields.all("age").collect();
        failed.check(answer.is_hit() && told == [row.3.to_string()], || {
            format!("from the store {row:?}: {told:?}")
        });
        failed.check(answer.field("date") == Some(&at(row.0)), || {
            format!("another Date {row:?}: {:?}", answer.field("date"))
        });
    }
}

#[test]
fn date_in_the_wild() {
    // RFC 9110 §6.6.1: a missing Date is stamped with the time of receipt
    let bench = Bench::new();
    let page = bench.answering([ok(&[("Cache-Control", "max-age=60")])]);
    assert_eq!(page.get().field("date"), Some(&*at(0)));
    bench.pass(30);
    let hit = page.get();
    assert_eq!((hit.is_hit(), hit.field("date")), (true, Some(&*at(0))));
    // (Date, fresh at once with an Expires 60 s after the start); an invalid one is as good as none
    let rows = [
        ("Tue, 14 Nov 2023 22:13:20 GMT", true),
        ("Tue, 14 Nov 2023 22:13:50 GMT", true),
        ("Tue, 14 Nov 2023 22:14:30 GMT", false),
        ("Tuesday, 14-Nov-23 22:13:20 GMT", true),
        ("tue, 14 nov 2023 22:13:20 gmt", true),
        ("not a date", true),
        ("", true),
        ("0", true),
        ("Tue, 14 Nov 2023 22:13:20 UTC", true),
    ];
    let bench = Bench::new();
    let mut failed = Rows::default();
    for (date, fresh) in rows {
        let page = bench.answering([ok(&[("Date", date), ("Expires", &at(60))])]);
        page.get().expect(200);
        let again = page.get();
        failed.check(again.is_hit() == fresh, || {
            format!("{date:?}: {}", again.cache_status())
        });
    }
}

#[test]
fn the_time_that_the_origin_takes_counts_as_age() {
    // RFC 9111 §4.2.3: response_delay
    let bench = Bench::new();
    let (asked, answered) = (Gate::new(), Gate::new());
    let gates = (asked.clone(), answered.clone());
    let page = bench.page(move |_, _| {
        gates.0.open();
        gates.1.pass();
        ok(&[("Cache-Control", "max-age=60"), ("Age", "10")])
    });
    std::thread::scope(|scope| {
        let client = scope.spawn(|| bench.gateway.send(&get(&page.target)));
        asked.pass();
        bench.pass(5);
        answered.open();
        assert_eq!(client.join().expect("a client").age(), Some(15));
    });
    bench.pass(44);
    let hit = page.get();
    assert_eq!((hit.is_hit(), hit.age()), (true, Some(59)));
    bench.pass(1);
    assert!(!page.get().is_hit());
}

#[test]
fn pragma_in_a_response_means_nothing() {
    // RFC 9111 §5.4
    let bench = Bench::new();
    let old = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    for lines in [
        [("Cache-Control", "max-age=60"), ("Pragma", "no-cache")],
        [("Cache-Control", "max-age=60"), ("Pragma", "foo=\"bar\"")],
        [old, ("Pragma", "no-cache")],
    ] {
        let page = bench.answering([ok(&lines)]);
        page.get().expect(200);
        let hit = page.get();
        assert!(hit.is_hit(), "{lines:?}");
        assert_eq!(hit.field("pragma"), Some(lines[1].1));
    }
}

#[test]
fn heuristics_in_the_wild() {
    // RFC 9111 §4.2.2: a tenth of the time since Last-Modified, a day at most; never where anything explicit is said
    let bench = Bench::new();
    // (Last-Modified, other fields, status, lifetime in seconds)
    let rows: &[(i64, Lines<'_>, u16, i64)] = &[
        (-600, &[], 200, 60),
        (-3600, &[], 200, 360),
        (-86_400, &[], 200, 8640),
        (-864_000, &[], 200, 86_400),
        (-8_640_000, &[], 200, 86_400),
        (0, &[], 200, 0),
        (3600, &[], 200, 0),
        (-9, &[], 200, 0),
        (-600, &[("Cache-Control", "public")], 200, 60),
        (-600, &[("Cache-Control", "public")], 201, 60),
        (-600, &[("Cache-Control", "public")], 599, 60),
        (-600, &[("Cache-Control", "foo")], 200, 60),
        (-600, &[("Cache-Control", "must-revalidate")], 200, 60),
        (-600, &[("Cache-Control", "no-cache")], 200, 0),
        (-600, &[("Cache-Control", "max-age=0")], 200, 0),
        (-600, &[("Cache-Control", "s-maxage=0")], 200, 0),
        (-600, &[("Cache-Control", "max-age=oops")], 200, 0),
        (-600, &[("Expires", "0")], 200, 0),
        (-600, &[], 404, 60),
        (-600, &[], 204, 60),
        (-600, &[], 302, 0),
        (-600, &[], 599, 0),
        (
            -600,
            &[("Content-Disposition", "attachment; filename=a")],
            200,
            60,
        ),
    ];
    let pages: Vec<_> = rows
        .iter()
        .map(|(modified, lines, status, _)| {
            let answer = with(reply(*status), lines).field("Last-Modified", at(*modified));
            bench.answering([answer.field("Date", at(0))])
        })
        .collect();
    let mut failed = Rows::default();
    for (page, row) in pages.iter().zip(rows) {
        page.get().expect(row.2);
        let answer = page.ask(&[("Cache-Control", "only-if-cached")]);
        let ttl = answer.is_hit().then(|| answer.number("ttl")).flatten();
        failed.check(ttl.unwrap_or(0) == row.3, || {
            format!("{row:?}: {}", answer.cache_status())
        });
    }
}
