//! Entity tags (RFC 9110 §8.8.3), their two comparisons, and the lists of them in If-Match and If-None-Match.
//!
//! Many APIs send a tag without its quotes. Such a tag is passed on as it is and compared as an opaque string, but
//! nothing can be said about its strength, so it never counts as strong.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::list;

/// The entity tag of a response; shares the octets of the field value it came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityTag(HeaderValue);

impl EntityTag {
    /// The tag in `headers`' ETag; `None` without one, when it is empty, or when there are several lines that differ
    /// (then none of them can be trusted).
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(header::ETAG).iter();
        let first = lines.next()?;
        if lines.any(|other| other != first) {
            return None;
        }
        Self::new(first.clone())
    }

    /// A tag from a field value; `None` when the value is empty.
    pub fn new(value: HeaderValue) -> Option<Self> {
        let empty = list::trim(value.as_bytes()).is_empty();
        (!empty).then_some(Self(value))
    }

    /// The tag as it was received.
    pub fn as_value(&self) -> &HeaderValue {
        &self.0
    }

    /// The tag for comparison.
    pub fn tag(&self) -> Tag<'_> {
        Tag::parse(list::trim(self.0.as_bytes()))
    }

    pub fn is_strong(&self) -> bool {
        self.tag().strength == Strength::Strong
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

/// What a tag says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strength {
    Strong,
    Weak,
    /// Not an entity tag by RFC 9110's grammar; an opaque string of unknown strength.
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
            [b'W', b'/', rest @ ..] => (Some(Strength::Weak), rest),
            // §8.8.3: the prefix is case-sensitive, so this is no entity tag, but it is plain what was meant.
            [b'w', b'/', rest @ ..] => (Some(Strength::Malformed), rest),
            rest => (None, rest),
        };
        match unquote(rest) {
            Some(opaque) => Self {
                strength: prefix.unwrap_or(Strength::Strong),
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

/// The octets between the quotes of an opaque-tag; `None` when it is not one.
fn unquote(value: &[u8]) -> Option<&[u8]> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_etagc = |&byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..);
    inner.iter().all(is_etagc).then_some(inner)
}

/// The value of If-Match or If-None-Match, over all its lines.
#[derive(Clone, Debug)]
pub enum TagList<'a> {
    /// `*`: any current representation.
    Any,
    Tags(Vec<Tag<'a>>),
}

impl<'a> TagList<'a> {
    /// `None` when the request has no such field. A `*` among other members counts as `*`
    pub fn of(request: &'a HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = request.get_all(name).iter().peekable();
        lines.peek()?;
        let mut tags = Vec::new();
        for line in lines {
            for member in list::split_without_escapes(line.as_bytes()) {
                if member == b"*" {
                    return Some(Self::Any);
                }
                tags.push(Tag::parse(member));
            }
        }
        Some(Self::Tags(tags))
    }
}
