//! How much of a representation is fetched for a client's request: all of it, for the store; a part that is missing in the
//! store; or the part that the client asks for, with its own preconditions and Range.

use super::partial::Partial;
use super::range::{ByteRange, RangeSelection};

/// How much of a representation is fetched, and on whose conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchExtent {
    /// All of it: the client's preconditions and Range are evaluated against the response (RFC 9111 §4.3.2).
    Whole,
    /// As the client asks: its preconditions and Range are forwarded. The response may be stored all the same.
    AsAsked,
    /// The range that is missing of an incomplete stored response (RFC 9111 §3.3).
    Missing(ByteRange),
}

/// The facts about a request that has to go upstream.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request has preconditions or a Range.
    pub selective: bool,
    /// It has credentials, and nothing stored says that the response to such a request may be shared.
    pub personal: bool,
    /// The latest response to such a request could not be stored.
    pub marked: bool,
    /// The incomplete stored response that it selects.
    pub incomplete: Option<Incomplete<'a>>,
    /// Octets that may be stored of one response.
    pub most: u64,
}

/// An incomplete stored response, and the part of it that a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Incomplete<'a> {
    pub stored: &'a Partial,
    pub asked: &'a RangeSelection,
    /// It has a strong validator, so that parts of it can be combined (RFC 9111 §3.4).
    pub combines: bool,
}

impl Situation<'_> {
    /// The extent that costs the API least and answers the client as the API itself would.
    pub fn extent(&self) -> FetchExtent {
        let is_incomplete = self.incomplete.is_some();
        if self.personal && (self.selective || is_incomplete) {
            // No part of it would be kept, and the whole is more than the client asks for.
            return FetchExtent::AsAsked;
        }
        let Some(incomplete) = &self.incomplete else {
            return if self.marked {
                FetchExtent::AsAsked
            } else {
                FetchExtent::Whole
            };
        };
        // Nothing is missing but its validation.
        if incomplete.stored.holds(incomplete.asked) {
            return FetchExtent::Whole;
        }
        let is_too_large = incomplete.stored.complete_length() > self.most;
        match incomplete.missing(self.most) {
            Some(missing) => FetchExtent::Missing(missing),
            None if self.marked || is_too_large => FetchExtent::AsAsked,
            None => FetchExtent::Whole,
        }
    }
}

impl Incomplete<'_> {
    /// The missing range, in one part, where no more than `most` octets are then stored: the client is answered from the
    /// store, so only a range that can be kept may be fetched in its place.
    fn missing(&self, most: u64) -> Option<ByteRange> {
        let gaps = match self.asked {
            RangeSelection::Single(range) => self.stored.missing(*range),
            _ => self.stored.missing_of_whole(),
        };
        // One request for all of it: octets between two gaps come once more.
        let missing = ByteRange::new(gaps.first()?.first(), gaps.last()?.last())?;
        (self.combines && self.stored.octets_with(missing) <= most).then_some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange::new(first, last).unwrap()
    }

    #[test]
    fn the_whole_is_fetched_where_it_may_be_stored_and_else_what_the_client_asks() {
        // selective, personal, marked
        let table = [
            (false, false, false, FetchExtent::Whole),
            (true, false, false, FetchExtent::Whole),
            (false, true, false, FetchExtent::Whole),
            (true, true, false, FetchExtent::AsAsked),
            (false, false, true, FetchExtent::AsAsked),
            (true, false, true, FetchExtent::AsAsked),
            (true, true, true, FetchExtent::AsAsked),
        ];
        for (selective, personal, marked, extent) in table {
            let situation = Situation {
                selective,
                personal,
                marked,
                incomplete: None,
                most: 10,
            };
            assert_eq!(situation.extent(), extent, "{situation:?}");
        }
    }

    #[test]
    fn only_what_can_be_kept_is_asked_for_in_the_client_s_place() {
        let mut stored = Partial::new(100);
        assert!(stored.insert(range(10, 19)) && stored.insert(range(30, 39)));
        let single = |first, last| RangeSelection::Single(range(first, last));
        let several = RangeSelection::Multiple(vec![range(0, 1), range(50, 51)]);
        let held = RangeSelection::Multiple(vec![range(11, 12), range(31, 32)]);
        let missing = |first, last| FetchExtent::Missing(range(first, last));
        // What is asked for, octets that may be stored, whether parts combine, whether there is a marker
        let table = [
            (single(10, 39), 30, true, false, missing(20, 29)),
            (single(10, 39), 29, true, false, FetchExtent::AsAsked),
            (single(5, 45), 100, true, true, missing(5, 45)),
            (single(5, 45), 41, true, true, missing(5, 45)),
            (single(5, 45), 40, true, true, FetchExtent::AsAsked),
            (single(5, 45), 41, false, true, FetchExtent::AsAsked),
            (single(5, 45), 100, false, false, FetchExtent::Whole),
            (single(11, 12), 10, true, true, FetchExtent::Whole),
            (held, 10, true, true, FetchExtent::Whole),
            (several.clone(), 100, true, false, missing(0, 99)),
            (several, 99, true, false, FetchExtent::AsAsked),
            (RangeSelection::Whole, 100, true, true, missing(0, 99)),
            (RangeSelection::Whole, 99, true, false, FetchExtent::AsAsked),
            (
                RangeSelection::Unsatisfiable,
                10,
                true,
                false,
                FetchExtent::Whole,
            ),
        ];
        for (asked, most, combines, marked, extent) in table {
            let situation = |personal| Situation {
                selective: true,
                personal,
                marked,
                incomplete: Some(Incomplete {
                    stored: &stored,
                    asked: &asked,
                    combines,
                }),
                most,
            };
            assert_eq!(
                situation(false).extent(),
                extent,
                "{asked:?} {most} {combines}"
            );
            assert_eq!(situation(true).extent(), FetchExtent::AsAsked, "{asked:?}");
        }
    }
}
