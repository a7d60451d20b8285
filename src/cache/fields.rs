//! The fields of a stored response as they are kept: field lines in one run of octets, well-known names as numbers. A
//! [`HeaderMap`], four times as large, is made of them only when it is sent.
//!
//! The form has a version, so that heads can be handed to another process or kept beyond this one: an octet for the
//! version, and for each line the number of its name (zero, and the name itself, for one that is not well known), and
//! the value. Names and values follow their lengths, as base-128 numbers, the lowest seven bits first.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The version of the form.
const VERSION: u8 = 1;

/// Set beside a name's number: the value must never get into a compression table (RFC 7541 §7.1.3).
const SENSITIVE: u8 = 0x80;

/// Beyond the lines themselves, what is added to a response on its way out: Age, Via, Cache-Status.
const ADDED: usize = 3;

const fn custom(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// Names that responses often have; a name's number is its place, counted from one. Only ever added to at the end.
static NAMES: [HeaderName; 54] = [
    header::DATE,
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::SERVER,
    header::VARY,
    header::EXPIRES,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::LOCATION,
    header::LINK,
    header::VIA,
    header::ACCEPT_RANGES,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::ALLOW,
    header::ALT_SVC,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::CONTENT_SECURITY_POLICY,
    header::PRAGMA,
    header::REFERRER_POLICY,
    header::RETRY_AFTER,
    header::SET_COOKIE,
    header::STRICT_TRANSPORT_SECURITY,
    header::TRAILER,
    header::WARNING,
    header::X_CONTENT_TYPE_OPTIONS,
    header::X_FRAME_OPTIONS,
    header::X_XSS_PROTECTION,
    header::CACHE_STATUS,
    header::CDN_CACHE_CONTROL,
    custom("cache-groups"),
    custom("content-digest"),
    custom("cross-origin-opener-policy"),
    custom("cross-origin-resource-policy"),
    custom("deprecation"),
    custom("no-vary-search"),
    custom("permissions-policy"),
    custom("repr-digest"),
    custom("server-timing"),
    custom("sunset"),
    custom("timing-allow-origin"),
    custom("x-powered-by"),
    custom("x-ratelimit-limit"),
    custom("x-ratelimit-remaining"),
    custom("x-ratelimit-reset"),
    custom("x-request-id"),
];

/// Field lines, in memory of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Box<[u8]>);

/// One field line, as it is kept.
#[derive(Clone, Copy)]
struct Line<'a> {
    name: Name<'a>,
    value: &'a [u8],
    /// Where the value begins among all the octets.
    at: usize,
    sensitive: bool,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Known(&'static HeaderName),
    Other(&'a [u8]),
}

impl Fields {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut octets = Vec::with_capacity(headers.len() * 32);
        octets.push(VERSION);
        for (name, value) in headers {
            let sensitive = if value.is_sensitive() { SENSITIVE } else { 0 };
            match NAMES.iter().position(|known| known == name) {
                Some(place) => octets.push((place + 1) as u8 | sensitive),
                None => {
                    octets.push(sensitive);
                    put(&mut octets, name.as_str().as_bytes());
                }
            }
            put(&mut octets, value.as_bytes());
        }
        Self(octets.into_boxed_slice())
    }

    /// All of them.
    pub fn to_map(&self) -> HeaderMap {
        self.map_of(self.lines().count() + ADDED, |_| true)
    }

    /// Those with these names.
    pub fn only(&self, names: &[HeaderName]) -> HeaderMap {
        self.map_of(names.len(), |line| {
            names.iter().any(|name| line.name.is(name))
        })
    }

    /// The value of the only line with this name; `None` without one, and where there are several.
    pub fn single(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut lines = self.lines().filter(|line| line.name.is(name));
        let only = lines.next()?;
        lines.next().is_none().then_some(only.value)
    }

    /// Octets kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    /// A map of the lines that are `wanted`. Its values share one copy of the octets, and keep nothing of this.
    fn map_of(&self, room: usize, wanted: impl Fn(&Line<'_>) -> bool) -> HeaderMap {
        let octets = Bytes::copy_from_slice(&self.0);
        let mut map = HeaderMap::with_capacity(room);
        for line in self.lines().filter(wanted) {
            let value = octets.slice(line.at..line.at + line.value.len());
            // Both were such when they were put in.
            if let Ok(mut value) = HeaderValue::from_maybe_shared(value)
                && let Some(name) = line.name.to_name()
            {
                value.set_sensitive(line.sensitive);
                map.append(name, value);
            }
        }
        map
    }

    fn lines(&self) -> Lines<'_> {
        Lines {
            octets: &self.0,
            at: 1,
        }
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_map().fmt(f)
    }
}

impl Name<'_> {
    fn is(self, name: &HeaderName) -> bool {
        match self {
            Self::Known(known) => known == name,
            Self::Other(other) => name.as_str().as_bytes() == other,
        }
    }

    fn to_name(self) -> Option<HeaderName> {
        match self {
            Self::Known(known) => Some(known.clone()),
            Self::Other(other) => HeaderName::from_bytes(other).ok(),
        }
    }
}

