//! Time as the rules count it: instants in milliseconds, ages and lifetimes in whole seconds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::calendar::DateTime;
use super::http_date;
use super::list::trim;

/// Fifty years before the last year that [`Timestamp::parse_http_date`] reads into two digits ends.
const END_OF_2019: Timestamp = Timestamp::from_secs(1_577_836_799);

/// The last second that four digits of a year can express.
const LAST_HTTP_DATE: u64 = 253_402_300_799;

/// Milliseconds since the Unix epoch, on the gateway's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Parses an HTTP-date in any of the three formats of RFC 9110 §5.6.7, in any case, with optional white space
    /// around it; `None` when it is none of them. `now` decides the century of a two-digit year.
    pub fn parse_http_date_at(value: &[u8], now: Self) -> Option<Self> {
        http_date::parse(trim(value), now.as_secs()).map(Self::from_secs)
    }

    /// Parses an HTTP-date that is only compared with others, without `now`: a two-digit year is one of 1970 to 2069.
    pub fn parse_http_date(value: &[u8]) -> Option<Self> {
        Self::parse_http_date_at(value, END_OF_2019)
    }

    /// In RFC 3339 with milliseconds: `2023-11-14T22:13:20.000Z`.
    pub fn rfc3339(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            let at = DateTime::at(self.as_secs());
            let DateTime {
                year, month, day, ..
            } = at;
            let (hour, minute, second) = (at.hour(), at.minute(), at.second());
            let milli = self.as_millis() % 1_000;
            write!(
                f,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
            )
        })
    }

    /// The IMF-fixdate of RFC 9110 §5.6.7; the end of the year 9999 for all later times.
    pub fn to_http_date(self) -> String {
        let secs = self.as_secs().min(LAST_HTTP_DATE);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs))
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = std::time::SystemTimeError;

    fn try_from(time: SystemTime) -> Result<Self, Self::Error> {
        let since = time.duration_since(UNIX_EPOCH)?;
        Ok(Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A number of seconds that saturates at 2^31 (RFC 9111 §1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeltaSeconds(u32);

impl DeltaSeconds {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(1 << 31);

    pub const fn new(secs: u64) -> Self {
        if secs >= Self::MAX.0 as u64 {
            Self::MAX
        } else {
            Self(secs as u32)
        }
    }

    pub const fn from_duration(duration: Duration) -> Self {
        Self::new(duration.as_secs())
    }

    pub const fn as_secs(self) -> u32 {
        self.0
    }

    pub const fn as_millis(self) -> u64 {
        self.0 as u64 * 1000
    }

    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// Parses `delta-seconds`: digits and nothing else, saturating (RFC 9111 §1.2.2); `None` when it is anything else.
    pub fn parse(digits: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut secs = None;
        for byte in digits {
            if !byte.is_ascii_digit() {
                return None;
            }
            let so_far: u64 = secs.unwrap_or_default();
            secs = Some((so_far * 10 + u64::from(byte - b'0')).min(u64::from(Self::MAX.0)));
        }
        secs.map(Self::new)
    }

    pub const fn saturating_add(self, other: Self) -> Self {
        Self::new(self.0 as u64 + other.0 as u64)
    }

    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for DeltaSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delta_seconds_are_digits_and_saturate() {
        let cases: [(&str, Option<u64>); 14] = [
            ("0", Some(0)),
            ("60", Some(60)),
            ("0060", Some(60)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(2_147_483_648)),
            ("2147483649", Some(2_147_483_648)),
            ("99999999999999999999999999999999", Some(2_147_483_648)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            (" 1", None),
            ("1a", None),
            ("\u{661}", None),
        ];
        for (text, secs) in cases {
            assert_eq!(
                DeltaSeconds::parse(text.bytes()),
                secs.map(DeltaSeconds::new),
                "{text:?}"
            );
        }
    }

    #[test]
    fn delta_seconds_never_overflow() {
        let (two, five) = (DeltaSeconds::new(2), DeltaSeconds::new(5));
        assert_eq!(two.saturating_add(five).to_string(), "7");
        assert_eq!(five.saturating_sub(two).to_string(), "3");
        assert_eq!(
            DeltaSeconds::MAX.saturating_add(DeltaSeconds::MAX),
            DeltaSeconds::MAX
        );
        assert_eq!(
            DeltaSeconds::ZERO.saturating_sub(DeltaSeconds::MAX),
            DeltaSeconds::ZERO
        );
        assert_eq!(
            DeltaSeconds::from_duration(Duration::MAX),
            DeltaSeconds::MAX
        );
    }

    #[test]
    fn dates_are_written_as_imf_fixdate() {
        assert_eq!(
            Timestamp::from_secs(784_111_777).to_http_date(),
            "Sun, 06 Nov 1994 08:49:37 GMT"
        );
        assert_eq!(
            Timestamp::from_millis(u64::MAX).to_http_date(),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }

    #[test]
    fn the_systems_time_is_read_in_milliseconds() {
        let time = UNIX_EPOCH + Duration::from_micros(1_234_567);
        let expected = Timestamp::from_millis(1_234);
        assert_eq!(Timestamp::try_from(time).ok(), Some(expected));
        assert!(Timestamp::try_from(UNIX_EPOCH - Duration::from_secs(1)).is_err());
    }

    #[test]
    fn white_space_around_a_date_does_not_matter() {
        assert_eq!(
            Timestamp::parse_http_date(b" \tSun, 06 Nov 1994 08:49:37 GMT\t "),
            Some(Timestamp::from_secs(784_111_777))
        );
    }

    #[test]
    fn without_a_now_two_digits_are_a_year_from_1970_to_2069() {
        for (value, imf) in [
            (
                b"Thursday, 01-Jan-70 00:00:00 GMT",
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            (
                b"Thursday, 31-Dec-69 23:59:59 GMT",
                "Tue, 31 Dec 2069 23:59:59 GMT",
            ),
        ] {
            let date = Timestamp::parse_http_date(value).unwrap();
            assert_eq!(date.to_http_date(), imf);
        }
    }
}
