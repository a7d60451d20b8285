//! Cache directives as they stand in a field line (RFC 9111 §5.2): names and arguments, with nothing known yet about
//! what they mean.

use super::list::{is_token, split, trim};
use super::time::DeltaSeconds;

/// One member of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directive<'a> {
    name: &'a [u8],
    pub argument: Argument<'a>,
    /// It stands behind something else than a comma (`public; no-store`), where the grammar has no directive: what
    /// restricts counts all the same, what permits does not.
    pub misplaced: bool,
}

/// What follows a directive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Without its quotes, with its escapes.
    Quoted(&'a [u8]),
    /// Something that the grammar does not have.
    Malformed,
}

/// A directive name in lower case.
pub(super) struct Name {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Name {
    /// `stale-while-revalidate`; whatever is longer, we do not know.
    const LONGEST: usize = 22;

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<'a> Directive<'a> {
    /// The name in lower case: names are compared without regard to case. Empty when it is none of ours.
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
    /// Of the member before it.
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
    /// Takes what stands before the next comma that is not in a quoted string.
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

/// What the grammar makes nothing of, and what may hide directives behind separators of another kind.
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

    /// Takes the next directive, whatever separates it from others; what is quoted is skipped.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Shown = (String, &'static str, String);
    type Expected = (&'static str, &'static str, &'static str);

    fn shown(line: &[u8]) -> Vec<Shown> {
        directives(line)
            .filter(|directive| !directive.misplaced)
            .map(|directive| {
                let (kind, text) = match directive.argument {
                    Argument::None => ("none", &b""[..]),
                    Argument::Token(text) => ("token", text),
                    Argument::Quoted(text) => ("quoted", text),
                    Argument::Malformed => ("malformed", &b""[..]),
                };
                (
                    String::from_utf8_lossy(directive.name).into(),
                    kind,
                    String::from_utf8_lossy(text).into(),
                )
            })
            .collect()
    }

    #[test]
    fn directives_are_split_as_the_grammar_says() {
        let cases: [(&str, &[Expected]); 20] = [
            ("", &[]),
            (" , ,\t,", &[]),
            ("a", &[("a", "none", "")]),
            ("a,b", &[("a", "none", ""), ("b", "none", "")]),
            (" \ta\t , b=c ", &[("a", "none", ""), ("b", "token", "c")]),
            ("a=\"b, c\"", &[("a", "quoted", "b, c")]),
            (r#"a="b\", c""#, &[("a", "quoted", r#"b\", c"#)]),
            (
                r#"a="b\\", c"#,
                &[("a", "quoted", r"b\\"), ("c", "none", "")],
            ),
            ("a=\"\"", &[("a", "quoted", "")]),
            ("a='1'", &[("a", "token", "'1'")]),
            ("a=", &[("a", "malformed", "")]),
            ("a =1", &[("a", "malformed", "")]),
            ("a= 1", &[("a", "malformed", "")]),
            ("a b", &[("a", "malformed", "")]),
            ("a=1;b=2", &[("a", "malformed", "")]),
            ("a=\"1\"x, b", &[("a", "malformed", ""), ("b", "none", "")]),
            ("=1, b", &[("b", "none", "")]),
            ("\"a, b\", c", &[("c", "none", "")]),
            // An opening quote that is never closed does not hide what follows.
            (
                "a=\"b, no-store",
                &[("a", "malformed", ""), ("no-store", "none", "")],
            ),
            ("a=\u{e9}, b", &[("a", "malformed", ""), ("b", "none", "")]),
        ];
        for (line, expected) in cases {
            let expected: Vec<Shown> = expected
                .iter()
                .map(|&(name, kind, text)| (name.into(), kind, text.into()))
                .collect();
            assert_eq!(shown(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn directives_behind_other_separators_are_told_apart() {
        let cases: [(&str, &[&str]); 20] = [
            ("a, b", &[]),
            ("a; b", &["b"]),
            ("a;b=1", &["b=1"]),
            ("a b\tc", &["b", "c"]),
            ("a;b, c;d", &["b", "d"]),
            (";a", &["a"]),
            ("a: b", &["b"]),
            ("a|b&c/d", &["d"]),
            ("\u{a0}a", &["a"]),
            ("(a)", &["a"]),
            ("a=1; b", &["1", "b"]),
            ("a; b=", &["b="]),
            ("a; b=\"c; d\"", &["b=\"c; d\""]),
            ("a=\"b; c\"", &[]),
            ("a=\"b; c\" d", &["d"]),
            ("a \"b; c\" d", &["d"]),
            ("\"a; b\"", &[]),
            ("a; b=\"c; d", &["b=", "c", "d"]),
            ("a;;; ", &[]),
            ("a;=b", &["b"]),
        ];
        for (line, expected) in cases {
            let found: Vec<_> = directives(line.as_bytes())
                .filter(|directive| directive.misplaced)
                .map(|directive| {
                    let name = String::from_utf8_lossy(directive.name).into_owned();
                    match directive.argument {
                        Argument::None => name,
                        Argument::Token(text) => name + "=" + &String::from_utf8_lossy(text),
                        Argument::Quoted(text) => {
                            name + "=\"" + &String::from_utf8_lossy(text) + "\""
                        }
                        Argument::Malformed => name + "=",
                    }
                })
                .collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn seconds_may_be_quoted() {
        let cases: [(&str, Option<u64>); 8] = [
            ("a=5", Some(5)),
            ("a=\"5\"", Some(5)),
            (r#"a="\5""#, Some(5)),
            ("a=\" 5\"", None),
            ("a=\"\"", None),
            ("a='5'", None),
            ("a", None),
            ("a=5x", None),
        ];
        for (line, secs) in cases {
            let directive = directives(line.as_bytes()).next().unwrap();
            assert_eq!(
                directive.argument.delta_seconds(),
                secs.map(DeltaSeconds::new),
                "{line}"
            );
        }
    }

    #[test]
    fn field_names_are_read_from_tokens_and_strings() {
        let cases: [(&str, Option<&[&str]>); 10] = [
            ("a=\"Set-Cookie\"", Some(&["set-cookie"])),
            ("a=set-cookie", Some(&["set-cookie"])),
            ("a=\"a, B\"", Some(&["a", "b"])),
            ("a=\" a ,,\tb, \"", Some(&["a", "b"])),
            (r#"a="\a""#, Some(&["a"])),
            ("a=\"\"", None),
            ("a=\",\"", None),
            ("a=\"a b\"", None),
            ("a", None),
            ("a=(", None),
        ];
        for (line, expected) in cases {
            let directive = directives(line.as_bytes()).next().unwrap();
            let names = directive.argument.field_names();
            let names = names.as_ref().map(|names| {
                names
                    .iter()
                    .map(http::HeaderName::as_str)
                    .collect::<Vec<_>>()
            });
            assert_eq!(names.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn names_are_lowered_and_long_ones_unknown() {
        let name = |line: &'static str| {
            let directive = directives(line.as_bytes()).next().unwrap();
            String::from_utf8(directive.name().as_bytes().to_vec()).unwrap()
        };
        assert_eq!(name("Stale-While-REVALIDATE"), "stale-while-revalidate");
        assert_eq!(name("stale-while-revalidatex"), "");
    }

    /// The same grammar, character by character, without any care for speed.
    fn model(line: &[u8]) -> Vec<Vec<u8>> {
        let mut members = vec![Vec::new()];
        let mut at = 0;
        let mut quotes = true;
        while at < line.len() {
            if line[at] == b',' {
                members.push(Vec::new());
                at += 1;
                continue;
            }
            let mut taken = 1;
            if line[at] == b'"' && quotes {
                let mut end = at + 1;
                while end < line.len() && line[end] != b'"' {
                    end += if line[end] == b'\\' { 2 } else { 1 };
                }
                if end < line.len() {
                    taken = end + 1 - at;
                } else {
                    quotes = false;
                }
            }
            members
                .last_mut()
                .unwrap()
                .extend_from_slice(&line[at..at + taken]);
            at += taken;
        }
        members
            .into_iter()
            .map(|member| trim(&member).to_vec())
            .filter(|member| member.first().is_some_and(|b| is_token(&[*b])))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn members_agree_with_a_slow_model(
            line in proptest::collection::vec(
                proptest::sample::select(b"ab=1\"\\, \t;\x80".to_vec()), 0..30),
        ) {
            let expected = model(&line);
            let found: Vec<_> = directives(&line).filter(|found| !found.misplaced).collect();
            prop_assert_eq!(found.len(), expected.len());
            for (directive, member) in found.iter().zip(&expected) {
                prop_assert_eq!(Some(*directive), parse(member));
            }
        }

        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            for directive in directives(&line) {
                directive.name();
                let _ = directive.argument.delta_seconds();
                let _ = directive.argument.field_names();
            }
        }
    }

    #[test]
    fn a_line_of_quotes_is_read_in_linear_time() {
        let line = br#""\"#.repeat(500_000);
        assert_eq!(directives(&line).count(), 0);
        let malformed = [b"a ", &line[..], b" no-store"].concat();
        assert_eq!(directives(&malformed).count(), 2);
    }
}
