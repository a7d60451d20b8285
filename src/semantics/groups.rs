//! Cache groups (RFC 9875): which responses belong together, and which of them a write makes invalid.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, FieldType, List, ListEntry, Parser};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The groups that a response belongs to (§2), sorted, each once; among responses of the same origin (§2.1). Empty
/// without the field, and when it is not a List of Strings.
pub fn memberships(response: &HeaderMap) -> Vec<Box<str>> {
    strings(response, &CACHE_GROUPS)
}

/// The groups of the target's origin that the response to an unsafe request invalidates (§3), sorted, each once. Not
/// to be asked for the response to a safe one: there the field is ignored. Invalidating a group does not spread to
/// other groups of its members (§2.2.1).
pub fn invalidated(response: &HeaderMap) -> Vec<Box<str>> {
    strings(response, &CACHE_GROUP_INVALIDATION)
}

/// A List of Strings; parameters are ignored. All strings count, of any length: a group that is left out would not be
/// invalidated, and the size of a response's fields is bounded. Any other item makes the field invalid (RFC 9651 §1.1).
fn strings(response: &HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    let Some(list) = parse::<List>(response, name) else {
        return Vec::new();
    };
    let string = |entry: ListEntry| match entry {
        ListEntry::Item(item) => match item.bare_item {
            BareItem::String(string) => Some(Box::<str>::from(string.as_str())),
            _ => None,
        },
        ListEntry::InnerList(_) => None,
    };
    let Some(mut groups) = list.into_iter().map(string).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// A structured field, its lines joined (RFC 9651 §4.2); `None` without the field and when it is invalid.
pub(super) fn parse<T: FieldType>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    let Some(second) = lines.next() else {
        return Parser::new(first.as_bytes()).parse().ok();
    };
    let rest = std::iter::once(second).chain(lines);
    let mut joined = first.as_bytes().to_vec();
    for line in rest {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line.as_bytes());
    }
    Parser::new(&joined).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(lines: &[&str]) -> Vec<String> {
        let mut response = HeaderMap::new();
        for line in lines {
            response.append(CACHE_GROUPS, line.parse().unwrap());
        }
        memberships(&response)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn groups_are_a_list_of_strings() {
        let cases: [(&[&str], &[&str]); 13] = [
            (&[], &[]),
            (&[""], &[]),
            (&[r#""scripts""#], &["scripts"]),
            (&[r#""b", "a""#], &["a", "b"]),
            (&[r#""b""#, r#""a", "b""#], &["a", "b"]),
            (&[r#""a";x=1;y, "b""#], &["a", "b"]),
            (&[r#""A", "a""#], &["A", "a"]),
            (&[r#""with \"quotes\"""#], &[r#"with "quotes""#]),
            (&["scripts"], &[]),
            (&[r#""a", b"#], &[]),
            (&[r#"("a" "b")"#], &[]),
            (&[r#""a"#], &[]),
            (&[r#""a",, "b""#], &[]),
        ];
        for (lines, expected) in cases {
            assert_eq!(groups(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn all_groups_count_however_many_and_however_long() {
        let line = |count: usize, len: usize| {
            let member = |i| format!("\"{i:0>len$}\"");
            (0..count).map(member).collect::<Vec<_>>().join(", ")
        };
        for (count, len) in [(32, 32), (1000, 4), (2, 300)] {
            assert_eq!(groups(&[&line(count, len)]).len(), count);
        }
    }

    #[test]
    fn a_write_names_the_groups_it_invalidates() {
        let mut response = HeaderMap::new();
        let value = r#""eurovision-results", "australia""#;
        response.insert(CACHE_GROUP_INVALIDATION, value.parse().unwrap());
        let found = invalidated(&response);
        assert_eq!(
            found,
            ["australia", "eurovision-results"].map(Box::<str>::from)
        );
        assert!(memberships(&response).is_empty());
    }
}
