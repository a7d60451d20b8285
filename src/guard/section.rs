//! Rewrites field sections (RFC 7541) that have malformed fields (RFC 9113 §8.2.1).

use std::borrow::Cow;

use super::huffman;
use super::table::{Kind, Table};
use crate::semantics::percent::{Octet, encoded_octets};

/// Returns `section` with its malformed lines replaced, so that h2 takes the message for malformed, and with octets of its
/// path percent-encoded that no URI may have. `None` when it needs no change, or when it cannot be read: then h2 decides.
///
/// h2 resets the stream of a message that has a connection-specific field, and ends the connection for a name with an
/// upper-case letter. Its dynamic table must stay the same as the peer's: so a malformed line that is added to the table is
/// replaced by one of the same size (RFC 7541 §4.1), and a `connection` field that is not added makes the message malformed.
/// A line that refers to a malformed entry of `table` is malformed as well. Only a path that is not added to the table is
/// encoded here: so do clients send paths that they have not encoded. Of the other paths, h2 accepts those that `http` does.
pub(super) fn rewrite(section: &[u8], table: &mut Table) -> Option<Vec<u8>> {
    let mut rest = section;
    let mut rewritten: Option<Vec<u8>> = None;
    let mut is_malformed = false;
    while !rest.is_empty() {
        let begins = section.len() - rest.len();
        let line = Line::read(&mut rest)?;
        let ends = section.len() - rest.len();
        let (mut kind, form) = line.form(table)?;
        if form == Form::Good {
            if let Some(rewritten) = &mut rewritten {
                rewritten.extend_from_slice(&section[begins..ends]);
            }
        } else {
            let rewritten = rewritten.get_or_insert_with(|| section[..begins].to_vec());
            match form {
                Form::Encodable => line.write_encoded(rewritten)?,
                _ if line.is_added() => kind = line.write_placeholder(rewritten, kind)?,
                _ => {}
            }
            is_malformed |= form == Form::Malformed;
        }
        if line.is_added() {
            table.insert(kind, form == Form::Malformed);
        }
    }
    let mut rewritten = rewritten?;
    if is_malformed {
        rewritten.push(0);
        write_text(&mut rewritten, b"connection");
        write_text(&mut rewritten, b"x");
    }
    Some(rewritten)
}

/// Whether a line stays as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Good,
    /// A path with octets that no URI may have.
    Encodable,
    Malformed,
}

/// One line of a field section (RFC 7541 §6).
enum Line<'a> {
    /// A change of the table's size.
    Size,
    Indexed(usize),
    Literal {
        /// The bits before the index: whether the line is added to the table.
        flags: u8,
        /// Bits of the index in the first octet.
        bits: u32,
        name: Name<'a>,
        value: Text<'a>,
    },
}

enum Name<'a> {
    Index(usize),
    Text(Text<'a>),
}

#[derive(Clone, Copy)]
struct Text<'a> {
    huffman: bool,
    octets: &'a [u8],
}

/// A literal that begins with this bit is added to the table (RFC 7541 §6.2.1).
const ADDED: u8 = 0x40;

