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
                    Argument::Quoted(text) => name + "=\"" + &String::from_utf8_lossy(text) + "\"",
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
