//! A time as the two formats write it, always UTC.

use std::io::Write;

use crate::semantics::calendar::DateTime;
use crate::semantics::time::Timestamp;

/// RFC 3339 with milliseconds: `2023-11-14T22:13:20.000Z`.
pub(super) fn rfc3339(line: &mut Vec<u8>, time: Timestamp) {
    // Writing to a Vec does not fail.
    let _ = write!(line, "{}", time.rfc3339());
}

/// As Apache writes it: `14/Nov/2023:22:13:20 +0000`.
pub(super) fn clf(line: &mut Vec<u8>, time: Timestamp) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = DateTime::at(time.as_secs());
    let (year, day) = (at.year, at.day);
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let month = MONTHS[usize::from(at.month) - 1];
    let _ = write!(
        line,
        "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_both_formats() {
        for (millis, iso, apache) in [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (
                951_782_399_999,
                "2000-02-28T23:59:59.999Z",
                "28/Feb/2000:23:59:59 +0000",
            ),
            (
                951_782_400_000,
                "2000-02-29T00:00:00.000Z",
                "29/Feb/2000:00:00:00 +0000",
            ),
            (
                951_868_800_001,
                "2000-03-01T00:00:00.001Z",
                "01/Mar/2000:00:00:00 +0000",
            ),
            (
                1_700_000_000_123,
                "2023-11-14T22:13:20.123Z",
                "14/Nov/2023:22:13:20 +0000",
            ),
            (
                4_107_542_400_000,
                "2100-03-01T00:00:00.000Z",
                "01/Mar/2100:00:00:00 +0000",
            ),
            (
                253_402_300_799_000,
                "9999-12-31T23:59:59.000Z",
                "31/Dec/9999:23:59:59 +0000",
            ),
        ] {
            let mut line = Vec::new();
            rfc3339(&mut line, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(line).unwrap(), iso);
            let mut line = Vec::new();
            clf(&mut line, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(line).unwrap(), apache);
        }
    }

    #[test]
    fn no_day_is_missing_or_twice() {
        let http = |day: u64| Timestamp::from_secs(day * 86_400).to_http_date();
        for day in 0..366 * 150 {
            let mut line = Vec::new();
            clf(&mut line, Timestamp::from_secs(day * 86_400));
            let line = String::from_utf8(line).unwrap();
            let expected = http(day);
            // "Tue, 14 Nov 2023 …" and "14/Nov/2023:…"
            assert_eq!(line[..11].replace('/', " "), expected[5..16], "day {day}");
        }
    }
}
