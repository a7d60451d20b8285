//! Incomplete stored responses: which octets of a representation are stored, which are missing, and which parts may be
//! combined (RFC 9111 §3.3, §3.4). These rules know offsets only; the cache has the octets.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::content_range::ContentRange;
use super::range::{ByteRange, RangeSelection, RangeSpec, satisfy};
use super::validation::{Validators, freshen};

/// The ranges of one representation that are stored: sorted, apart from one another, within the complete length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    ranges: Vec<ByteRange>,
    complete: u64,
}

impl Partial {
    /// Nothing yet of a representation of `complete` octets.
    pub fn new(complete: u64) -> Self {
        Self {
            ranges: Vec::new(),
            complete,
        }
    }

    /// The range of a 206 with one part; `None` where its range, unit or complete length is missing or invalid, so that it
    /// can neither be stored nor combined (RFC 9110 §14.4).
    pub fn of_206(headers: &HeaderMap) -> Option<Self> {
        let ContentRange::Satisfied {
            range,
            complete: Some(complete),
        } = ContentRange::of(headers)?
        else {
            return None;
        };
        let mut partial = Self::new(complete);
        partial.insert(range).then_some(partial)
    }

    /// The length of the whole representation, in octets.
    pub fn complete_length(&self) -> u64 {
        self.complete
    }

    pub fn ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Adds a range, joined with those it overlaps or touches. False when it reaches beyond the complete length; then
    /// nothing was added.
    pub fn insert(&mut self, range: ByteRange) -> bool {
        if range.end() > self.complete {
            return false;
        }
        let start = self.ranges.partition_point(|r| r.end() < range.first());
        let end = self.ranges.partition_point(|r| r.first() <= range.end());
        let joined = &self.ranges[start..end];
        let first = joined
            .first()
            .map_or(range.first(), |r| r.first().min(range.first()));
        let last = joined
            .last()
            .map_or(range.last(), |r| r.last().max(range.last()));
        self.ranges.splice(start..end, ByteRange::new(first, last));
        true
    }

    pub fn is_complete(&self) -> bool {
        match ByteRange::whole(self.complete) {
            Some(whole) => self.ranges == [whole],
            None => true,
        }
    }

    /// Whether all octets of `range` are there.
    pub fn contains(&self, range: ByteRange) -> bool {
        let at = self.ranges.partition_point(|r| r.last() < range.last());
        let holder = self.ranges.get(at);
        holder.is_some_and(|r| r.first() <= range.first())
    }

    /// The stored part of `range` from its first octet on; `None` where that octet is missing.
    pub fn beginning_of(&self, range: ByteRange) -> Option<ByteRange> {
        let first = ByteRange::new(range.first(), range.first())?;
        let holder = self.ranges.iter().find(|r| r.overlaps(first))?;
        ByteRange::new(range.first(), range.last().min(holder.last()))
    }

    /// How many octets are there when `range` is added.
    pub fn octets_with(&self, range: ByteRange) -> u64 {
        let mut with = self.clone();
        with.insert(range);
        with.ranges.iter().map(|range| range.len()).sum()
    }

    /// The missing parts of `range`, in order; octets beyond the complete length are not missing.
    pub fn missing(&self, range: ByteRange) -> Vec<ByteRange> {
        let end = range.end().min(self.complete);
        let mut from = range.first();
        let mut gaps = Vec::new();
        for stored in self.ranges.iter().filter(|r| r.overlaps(range)) {
            gaps.extend(between(from, stored.first()));
            from = from.max(stored.end());
        }
        gaps.extend(between(from, end));
        gaps
    }

    /// The missing parts of the whole representation.
    pub fn missing_of_whole(&self) -> Vec<ByteRange> {
        ByteRange::whole(self.complete).map_or_else(Vec::new, |whole| self.missing(whole))
    }

    /// The parts that the requested ranges select, if all of them are stored; `None` when octets are missing, and where the
    /// response would have to be whole (RFC 9111 §3.3).
    pub fn satisfy(&self, set: &[RangeSpec]) -> Option<RangeSelection> {
        let selection = satisfy(set, self.complete);
        self.holds(&selection).then_some(selection)
    }

    /// Whether all octets are there that a request selects.
    pub fn holds(&self, selection: &RangeSelection) -> bool {
        match selection {
            RangeSelection::Whole => self.is_complete(),
            RangeSelection::Single(range) => self.contains(*range),
            RangeSelection::Multiple(ranges) => ranges.iter().all(|range| self.contains(*range)),
            RangeSelection::Unsatisfiable => true,
        }
    }

