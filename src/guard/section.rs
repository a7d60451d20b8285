//! Field sections (RFC 7541) with fields that no message may have (RFC 9113 §8.2.1).

use std::borrow::Cow;

use super::huffman;
use super::table::{Kind, Table};
use crate::semantics::percent::{Octet, encoded_octets};

/// `section` with what is malformed in it put in words that h2 takes for a malformed message, and with what no URI has in
/// its path percent-encoded; `None` where it stays as it is, or where h2 has to judge by itself.
///
/// h2 refuses a message for a field that is for one hop only, and ends the connection for a name with an upper-case
/// letter. The state of the compression must stay as the client has it: so every malformed line keeps its size (RFC 7541
/// §4.1), and a line that is not remembered says what the section is. What refers to a malformed line is malformed as well:
/// `table` has what was remembered. Only a path that is not remembered is encoded here, as clients send it that do not encode;
/// of others, h2 takes what `http` does.
pub(super) fn mend(section: &[u8], table: &mut Table) -> Option<Vec<u8>> {
    let mut rest = section;
    let mut mended: Option<Vec<u8>> = None;
    let mut is_malformed = false;
    while !rest.is_empty() {
        let begins = section.len() - rest.len();
        let line = Line::read(&mut rest)?;
        let ends = section.len() - rest.len();
        let (mut kind, form) = line.form(table)?;
        if form == Form::Good {
            if let Some(mended) = &mut mended {
                mended.extend_from_slice(&section[begins..ends]);
            }
        } else {
            let mended = mended.get_or_insert_with(|| section[..begins].to_vec());
            match form {
                Form::Encodable => line.write_encoded(mended)?,
                _ if line.is_remembered() => kind = line.write_harmless(mended, kind)?,
                _ => {}
            }
            is_malformed |= form == Form::Malformed;
        }
        if line.is_remembered() {
            table.insert(kind, form == Form::Malformed);
        }
    }
    let mut mended = mended?;
    if is_malformed {
        mended.push(0);
        write_text(&mut mended, b"connection");
        write_text(&mut mended, b"x");
    }
    Some(mended)
}

/// What is to be done with a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Good,
    /// A path with octets that no URI has.
    Encodable,
    Malformed,
}

