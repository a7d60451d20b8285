//! The fields of a stored response as they are kept: field lines in one run of octets, well-known names as numbers. A
//! [`HeaderMap`], four times as large, is made of them only when it is sent.
//!
//! The form has a version, so that heads can be handed to another process or kept beyond this one: an octet for the
//! version, how many lines there are, and for each the number of its name (zero, and the name itself, for one that is not
//! well known), and the value, or its number where that is well known. Names and values follow their lengths. Lengths and the number of lines are base-128
//! numbers, the lowest seven bits first.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, HeaderMap, HeaderName,
    HeaderValue,
};

use super::known::{NAMES, VALUES};
use crate::semantics::cors::{self, Cors};

/// The version of the form.
const VERSION: u8 = 1;

/// Set beside a name's number: the value must never get into a compression table (RFC 7541 §7.1.3).
const SENSITIVE: u8 = 0x80;

/// Set beside a name's number: what follows is the number of a well-known value.
const NUMBERED: u8 = 0x40;

/// Beyond the lines themselves, what is added to a response on its way out: Age, Via, Cache-Status.
const ADDED: usize = 3;

/// Field lines, in memory of their own.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields(Box<[u8]>);

/// One field line, as it is kept.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    name: Name<'a>,
    value: &'a [u8],
    /// The same where it is well known.
    known: Option<&'static HeaderValue>,
    /// Where it begins among all the octets where it is not.
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
        put_number(&mut octets, headers.len());
        for (name, value) in headers {
            let numbered = (!value.is_sensitive())
                .then(|| VALUES.iter().position(|known| known == value))
                .flatten();
            let flags = match numbered {
                Some(_) => NUMBERED,
                None if value.is_sensitive() => SENSITIVE,
                None => 0,
            };
            match NAMES.iter().position(|known| known == name) {
                Some(place) => octets.push((place + 1) as u8 | flags),
                None => {
                    octets.push(flags);
                    put(&mut octets, name.as_str().as_bytes());
                }
            }
            match numbered {
                Some(place) => octets.push(place as u8),
                None => put(&mut octets, value.as_bytes()),
            }
        }
        Self(octets.into_boxed_slice())
    }

    /// All of them.
    pub fn to_map(&self) -> HeaderMap {
        // What no line lies behind takes no memory.
        self.map_of(self.line_count().min(self.0.len()) + ADDED, |_| true)
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

    /// The CORS fields: what pages of other origins may do.
    pub fn cors(&self) -> Cors<'_> {
        Cors {
            allowed: self.single(&ACCESS_CONTROL_ALLOW_ORIGIN),
            credentials: self
                .lines()
                .any(|line| line.name.is(&ACCESS_CONTROL_ALLOW_CREDENTIALS)),
            any: self.lines().any(|line| cors::is_field(line.name.octets())),
        }
    }

    /// All octets of the form.
    pub(super) fn as_octets(&self) -> &[u8] {
        &self.0
    }

    /// The lines that these octets stand for; `None` where they are of another version, or do not hold as many lines as they
    /// say.
    pub(super) fn from_octets(octets: &[u8]) -> Option<Self> {
        let fields = Self(octets.into());
        let is_whole = octets.first() == Some(&VERSION)
            && fields.begin().is_some()
            && fields.lines().count() == fields.line_count();
        is_whole.then_some(fields)
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
        let octets = self.octets();
        let mut map = HeaderMap::with_capacity(room);
        for line in self.lines().filter(wanted) {
            // Both were such when they were put in.
            let name = match line.name {
                Name::Known(known) => Some(known.clone()),
                Name::Other(other) => HeaderName::from_bytes(other).ok(),
            };
            if let (Some(name), Some(value)) = (name, line.to_value(&octets)) {
                map.append(name, value);
            }
        }
        map
    }

    /// How many lines there are said to be.
    pub fn line_count(&self) -> usize {
        self.begin().map_or(0, |(number, _)| number)
    }

    /// A copy of all octets, for [`Line::to_value`].
    pub(super) fn octets(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    pub(super) fn lines(&self) -> Lines<'_> {
        self.begin().map_or_else(Lines::default, |(_, lines)| lines)
    }

    /// How many lines there are said to be, and these.
    fn begin(&self) -> Option<(usize, Lines<'_>)> {
        let octets = &self.0;
        let mut lines = Lines { octets, at: 1 };
        let number = lines.number()?;
        Some((number, lines))
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_map().fmt(f)
    }
}

