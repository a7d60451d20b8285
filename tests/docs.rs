//! `docs/rfc9111.md` names a test for each rule; this holds that they exist.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// All Rust sources below `folder`, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *text += &fs::read_to_string(&path).expect("a source");
        }
    }
}

/// What stands between backticks in `text`.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_rules_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let functions: HashSet<&str> = text
        .split("fn ")
        .skip(1)
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
        })
        .collect();
    let document = fs::read_to_string(root.join("docs/rfc9111.md")).expect("the document");
    let rows = document.lines().filter(|line| line.starts_with('|'));
    let mut named = 0;
    for row in rows {
        assert!(!row.contains("not done"), "{row}");
        let last = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        for test in quoted(last).filter(|name| !name.contains([' ', ':', '='])) {
            assert!(functions.contains(test), "there is no test {test}: {row}");
            named += 1;
        }
    }
    assert!(named > 300, "{named} tests are named");
}