/// One line of a field section (RFC 7541 §6).
enum Line<'a> {
    /// The size of the table: it says nothing new.
    Size,
    Indexed(usize),
    Literal {
        /// What it begins with, beside the index: whether it is remembered.
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

/// A literal that begins with this is remembered (RFC 7541 §6.2.1).
const REMEMBERED: u8 = 0x40;

impl<'a> Line<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let first = *rest.first()?;
        let (flags, bits) = match first {
            0x80.. => return integer(rest, 7).map(Self::Indexed),
            REMEMBERED.. => (REMEMBERED, 6),
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

    fn is_remembered(&self) -> bool {
        matches!(self, Self::Literal { flags, .. } if *flags == REMEMBERED)
    }

    /// Of which kind it is, and what is to be done with it. `None` where its code cannot be read.
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
            Kind::Path => path_form(&value.decoded()?, self.is_remembered()),
            Kind::Field | Kind::Uri if value.huffman && huffman::is_plain(value.octets) => {
                Form::Good
            }
            kind if kind.allows(&value.decoded()?) => Form::Good,
            _ => Form::Malformed,
        };
        Some((kind, form))
    }

    /// A path, with what no URI has encoded. It is not remembered, so that its size is of no account.
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

    /// A well-formed line of the same size in the place of one of this kind that is remembered, with its name where that is
    /// one. Returns of which kind that line is. Where there was neither name nor value, it is larger by an octet, so that the
    /// oldest line may be forgotten too early: h2 ends the connection for one that refers to it then.
    fn write_harmless(&self, section: &mut Vec<u8>, kind: Kind) -> Option<Kind> {
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
            // No value of that length is well-formed.
            (Kind::Status, _) | (Kind::Method, 0) => (Kind::Malformed, vec![b'x'; length]),
            // Its name takes one octet.
            (Kind::Nameless, _) => (kind, vec![b'x'; length.saturating_sub(1)]),
            _ => (kind, vec![b'x'; length]),
        };
        match name {
            Name::Index(index) if new == kind => write_integer(section, *flags, *bits, *index),
            Name::Index(_) => {
                write_integer(section, *flags, *bits, 0);
                // As long as `:status` and `:method`.
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

fn path_form(path: &[u8], is_remembered: bool) -> Form {
    let of = |wanted| path.iter().any(|octet| Octet::of(*octet) == wanted);
    if of(Octet::Refused) {
        return Form::Malformed;
    }
    match of(Octet::Encoded) {
        false => Form::Good,
        true if !is_remembered => Form::Encodable,
        true if Kind::Path.allows(path) => Form::Good,
        true => Form::Malformed,
    }
}

/// RFC 7541 §5.1; `None` where it is not whole, or larger than any that h2 reads.
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

    fn mended_of(section: &[u8]) -> Option<Vec<u8>> {
        mend(section, &mut Table::default())
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
            // Cut off, or of no known kind: h2 says what that is.
            vec![0x40],
            vec![0, 5, b'A'],
            vec![0, 0x81, 0xff, 0],
        ] {
            assert_eq!(mended_of(&line), None, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_path_that_is_not_remembered_is_encoded() {
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
            let mended = mended_of(&[&[0x82][..], &line, &[0x86]].concat());
            let expected = [&[0x82][..], &encoded, &[0x86]].concat();
            assert_eq!(mended, Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_malformed_line_that_is_remembered_becomes_one_of_its_size_and_the_section_malformed() {
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
        for (line, harmless) in cases {
            let before = [&[0x82][..], &line, &[0x84]].concat();
            let after = [&[0x82][..], &harmless, &[0x84], MALFORMED].concat();
            let mut table = Table::default();
            let mended = mend(&before, &mut table);
            let text = mended
                .as_deref()
                .map(|mended| mended.escape_ascii().to_string());
            assert_eq!(
                mended.as_deref(),
                Some(&after[..]),
                "{}: {text:?}",
                line.escape_ascii()
            );
            assert!(table.is_malformed(62));
            assert_eq!(mended_of(&after), None, "it is well-formed now");
        }
    }

    #[test]
    fn a_malformed_line_that_is_not_remembered_is_left_out() {
        for line in [
            literal(0, b"", b""),
            literal(0x10, b":other", b"1"),
            literal(0, b"a b", b"1"),
            literal(0, b"a", b"1\r\n2"),
            literal(0, b":path", b"/ a"),
            named(0x10, 4, b"/{}#"),
            named(0, 9, b"2070"),
        ] {
            let mended = mended_of(&[&[0x82][..], &line, &[0x84]].concat());
            let expected = [&[0x82, 0x84][..], MALFORMED].concat();
            assert_eq!(mended, Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn what_refers_to_a_malformed_line_is_malformed() {
        let mut table = Table::default();
        let mut mend = |section: &[u8]| mend(section, &mut table);
        mend(&literal(0x40, b"X", b"1"));
        mend(&literal(0x40, b"a", b"1\n"));
        assert_eq!(mend(&[0xbe]).as_deref(), Some(MALFORMED));
        assert_eq!(mend(&[0xbf]).as_deref(), Some(MALFORMED));
        assert_eq!(mend(&[0x82, 0xc0]), None, "that is h2's to refuse");
        // The name of the one is well-formed, that of the other is not.
        assert_eq!(mend(&[0x0f, 47, 1, b'1']), None);
        assert_eq!(
            mend(&[0x0f, 48, 1, b'1', 0x82]),
            Some([&[0x82][..], MALFORMED].concat())
        );
        // 63 with the name of `X`, and then with that of `a`.
        let again = mend(&[0x7f, 0, 1, b'2']);
        assert_eq!(again, Some([&[0x7f, 0, 1, b'x'], MALFORMED].concat()));
        assert_eq!(mend(&[0xbe]).as_deref(), Some(MALFORMED));
        assert_eq!(mend(&[0x7f, 0, 1, b'2']), None);
        assert_eq!(mend(&[0xbe]), None);
    }
}
