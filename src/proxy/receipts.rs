//! Receipts: what the answer to a write or a purge says, so that a later request can ask for nothing older.
//!
//! `Bookend-Receipt: EPOCH.NUMBER` has the number of the invalidation, and what tells this process from others. A request with
//! `Bookend-After` and that value is answered as any other by the process that gave the receipt: what the invalidation covers is
//! gone there. Another process, or this one after a restart, has not seen it, and asks the API.

use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::list;

pub const BOOKEND_RECEIPT: HeaderName = HeaderName::from_static("bookend-receipt");
pub const BOOKEND_AFTER: HeaderName = HeaderName::from_static("bookend-after");

/// The receipts of one process.
#[derive(Debug)]
pub struct Receipts {
    epoch: Box<str>,
}

impl Default for Receipts {
    fn default() -> Self {
        let random = RandomState::new().hash_one("receipts");
        let epoch = format!("{random:016x}").into();
        Self { epoch }
    }
}

impl Receipts {
    /// The receipt of the invalidation with this number.
    pub fn of(&self, number: u64) -> HeaderValue {
        let text = format!("{}.{number}", self.epoch);
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether a request names receipts, and each is of this process, and of an invalidation that has been carried out; `latest` is
    /// the number of the latest one.
    pub fn have_all(&self, request: &HeaderMap, latest: u64) -> bool {
        let name = BOOKEND_AFTER;
        let mut members = list::members(request, &name).peekable();
        members.peek().is_some()
            && members.all(|member| {
                let text = std::str::from_utf8(member).ok();
                let number = text.and_then(|text| {
                    let (epoch, number) = text.split_once('.')?;
                    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
                    (epoch == &*self.epoch && is_number).then_some(number)
                });
                let number = number.and_then(|number| number.parse::<u64>().ok());
                number.is_some_and(|number| number <= latest)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_known_that_this_process_gave() {
        let receipts = Receipts {
            epoch: "0123456789abcdef".into(),
        };
        assert_eq!(receipts.of(7), "0123456789abcdef.7");
        for (values, known) in [
            (&["0123456789abcdef.7"][..], true),
            (&["0123456789abcdef.0"], true),
            (&["0123456789abcdef.8"], false),
            (&["0123456789abcdee.7"], false),
            (&["0123456789ABCDEF.7"], false),
            (&["0123456789abcdef"], false),
            (&["0123456789abcdef."], false),
            (&["0123456789abcdef.+7"], false),
            (&["0123456789abcdef.-1"], false),
            (&["0123456789abcdef.7.1"], false),
            (&["0123456789abcdef.99999999999999999999999"], false),
            (&["7"], false),
            (&[""], false),
            (&["\u{e9}"], false),
            (&["0123456789abcdef.7, 0123456789abcdef.6"], true),
            (&["0123456789abcdef.7", "0123456789abcdef.8"], false),
            (&["0123456789abcdef.7, other.1"], false),
        ] {
            let mut request = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).expect(value);
                request.append(BOOKEND_AFTER, value);
            }
            assert_eq!(receipts.have_all(&request, 7), known, "{values:?}");
        }
        let [one, other] = [Receipts::default(), Receipts::default()];
        assert_ne!(one.of(1), other.of(1));
    }
}
