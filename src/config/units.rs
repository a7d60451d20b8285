//! Sizes and durations as people write them.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// In milliseconds, from the longest.
const DURATIONS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1_000),
    ("d", 24 * 60 * 60 * 1_000),
    ("h", 60 * 60 * 1_000),
    ("m", 60 * 1_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The fault of a size or a duration, as a clause that follows the value.
pub type Fault = &'static str;

/// Bytes: `"256MiB"` (1024s), `"64KB"` (1000s), `"1.5 GiB"`, `"4096"`; letters in either case.
pub fn parse_size(text: &str) -> Result<u64, Fault> {
    const SHAPE: Fault =
        "is not a size; write a number with B, KiB, MiB, GiB (1024s) or KB, MB, GB (1000s)";
    let text = text.trim();
    let (number, unit) = text.split_at(number_length(text));
    let unit = unit.trim_start();
    let scale = match unit {
        "" => Some(1),
        _ => SIZES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|&(_, scale)| scale),
    };
    scaled(number, scale.ok_or(SHAPE)?, SHAPE)
}

/// `"2s"`, `"250ms"`, `"1h30m"`, `"1.5h"`, `"7d"`: one or more numbers with units, the longest unit first.
pub fn parse_duration(text: &str) -> Result<Duration, Fault> {
    const SHAPE: Fault =
        "is not a duration; write numbers with w, d, h, m, s or ms, the longest first";
    let mut rest = text.trim();
    if !rest.is_empty() && number_length(rest) == rest.len() {
        return Err("has no unit; write it with w, d, h, m, s or ms");
    }
    let mut units = DURATIONS.as_slice();
    let mut millis = 0u64;
    loop {
        let (number, after) = rest.split_at(number_length(rest));
        let after = after.trim_start();
        let unit_length = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_length);
        let at = units
            .iter()
            .position(|&(name, _)| name == unit)
            .ok_or(SHAPE)?;
        millis = millis
            .checked_add(scaled(number, units[at].1, SHAPE)?)
            .ok_or(TOO_LARGE)?;
        units = &units[at + 1..];
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(Duration::from_millis(millis));
        }
    }
}

/// The size in its largest unit that leaves no fraction: `256MiB`.
pub fn show_size(bytes: u64) -> String {
    let units = SIZES[..5].iter().rev();
    let (name, scale) = units
        .copied()
        .find(|(_, scale)| bytes != 0 && bytes.is_multiple_of(*scale))
        .unwrap_or(("B", 1));
    format!("{}{name}", bytes / scale)
}

/// The duration in units without fractions, `1h30m`; what is below a millisecond is left out.
pub fn show_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    // Weeks are read but not shown: "365d" says more than "52w1d".
    for (name, scale) in &DURATIONS[1..] {
        if millis >= *scale {
            text.push_str(&format!("{}{name}", millis / scale));
            millis %= scale;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

const TOO_LARGE: Fault = "is too large";

fn number_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len())
}

/// `number`, which may have a fraction, times `scale`, where that is whole.
fn scaled(number: &str, scale: u64, shape: Fault) -> Result<u64, Fault> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(shape);
    }
    if fraction.len() > 9 {
        return Err("has too many digits after its point");
    }
    // Only digits are left, so that parsing fails where there are too many.
    let whole: u64 = whole.parse().map_err(|_| TOO_LARGE)?;
    let parts = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = fraction.parse().map_err(|_| TOO_LARGE)?;
    let scale = u128::from(scale);
    if !(fraction * scale).is_multiple_of(parts) {
        return Err("is not a whole number of its smallest unit");
    }
    u64::try_from(u128::from(whole) * scale + fraction * scale / parts).map_err(|_| TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1B", 1),
            ("256MiB", 256 << 20),
            ("256 MiB", 256 << 20),
            (" 64KB ", 64_000),
            ("64kb", 64_000),
            ("64kib", 64 << 10),
            ("1.5GiB", 3 << 29),
            ("0.25KiB", 256),
            ("2TB", 2_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is not a size"),
            ("MiB", "is not a size"),
            ("256M", "is not a size"),
            ("256MiBs", "is not a size"),
            ("-1", "is not a size"),
            ("1e3", "is not a size"),
            ("1.KiB", "is not a size"),
            (".5KiB", "is not a size"),
            ("1.2.3KiB", "is not a size"),
            ("1 2", "is not a size"),
            ("é", "is not a size"),
            ("0.5B", "is not a whole number"),
            ("0.0000000001KiB", "has too many digits"),
            ("18446744073709551616", "is too large"),
            ("99999999TiB", "is too large"),
        ] {
            let fault = parse_size(text).expect_err(text);
            assert!(fault.starts_with(reason), "{text:?}: {fault}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("2s", 2_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("1m500ms", 60_500),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            (" 90 s ", 90_000),
        ] {
            let read = parse_duration(text).map(|duration| duration.as_millis());
            assert_eq!(read, Ok(millis), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is not a duration"),
            ("soon", "is not a duration"),
            ("5 minutes", "is not a duration"),
            ("5M", "is not a duration"),
            ("30m1h", "is not a duration"),
            ("1s1s", "is not a duration"),
            ("-5s", "is not a duration"),
            ("1h,30m", "is not a duration"),
            ("5", "has no unit"),
            ("0", "has no unit"),
            ("0.5ms", "is not a whole number"),
            ("99999999999999999999s", "is too large"),
            ("600000000000000d", "is too large"),
        ] {
            let fault = parse_duration(text).expect_err(text);
            assert!(fault.starts_with(reason), "{text:?}: {fault}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (8 << 20, "8MiB"),
            (1 << 40, "1TiB"),
            (1025 << 10, "1025KiB"),
        ] {
            assert_eq!(show_size(bytes), text);
            assert_eq!(parse_size(text), Ok(bytes));
        }
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (5_400_000, "1h30m"),
            (31_536_000_000, "365d"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(show_duration(duration), text);
            assert_eq!(parse_duration(text), Ok(duration));
        }
    }
}
