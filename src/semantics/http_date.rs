//! HTTP-date in its three formats (RFC 9110 §5.6.7), read as strictly as a cache should (RFC 9111 §4.2): letters in
//! any case, but nothing that the grammar does not have, and no zone but GMT.

use super::time::Timestamp;

const WEEKDAYS: [&[u8]; 7] = [
    b"monday",
    b"tuesday",
    b"wednesday",
    b"thursday",
    b"friday",
    b"saturday",
    b"sunday",
];

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// Parses a date; `now` decides the century of a two-digit year. A date before 1970 is read as 1970's first second:
/// long ago, for all purposes. `None` when it is no HTTP-date.
pub(super) fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let moment = imf_fixdate(value)
        .or_else(|| asctime(value))
        .or_else(|| rfc850(value, now))?;
    let secs = moment.seconds_since_epoch()?;
    Some(Timestamp::from_secs(u64::try_from(secs).unwrap_or(0)))
}

/// A point in time as the formats spell it; ordered as time is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    year: i64,
    month: u8,
    day: u8,
    /// Since midnight.
    seconds: i64,
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<Moment> {
    let mut text = Cursor(value);
    text.short_weekday()?;
    text.literal(b", ")?;
    let day = text.number(2)?;
    text.literal(b" ")?;
    let month = text.month()?;
    text.literal(b" ")?;
    let year = text.number(4)?;
    text.literal(b" ")?;
    let seconds = text.time_of_day()?;
    text.literal(b" gmt")?;
    text.end(Moment {
        year: year.into(),
        month,
        day: day as u8,
        seconds,
    })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: Timestamp) -> Option<Moment> {
    let mut text = Cursor(value);
    text.long_weekday()?;
    text.literal(b", ")?;
    let day = text.number(2)?;
    text.literal(b"-")?;
    let month = text.month()?;
    text.literal(b"-")?;
    let year = text.number(2)?;
    text.literal(b" ")?;
    let seconds = text.time_of_day()?;
    text.literal(b" gmt")?;
    text.end(nearest_century(
        Moment {
            year: year.into(),
            month,
            day: day as u8,
            seconds,
        },
        now,
    ))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<Moment> {
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
    let seconds = text.time_of_day()?;
    text.literal(b" ")?;
    let year = text.number(4)?;
    text.end(Moment {
        year: year.into(),
        month,
        day: day as u8,
        seconds,
    })
}

/// The latest year with these last two digits that does not put the moment more than 50 years into the future
/// (RFC 9110 §5.6.7).
fn nearest_century(two_digits: Moment, now: Timestamp) -> Moment {
    let horizon = {
        let now = Moment::at(now);
        Moment {
            year: now.year + 50,
            ..now
        }
    };
    let moment = Moment {
        year: horizon.year - horizon.year.rem_euclid(100) + two_digits.year,
        ..two_digits
    };
    if moment > horizon {
        Moment {
            year: moment.year - 100,
            ..moment
        }
    } else {
        moment
    }
}

impl Moment {
    /// `None` when the month does not have the day.
    fn seconds_since_epoch(self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days_in_month = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        if !(1..=days_in_month).contains(&self.day) {
            return None;
        }
        Some(days_from_civil(self.year, self.month, self.day) * SECONDS_A_DAY + self.seconds)
    }

    fn at(time: Timestamp) -> Self {
        // Far beyond the year 9999 the century of a two-digit year is of no interest.
        let secs = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let (year, month, day) = civil_from_days(secs / SECONDS_A_DAY);
        Self {
            year,
            month,
            day,
            seconds: secs % SECONDS_A_DAY,
        }
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Years are counted from March, so that the leap day is
/// a year's last, and in eras of 400 years, after which the calendar repeats.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// What is left of the text.
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

    fn long_weekday(&mut self) -> Option<()> {
        WEEKDAYS.iter().find_map(|name| self.literal(name))
    }

    /// `00:00:00` to `23:59:60`, in seconds. A leap second is read as the one before it: the nearest time that we can
    /// represent and that is not later (RFC 9111 §4.2).
    fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.number(2)?;
        self.literal(b":")?;
        let minute = self.number(2)?;
        self.literal(b":")?;
        let second = match (hour, minute, self.number(2)?) {
            (23, 59, 60) => 59,
            (0..=23, 0..=59, second @ 0..=59) => second,
            _ => return None,
        };
        Some(i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
    }

    fn end(&self, moment: Moment) -> Option<Moment> {
        self.0.is_empty().then_some(moment)
    }
}

#[cfg(test)]
mod tests;