impl<'a> Line<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let first = *rest.first()?;
        let (flags, bits) = match first {
            0x80.. => return integer(rest, 7).map(Self::Indexed),
            ADDED.. => (ADDED, 6),
            0x20.. => return integer(rest, 5).map(|_| Self::Size),
            0x10.. => (0x10, 4),
            _ => (0, 4),
        };
        let name = match integer(rest, bits)? {
            0 => Name::Text(Text::read(rest)?),
            index => Name::Index(index),
        };
        Some(Self::Literal {
            flags,
            bits,
            name,
            value: Text::read(rest)?,
        })
    }

    fn is_added(&self) -> bool {
        matches!(self, Self::Literal { flags, .. } if *flags == ADDED)
    }

    /// The kind and the form of the line. `None` where its Huffman code cannot be read.
    fn form(&self, table: &Table) -> Option<(Kind, Form)> {
        let (name, value) = match self {
            Self::Size => return Some((Kind::Field, Form::Good)),
            Self::Indexed(index) => {
                let form = match table.is_malformed(*index) {
                    true => Form::Malformed,
                    false => Form::Good,
                };
                return Some((table.kind_of(*index), form));
            }
            Self::Literal { name, value, .. } => (name, value),
        };
        let kind = match name {
            Name::Index(index) => table.kind_of(*index),
            Name::Text(name) => Kind::of_name(&name.decoded()?),
        };
        let form = match kind {
            Kind::Path if value.huffman && huffman::is_plain_path(value.octets) => Form::Good,
            Kind::Path => path_form(&value.decoded()?, self.is_added()),
            Kind::Field | Kind::Uri if value.huffman && huffman::is_plain(value.octets) => {
                Form::Good
            }
            kind if kind.allows(&value.decoded()?) => Form::Good,
            _ => Form::Malformed,
        };
        Some((kind, form))
    }

    /// Writes a path with octets percent-encoded that no URI may have. It is not added to the table, so its size may change.
    fn write_encoded(&self, section: &mut Vec<u8>) -> Option<()> {
        let Self::Literal {
            flags,
            bits,
            name,
            value,
        } = self
        else {
            return None;
        };
        match name {
            Name::Index(index) => write_integer(section, *flags, *bits, *index),
            Name::Text(name) => {
                write_integer(section, *flags, *bits, 0);
                write_text(section, &name.decoded()?);
            }
        }
        write_text(section, &encoded_octets(&value.decoded()?));
        Some(())
    }

    /// Writes a well-formed line of the same size in the place of this one of `kind`, which is added to the table; with the same
    /// name where that is well-formed. Returns the kind of the line written. Where both name and value are empty, it is
    /// larger by an octet, so that h2 may evict the oldest entry too early: it ends the connection when a line refers to that.
    fn write_placeholder(&self, section: &mut Vec<u8>, kind: Kind) -> Option<Kind> {
        let Self::Literal {
            flags,
            bits,
            name,
            value,
        } = self
        else {
            return None;
        };
        let length = value.decoded()?.len();
        let (new, value) = match (kind, length) {
            (Kind::Status, 3) => (kind, b"200".to_vec()),
            // No value of this length is well-formed.
            (Kind::Status, _) | (Kind::Method, 0) => (Kind::Malformed, vec![b'x'; length]),
            // Its name takes one octet.
            (Kind::Nameless, _) => (kind, vec![b'x'; length.saturating_sub(1)]),
            _ => (kind, vec![b'x'; length]),
        };
        match name {
            Name::Index(index) if new == kind => write_integer(section, *flags, *bits, *index),
            Name::Index(_) => {
                write_integer(section, *flags, *bits, 0);
                // Of the length of `:status` and `:method`.
                write_text(section, b"xxxxxxx");
            }
            Name::Text(name) => {
                write_integer(section, *flags, *bits, 0);
                let name = name.decoded()?;
                match new {
                    Kind::Nameless => write_text(section, b"x"),
                    Kind::Malformed => write_text(section, &vec![b'x'; name.len()]),
                    _ => write_text(section, &name),
                }
            }
        }
        write_text(section, &value);
        Some(new)
    }
}

impl<'a> Text<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let huffman = rest.first()? & 0x80 != 0;
        let length = integer(rest, 7)?;
        let (octets, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(Self { huffman, octets })
    }

    fn decoded(self) -> Option<Cow<'a, [u8]>> {
        match self.huffman {
            true => huffman::decode(self.octets).map(Into::into),
            false => Some(self.octets.into()),
        }
    }
}

