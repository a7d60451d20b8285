//! The arrows between the parts of the crate point down only: a part uses what lies below it and nothing else.
//! Read from the sources: every `crate::part` path, and `super::super::…` that climbs out of a part.

mod sources;
mod structure;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each part of `src/` may use of the others.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "admin",
            "clock",
            "config",
            "demo",
            "error",
            "huge_pages",
            "instance",
            "printable",
            "proxy",
            "semantics",
            "server",
            "telemetry",
        ],
    ),
    ("demo", &["clock", "printable", "semantics"]),
    (
        "instance",
        &[
            "acme", "admin", "clock", "config", "error", "proxy", "server",
        ],
    ),
    ("printable", &[]),
    ("acme", &["clock", "config", "proxy", "server"]),
    (
        "server",
        &[
            "clock",
            "config",
            "descriptors",
            "error",
            "guard",
            "proxy",
            "semantics",
            "telemetry",
            "turn",
        ],
    ),
    (
        "admin",
        &[
            "clock",
            "config",
            "error",
            "ledger",
            "proxy",
            "semantics",
            "server",
            "telemetry",
            "tier",
        ],
    ),
    (
        "proxy",
        &[
            "cache",
            "clock",
            "config",
            "error",
            "ledger",
            "semantics",
            "telemetry",
            "tier",
            "upstream",
        ],
    ),
    (
        "cache",
        &[
            "clock",
            "config",
            "error",
            "faults",
            "ledger",
            "semantics",
            "telemetry",
        ],
    ),
    (
        "tier",
        &["clock", "config", "faults", "ledger", "semantics"],
    ),
    ("ledger", &["faults", "semantics"]),
    (
        "upstream",
        &[
            "clock",
            "config",
            "descriptors",
            "error",
            "guard",
            "semantics",
            "telemetry",
            "turn",
        ],
    ),
    ("config", &["clock", "error", "faults", "semantics"]),
    ("telemetry", &["clock", "config", "error", "semantics"]),
    ("error", &["clock", "semantics"]),
    ("clock", &["semantics"]),
    ("semantics", &[]),
    ("descriptors", &["clock"]),
    ("guard", &["semantics"]),
    ("turn", &[]),
    ("huge_pages", &[]),
    ("faults", &[]),
];

/// Crates that a part must not name.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    ("cache", &["hyper", "hyper_util", "h2", "tokio"]),
    (
        "semantics",
        &["hyper", "hyper_util", "h2", "tokio", "moka", "tracing"],
    ),
    ("config", &["hyper", "hyper_util", "h2"]),
];

/// `main.rs` and `lib.rs` lie above all parts.
const ABOVE: [&str; 2] = ["main", "lib"];

