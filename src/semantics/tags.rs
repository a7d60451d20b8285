//! Tags that an API gives its responses in fields of its own, by which they are purged together: Surrogate-Key, Cache-Tag,
//! xkey and the like.

use http::{HeaderMap, HeaderName};

/// Tags of one response from such fields.
pub const MAX_TAGS: usize = 1_000;

/// Octets of its tags together.
pub const MAX_OCTETS: usize = 16 << 10;

/// Why the tags of a response cannot be kept. One that is left out would not be purged, so that such a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaggable {
    /// More than [`MAX_TAGS`], or more octets than [`MAX_OCTETS`].
    TooMany,
    /// One is not in UTF-8, so that nobody could name it.
    Unreadable,
}

/// The tags that these `fields` of a message name, sorted, each once. Letters count as they are written.
///
/// # Errors
/// When they cannot all be kept.
pub fn named(message: &HeaderMap, fields: &[HeaderName]) -> Result<Vec<Box<str>>, Untaggable> {
    let mut tags: Vec<&str> = Vec::new();
    for name in fields {
        // As the field's inventor has it; both where that is not known, as xkey has it.
        let separators: &[char] = match name.as_str() {
            // Fastly.
            "surrogate-key" => &[' ', '\t'],
            // Cloudflare and Google, Akamai, Netlify, Magento.
            "cache-tag" | "edge-cache-tag" | "netlify-cache-tag" | "x-magento-tags" => &[','],
            _ => &[' ', '\t', ','],
        };
        for line in message.get_all(name) {
            let line = std::str::from_utf8(line.as_bytes()).map_err(|_| Untaggable::Unreadable)?;
            let members = line.split(separators).map(str::trim);
            tags.extend(members.filter(|tag| !tag.is_empty()));
        }
    }
    tags.sort_unstable();
    tags.dedup();
    if tags.len() > MAX_TAGS || tags.iter().map(|tag| tag.len()).sum::<usize>() > MAX_OCTETS {
        return Err(Untaggable::TooMany);
    }
    Ok(tags.into_iter().map(Into::into).collect())
}

/// The lines of `before` with those of `later` in their place, field by field, as a response is updated by a 304 (RFC 9111
/// §3.2).
pub fn updated(before: &HeaderMap, later: &HeaderMap) -> HeaderMap {
    let mut lines = later.clone();
    for (name, value) in before {
        if !later.contains_key(name) {
            lines.append(name.clone(), value.clone());
        }
    }
    lines
}

/// Takes the lines of these `fields` out of a message.
pub fn take(message: &mut HeaderMap, fields: &[HeaderName]) -> HeaderMap {
    let taken = copied(message, fields);
    for name in fields {
        message.remove(name);
    }
    taken
}

/// The lines of these `fields` of a message.
pub fn copied(message: &HeaderMap, fields: &[HeaderName]) -> HeaderMap {
    let mut lines = HeaderMap::new();
    for name in fields {
        if !lines.contains_key(name) {
            for value in message.get_all(name) {
                lines.append(name.clone(), value.clone());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const ALL: [HeaderName; 3] = [
        HeaderName::from_static("surrogate-key"),
        HeaderName::from_static("cache-tag"),
        HeaderName::from_static("xkey"),
    ];

    fn message(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut message = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            message.append(*name, value);
        }
        message
    }

    #[test]
    fn each_field_is_split_as_its_inventor_splits_it() {
        type Lines = &'static [(&'static str, &'static str)];
        let cases: [(Lines, &[&str]); 12] = [
            (&[], &[]),
            (&[("surrogate-key", "")], &[]),
            (
                &[("surrogate-key", " book-1  books\tall ")],
                &["all", "book-1", "books"],
            ),
            (&[("surrogate-key", "a,b c")], &["a,b", "c"]),
            (
                &[("cache-tag", "tag1 , tag2,,,tag3,")],
                &["tag1", "tag2", "tag3"],
            ),
            (&[("cache-tag", "one tag,two")], &["one tag", "two"]),
            (&[("xkey", "a b,c, d")], &["a", "b", "c", "d"]),
            (&[("xkey", "a"), ("xkey", "b")], &["a", "b"]),
            (&[("xkey", "b a"), ("cache-tag", "a,B")], &["B", "a", "b"]),
            (&[("xkey", "b\u{fc}cher")], &["b\u{fc}cher"]),
            (&[("x-other", "a")], &[]),
            (&[("cache-groups", "\"a\"")], &[]),
        ];
        for (lines, expected) in cases {
            let tags = named(&message(lines), &ALL).unwrap();
            let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
            assert_eq!(tags, expected, "{lines:?}");
        }
        assert_eq!(named(&message(&[("xkey", "a")]), &[]), Ok(Vec::new()));
    }

    #[test]
    fn tags_that_cannot_all_be_kept_are_no_tags() {
        let many = |count: usize, len: usize| {
            let all: Vec<_> = (0..count).map(|n| format!("{n:0>len$}")).collect();
            named(&message(&[("xkey", &all.join(" "))]), &ALL)
        };
        assert_eq!(many(MAX_TAGS, 4).map(|tags| tags.len()), Ok(MAX_TAGS));
        assert_eq!(many(MAX_TAGS + 1, 4), Err(Untaggable::TooMany));
        assert_eq!(many(16, 1 << 10).map(|tags| tags.len()), Ok(16));
        assert_eq!(many(17, 1 << 10), Err(Untaggable::TooMany));
        let twice = "a ".repeat(2 * MAX_TAGS);
        assert_eq!(
            named(&message(&[("xkey", &twice)]), &ALL).map(|tags| tags.len()),
            Ok(1)
        );
        let mut latin = HeaderMap::new();
        latin.insert("xkey", HeaderValue::from_bytes(b"b\xfccher").unwrap());
        assert_eq!(named(&latin, &ALL), Err(Untaggable::Unreadable));
    }

    #[test]
    fn an_update_replaces_the_fields_that_it_has() {
        let before = message(&[("xkey", "a"), ("xkey", "b"), ("cache-tag", "c")]);
        for (later, expected) in [
            (message(&[]), vec!["a", "b", "c"]),
            (message(&[("xkey", "d")]), vec!["c", "d"]),
            (message(&[("surrogate-key", "d")]), vec!["a", "b", "c", "d"]),
        ] {
            let tags = named(&updated(&before, &later), &ALL).unwrap();
            assert_eq!(
                tags,
                expected
                    .into_iter()
                    .map(Box::from)
                    .collect::<Vec<Box<str>>>()
            );
        }
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut all = message(&[("xkey", "a"), ("xkey", "b"), ("etag", "\"a\"")]);
        let taken = take(&mut all, &ALL);
        assert_eq!((taken.len(), all.len()), (2, 1));
        assert_eq!(take(&mut all, &ALL).len(), 0);
    }
}
