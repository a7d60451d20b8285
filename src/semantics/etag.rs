//! Entity tags (RFC 9110 §8.8.3), their two comparisons, and the lists of them in If-Match and If-None-Match.
//!
//! Many APIs send a tag without its quotes. Such a tag is passed on as it is and compared as an opaque string, but
//! nothing is known of its strength, so it never counts as strong.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::list;

/// The entity tag of a response; shares the octets of the field value it came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag(HeaderValue);

impl EntityTag {
    /// The tag in `headers`' ETag; `None` without one, and where several lines differ.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ETAG).iter();
        let first = lines.next()?;
        if lines.any(|other| other != first) {
            return None;
        }
        Self::new(first.clone())
    }

    /// A tag from a field value; `None` when the value is empty or `*`, which would name every representation.
    pub fn new(value: HeaderValue) -> Option<Self> {
        let usable = !matches!(list::trim(value.as_bytes()), b"" | b"*");
        usable.then_some(Self(value))
    }

    /// The tag as it was received.
    pub fn as_value(&self) -> &HeaderValue {
        &self.0
    }

    /// The same tag in octets of its own.
    pub fn detached(&self) -> Self {
        HeaderValue::from_bytes(self.0.as_bytes()).map_or_else(|_| self.clone(), Self)
    }

    /// The tag for comparison.
    pub fn tag(&self) -> Tag<'_> {
        Tag::parse(list::trim(self.0.as_bytes()))
    }

    pub fn is_strong(&self) -> bool {
        self.tag().strength == Strength::Strong
    }

    /// Whether it stays one member when it is put into a list.
    pub(crate) fn fits_a_list(&self) -> bool {
        let octets = self.0.as_bytes();
        let mut members = list::split_without_escapes(octets);
        members.next() == Some(list::trim(octets)) && members.next().is_none()
    }

    /// RFC 9110 §8.8.3.2: equal, and both strong.
    pub fn strong_eq(&self, other: &Self) -> bool {
        self.tag().strong_eq(other.tag())
    }

    /// RFC 9110 §8.8.3.2: equal, whatever their strength.
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.tag().weak_eq(other.tag())
    }
}

/// The strength of a tag (RFC 9110 §8.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    Strong,
    Weak,
    /// No entity tag by RFC 9110's grammar: an opaque string of unknown strength.
    Malformed,
}

/// A borrowed entity tag: its strength, and the octets between its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a> {
    pub strength: Strength,
    pub opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Reads a tag without white space around it; anything that is no entity tag is an opaque string.
    pub fn parse(value: &'a [u8]) -> Self {
        let (prefix, rest) = match value {
            [b'W', b'/', rest @ ..] => (Strength::Weak, rest),
            // The prefix is case-sensitive, so this is no entity tag; the octets behind it are compared all the same.
            [b'w', b'/', rest @ ..] => (Strength::Malformed, rest),
            rest => (Strength::Strong, rest),
        };
        // §8.8.3: `DQUOTE *etagc DQUOTE`
        let is_etagc = |octet: &u8| matches!(octet, 0x21 | 0x23..=0x7e | 0x80..);
        let inner = rest
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        match inner.filter(|inner| inner.iter().all(is_etagc)) {
            Some(opaque) => Self {
                strength: prefix,
                opaque,
            },
            None => Self {
                strength: Strength::Malformed,
                opaque: rest,
            },
        }
    }

    pub fn strong_eq(self, other: Tag<'_>) -> bool {
        self.strength == Strength::Strong
            && other.strength == Strength::Strong
            && self.opaque == other.opaque
    }

    pub fn weak_eq(self, other: Tag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// How the members of a list are compared with the current tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// If-Match (RFC 9110 §13.1.1).
    Strong,
    /// If-None-Match (RFC 9110 §13.1.2).
    Weak,
}