/// Appends `text` after its length.
fn put(octets: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    while length >= 0x80 {
        octets.push(length as u8 | 0x80);
        length >>= 7;
    }
    octets.push(length as u8);
    octets.extend_from_slice(text);
}

struct Lines<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn octet(&mut self) -> Option<u8> {
        let octet = *self.octets.get(self.at)?;
        self.at += 1;
        Some(octet)
    }

    /// What [`put`] has put here.
    fn text(&mut self) -> Option<&'a [u8]> {
        let (mut length, mut shift) = (0, 0);
        loop {
            let octet = self.octet()?;
            length |= usize::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                break;
            }
            shift += 7;
        }
        let text = self.octets.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(text)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let number = self.octet()?;
        let name = match usize::from(number & !SENSITIVE) {
            0 => Name::Other(self.text()?),
            place => Name::Known(NAMES.get(place - 1)?),
        };
        let value = self.text()?;
        Some(Line {
            name,
            value,
            at: self.at - value.len(),
            sensitive: number & SENSITIVE != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn well_known_names_take_an_octet() {
        let fields = Fields::of(&map(&[("etag", "\"a\""), ("x-mine", "b")]));
        assert_eq!(*fields.0, *b"\x01\x04\x03\"a\"\x00\x06x-mine\x01b");
        assert!(NAMES.len() < usize::from(SENSITIVE));
    }

    #[test]
    fn a_single_line_is_found_and_several_are_none() {
        let fields = Fields::of(&map(&[
            ("x-a", "1"),
            ("etag", "2"),
            ("vary", "3"),
            ("vary", "4"),
        ]));
        assert_eq!(fields.single(&header::ETAG), Some(&b"2"[..]));
        assert_eq!(
            fields.single(&HeaderName::from_static("x-a")),
            Some(&b"1"[..])
        );
        assert_eq!(fields.single(&header::VARY), None);
        assert_eq!(fields.single(&header::DATE), None);
        assert_eq!(
            fields.only(&[header::VARY, header::DATE]),
            map(&[("vary", "3"), ("vary", "4")])
        );
    }

    #[test]
    fn a_sensitive_value_stays_one() {
        let mut value = HeaderValue::from_static("a=b");
        value.set_sensitive(true);
        for name in [header::SET_COOKIE, HeaderName::from_static("x-key")] {
            let map = HeaderMap::from_iter([(name.clone(), value.clone())]);
            assert!(Fields::of(&map).to_map()[name].is_sensitive());
        }
    }

    #[test]
    fn octets_that_break_off_yield_the_lines_before() {
        let whole = Fields::of(&map(&[("date", "1"), ("x-mine", "b")]));
        for length in 0..whole.0.len() {
            let cut = Fields(whole.0[..length].into());
            assert_eq!(cut.to_map().len(), usize::from(length >= 4));
        }
        assert!(Fields([VERSION, 0x7f, 0].into()).is_empty());
        assert!(
            Fields(
                [
                    VERSION, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
                ]
                .into()
            )
            .is_empty()
        );
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_out_again(
            lines in proptest::collection::vec(
                ("[a-z][a-z0-9-]{0,8}|etag|date|cache-control|vary", "[ -~\u{80}-\u{ff}]{0,300}"), 0..12
            )
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in &lines {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let out = Fields::of(&map).to_map();
            prop_assert_eq!(&out, &map);
            prop_assert!(out.keys().eq(map.keys()));
        }
    }
}