    /// Whether the stored octets answer a request that selects this: a 206 may end before the requested range does (RFC 9110
    /// §15.3.7).
    pub fn answers(&self, selection: &RangeSelection) -> bool {
        self.holds(selection)
            || matches!(selection, RangeSelection::Single(range) if self.beginning_of(*range).is_some())
    }

    /// Whether a 206 holds a part of the same representation, and which (RFC 9111 §3.4, RFC 9110 §15.3.7.3).
    pub fn combines_with(
        &self,
        stored: &Validators,
        status: StatusCode,
        part: &HeaderMap,
    ) -> Option<ByteRange> {
        if status != StatusCode::PARTIAL_CONTENT || !stored.share_strong(&Validators::of(part)) {
            return None;
        }
        match ContentRange::of(part)? {
            ContentRange::Satisfied { range, complete }
                if complete.is_none_or(|length| length == self.complete)
                    && range.end() <= self.complete =>
            {
                Some(range)
            }
            _ => None,
        }
    }
}

/// The octets from `from` up to but without `end`.
fn between(from: u64, end: u64) -> Option<ByteRange> {
    ByteRange::new(from, end.checked_sub(1)?)
}

/// The fields of a stored response after a part has been combined with it: those of the part replace the stored ones
/// (RFC 9111 §3.4), except for the fields that frame the part.
pub fn combined_fields(stored: &HeaderMap, part: &HeaderMap) -> HeaderMap {
    freshen(stored, part)
}

