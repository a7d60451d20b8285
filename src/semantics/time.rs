//! Time as the rules count it: instants in milliseconds, ages and lifetimes in whole seconds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// Parses an HTTP-date in any of the three formats of RFC 9110 §5.6.7; `None` when it is none of them.
    pub fn parse_http_date(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        Self::try_from(httpdate::parse_http_date(text).ok()?).ok()
    }

    /// The IMF-fixdate of RFC 9110 §5.6.7.
    pub fn to_http_date(self) -> String {
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.as_secs()))
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

    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
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
