//! HTTP-date in its three formats (RFC 9110 §5.6.7), read as strictly as a cache should (RFC 9111 §4.2): letters in
//! any case, no deviation from the grammar, and no zone but GMT.

use super::calendar::DateTime;

const WEEKDAYS: [&[u8]; 7] = [
    b"monday",
    b"tuesday",
    b"wednesday",
    b"thursday",
    b"friday",
    b"saturday",
    b"sunday",
];

/// Parses a date to seconds since the Unix epoch; `now`, in the same, decides the century of a two-digit year. A date
/// before 1970 is read as the first second of 1970. `None` when it is no HTTP-date.
pub(super) fn parse(value: &[u8], now: u64) -> Option<u64> {
    let date = imf_fixdate(value)
        .or_else(|| asctime(value))
        .or_else(|| rfc850(value, now))?;
    let secs = date.seconds_since_epoch()?;
    Some(u64::try_from(secs).unwrap_or(0))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<DateTime> {
    let mut text = Cursor(value);
    text.short_weekday()?;
    text.literal(b", ")?;
    let day = text.number(2)?;
    text.literal(b" ")?;
    let month = text.month()?;
    text.literal(b" ")?;
    let year = text.number(4)?;
    text.literal(b" ")?;
    let second_of_day = text.time_of_day()?;
    text.literal(b" gmt")?;
    text.end(DateTime {
        year: year.into(),
        month,
        day: day as u8,
        second_of_day,
    })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: u64) -> Option<DateTime> {
    let mut text = Cursor(value);
    WEEKDAYS.iter().find_map(|name| text.literal(name))?;
    text.literal(b", ")?;
    let day = text.number(2)?;
    text.literal(b"-")?;
    let month = text.month()?;
    text.literal(b"-")?;
    let year = text.number(2)?;
    text.literal(b" ")?;
    let second_of_day = text.time_of_day()?;
    text.literal(b" gmt")?;
    text.end(nearest_century(
        DateTime {
            year: year.into(),
            month,
            day: day as u8,
            second_of_day,
        },
        now,
    ))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<DateTime> {
    let mut text = Cursor(value);
    text.short_weekday()?;
    text.literal(b" ")?;
    let month = text.month()?;
    text.literal(b" ")?;
    let day = match text.literal(b" ") {
        Some(()) => text.number(1)?,
        None => text.number(2)?,
    };
    text.literal(b" ")?;
    let second_of_day = text.time_of_day()?;
    text.literal(b" ")?;
    let year = text.number(4)?;
    text.end(DateTime {
        year: year.into(),
        month,
        day: day as u8,
        second_of_day,
    })
}

/// The latest year with these last two digits that does not put the date more than 50 years into the future
/// (RFC 9110 §5.6.7).
fn nearest_century(two_digits: DateTime, now: u64) -> DateTime {
    let now = DateTime::at(now);
    let horizon = DateTime {
        year: now.year + 50,
        ..now
    };
    let mut date = two_digits;
    date.year += horizon.year - horizon.year.rem_euclid(100);
    if date > horizon {
        date.year -= 100;
    }
    date
}

/// The rest of the text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Takes `expected` (in lower case), in whatever case it is written (RFC 9111 §4.2).
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let (found, rest) = self.0.split_at_checked(expected.len())?;
        if !found.eq_ignore_ascii_case(expected) {
            return None;
        }
        self.0 = rest;
        Some(())
    }

    /// Exactly so many digits.
    fn number(&mut self, digits: usize) -> Option<u16> {
        let (found, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        found.iter().try_fold(0, |number, byte| {
            byte.is_ascii_digit()
                .then(|| number * 10 + u16::from(byte - b'0'))
        })
    }

    /// In lower case.
    fn three_letters(&mut self) -> Option<[u8; 3]> {
        let (letters, rest) = self.0.split_first_chunk::<3>()?;
        self.0 = rest;
        Some([0, 1, 2].map(|at| letters[at].to_ascii_lowercase()))
    }

    fn month(&mut self) -> Option<u8> {
        Some(match &self.three_letters()? {
            b"jan" => 1,
            b"feb" => 2,
            b"mar" => 3,
            b"apr" => 4,
            b"may" => 5,
            b"jun" => 6,
            b"jul" => 7,
            b"aug" => 8,
            b"sep" => 9,
            b"oct" => 10,
            b"nov" => 11,
            b"dec" => 12,
            _ => return None,
        })
    }

    /// Which day it is does not matter: the date says it.
    fn short_weekday(&mut self) -> Option<()> {
        let name = self.three_letters()?;
        matches!(
            &name,
            b"mon" | b"tue" | b"wed" | b"thu" | b"fri" | b"sat" | b"sun"
        )
        .then_some(())
    }

    /// `00:00:00` to `23:59:60`, in seconds. A leap second is read as the second before it: the nearest time that can be
    /// represented and is not later (RFC 9111 §4.2).
    fn time_of_day(&mut self) -> Option<u32> {
        let hour = self.number(2)?;
        self.literal(b":")?;
        let minute = self.number(2)?;
        self.literal(b":")?;
        let second = match (hour, minute, self.number(2)?) {
            (23, 59, 60) => 59,
            (0..=23, 0..=59, second @ 0..=59) => second,
            _ => return None,
        };
        Some(u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second))
    }

    fn end(&self, date: DateTime) -> Option<DateTime> {
        self.0.is_empty().then_some(date)
    }
}

#[cfg(test)]
mod tests;
