//! Maps of header fields made from one that was made before. The responses of an API mostly have the same field names in
//! the same order: to copy a map that has them already, and put other values in, costs half of what a new map does.

use http::header::{AGE, HeaderMap, HeaderName, HeaderValue, VIA};

use super::fields::Fields;
use crate::semantics::cache_status::CACHE_STATUS;

/// Stands in the template for a value that heads do not have in common.
const DIFFERS: HeaderValue = HeaderValue::from_static("");

/// Heads with more field lines have no template.
const MAX_LINES: usize = 24;

/// The fields that the gateway adds to a response's own.
#[derive(Clone, Debug)]
pub struct Added {
    pub age: HeaderValue,
    pub via: HeaderValue,
    pub cache_status: HeaderValue,
}

/// A map with the field names of a head, those of [`Added`] behind them, and the values that the heads which it was
/// rendered for have in common so far.
#[derive(Debug)]
pub struct HeadTemplate {
    map: HeaderMap,
    /// Field lines of the head, without those of [`Added`].
    lines: usize,
}

impl Added {
    /// Adds them behind the response's own fields.
    pub fn put(self, fields: &mut HeaderMap) {
        fields.insert(AGE, self.age);
        fields.append(VIA, self.via);
        fields.append(CACHE_STATUS, self.cache_status);
    }

    fn value_of(&self, name: &HeaderName) -> Option<&HeaderValue> {
        match name {
            name if *name == AGE => Some(&self.age),
            name if *name == VIA => Some(&self.via),
            name if *name == CACHE_STATUS => Some(&self.cache_status),
            _ => None,
        }
    }
}

impl HeadTemplate {
    /// A template for heads with these field names; `None` where a name comes twice, or is one of [`Added`].
    pub fn of(fields: &Fields) -> Option<Self> {
        let mut map = fields.to_map();
        let lines = map.len();
        if map.keys_len() != lines || lines > MAX_LINES {
            return None;
        }
        for name in [AGE, VIA, CACHE_STATUS] {
            if map.insert(name, DIFFERS).is_some() {
                return None;
            }
        }
        Some(Self { map, lines })
    }

    /// The map of these fields, with `added`; `None` where they have other names than the template.
    pub fn render(&mut self, fields: &Fields, added: &Added) -> Option<HeaderMap> {
        // Else a line that has one of the added names could take its place.
        if fields.line_count() != self.lines {
            return None;
        }
        let mut map = self.map.clone();
        let (mut lines, mut octets) = (fields.lines(), None);
        for (name, place) in &mut map {
            let Some(line) = lines.next() else {
                *place = added.value_of(name)?.clone();
                continue;
            };
            if !line.is_named(name) {
                return None;
            }
            if !line.is_worth(place) {
                let octets = octets.get_or_insert_with(|| fields.octets());
                let own = std::mem::replace(place, line.to_value(octets)?);
                if !own.is_empty() {
                    self.map.insert(name, DIFFERS);
                }
            }
        }
        lines.next().is_none().then_some(map)
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, DATE, ETAG};
    use proptest::prelude::*;

    use super::*;

    fn map_of(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let lines = lines.iter().cloned();
        lines
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect()
    }

    fn added(age: u64) -> Added {
        Added {
            age: age.into(),
            via: HeaderValue::from_static("1.1 bookend"),
            cache_status: HeaderValue::from_static("bookend; hit; ttl=5"),
        }
    }

    fn put_together(fields: &Fields, added: Added) -> HeaderMap {
        let mut map = fields.to_map();
        added.put(&mut map);
        map
    }

    #[test]
    fn a_map_has_the_values_of_its_own_head() {
        let first = Fields::of(&map_of(&[
            (DATE, "1"),
            (CONTENT_TYPE, "a"),
            (ETAG, "\"a\""),
        ]));
        let other = Fields::of(&map_of(&[
            (DATE, "2"),
            (CONTENT_TYPE, "application/json"),
            (ETAG, "\"longer\""),
        ]));
        let mut template = HeadTemplate::of(&first).unwrap();
        for (fields, age) in [(&first, 1), (&other, 2), (&first, 3)] {
            let map = template.render(fields, &added(age)).unwrap();
            assert_eq!(map, put_together(fields, added(age)));
        }
    }

    #[test]
    fn a_head_with_other_names_is_not_rendered() {
        let mut template =
            HeadTemplate::of(&Fields::of(&map_of(&[(DATE, "1"), (ETAG, "\"a\"")]))).unwrap();
        let others: [&[_]; 6] = [
            &[],
            &[(DATE, "1")],
            &[(ETAG, "\"a\""), (DATE, "1")],
            &[(DATE, "1"), (ETAG, "\"a\""), (CONTENT_TYPE, "a")],
            &[(DATE, "1"), (HeaderName::from_static("x-mine"), "a")],
            &[
                (DATE, "1"),
                (ETAG, "\"a\""),
                (AGE, "9"),
                (VIA, "1.1 other"),
                (CACHE_STATUS, "other; hit"),
            ],
        ];
        for other in others {
            assert!(
                template
                    .render(&Fields::of(&map_of(other)), &added(1))
                    .is_none(),
                "{other:?}"
            );
        }
    }

    #[test]
    fn a_head_with_a_name_twice_or_an_added_one_has_no_template() {
        let twice = [(ETAG, "\"a\""), (ETAG, "\"b\"")];
        let unplain: [&[_]; 4] = [
            &twice,
            &[(AGE, "1")],
            &[(VIA, "1.1 other")],
            &[(CACHE_STATUS, "other; hit")],
        ];
        for lines in unplain {
            assert!(
                HeadTemplate::of(&Fields::of(&map_of(lines))).is_none(),
                "{lines:?}"
            );
        }
    }

    proptest! {
        /// A template made of any heads renders the same fields as are put together without one.
        #[test]
        fn a_rendered_map_is_what_would_be_put_together(
            heads in proptest::collection::vec(
                proptest::collection::vec(("etag|date|vary|server|x-a|age|via", "gzip|[ -~]{0,40}"), 0..5), 1..5
            )
        ) {
            let heads: Vec<_> = heads.iter().map(|lines| {
                let mut map = HeaderMap::new();
                for (name, value) in lines {
                    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                    map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
                }
                Fields::of(&map)
            }).collect();
            for mut template in heads.iter().filter_map(HeadTemplate::of) {
                for fields in &heads {
                    if let Some(map) = template.render(fields, &added(7)) {
                        let expected = put_together(fields, added(7));
                        prop_assert_eq!(&map, &expected);
                        prop_assert!(map.keys().eq(expected.keys()));
                    }
                }
            }
        }
    }
}
