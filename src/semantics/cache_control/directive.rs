//! Cache directives in a field line (RFC 9111 §5.2): their names and arguments. The files beside this one say what they
//! mean.

use crate::semantics::list::{is_token, split, trim};
use crate::semantics::time::DeltaSeconds;

/// One member of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    name: &'a [u8],
    pub argument: Argument<'a>,
    /// Something else than a comma is before it (`public; no-store`), so that by the grammar it is no directive. It counts
    /// where it restricts, and not where it permits.
    pub misplaced: bool,
}

/// The part of a directive after its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Without its quotes, with its escapes.
    Quoted(&'a [u8]),
    /// Not of the grammar.
    Malformed,
}

/// A directive name in lower case.
pub(super) struct Name {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Name {
    /// `stale-while-revalidate`; no known name is longer.
    const LONGEST: usize = 22;

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'a> Directive<'a> {
    /// The name in lower case: names are compared without regard to case. Empty when it is longer than every known name.
    pub fn name(&self) -> Name {
        let mut name = Name {
            bytes: [0; Name::LONGEST],
            length: 0,
        };
        if let Some(bytes) = name.bytes.get_mut(..self.name.len()) {
            bytes.copy_from_slice(self.name);
            bytes.make_ascii_lowercase();
            name.length = self.name.len();
        }
        name
    }
}

impl<'a> Argument<'a> {
    /// The argument as a number of seconds, quoted or not; `None` when it is anything else.
    pub fn delta_seconds(self) -> Option<DeltaSeconds> {
        match self {
            Self::Token(digits) => DeltaSeconds::parse(digits.iter().copied()),
            Self::Quoted(raw) => DeltaSeconds::parse(unescaped(raw)),
            Self::None | Self::Malformed => None,
        }
    }

    /// The argument as a list of field names: tokens, in a quoted string or a single one without quotes. `None` when
    /// there is no argument, or one that is no such list or an empty one.
    pub fn field_names(self) -> Option<Vec<http::HeaderName>> {
        match self {
            Self::Token(name) => field_names(name),
            Self::Quoted(raw) => field_names(&unescaped(raw).collect::<Vec<_>>()),
            Self::None | Self::Malformed => None,
        }
    }
}

/// Lowers `limit` to the argument. One that is invalid is taken for zero, so that the response is stale
/// (RFC 9111 §4.2.1); of several the lowest counts, which is never fresher than the first.
pub(super) fn restrict(limit: &mut Option<DeltaSeconds>, argument: Argument<'_>) {
    let value = argument.delta_seconds().unwrap_or(DeltaSeconds::ZERO);
    *limit = Some(limit.map_or(value, |other| other.min(value)));
}

/// The names in a comma-separated list; `None` when it has none, or a member that is no field name.
pub(super) fn field_names(list: &[u8]) -> Option<Vec<http::HeaderName>> {
    let names: Vec<_> = split(list)
        .map(|name| http::HeaderName::from_bytes(name).ok())
        .collect::<Option<_>>()?;
    (!names.is_empty()).then_some(names)
}

/// The content of a quoted string (RFC 9110 §5.6.4).
fn unescaped(raw: &[u8]) -> impl Iterator<Item = u8> {
    let mut escaped = false;
    raw.iter().copied().filter(move |&byte| {
        escaped = byte == b'\\' && !escaped;
        !escaped
    })
}

/// The directives of one field line. Empty members are skipped, and so are those that do not begin with a token.
pub(super) fn directives(line: &[u8]) -> Directives<'_> {
    Directives {
        rest: line,
        malformed: Malformed::default(),
        quotes: true,
    }
}

pub(super) struct Directives<'a> {
    rest: &'a [u8],
    /// The malformed part of the latest member.
    malformed: Malformed<'a>,
    /// Quotes still count. After one that is never closed they are octets like any other, so that a broken member does
    /// not hide the `no-store` behind it.
    quotes: bool,
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            if let Some(directive) = self.malformed.next() {
                return Some(directive);
            }
            if self.rest.is_empty() {
                return None;
            }
            let member = trim(self.member());
            let Some(directive) = parse(member) else {
                self.malformed = Malformed::of(member);
                continue;
            };
            if directive.argument == Argument::Malformed {
                self.malformed = Malformed::of(&member[directive.name.len()..]);
            }
            return Some(directive);
        }
    }
}

impl<'a> Directives<'a> {
    /// Takes the octets before the next comma that is not in a quoted string.
    fn member(&mut self) -> &'a [u8] {
        let line = self.rest;
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            match byte {
                b',' => break,
                b'"' if self.quotes => match closing_quote(&line[at + 1..]) {
                    Some(length) => at += length + 1,
                    None => self.quotes = false,
                },
                _ => {}
            }
            at += 1;
        }
        self.rest = line.get(at + 1..).unwrap_or_default();
        &line[..at]
    }
}

/// Where the quoted string that has just been opened ends, if it does.
fn closing_quote(rest: &[u8]) -> Option<usize> {
    let mut escaped = false;
    rest.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// `token [ "=" ( token / quoted-string ) ]`, and no white space around the equals sign.
fn parse(member: &[u8]) -> Option<Directive<'_>> {
    let end = member
        .iter()
        .position(|byte| !is_token(std::slice::from_ref(byte)))
        .unwrap_or(member.len());
    let (name, rest) = member.split_at(end);
    let argument = match rest {
        [] => Argument::None,
        [b'=', b'"', quoted @ ..] => match closing_quote(quoted) {
            Some(end) if end + 1 == quoted.len() => Argument::Quoted(&quoted[..end]),
            _ => Argument::Malformed,
        },
        [b'=', token @ ..] if is_token(token) => Argument::Token(token),
        _ => Argument::Malformed,
    };
    let misplaced = false;
    (!name.is_empty()).then_some(Directive {
        name,
        argument,
        misplaced,
    })
}

/// A part of the line that does not match the grammar, and that may hide directives behind separators of another kind.
#[derive(Default)]
struct Malformed<'a> {
    rest: &'a [u8],
    /// See [`Directives::quotes`].
    unquoted: bool,
}

impl<'a> Malformed<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self {
            rest,
            unquoted: false,
        }
    }

    /// Takes the next directive, whatever separates it from others; quoted strings are skipped.
    fn next(&mut self) -> Option<Directive<'a>> {
        let rest = self.rest;
        let is_token_at = |at: usize| rest.get(at..=at).is_some_and(is_token);
        let mut start = 0;
        while start < rest.len() && !is_token_at(start) {
            start += self.quoted(start).max(1);
        }
        let mut end = start;
        while is_token_at(end) {
            end += 1;
        }
        if rest.get(end) == Some(&b'=') {
            end += 1;
            match self.quoted(end) {
                0 => {
                    while is_token_at(end) {
                        end += 1;
                    }
                }
                length => end += length,
            }
        }
        let directive = parse(rest.get(start..end)?);
        self.rest = rest.get(end..).unwrap_or_default();
        directive.map(|directive| Directive {
            misplaced: true,
            ..directive
        })
    }

    /// The length of the quoted string that begins at `at`, with its quotes; 0 where there is none.
    fn quoted(&mut self, at: usize) -> usize {
        if self.unquoted || self.rest.get(at) != Some(&b'"') {
            return 0;
        }
        let length = closing_quote(&self.rest[at + 1..]).map(|length| length + 2);
        self.unquoted = length.is_none();
        length.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
