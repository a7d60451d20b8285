//! `rate_limit`: how many requests may come in a time, and from whom.

use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;

use super::readers::{count, flag, lifetime};
use super::section::Section;
use super::value::Value;
use crate::semantics::time::DeltaSeconds;

/// A limit on the rate of requests; those beyond it are answered 429.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// In each `per`, on the average.
    pub requests: NonZeroU32,
    /// At least a second.
    pub per: DeltaSeconds,
    /// Requests that may come at once after a pause.
    pub burst: NonZeroU32,
    pub by: CountBy,
    /// Whether each response has the fields RateLimit and RateLimit-Policy.
    pub send_fields: bool,
}

/// Which requests are counted together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CountBy {
    /// Those of one address (IPv4), or of one network of 64 bits (IPv6).
    #[default]
    Client,
    /// Those with one value of this field; without it, as [`CountBy::Client`].
    Field(HeaderName),
    /// All.
    All,
}

impl RateLimit {
    /// The time in which one more request may come.
    pub fn interval(&self) -> Duration {
        self.per.as_duration() / self.requests.get()
    }

    /// The time in which a used up limit is whole again.
    pub fn whole_again(&self) -> Duration {
        self.interval().saturating_mul(self.burst.get())
    }

    /// `None` where the section has no limit.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        // The outer `None`: not given. The inner one: a mistake, which is noted.
        let requests = section.value("requests").map(number);
        let per = section.value("per").map(|value| match lifetime(value)? {
            DeltaSeconds::ZERO => value.refuse_text("is not a second or more"),
            per => Some(per),
        });
        let burst = section.value("burst").map(number);
        let (mut by, mut send_fields) = (CountBy::default(), true);
        section.set("by", &mut by, count_by);
        section.set("send_fields", &mut send_fields, flag);
        let (requests, per) = match (requests, per) {
            (None, None) if burst.is_none() => return None,
            (Some(requests), Some(per)) => (requests?, per?),
            _ => {
                let message = "a limit needs both, such as `requests = 100` and `per = \"1s\"`";
                section.mistake(section.span(), message);
                return None;
            }
        };
        let limit = Self {
            requests,
            per,
            burst: burst.unwrap_or(Some(requests))?,
            by,
            send_fields,
        };
        if limit.whole_again() > YEAR {
            let message = "this `burst` would take more than a year to be there again";
            section.mistake(section.span(), message);
            return None;
        }
        Some(limit)
    }
}

fn number(value: Value<'_>) -> Option<NonZeroU32> {
    count(1..=1_000_000)(value).and_then(NonZeroU32::new)
}

/// `"client"`, `"all"`, `"field:X-API-Key"`.
fn count_by(value: Value<'_>) -> Option<CountBy> {
    const WHAT: &str = "\"client\", \"all\", or a field such as \"field:X-API-Key\"";
    let text = value.text(WHAT)?;
    match text.as_ref() {
        "client" => return Some(CountBy::Client),
        "all" => return Some(CountBy::All),
        _ => {}
    }
    let field = text.strip_prefix("field:").map(str::parse);
    match field {
        Some(Ok(name)) => Some(CountBy::Field(name)),
        _ => value.refuse_text(format!("is not {WHAT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(limit: &str) -> Result<Option<RateLimit>, Vec<String>> {
        let text =
            format!("upstream.servers = \"http://a\"\n[server]\nrate_limit = {{ {limit} }}\n");
        match Config::parse(&text, "test", &|_| None) {
            Ok(config) => Ok(config.server.rate_limit),
            Err(mistakes) => Err(mistakes.into_iter().map(|m| m.message).collect()),
        }
    }

    #[test]
    fn a_limit_is_read() {
        let plain = |requests, secs, burst| RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            per: DeltaSeconds::new(secs),
            burst: NonZeroU32::new(burst).unwrap(),
            by: CountBy::Client,
            send_fields: true,
        };
        for (text, limit) in [
            ("", None),
            ("by = 'all', send_fields = false", None),
            ("requests = 100, per = '1s'", Some(plain(100, 1, 100))),
            (
                "requests = 100, per = '1m', burst = 5",
                Some(plain(100, 60, 5)),
            ),
            (
                "requests = 1, per = '1h', by = 'all', send_fields = false",
                Some(RateLimit {
                    by: CountBy::All,
                    send_fields: false,
                    ..plain(1, 3600, 1)
                }),
            ),
            (
                "requests = 1, per = '1s', by = 'field:X-API-Key'",
                Some(RateLimit {
                    by: CountBy::Field(HeaderName::from_static("x-api-key")),
                    ..plain(1, 1, 1)
                }),
            ),
        ] {
            assert_eq!(read(text), Ok(limit), "{text}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused_with_its_reason() {
        for (text, reason) in [
            ("requests = 1", "a limit needs both"),
            ("per = '1s'", "a limit needs both"),
            ("burst = 1", "a limit needs both"),
            ("requests = 0, per = '1s'", "is not from 1"),
            ("requests = 1, per = '0s'", "is not a second"),
            ("requests = 1, per = '100ms'", "is not in whole seconds"),
            ("requests = 1, per = 1", "has no unit"),
            (
                "requests = 1, per = '1s', by = 'clients'",
                "is not \"client\"",
            ),
            (
                "requests = 1, per = '1s', by = 'field:'",
                "is not \"client\"",
            ),
            (
                "requests = 1, per = '1s', by = 'field:a b'",
                "is not \"client\"",
            ),
            ("requests = 1, per = '30d', burst = 13", "more than a year"),
            ("requests = 1, per = '1s', limit = 3", "unknown key `limit`"),
        ] {
            let mistakes = read(text).expect_err(text);
            assert_eq!(mistakes.len(), 1, "{text}: {mistakes:?}");
            assert!(mistakes[0].contains(reason), "{text}: {mistakes:?}");
        }
    }
}
