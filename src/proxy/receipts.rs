//! Receipts: what the answer to a write or a purge says, so that a later request can ask for nothing older.
//!
//! `Bookend-Receipt: EPOCH.NUMBER` has the number of the invalidation, and what tells this process from others. A request with
//! `Bookend-After` and that value is answered as any other by the process that gave the receipt: what the invalidation covers is
//! gone there. Another process, or this one after a restart, has not seen it, and asks the API. In a fleet, the number and what
//! tells it from others are those of the fleet's ledger, once all gateways have acknowledged the invalidation: `Bookend-Receipt:
//! EPOCH.NUMBER; gateways=3/3`. Then any of them that has come so far answers.

use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::semantics::list;
use crate::tier::fleet::{Acknowledged, Place};

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

    /// Whether a request names receipts, and each is of an invalidation that has been carried out here: of this process, where `latest`
    /// is the number of the latest one, or of a place in the fleet's ledger that `answers` knows.
    pub fn have_all(
        &self,
        request: &HeaderMap,
        latest: u64,
        answers: impl Fn(Place) -> bool,
    ) -> bool {
        let name = BOOKEND_AFTER;
        let mut members = list::members(request, &name).peekable();
        let is_known = |member| {
            let Some((epoch, number)) = read(member) else {
                return false;
            };
            if epoch == &*self.epoch {
                return number <= latest;
            }
            let epoch = (epoch.len() == 16).then(|| u64::from_str_radix(epoch, 16).ok());
            let epoch = epoch.flatten();
            epoch.is_some_and(|epoch| answers(Place { epoch, number }))
        };
        members.peek().is_some() && members.all(is_known)
    }
}

/// The receipt of an invalidation that all gateways have acknowledged.
pub fn of_fleet(acknowledged: Acknowledged) -> HeaderValue {
    let Acknowledged {
        place: Place { epoch, number },
        gateways,
        applied,
    } = acknowledged;
    let text = format!("{epoch:016x}.{number}; gateways={applied}/{gateways}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// The epoch and the number of a receipt; its parameters are for people.
fn read(member: &[u8]) -> Option<(&str, u64)> {
    let text = std::str::from_utf8(member).ok()?;
    let (receipt, _) = text.split_once(';').unwrap_or((text, ""));
    let (epoch, number) = receipt.trim_ascii_end().split_once('.')?;
    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
    Some((epoch, number.parse().ok().filter(|_| is_number)?))
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
            (&["0123456789abcdef.7; gateways=3/3"], true),
            (&["0123456789abcdef.8; gateways=3/3"], false),
            (&["00000000000000aa.5; gateways=3/3"], true),
            (&["00000000000000aa.5, 0123456789abcdef.7"], true),
            (&["00000000000000aa.6"], false),
            (&["aa.5"], false),
            (&["0123456789abcdef.7", "0123456789abcdef.8"], false),
            (&["0123456789abcdef.7, other.1"], false),
        ] {
            let mut request = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).expect(value);
                request.append(BOOKEND_AFTER, value);
            }
            let answers = |place| {
                place
                    == Place {
                        epoch: 0xaa,
                        number: 5,
                    }
            };
            let all = receipts.have_all(&request, 7, answers);
            assert_eq!(all, known, "{values:?}");
        }
        let [one, other] = [Receipts::default(), Receipts::default()];
        assert_ne!(one.of(1), other.of(1));
    }
}
