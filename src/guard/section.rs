//! Field sections (RFC 7541) with fields that no message may have (RFC 9113 §8.2.1).

use std::borrow::Cow;

use super::huffman;
use crate::semantics::list::is_tchar;
use crate::semantics::percent::{Octet, encoded_octets};

/// `section` with what is malformed in it put in words that h2 takes for a malformed message, and with what no URI has in
/// its path percent-encoded; `None` where it stays as it is, or where h2 has to judge by itself.
///
/// h2 refuses a message for a field that is for one hop only, and ends the connection for a name with an upper-case
/// letter. The state of the compression must stay as the client has it: so every malformed line keeps its size (RFC 7541
/// §4.1), and a line that is not remembered says what the section is. Only a path that is not remembered is encoded here, as
/// clients send it that do not encode; of others, h2 takes what `http` does.
pub(super) fn mend(section: &[u8]) -> Option<Vec<u8>> {
    let mut rest = section;
    let mut mended: Option<Vec<u8>> = None;
    let mut is_malformed = false;
    while !rest.is_empty() {
        let begins = section.len() - rest.len();
        let line = Line::read(&mut rest)?;
        let ends = section.len() - rest.len();
        let form = line.form()?;
        if form == Form::Good {
            if let Some(mended) = &mut mended {
                mended.extend_from_slice(&section[begins..ends]);
            }
            continue;
        }
        let mended = mended.get_or_insert_with(|| section[..begins].to_vec());
        match form {
            Form::Encodable => line.write_encoded(mended)?,
            _ => {
                is_malformed = true;
                line.write_harmless(mended)?;
            }
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
    /// Indexed, or the size of the table: it says nothing new.
    Known,
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

/// What of a value is malformed depends on what it is a value of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Field,
    Path,
    /// `:authority`, `:scheme`, `:protocol`.
    Uri,
    Method,
    Status,
}

impl<'a> Line<'a> {
    fn read(rest: &mut &'a [u8]) -> Option<Self> {
        let first = *rest.first()?;
        let (flags, bits) = match first {
            0x80.. => return integer(rest, 7).map(|_| Self::Known),
            REMEMBERED.. => (REMEMBERED, 6),
            0x20.. => return integer(rest, 5).map(|_| Self::Known),
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

    /// `None` where its code cannot be read.
    fn form(&self) -> Option<Form> {
        let Self::Literal {
            flags, name, value, ..
        } = self
        else {
            return Some(Form::Good);
        };
        let kind = match name {
            Name::Index(index) => Some(Kind::of_index(*index)),
            Name::Text(name) => Kind::of_name(&name.decoded()?),
        };
        let is_remembered = *flags == REMEMBERED;
        Some(match kind {
            None => Form::Malformed,
            Some(Kind::Path) if value.huffman && huffman::is_plain_path(value.octets) => Form::Good,
            Some(Kind::Path) => path_form(&value.decoded()?, is_remembered),
            Some(Kind::Field | Kind::Uri) if value.huffman && huffman::is_plain(value.octets) => {
                Form::Good
            }
            Some(kind) if kind.allows(&value.decoded()?) => Form::Good,
            Some(_) => Form::Malformed,
        })
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

    /// Something of the same size that is well-formed; `None` where nothing is.
    fn write_harmless(&self, section: &mut Vec<u8>) -> Option<()> {
        let Self::Literal {
            flags,
            bits,
            name,
            value,
        } = self
        else {
            return None;
        };
        let remembered = *flags == REMEMBERED;
        let length = value.decoded()?.len();
        let (named, value) = match name {
            Name::Index(index) => {
                let value = match (Kind::of_index(*index), length) {
                    (Kind::Status, 3) => b"200".to_vec(),
                    (Kind::Status, _) if remembered => return None,
                    (Kind::Status, _) => b"200".to_vec(),
                    (Kind::Method, 0) if remembered => return None,
                    (_, length) => vec![b'x'; length.max(1)],
                };
                (Ok(*index), value)
            }
            Name::Text(name) => match (name.decoded()?.len(), length) {
                // Together they are as long.
                (0, 0) if remembered => return None,
                (0, length) => (Err(1), vec![b'x'; length.saturating_sub(1)]),
                (name, length) => (Err(name), vec![b'x'; length]),
            },
        };
        match named {
            Ok(index) => write_integer(section, *flags, *bits, index),
            Err(length) => {
                write_integer(section, *flags, *bits, 0);
                write_text(section, &vec![b'x'; length]);
            }
        }
        write_text(section, &value);
        Some(())
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

impl Kind {
    /// RFC 7541, appendix A. Which names the client has put into the table is not known here: it takes the name of a
    /// pseudo-field from the table that all have.
    fn of_index(index: usize) -> Self {
        match index {
            4 | 5 => Self::Path,
            1 | 6 | 7 => Self::Uri,
            2 | 3 => Self::Method,
            8..=14 => Self::Status,
            _ => Self::Field,
        }
    }

    /// `None` for what is no name.
    fn of_name(name: &[u8]) -> Option<Self> {
        match name {
            b":path" => Some(Self::Path),
            b":authority" | b":scheme" | b":protocol" => Some(Self::Uri),
            b":method" => Some(Self::Method),
            b":status" => Some(Self::Status),
            // RFC 9110 §5.6.2, in lower case.
            _ => {
                let allowed = |octet: &u8| is_tchar(*octet) && !octet.is_ascii_uppercase();
                (!name.is_empty() && name.iter().all(allowed)).then_some(Self::Field)
            }
        }
    }

    fn allows(self, value: &[u8]) -> bool {
        match self {
            Self::Field => value
                .iter()
                .all(|octet| matches!(octet, b'\t' | b' '..=b'~' | 0x80..)),
            // What a URI may have is looked at when it is read.
            Self::Uri | Self::Path => std::str::from_utf8(value).is_ok(),
            Self::Method => !value.is_empty() && value.iter().copied().all(is_tchar),
            Self::Status => {
                value.len() == 3 && value[0] != b'0' && value.iter().all(u8::is_ascii_digit)
            }
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
            assert_eq!(mend(&line), None, "{}", line.escape_ascii());
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
            let mended = mend(&[&[0x82][..], &line, &[0x86]].concat());
            let expected = [&[0x82][..], &encoded, &[0x86]].concat();
            assert_eq!(mended, Some(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_malformed_line_becomes_one_of_its_size_and_the_section_malformed() {
        let cases = [
            (literal(0x40, b"X-a", b"12"), literal(0x40, b"xxx", b"xx")),
            (literal(0, b"", b""), literal(0, b"x", b"")),
            (literal(0x40, b"", b"12"), literal(0x40, b"x", b"x")),
            (
                literal(0x10, b":other", b"1"),
                literal(0x10, b"xxxxxx", b"x"),
            ),
            (literal(0, b"a b", b"1"), literal(0, b"xxx", b"x")),
            (literal(0, b"a", b"1\r\n2"), literal(0, b"x", b"xxxx")),
            (
                literal(0x40, b":path", b"/\xff"),
                literal(0x40, b"xxxxx", b"xx"),
            ),
            (literal(0, b":path", b"/ a"), literal(0, b"xxxxx", b"xxx")),
            (named(0x10, 4, b"/{}#"), named(0x10, 4, b"xxxx")),
            (named(0x40, 4, b"/\xff"), named(0x40, 4, b"xx")),
            (named(0x40, 2, b"G T"), named(0x40, 2, b"xxx")),
            (named(0x40, 9, b"2o7"), named(0x40, 9, b"200")),
            (named(0, 9, b"2070"), named(0, 9, b"200")),
            (named(0x40, 62, b"1\x002"), named(0x40, 62, b"xxx")),
            // `A` and NUL in Huffman code.
            (
                vec![0x40, 0x81, 0x87, 1, b'1'],
                literal(0x40, b"x", b"1")
                    .iter()
                    .map(|o| if *o == b'1' { b'x' } else { *o })
                    .collect(),
            ),
            (
                vec![0x40, 1, b'a', 0x82, 0xff, 0xc7],
                literal(0x40, b"x", b"x"),
            ),
        ];
        for (line, harmless) in cases {
            let before = [&[0x82][..], &line, &[0x84]].concat();
            let after = [&[0x82][..], &harmless, &[0x84], MALFORMED].concat();
            let mended = mend(&before);
            let text = mended
                .as_deref()
                .map(|mended| mended.escape_ascii().to_string());
            assert_eq!(
                mended.as_deref(),
                Some(&after[..]),
                "{}: {text:?}",
                line.escape_ascii()
            );
            assert_eq!(mend(&after), None, "it is well-formed now");
        }
    }
}