/// Whether the list of tags in the request field `name` names the current representation, whose tag is `current`.
/// `None` when there is no such field.
///
/// `*` names every current representation. Among other members it is invalid (§13.1.1, §13.1.2) and names nothing.
pub fn list_names(
    request: &HeaderMap,
    name: &HeaderName,
    current: Option<&EntityTag>,
    comparison: Comparison,
) -> Option<bool> {
    let lines = request.get_all(name);
    let mut members = lines
        .iter()
        .flat_map(|line| list::split_without_escapes(line.as_bytes()));
    let Some(first) = members.next() else {
        return request.contains_key(name).then_some(false);
    };
    if first == b"*" {
        return Some(members.next().is_none());
    }
    let Some(current) = current.map(EntityTag::tag) else {
        return Some(false);
    };
    let named = std::iter::once(first).chain(members).any(|member| {
        let listed = Tag::parse(member);
        member != b"*"
            && match comparison {
                Comparison::Strong => listed.strong_eq(current),
                Comparison::Weak => listed.weak_eq(current),
            }
    });
    Some(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(value: &'static str) -> EntityTag {
        EntityTag::new(HeaderValue::from_static(value)).unwrap()
    }

    #[test]
    fn tags_compare_by_the_table_of_the_rfc() {
        // (one, another, strong, weak): RFC 9110 §8.8.3.2, then what real APIs send.
        let cases = [
            (r#"W/"1""#, r#"W/"1""#, false, true),
            (r#"W/"1""#, r#"W/"2""#, false, false),
            (r#"W/"1""#, r#""1""#, false, true),
            (r#""1""#, r#""1""#, true, true),
            (r#""1""#, r#""2""#, false, false),
            (r#""""#, r#""""#, true, true),
            (r#""a\b""#, r#""a\b""#, true, true),
            (r#""a\b""#, r#""ab""#, false, false),
            ("book-123", "book-123", false, true),
            ("book-123", "book-124", false, false),
            ("book-123", r#""book-123""#, false, true),
            ("W/book-123", "W/book-123", false, true),
            (r#"w/"1""#, r#"W/"1""#, false, true),
            (r#""A""#, r#""a""#, false, false),
            (r#""1" "#, r#""1""#, true, true),
        ];
        for (one, another, strong, weak) in cases {
            let (a, b) = (tag(one), tag(another));
            assert_eq!(a.strong_eq(&b), strong, "{one} strong {another}");
            assert_eq!(b.strong_eq(&a), strong, "{another} strong {one}");
            assert_eq!(a.weak_eq(&b), weak, "{one} weak {another}");
            assert_eq!(b.weak_eq(&a), weak, "{another} weak {one}");
        }
    }

    #[test]
    fn only_a_quoted_tag_without_prefix_is_strong() {
        for (value, strong) in [
            (r#""a""#, true),
            (r#"W/"a""#, false),
            (r#"w/"a""#, false),
            ("a", false),
            (r#""a"#, false),
            (r#""a b""#, false),
            (r#""a"b""#, false),
        ] {
            assert_eq!(tag(value).is_strong(), strong, "{value}");
        }
    }

    #[test]
    fn a_response_has_a_tag_when_its_lines_agree() {
        let cases: [(&[&str], Option<&str>); 6] = [
            (&[], None),
            (&[r#""a""#], Some(r#""a""#)),
            (&[r#""a""#, r#""a""#], Some(r#""a""#)),
            (&[r#""a""#, r#""b""#], None),
            (&[""], None),
            (&["*"], None),
        ];
        for (lines, expected) in cases {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ETAG, line.parse().unwrap());
            }
            let found = EntityTag::of(&headers);
            let found = found.as_ref().map(|t| t.as_value().to_str().unwrap());
            assert_eq!(found, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_list_names_a_representation() {
        // (field lines, current tag, strong, weak)
        type Case = (&'static [&'static str], Option<&'static str>, bool, bool);
        let cases: [Case; 18] = [
            (&[r#""a""#], Some(r#""a""#), true, true),
            (&[r#"W/"a""#], Some(r#""a""#), false, true),
            (&[r#""a""#], Some(r#"W/"a""#), false, true),
            (&[r#""b""#], Some(r#""a""#), false, false),
            (&[r#""b", "a""#], Some(r#""a""#), true, true),
            (&[r#""a", "b""#], Some(r#""a""#), true, true),
            (&[r#""b" , , W/"c","a","#], Some(r#""a""#), true, true),
            (&[r#""b""#, r#""a""#], Some(r#""a""#), true, true),
            (&[r#""a,b""#], Some(r#""a,b""#), true, true),
            (&[r#""a,b""#], Some(r#""a""#), false, false),
            (&[r#""x\", "a""#], Some(r#""a""#), true, true),
            (&["*"], Some(r#""a""#), true, true),
            (&["*"], None, true, true),
            (&[r#""b", *"#], Some(r#""a""#), false, false),
            (&[r#"*, "b""#], Some(r#""a""#), false, false),
            (&[r#""a""#], None, false, false),
            (&[""], Some(r#""a""#), false, false),
            (&["book-123"], Some("book-123"), false, true),
        ];
        for (lines, current, strong, weak) in cases {
            let mut request = HeaderMap::new();
            for line in lines {
                request.append(header::IF_NONE_MATCH, line.parse().unwrap());
            }
            let current = current.map(tag);
            let ask = |comparison| {
                list_names(
                    &request,
                    &header::IF_NONE_MATCH,
                    current.as_ref(),
                    comparison,
                )
            };
            assert_eq!(ask(Comparison::Strong), Some(strong), "{lines:?} strong");
            assert_eq!(ask(Comparison::Weak), Some(weak), "{lines:?} weak");
        }
        let none = list_names(
            &HeaderMap::new(),
            &header::IF_MATCH,
            Some(&tag("a")),
            Comparison::Weak,
        );
        assert_eq!(none, None);
    }

    #[test]
    fn a_tag_that_would_fall_apart_in_a_list_is_known() {
        for (value, fits) in [
            (r#""a,b""#, true),
            (r#"W/"a""#, true),
            ("book-123", true),
            ("a,b", false),
            (r#""a", "b""#, false),
            (",", false),
        ] {
            assert_eq!(tag(value).fits_a_list(), fits, "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn comparisons_are_symmetric_and_strong_implies_weak(a in "[ -~]{1,8}", b in "[ -~]{1,8}") {
            let (a, b) = (Tag::parse(a.as_bytes()), Tag::parse(b.as_bytes()));
            prop_assert_eq!(a.weak_eq(b), b.weak_eq(a));
            prop_assert_eq!(a.strong_eq(b), b.strong_eq(a));
            prop_assert!(!a.strong_eq(b) || a.weak_eq(b));
            prop_assert!(a.weak_eq(a));
        }

        #[test]
        fn a_list_of_well_formed_tags_names_each_of_them(tags in prop::collection::vec("[!#-~]{0,6}", 1..6)) {
            let line = tags.iter().map(|t| format!("\"{t}\"")).collect::<Vec<_>>().join(",");
            let mut request = HeaderMap::new();
            request.insert(header::IF_MATCH, line.parse().unwrap());
            for t in &tags {
                let current = EntityTag::new(format!("\"{t}\"").parse().unwrap());
                let named = list_names(&request, &header::IF_MATCH, current.as_ref(), Comparison::Strong);
                prop_assert_eq!(named, Some(true));
            }
        }
    }
}