impl Line<'_> {
    pub(super) fn is_named(&self, name: &HeaderName) -> bool {
        self.name.is(name)
    }

    /// Whether it has this value, and is as sensitive.
    pub(super) fn is_worth(&self, value: &HeaderValue) -> bool {
        self.value == value.as_bytes() && self.sensitive == value.is_sensitive()
    }

    /// The value, as a slice of `octets` if need be.
    pub(super) fn to_value(self, octets: &Bytes) -> Option<HeaderValue> {
        if let Some(known) = self.known {
            return Some(known.clone());
        }
        let slice = octets.slice(self.at..self.at + self.value.len());
        let mut value = HeaderValue::from_maybe_shared(slice).ok()?;
        value.set_sensitive(self.sensitive);
        Some(value)
    }
}

impl Name<'_> {
    fn is(self, name: &HeaderName) -> bool {
        match self {
            Self::Known(known) => known == name,
            Self::Other(other) => name.as_str().as_bytes() == other,
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::Known(known) => known.as_str().as_bytes(),
            Self::Other(other) => other,
        }
    }
}

/// Appends `text` after its length.
pub(super) fn put(octets: &mut Vec<u8>, text: &[u8]) {
    put_number(octets, text.len());
    octets.extend_from_slice(text);
}

pub(super) fn put_number(octets: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

#[derive(Default)]
pub(super) struct Lines<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// Of octets without a version.
    pub(super) fn over(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    #[inline]
    fn octet(&mut self) -> Option<u8> {
        let octet = *self.octets.get(self.at)?;
        self.at += 1;
        Some(octet)
    }

    /// Reads a number that [`put_number`] has written.
    #[inline]
    pub(super) fn number(&mut self) -> Option<usize> {
        // Nearly always one octet, on the path of each hit.
        match self.octet()? {
            octet if octet < 0x80 => Some(octet.into()),
            first => self.long_number(first),
        }
    }

    #[cold]
    fn long_number(&mut self, first: u8) -> Option<usize> {
        let (mut number, mut shift) = (usize::from(first & 0x7f), 7);
        loop {
            let octet = self.octet()?;
            number |= usize::from(octet & 0x7f).checked_shl(shift)?;
            if octet < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }

    /// Reads octets that [`put`] has written.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let text = self.octets.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(text)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    #[inline]
    fn next(&mut self) -> Option<Line<'a>> {
        let number = self.octet()?;
        let name = match usize::from(number & !(SENSITIVE | NUMBERED)) {
            0 => Name::Other(self.text()?),
            place => Name::Known(NAMES.get(place - 1)?),
        };
        let (value, known) = if number & NUMBERED == 0 {
            (self.text()?, None)
        } else {
            let known = VALUES.get(usize::from(self.octet()?))?;
            (known.as_bytes(), Some(known))
        };
        Some(Line {
            name,
            value,
            known,
            // Of no use for a value that is well known.
            at: self.at.saturating_sub(value.len()),
            sensitive: number & SENSITIVE != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::header;
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
        assert_eq!(*fields.0, *b"\x01\x02\x04\x03\"a\"\x00\x06x-mine\x01b");
        assert!(NAMES.len() < usize::from(NUMBERED));
    }

    #[test]
    fn well_known_values_take_an_octet() {
        let known = map(&[("vary", "gzip"), ("x-mine", "br"), ("etag", "gzi")]);
        let fields = Fields::of(&known);
        assert_eq!(*fields.0, *b"\x01\x03\x47\x07\x40\x06x-mine\x08\x04\x03gzi");
        assert_eq!(fields.to_map(), known);
        assert_eq!(fields.single(&header::VARY), Some(&b"gzip"[..]));
        assert!(Fields([VERSION, 1, 0x47, 0xff].into()).is_empty());
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
        let mut value = HeaderValue::from_static("gzip");
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
            assert_eq!(cut.to_map().len(), usize::from(length >= 5));
        }
        assert!(Fields([VERSION, 1, 0x7f, 0].into()).is_empty());
        assert!(Fields(Box::default()).is_empty());
        let boasts = Fields([VERSION, 0xff, 0xff, 0xff, 0xff, 0x7f].into());
        assert!(boasts.to_map().capacity() < 100);
        assert!(
            Fields(
                [
                    VERSION, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1
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
                ("[a-z][a-z0-9-]{0,8}|etag|date|cache-control|vary", "gzip|[*]|[ -~\u{80}-\u{ff}]{0,300}"), 0..12
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