/// The form of a path. One with octets that no URI may have can be encoded only in a line that is not added to the table.
fn path_form(path: &[u8], is_added: bool) -> Form {
    let of = |wanted| path.iter().any(|octet| Octet::of(*octet) == wanted);
    if of(Octet::Refused) {
        return Form::Malformed;
    }
    match of(Octet::Encoded) {
        false => Form::Good,
        true if !is_added => Form::Encodable,
        true if Kind::Path.allows(path) => Form::Good,
        true => Form::Malformed,
    }
}

/// Reads an integer (RFC 7541 §5.1). `None` where it is not complete, or larger than h2 accepts.
fn integer(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let most = (1 << bits) - 1;
    let mut value = usize::from(first & most as u8);
    if value == most {
        for shift in (0..).step_by(7).take(4) {
            let (octet, others) = after.split_first()?;
            after = others;
            value += usize::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                *rest = after;
                return Some(value);
            }
        }
        return None;
    }
    *rest = after;
    Some(value)
}

fn write_integer(section: &mut Vec<u8>, flags: u8, bits: u32, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        return section.push(flags | value as u8);
    }
    section.push(flags | most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        section.push(left as u8 | 0x80);
        left >>= 7;
    }
    section.push(left as u8);
}

fn write_text(section: &mut Vec<u8>, text: &[u8]) {
    write_integer(section, 0, 7, text.len());
    section.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(flags: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut line = vec![flags];
        write_text(&mut line, name);
        write_text(&mut line, value);
        line
    }

    fn named(flags: u8, index: u8, value: &[u8]) -> Vec<u8> {
        let mut line = vec![flags | index];
        write_text(&mut line, value);
        line
    }

    fn rewritten_of(section: &[u8]) -> Option<Vec<u8>> {
        rewrite(section, &mut Table::default())
    }

    const MALFORMED: &[u8] = b"\0\x0aconnection\x01x";

    #[test]
    fn what_is_well_formed_is_left_alone() {
        for line in [
            vec![0x82, 0x86, 0x84],
            vec![0x3f, 0xe1, 0x1f, 0x82],
            literal(0, b"x-a", b"a\tb \x80"),
            literal(0x40, b":path", "/caf\u{e9}".as_bytes()),
            named(0x40, 4, b"/{}"),
            named(0, 4, b"/a?b[]=%7b"),
            vec![0x04, 0x83, 0x63, 0x1f, 0xcf], // `/a?` in Huffman code.
            literal(0x10, b"x-a", b""),
            named(0x40, 1, b"a b"),
            named(0, 2, b"PURGE"),
            named(0x40, 8, b"207"),
            // Incomplete, or of no known form: h2 decides.
            vec![0x40],
            vec![0, 5, b'A'],
            vec![0, 0x81, 0xff, 0],
        ] {
            assert_eq!(rewritten_of(&line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_path_that_is_not_added_to_the_table_is_encoded() {
        for (line, encoded) in [
            (
                named(0, 4, b"/?a={\"b\"}"),
                named(0, 4, b"/?a=%7B%22b%22%7D"),
            ),
            (named(0x10, 5, b"/\xff"), named(0x10, 5, b"/%FF")),
            (
                literal(0, b":path", b"/<\\>"),
                literal(0, b":path", b"/%3C%5C%3E"),
            ),
            // `/|` in Huffman code.
            (vec![0x04, 0x83, 0x63, 0xfe, 0x7f], named(0, 4, b"/%7C")),
        ] {
            let rewritten = rewritten_of(&[&[0x82][..], &line, &[0x86]].concat());
            let expected = [&[0x82][..], &encoded, &[0x86]].concat();
            assert_eq!(rewritten, Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_malformed_line_that_is_added_to_the_table_becomes_one_of_its_size_and_the_section_malformed()
     {
        let cases = [
            (literal(0x40, b"X-a", b"12"), literal(0x40, b"xxx", b"xx")),
            (literal(0x40, b"", b"12"), literal(0x40, b"x", b"x")),
            (literal(0x40, b"", b""), literal(0x40, b"x", b"")),
            (
                literal(0x40, b"x-a", b"1\r\n2"),
                literal(0x40, b"x-a", b"xxxx"),
            ),
            (
                literal(0x40, b":path", b"/\xff"),
                literal(0x40, b":path", b"xx"),
            ),
            (
                literal(0x40, b":status", b"2"),
                literal(0x40, b"xxxxxxx", b"x"),
            ),
            (named(0x40, 4, b"/\xff"), named(0x40, 4, b"xx")),
            (named(0x40, 2, b"G T"), named(0x40, 2, b"xxx")),
            (named(0x40, 2, b""), literal(0x40, b"xxxxxxx", b"")),
            (named(0x40, 9, b"2o7"), named(0x40, 9, b"200")),
            (named(0x40, 9, b"2070"), literal(0x40, b"xxxxxxx", b"xxxx")),
            (named(0x40, 62, b"1\x002"), named(0x40, 62, b"xxx")),
            // `A` and NUL in Huffman code.
            (vec![0x40, 0x81, 0x87, 1, b'1'], literal(0x40, b"x", b"x")),
            (
                vec![0x40, 1, b'a', 0x82, 0xff, 0xc7],
                literal(0x40, b"a", b"x"),
            ),
        ];
        for (line, placeholder) in cases {
            let before = [&[0x82][..], &line, &[0x84]].concat();
            let after = [&[0x82][..], &placeholder, &[0x84], MALFORMED].concat();
            let mut table = Table::default();
            let rewritten = rewrite(&before, &mut table);
            let text = rewritten
                .as_deref()
                .map(|rewritten| rewritten.escape_ascii().to_string());
            assert_eq!(
                rewritten.as_deref(),
                Some(&after[..]),
                "{}: {text:?}",
                line.escape_ascii()
            );
            assert!(table.is_malformed(62));
            assert_eq!(rewritten_of(&after), None, "it is well-formed now");
        }
    }

    #[test]
    fn a_malformed_line_that_is_not_added_to_the_table_is_left_out() {
        for line in [
            literal(0, b"", b""),
            literal(0x10, b":other", b"1"),
            literal(0, b"a b", b"1"),
            literal(0, b"a", b"1\r\n2"),
            literal(0, b":path", b"/ a"),
            named(0x10, 4, b"/{}#"),
            named(0, 9, b"2070"),
        ] {
            let rewritten = rewritten_of(&[&[0x82][..], &line, &[0x84]].concat());
            let expected = [&[0x82, 0x84][..], MALFORMED].concat();
            assert_eq!(rewritten, Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_refers_to_a_malformed_line_is_malformed() {
        let mut table = Table::default();
        let mut rewrite = |section: &[u8]| rewrite(section, &mut table);
        rewrite(&literal(0x40, b"X", b"1"));
        rewrite(&literal(0x40, b"a", b"1\n"));
        assert_eq!(rewrite(&[0xbe]).as_deref(), Some(MALFORMED));
        assert_eq!(rewrite(&[0xbf]).as_deref(), Some(MALFORMED));
        assert_eq!(rewrite(&[0x82, 0xc0]), None, "that is h2's to refuse");
        // The name of the one is well-formed, that of the other is not.
        assert_eq!(rewrite(&[0x0f, 47, 1, b'1']), None);
        assert_eq!(
            rewrite(&[0x0f, 48, 1, b'1', 0x82]),
            Some([&[0x82][..], MALFORMED].concat())
        );
        // 63 with the name of `X`, and then with that of `a`.
        let again = rewrite(&[0x7f, 0, 1, b'2']);
        assert_eq!(again, Some([&[0x7f, 0, 1, b'x'], MALFORMED].concat()));
        assert_eq!(rewrite(&[0xbe]).as_deref(), Some(MALFORMED));
        assert_eq!(rewrite(&[0x7f, 0, 1, b'2']), None);
        assert_eq!(rewrite(&[0xbe]), None);
    }
}