#[test]
fn every_arrow_points_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = BTreeSet::new();
    let files = rust_files(&src);
    assert!(files.len() > 10, "the sources are there to be read");
    for file in files {
        let source = fs::read_to_string(&file).expect("a readable source");
        let relative = file.strip_prefix(&src).expect("a file below src");
        for fault in faults(relative, &source) {
            wrong.insert(fault);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_forbidden_use_is_caught() {
    let caught = |file: &str, source: &str| !faults(Path::new(file), source).is_empty();
    #[rustfmt::skip]
    let table = [
        ("cache/store.rs", "use crate::upstream::Pool;", true),
        ("cache/store.rs", "use crate::semantics::time::Timestamp;", false),
        ("cache/store.rs", "use crate::{clock::Clock, upstream::Pool};", true),
        ("cache/store.rs", "use crate::{\n    clock::Clock,\n    cache::{key::Key, upstream},\n};", false),
        ("cache/store.rs", "fn f(pool: &crate::proxy::Pool) {}", true),
        ("cache/mod.rs", "use super::upstream::Pool;", true),
        ("cache/store.rs", "use super::super::upstream::Pool;", true),
        ("cache/store.rs", "use super::upstream;", false),
        ("cache/store.rs", "use hyper::body::Incoming;", true),
        ("cache/store.rs", "fn f(body: hyper::body::Incoming) {}", true),
        ("cache/store.rs", "// as hyper::body does, see crate::upstream::Pool", false),
        ("cache/store.rs", "/* crate::upstream */ /// [`crate::proxy`]", false),
        ("cache/store.rs", "const A: &str = \"crate::upstream::x\";", false),
        ("upstream/pool.rs", "use crate::cache::store::Store;", true),
        ("semantics/policy.rs", "use crate::clock::Now;", true),
        ("semantics/policy.rs", "use super::time::Timestamp;", false),
        ("semantics/policy.rs", "use tokio::time::Instant;", true),
        ("clock.rs", "use crate::semantics::time::Timestamp;", false),
        ("clock.rs", "use crate::telemetry::counters::Counters;", true),
        ("proxy/fill.rs", "use crate::server::Server;", true),
        ("newcomer/mod.rs", "fn f() {}", true),
        ("main.rs", "use crate::anything;", false),
    ];
    for (file, source, expected) in table {
        assert_eq!(caught(file, source), expected, "{file}: {source}");
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a readable folder");
    entries
        .map(|entry| entry.expect("a readable entry").path())
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// What the file uses and must not, as `file: why`.
fn faults(file: &Path, source: &str) -> Vec<String> {
    let parts: Vec<_> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let part = parts[0].as_str();
    if ABOVE.contains(&part) {
        return Vec::new();
    }
    let fault = |why: String| format!("{}: {why}", file.display());
    let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == part) else {
        return vec![fault(format!("`{part}` has no place among the layers"))];
    };
    let code = without_comments_and_strings(source);
    // A module's depth below the crate's root: so many `super` lead to it.
    let depth = parts.iter().filter(|part| *part != "mod").count();
    let used = used_parts(&code, depth);
    let mut faults: Vec<_> = used
        .iter()
        .filter(|used| *used != part && !may_use.contains(&used.as_str()))
        .map(|used| fault(format!("`{part}` uses `{used}`")))
        .collect();
    let forbidden = MUST_NOT_NAME.iter().filter(|(name, _)| *name == part);
    for name in forbidden.flat_map(|(_, crates)| *crates) {
        if paths_from(&code, &format!("{name}::")).next().is_some() {
            faults.push(fault(format!("`{part}` names the crate `{name}`")));
        }
    }
    faults
}

/// The parts that follow `crate::`, or as many `super::` as lead to the crate's root.
fn used_parts(code: &str, depth: usize) -> BTreeSet<String> {
    let root = ["crate::".to_owned(), "super::".repeat(depth)];
    root.iter()
        .flat_map(|root| paths_from(code, root))
        .flat_map(first_segments)
        // From an inline module, `super` leads to the file's own items.
        .filter(|segment| MAY_USE.iter().any(|(part, _)| part == segment))
        .collect()
}

/// What follows each occurrence of `root` that begins a path.
fn paths_from<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(root).filter_map(move |(at, _)| {
        let before = code[..at].chars().next_back();
        let begins = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        begins.then(|| &code[at + root.len()..])
    })
}

/// `a::b` gives `a`; `{a::b, c::{d}}` gives `a` and `c`.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        let text = text.trim_start();
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut segments, mut member) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                segments.push(word(&member));
                member.clear();
                continue;
            }
            _ => {}
        }
        member.push(c);
    }
    segments.push(word(&member));
    segments
}

/// The code with comments and the content of string literals blanked out.
fn without_comments_and_strings(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => string_length(rest),
            'r' if rest.starts_with("r#\"") => rest.find("\"#").map_or(rest.len(), |end| end + 2),
            // A character literal such as '"' or '{' must not open anything.
            '\'' => character_length(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
        }
        rest = &rest[skipped.max(c.len_utf8())..];
    }
    code
}

/// The octets of the character literal that `text` begins with; none where a lifetime begins.
fn character_length(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let end = text[at + c.len_utf8()..].find('\'');
            end.map_or(0, |end| at + c.len_utf8() + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// The octets of the string literal that `text` begins with, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
