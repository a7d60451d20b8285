//! Content-Range (RFC 9110 §14.4).

use http::{HeaderMap, HeaderValue, header};

use super::list;
use super::range::{ByteRange, decimal};

/// The value of a Content-Range field in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRange {
    /// `bytes first-last/complete`; `complete` is `None` where the sender did not know it (`*`).
    Satisfied {
        range: ByteRange,
        complete: Option<u64>,
    },
    /// `bytes */complete`, in a 416.
    Unsatisfied { complete: u64 },
}

impl ContentRange {
    /// `None` without the field, with another range unit, and when it is invalid: such content must not be combined
    /// with any other.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = list::only_line(headers, &header::CONTENT_RANGE)?;
        let (unit, rest) = split_at(value, b' ')?;
        if !unit.eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let (range, complete) = split_at(rest, b'/')?;
        let complete = match complete {
            b"*" => None,
            digits => Some(decimal(digits)?),
        };
        if range == b"*" {
            return complete.map(|complete| Self::Unsatisfied { complete });
        }
        let (first, last) = split_at(range, b'-')?;
        let range = ByteRange::new(decimal(first)?, decimal(last)?)?;
        let fits = complete.is_none_or(|complete| range.end() <= complete);
        fits.then_some(Self::Satisfied { range, complete })
    }

    /// The field's value as it is sent.
    pub fn to_value(self) -> HeaderValue {
        let text = match self {
            Self::Satisfied {
                range,
                complete: Some(complete),
            } => format!("bytes {}-{}/{complete}", range.first(), range.last()),
            Self::Satisfied {
                range,
                complete: None,
            } => format!("bytes {}-{}/*", range.first(), range.last()),
            Self::Unsatisfied { complete } => format!("bytes */{complete}"),
        };
        // Digits and punctuation are always a field value.
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("bytes */0"))
    }
}

fn split_at(value: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|&byte| byte == separator)?;
    Some((&value[..at], &value[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &str) -> Option<ContentRange> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
        ContentRange::of(&headers)
    }

    fn satisfied(first: u64, last: u64, complete: Option<u64>) -> Option<ContentRange> {
        let range = ByteRange::new(first, last).unwrap();
        Some(ContentRange::Satisfied { range, complete })
    }

    #[test]
    fn content_range_is_read_as_its_grammar_says() {
        let cases = [
            ("bytes 42-1233/1234", satisfied(42, 1233, Some(1234))),
            ("bytes 42-1233/*", satisfied(42, 1233, None)),
            ("bytes 0-0/1", satisfied(0, 0, Some(1))),
            ("Bytes 0-0/1", satisfied(0, 0, Some(1))),
            (
                "bytes */1234",
                Some(ContentRange::Unsatisfied { complete: 1234 }),
            ),
            ("bytes */*", None),
            ("bytes 1-0/2", None),
            ("bytes 0-1/1", None),
            ("bytes 0-1/2x", None),
            ("bytes 0-1", None),
            ("bytes=0-1/2", None),
            ("bytes -1/2", None),
            ("bytes 0-/2", None),
            ("bytes 0 - 1/2", None),
            ("items 0-1/2", None),
            ("bytes 0-99999999999999999999/99999999999999999999", None),
            ("", None),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value), expected, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::CONTENT_RANGE, "bytes 0-1/2".parse().unwrap());
        twice.append(header::CONTENT_RANGE, "bytes 0-1/2".parse().unwrap());
        assert_eq!(ContentRange::of(&twice), None);
        assert_eq!(ContentRange::of(&HeaderMap::new()), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read_again(first in 0..u64::MAX / 2, len in 1..u64::MAX / 4, more in 0..u64::MAX / 4) {
            let last = first + len - 1;
            for complete in [None, Some(last + 1 + more)] {
                let range = ByteRange::new(first, last).unwrap();
                let value = ContentRange::Satisfied { range, complete };
                prop_assert_eq!(parse(value.to_value().to_str().unwrap()), Some(value));
            }
            let value = ContentRange::Unsatisfied { complete: first };
            prop_assert_eq!(parse(value.to_value().to_str().unwrap()), Some(value));
        }

        #[test]
        fn any_value_is_read_without_panic(value in "(bytes )?[0-9*/ -]{0,20}") {
            parse(&value);
        }
    }
}
