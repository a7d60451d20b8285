//! `docs/rfc9111.md` names a test for each rule, and what decides it; this holds that both exist, and that what decides is
//! called.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust sources below `path`, or in it, as one text.
fn sources(path: &Path, text: &mut String) {
    if path.is_file() {
        *text += &fs::read_to_string(path).expect("a source");
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            sources(&path, text);
        }
    }
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The code of all files below `src/`, without comments and tests.
fn production_code() -> String {
    let mut code = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") && path.parent().is_some_and(is_production) {
                let text = fs::read_to_string(&path).expect("a source");
                code += &without_comments_and_tests(&text);
            }
        }
    }
    code
}

fn is_production(folder: &Path) -> bool {
    !folder.iter().any(|part| part == "tests")
}

/// Imports are left out as well. The tests of a file are its last module.
fn without_comments_and_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next();
    let mut is_import = false;
    let is_code = |line: &&str| {
        is_import |= line.starts_with("use ") || line.starts_with("pub use ");
        let is_code = !is_import && !line.trim_start().starts_with("//");
        is_import &= !line.ends_with(';');
        is_code
    };
    let lines = code.unwrap_or_default().lines().filter(is_code);
    lines.fold(String::new(), |code, line| code + line + "\n")
}

/// Whether `code` names `item` where it does not define it.
fn is_used(code: &str, item: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(item).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + item.len()..]);
        let defines = ["fn ", "struct ", "enum ", "trait ", "const ", "mod "];
        let is_whole = !before.ends_with(is_word) && !after.starts_with(is_word);
        let is_definition = defines.iter().any(|kind| before.ends_with(kind));
        is_whole && !is_definition
    })
}

/// What stands between backticks in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of each row of four: section, rule, what decides, tests.
fn rows(document: &str) -> Vec<[&str; 4]> {
    let rows = document.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|row| {
        row.trim_matches(['|', ' '])
            .split(" | ")
            .collect::<Vec<_>>()
    });
    cells.filter_map(|cells| cells.try_into().ok()).collect()
}

fn document() -> String {
    fs::read_to_string(root().join("docs/rfc9111.md")).expect("the document")
}

/// `a::{b, C::d}` as `a::b` and `a::C::d`.
fn spread(path: &str) -> Vec<String> {
    match path.split_once('{') {
        Some((before, rest)) => rest
            .trim_end_matches('}')
            .split(", ")
            .map(|last| format!("{before}{last}"))
            .collect(),
        None => vec![path.to_owned()],
    }
}

/// Whether the source of the longest part of `path` that is a module has all the names that follow it.
fn exists(path: &str) -> bool {
    let names: Vec<&str> = path.split("::").collect();
    for at in (1..=names.len()).rev() {
        let module = root().join("src").join(names[..at].join("/"));
        let file = module.with_extension("rs");
        if !module.is_dir() && !file.is_file() {
            continue;
        }
        let mut text = String::new();
        sources(&module, &mut text);
        if file.is_file() {
            sources(&file, &mut text);
        }
        let defined = |name: &&str| {
            let is_kept = |kind| {
                text.split(kind)
                    .skip(1)
                    .any(|rest| identifier(rest) == *name)
            };
            let named = ["fn ", "struct ", "enum ", "trait ", "pub "]
                .into_iter()
                .any(is_kept);
            // A variant begins its line.
            named
                || text
                    .lines()
                    .any(|line| identifier(line.trim_start()) == *name)
        };
        return names[at..].iter().all(defined);
    }
    false
}

#[test]
fn every_test_that_the_rules_name_exists() {
    let mut text = String::new();
    sources(&root().join("src"), &mut text);
    sources(&root().join("tests"), &mut text);
    let functions: HashSet<&str> = text.split("fn ").skip(1).map(identifier).collect();
    let document = document();
    assert!(!document.contains("not done") && !document.contains("not yet"));
    let mut named = 0;
    for [section, rule, _, tests] in rows(&document) {
        for test in quoted(tests) {
            assert!(
                functions.contains(test),
                "there is no test {test}: {section} {rule}"
            );
            named += 1;
        }
    }
    assert!(named > 500, "{named} tests are named");
}

#[test]
fn every_rule_has_a_test_or_binds_somebody_else() {
    for [section, rule, decides, tests] in rows(&document()) {
        let elsewhere = decides.contains("role: ") || tests != "–";
        let nothing_to_see = ["generate BWS", "parse for BWS", "407: none is generated"];
        assert!(
            elsewhere || nothing_to_see.iter().any(|words| rule.contains(words)),
            "{section} {rule} has no test"
        );
    }
}

#[test]
fn everything_that_is_said_to_decide_exists_and_is_called() {
    let document = document();
    let mut named = HashSet::new();
    for [section, rule, decides, _] in rows(&document) {
        for path in quoted(decides).flat_map(spread) {
            // A key of the configuration is no path.
            let is_path = path == "proxy" || path == "upstream" || path.contains("::");
            assert!(
                !is_path || exists(&path),
                "there is no {path}: {section} {rule}"
            );
            named.insert(path);
        }
    }
    assert!(named.len() > 80, "{} are named", named.len());
    let (code, mut unused) = (production_code(), Vec::new());
    for path in named.iter().filter(|path| path.contains("::")) {
        let item = path.rsplit("::").next().unwrap_or_default();
        let is_module = root().join("src").join(path.replace("::", "/")).is_dir()
            || root()
                .join("src")
                .join(path.replace("::", "/") + ".rs")
                .is_file();
        if !is_module && !is_used(&code, item) {
            unused.push(path);
        }
    }
    assert!(unused.is_empty(), "used by tests alone: {unused:?}");
    for path in [
        "semantics::reuse::decided",
        "semantics::reused",
        "proxy::fill::nothing",
    ] {
        assert!(!exists(path), "{path}");
    }
}

#[test]
fn a_use_is_told_from_a_definition_an_import_and_a_test() {
    for (text, used) in [
        ("pub fn rule() {}", false),
        ("use super::rule;", false),
        (
            "pub use super::{\n    one,\n    rule,\n};\nfn a() {}",
            false,
        ),
        ("// rule()", false),
        ("fn a() { ruler(); overrule(); }", false),
        ("fn a() { rule() }", true),
        ("fn a() { x.map(Self::rule) }", true),
        ("#[cfg(test)]\nmod tests {\nfn a() { rule() }\n}", false),
    ] {
        let code = without_comments_and_tests(text);
        assert_eq!(is_used(&code, "rule"), used, "{text}");
    }
}
