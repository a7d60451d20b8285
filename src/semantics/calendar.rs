//! The proleptic Gregorian calendar in UTC, without leap seconds.

const SECONDS_A_DAY: u32 = 24 * 60 * 60;

/// A date and a time of day; ordered as time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Seconds since midnight: 0 to 86,399.
    pub second_of_day: u32,
}

impl DateTime {
    /// The date `secs` seconds after the Unix epoch.
    pub fn at(secs: u64) -> Self {
        let day_length = u64::from(SECONDS_A_DAY);
        // 2^64 seconds are fewer than 2^48 days.
        let (year, month, day) = civil_from_days((secs / day_length) as i64);
        Self {
            year,
            month,
            day,
            second_of_day: (secs % day_length) as u32,
        }
    }

    /// Seconds since the Unix epoch, negative before it, saturating; `None` when the month does not have the day.
    pub fn seconds_since_epoch(self) -> Option<i64> {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days_in_month = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => 31,
        };
        if !(1..=days_in_month).contains(&self.day) {
            return None;
        }
        let days = days_from_civil(self.year, self.month, self.day);
        let seconds = days.saturating_mul(SECONDS_A_DAY.into());
        Some(seconds.saturating_add(self.second_of_day.into()))
    }

    /// 0 to 23.
    pub const fn hour(self) -> u32 {
        self.second_of_day / 3600
    }

    /// 0 to 59.
    pub const fn minute(self) -> u32 {
        self.second_of_day / 60 % 60
    }

    /// 0 to 59.
    pub const fn second(self) -> u32 {
        self.second_of_day % 60
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse() {
        for days in days_from_civil(1600, 1, 1)..days_from_civil(2500, 1, 1) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!(
                (1..=12).contains(&month) && (1..=31).contains(&day),
                "{days}"
            );
        }
    }

    #[test]
    fn seconds_and_dates_are_inverse() {
        let date = |year, month, day, second_of_day| DateTime {
            year,
            month,
            day,
            second_of_day,
        };
        for (secs, expected) in [
            (0, date(1970, 1, 1, 0)),
            (951_782_399, date(2000, 2, 28, 86_399)),
            (951_782_400, date(2000, 2, 29, 0)),
            (951_868_801, date(2000, 3, 1, 1)),
            (4_107_542_400, date(2100, 3, 1, 0)),
        ] {
            assert_eq!(DateTime::at(secs), expected, "{secs}");
            assert_eq!(expected.seconds_since_epoch(), Some(secs as i64));
        }
        let late = DateTime::at(u64::MAX);
        assert!(late.year > 584_000_000_000, "{late:?}");
        for (year, month, day) in [(2100, 2, 29), (2000, 2, 30), (2000, 4, 31), (2000, 1, 0)] {
            let none = date(year, month, day, 0).seconds_since_epoch();
            assert_eq!(none, None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn a_time_of_day_has_hours_minutes_and_seconds() {
        for (second_of_day, expected) in
            [(0, (0, 0, 0)), (3_661, (1, 1, 1)), (86_399, (23, 59, 59))]
        {
            let at = DateTime::at(second_of_day);
            assert_eq!((at.hour(), at.minute(), at.second()), expected);
        }
    }
}
