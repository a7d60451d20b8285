//! The structure of `src/` in numbers: import cycles between files, long files, private functions that are called once.
//! `cargo test --test layering structure -- --nocapture` prints them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sources::Sources;

const MAX_LINES: usize = 450;

fn all() -> Sources {
    Sources::below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let cycles = all().cycles();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn files_are_short() {
    let long = all().longer_than(MAX_LINES);
    assert!(long.is_empty(), "more than {MAX_LINES} lines: {long:#?}");
}

#[test]
fn structure_in_numbers() {
    let sources = all();
    for cycle in sources.cycles() {
        println!("cycle of {} files: {}", cycle.len(), cycle.join(" "));
    }
    for (file, lines) in sources.longer_than(MAX_LINES) {
        println!("{lines} lines: {file}");
    }
    let mut parts = BTreeMap::<String, (usize, usize)>::new();
    for (file, name, uses) in sources.private_functions() {
        let part = file.split('/').next().unwrap_or_default();
        for part in [part, "all"] {
            let (once, all) = parts.entry(part.to_owned()).or_default();
            *once += usize::from(uses == 1);
            *all += 1;
        }
        if uses == 1 {
            println!("called once: {file} {name}");
        }
    }
    for (part, (once, all)) in parts {
        let share = once * 100 / all;
        println!("{part}: {once} of {all} private functions are called once ({share} %)");
    }
}

#[test]
fn a_cycle_is_found_through_whatever_names_an_item() {
    let base = ("lib.rs", "mod a; mod b;");
    #[rustfmt::skip]
    let table: [(&str, &str, bool); 10] = [
        ("use crate::b::Item;", "use crate::a::Other;", true),
        ("use super::b::{self, Item};", "use super::{a::Other, c};", true),
        ("use crate::b;\nfn f() { b::call(); }", "fn g() { crate::a::call(); }", true),
        ("use crate::b;\nfn f() {}", "use crate::a::Other;", false),
        ("use crate::b::Item;", "fn g() {}", false),
        ("use crate::b::Item;", "// crate::a::Other", false),
        ("use crate::b::Item;", "const A: &str = \"crate::a::Other\";", false),
        ("use crate::b::Item;", "const A: char = '{';\n#[cfg(test)]\nmod tests { use crate::a::Other; }", false),
        ("pub use crate::b::Item;", "use crate::a::Other;", false),
        ("pub use crate::b::Item;\nfn f(_: Item) {}", "use crate::a::Other;", true),
    ];
    for (a, b, expected) in table {
        let sources = Sources::of(&[base, ("a.rs", a), ("b.rs", b)]);
        let found = sources.cycles();
        assert_eq!(!found.is_empty(), expected, "{a} | {b}: {found:?}");
    }
    // A name that a file only passes on leads to where the item is.
    let passing_on = ("a/mod.rs", "mod inner;\npub use self::inner::Item;");
    let inner = ("a/inner.rs", "use crate::b::Other;");
    let sources = Sources::of(&[base, passing_on, inner, ("b.rs", "use crate::a::Item;")]);
    assert_eq!(sources.cycles(), [["a/inner.rs", "b.rs"]]);
}

#[test]
fn functions_that_are_called_once_are_counted() {
    let code = "fn once() {}\nfn twice() {}\npub fn open() {}\nimpl Display for A { fn fmt() {} }\n\
                fn never() { once(); twice(); self.twice(); fmt(); }";
    let sources = Sources::of(&[("lib.rs", code)]);
    let counts: Vec<_> = (sources.private_functions().into_iter())
        .map(|(_, name, uses)| (name, uses))
        .collect();
    let expected = [("once", 1), ("twice", 2), ("never", 0)];
    assert_eq!(counts, expected.map(|(name, uses)| (name.to_owned(), uses)));
}
