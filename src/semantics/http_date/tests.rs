use super::*;
use proptest::prelude::*;

const NOVEMBER_1994: u64 = 784_111_777;
const AUGUST_2050: u64 = 2_544_400_878;

/// November 2026.
const NOW: u64 = 1_795_000_000;

fn secs(value: &str) -> Option<u64> {
    parse(value.as_bytes(), NOW)
}

#[test]
fn all_three_formats_are_accepted() {
    for value in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun Nov 06 08:49:37 1994",
    ] {
        assert_eq!(secs(value), Some(NOVEMBER_1994), "{value}");
    }
    for value in [
        "Thu, 18 Aug 2050 02:01:18 GMT",
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "Thu Aug 18 02:01:18 2050",
    ] {
        assert_eq!(secs(value), Some(AUGUST_2050), "{value}");
    }
}

#[test]
fn dates_are_matched_without_regard_to_case() {
    for value in [
        "thu, 18 aug 2050 02:01:18 gmt",
        "THU, 18 AUG 2050 02:01:18 GMT",
        "tHU, 18 aUG 2050 02:01:18 gMt",
        "THURSDAY, 18-aug-50 02:01:18 gmt",
        "THU AUG 18 02:01:18 2050",
    ] {
        assert_eq!(secs(value), Some(AUGUST_2050), "{value}");
    }
}

#[test]
fn what_the_grammar_does_not_have_is_no_date() {
    for value in [
        "",
        "0",
        "-1",
        "now",
        "784111777",
        "18 Aug 2050 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AST",
        "Thu, 18 Aug 2050 02:01:18 +0000",
        "Thu, 18 Aug 2050 02:01:18 GMT+1",
        "Thu,  18  Aug  2050  02:01:18  GMT",
        "Thu,18 Aug 2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 8 Aug 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 02:01 GMT",
        "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 18 Aug 2050 02:01:60 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
        "Thu, 31 Jun 2050 02:01:18 GMT",
        "Thu, 00 Jun 2050 02:01:18 GMT",
        "Tue, 29 Feb 2050 02:01:18 GMT",
        "Xyz, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Foo 2050 02:01:18 GMT",
        "Thu, 18-Aug-50 02:01:18 GMT",
        "Thursday, 18-Aug-2050 02:01:18 GMT",
        "Thu Aug 18 02:01:18 GMT 2050",
        "Thu Aug  18 02:01:18 2050",
        "Thu, \u{661}8 Aug 2050 02:01:18 GMT",
    ] {
        assert_eq!(secs(value), None, "{value}");
    }
}

#[test]
fn a_two_digit_year_is_never_more_than_fifty_years_ahead() {
    let at = |year, value: &str| {
        let now = DateTime {
            year,
            month: 6,
            day: 15,
            second_of_day: 0,
        };
        let now = now.seconds_since_epoch().unwrap() as u64;
        DateTime::at(parse(value.as_bytes(), now).unwrap()).year
    };
    for (now, value, year) in [
        (2026, "Monday, 14-Jun-76 00:00:00 GMT", 2076),
        (2026, "Monday, 15-Jun-76 00:00:00 GMT", 2076),
        (2026, "Monday, 15-Jun-76 00:00:01 GMT", 1976),
        (2026, "Monday, 16-Jun-76 00:00:00 GMT", 1976),
        (2026, "Monday, 01-Jan-77 00:00:00 GMT", 1977),
        (2026, "Monday, 01-Jan-26 00:00:00 GMT", 2026),
        (2026, "Monday, 01-Jan-00 00:00:00 GMT", 2000),
        (1999, "Monday, 01-Jan-30 00:00:00 GMT", 2030),
        (2060, "Monday, 01-Jan-10 00:00:00 GMT", 2110),
        (2060, "Monday, 01-Jan-11 00:00:00 GMT", 2011),
    ] {
        assert_eq!(at(now, value), year, "{value} in {now}");
    }
}

#[test]
fn a_leap_second_is_the_second_before_it() {
    assert_eq!(
        secs("Sat, 31 Dec 2016 23:59:60 GMT"),
        secs("Sat, 31 Dec 2016 23:59:59 GMT")
    );
    assert!(secs("Sat, 31 Dec 2016 23:59:59 GMT").is_some());
}

#[test]
fn february_has_as_many_days_as_the_year_gives_it() {
    for (year, leap) in [
        (1996, true),
        (2000, true),
        (2023, false),
        (2024, true),
        (2100, false),
        (2400, true),
    ] {
        let date = |day| secs(&format!("Mon, {day} Feb {year} 00:00:00 GMT"));
        assert!(date(28).is_some(), "{year}");
        assert_eq!(date(29).is_some(), leap, "{year}");
        assert_eq!(date(30), None, "{year}");
    }
}

#[test]
fn what_was_before_1970_is_long_ago() {
    assert_eq!(secs("Wed, 31 Dec 1969 23:59:59 GMT"), Some(0));
    assert_eq!(secs("Mon, 01 Jan 0000 00:00:00 GMT"), Some(0));
    assert_eq!(secs("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn agrees_with_httpdate(secs in 0u64..253_402_300_800) {
        let written = httpdate::fmt_http_date(
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(secs),
        );
        prop_assert_eq!(parse(written.as_bytes(), NOW), Some(secs));
    }

    #[test]
    fn never_panics(value in proptest::collection::vec(any::<u8>(), 0..40), now: u64) {
        let _ = parse(&value, now);
    }

    #[test]
    fn never_panics_near_a_date(at in 0usize..29, byte: u8, now: u64) {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994 ....",
        ] {
            let mut value = text.as_bytes().to_vec();
            value[at] = byte;
            let _ = parse(&value, now);
        }
    }
}