/// The fields of a 206 with one part as those of the 200 that it is stored as, incomplete (RFC 9111 §3.3): without its
/// range, and with the complete length.
pub fn fields_of_whole(part: &HeaderMap, complete_length: u64) -> HeaderMap {
    let mut fields = part.clone();
    fields.remove(header::CONTENT_RANGE);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(complete_length));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u64, last: u64) -> ByteRange {
        ByteRange::new(first, last).unwrap()
    }

    fn partial(complete: u64, ranges: &[(u64, u64)]) -> Partial {
        let mut partial = Partial::new(complete);
        for (first, last) in ranges {
            assert!(partial.insert(range(*first, *last)));
        }
        partial
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn ranges_join_where_they_touch() {
        let mut stored = partial(100, &[(0, 9), (20, 29)]);
        assert_eq!(stored.complete_length(), 100);
        assert_eq!(stored.ranges(), [range(0, 9), range(20, 29)]);
        assert!(stored.insert(range(10, 19)));
        assert_eq!(stored.ranges(), [range(0, 29)]);
        assert!(!stored.insert(range(90, 100)), "beyond the end");
        assert!(!stored.is_complete());
        assert!(stored.insert(range(25, 99)));
        assert!(stored.is_complete());
        assert!(Partial::new(0).is_complete());
    }

    #[test]
    fn only_what_is_stored_answers() {
        let stored = partial(100, &[(10, 19), (30, 39)]);
        let ask = |spec: RangeSpec| stored.satisfy(&[spec]);
        let from = |first, last| RangeSpec::From { first, last };
        assert_eq!(
            ask(from(10, 12)),
            Some(RangeSelection::Single(range(10, 12)))
        );
        assert_eq!(ask(from(19, 30)), None);
        assert_eq!(ask(from(0, u64::MAX)), None);
        assert_eq!(ask(RangeSpec::Suffix { length: 5 }), None);
        assert_eq!(ask(from(100, 120)), Some(RangeSelection::Unsatisfiable));
        let both = [from(10, 10), from(39, 39)];
        let parts = vec![range(10, 10), range(39, 39)];
        assert_eq!(stored.satisfy(&both), Some(RangeSelection::Multiple(parts)));
    }

    #[test]
    fn the_missing_part_is_found() {
        let stored = partial(100, &[(10, 19), (30, 39)]);
        assert_eq!(
            stored.missing(range(15, 35)),
            [range(20, 29)],
            "between two"
        );
        assert_eq!(stored.missing(range(11, 12)), []);
        assert_eq!(
            stored.missing_of_whole(),
            [range(0, 9), range(20, 29), range(40, 99)]
        );
        assert_eq!(stored.missing(range(90, 200)), [range(90, 99)]);
        assert_eq!(Partial::new(0).missing_of_whole(), []);
    }

    #[test]
    fn parts_combine_only_with_the_same_strong_validator_and_length() {
        let stored = partial(100, &[(0, 9)]);
        let strong = Validators::of(&headers(&[("etag", r#""a""#)]));
        let weak = Validators::of(&headers(&[("etag", r#"W/"a""#)]));
        let part =
            |etag, content_range| headers(&[("etag", etag), ("content-range", content_range)]);
        let same = part(r#""a""#, "bytes 10-99/100");
        let ask = |validators, status, part: &HeaderMap| {
            let status = StatusCode::from_u16(status).unwrap();
            stored.combines_with(validators, status, part)
        };
        assert_eq!(ask(&strong, 206, &same), Some(range(10, 99)));
        let unknown_length = part(r#""a""#, "bytes 10-99/*");
        assert_eq!(ask(&strong, 206, &unknown_length), Some(range(10, 99)));
        assert_eq!(ask(&strong, 200, &same), None);
        assert_eq!(ask(&weak, 206, &part(r#"W/"a""#, "bytes 10-99/100")), None);
        for (etag, content_range) in [
            (r#""b""#, "bytes 10-99/100"),
            (r#""a""#, "bytes 10-99/101"),
            (r#""a""#, "bytes 10-100/*"),
            (r#""a""#, "bytes 99-10/100"),
            (r#""a""#, "items 10-99/100"),
            (r#""a""#, "bytes */100"),
        ] {
            let found = ask(&strong, 206, &part(etag, content_range));
            assert_eq!(found, None, "{etag} {content_range}");
        }
    }

    #[test]
    fn a_206_is_stored_as_the_part_it_says_it_is() {
        let of = |content_range| Partial::of_206(&headers(&[("content-range", content_range)]));
        assert_eq!(of("bytes 5-9/10"), Some(partial(10, &[(5, 9)])));
        assert_eq!(of("bytes 5-9/*"), None);
        assert_eq!(of("bytes */10"), None);
        assert_eq!(of("items 5-9/10"), None);
        assert_eq!(Partial::of_206(&HeaderMap::new()), None);

        let part = headers(&[
            ("content-range", "bytes 5-9/10"),
            ("content-length", "5"),
            ("x", "1"),
        ]);
        let whole = headers(&[("content-length", "10"), ("x", "1")]);
        assert_eq!(fields_of_whole(&part, 10), whole);

        let newer = headers(&[
            ("content-range", "bytes 0-4/10"),
            ("content-length", "5"),
            ("x", "2"),
        ]);
        let combined = headers(&[("content-length", "10"), ("x", "2")]);
        assert_eq!(combined_fields(&whole, &newer), combined);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn ranges_agree_with_a_map_of_octets(
            inserts in prop::collection::vec((0..32_u64, 1..12_u64), 0..8),
            asked in (0..32_u64, 1..12_u64),
        ) {
            const LENGTH: u64 = 32;
            let mut stored = Partial::new(LENGTH);
            let mut octets = [false; LENGTH as usize];
            for (first, len) in inserts {
                let fits = first + len <= LENGTH;
                prop_assert_eq!(stored.insert(range(first, first + len - 1)), fits);
                if fits {
                    octets[first as usize..(first + len) as usize].fill(true);
                }
            }
            for pair in stored.ranges().windows(2) {
                prop_assert!(pair[0].end() < pair[1].first(), "sorted and apart");
            }
            let at = |octet: u64| stored.ranges().iter().any(|r| r.overlaps(range(octet, octet)));
            for octet in 0..LENGTH {
                prop_assert_eq!(at(octet), octets[octet as usize]);
            }
            prop_assert_eq!(stored.is_complete(), octets.iter().all(|there| *there));

            let asked = range(asked.0, asked.0 + asked.1 - 1);
            let inside = |octet: u64| octet < LENGTH && octets[octet as usize];
            let all = (asked.first()..=asked.last()).all(inside);
            prop_assert_eq!(stored.contains(asked), all);
            let beginning = (asked.first()..=asked.last()).take_while(|octet| inside(*octet)).count() as u64;
            prop_assert_eq!(stored.beginning_of(asked).map_or(0, |range| range.len()), beginning);
            if asked.end() <= LENGTH {
                let with = (0..LENGTH).filter(|octet| inside(*octet) || asked.overlaps(range(*octet, *octet)));
                prop_assert_eq!(stored.octets_with(asked), with.count() as u64);
            }
            let missing = stored.missing(asked);
            for octet in asked.first()..asked.end().min(LENGTH) {
                let gap = missing.iter().any(|r| r.overlaps(range(octet, octet)));
                prop_assert_eq!(gap, !octets[octet as usize]);
            }
            prop_assert!(missing.iter().all(|gap| gap.end() <= LENGTH));
        }
    }
}
