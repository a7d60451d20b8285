//! Mistyped Cache-Control, as real APIs send it: what restricts counts behind a wrong separator too, what permits does not.

use crate::common::bench::{Bench, Rows, brief, ok};

const OLD: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

/// What a heuristic and an operator's ttl of a day make of a Cache-Control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reused {
    /// Not once.
    Never,
    /// For thirty seconds.
    Seconds,
    /// For longer.
    Long,
}

use Reused::{Long, Never, Seconds};

const MISTYPED: [(&str, Reused); 43] = [
    // From the issue.
    ("public; max-age=30", Seconds),
    ("must-revalidate; no-store", Never),
    ("public;private", Never),
    ("public max-age=30", Seconds),
    // Restricting directives behind all that people take for a separator.
    ("no-cache;no-store", Never),
    ("private;max-age=0", Never),
    ("no-cache no-store must-revalidate", Never),
    ("max-age=0 private must-revalidate", Never),
    ("public; no-store", Never),
    ("public;no-store", Never),
    ("public ;no-store", Never),
    ("public no-store", Never),
    ("public\tno-store", Never),
    ("public: no-store", Never),
    ("public:no-store", Never),
    ("public/no-store", Never),
    ("public; NO-STORE", Never),
    ("public; no-cache", Never),
    ("public; private", Never),
    ("foo=bar; private", Never),
    ("foo=\"bar\"; private", Never),
    ("foo=\"bar\" private", Never),
    ("foo, public; private, bar", Never),
    ("; no-store", Never),
    ("(no-store)", Never),
    ("\u{a0}no-store", Never),
    ("Cache-Control: no-store", Never),
    ("public; max-age=0", Never),
    ("public; s-maxage=0", Never),
    ("public; max-age", Never),
    ("public; max-age=x", Never),
    ("public; max-age=30; foo", Seconds),
    ("public; max-age=\"30\"", Seconds),
    ("public; s-maxage=30", Seconds),
    ("public; max-age=86400; s-maxage=30", Seconds),
    // The first is malformed with what follows it, and a lifetime that is malformed is none (RFC 9111 §4.2.1).
    ("max-age=30;", Never),
    ("max-age=30; public", Never),
    ("max-age: 30", Never),
    ("max-age = 30", Never),
    // What is quoted is no directive; what permits nothing restricts nothing.
    ("public; foo=\"; no-store\"", Long),
    ("public \"no-store; private\"", Long),
    ("public; no-storex; xprivate", Long),
    ("public; immutable", Long),
];

#[test]
fn a_restricting_directive_counts_behind_a_wrong_separator() {
    let mut failed = Rows::default();
    for configured in ["", "ttl = \"1d\""] {
        let bench = Bench::with(|setup| setup.cache(configured));
        let pages: Vec<_> = MISTYPED
            .iter()
            .map(|(says, _)| bench.answering([ok(&[("Cache-Control", says), OLD])]))
            .collect();
        let asked = || -> Vec<_> { pages.iter().map(|page| page.get().expect(200)).collect() };
        asked();
        let at_once = asked();
        bench.pass(31);
        let later = asked();
        for (row, (says, expected)) in MISTYPED.iter().enumerate() {
            let found = match (at_once[row].is_hit(), later[row].is_hit()) {
                (false, _) => Never,
                (true, false) => Seconds,
                (true, true) => Long,
            };
            failed.check(found == *expected, || {
                format!("{configured} {says:?}: {found:?}, {}", brief(&at_once[row]))
            });
        }
    }
}

#[test]
fn a_permitting_directive_does_not_count_behind_a_wrong_separator() {
    let bench = Bench::new();
    // A lifetime by itself.
    for says in [
        "public; max-age=30",
        "public max-age=30",
        "foo; s-maxage=30",
    ] {
        let page = bench.answering([ok(&[("Cache-Control", says)])]);
        page.get().expect(200);
        assert!(!page.get().is_hit(), "{says}");
    }
    // Sharing of what credentials fetched.
    for says in ["max-age=60, foo; public", "max-age=60, foo; s-maxage=60"] {
        let page = bench.answering([ok(&[("Cache-Control", says)])]);
        page.ask(&[("Authorization", "a")]).expect(200);
        assert!(!page.ask(&[("Authorization", "b")]).is_hit(), "{says}");
    }
    // Staleness.
    for says in [
        "max-age=10, foo; stale-while-revalidate=60",
        "max-age=10, foo stale-while-revalidate=60",
    ] {
        let page = bench.answering([ok(&[("Cache-Control", says)])]);
        page.get().expect(200);
        bench.pass(11);
        assert!(!page.get().is_hit(), "{says}");
    }
    // A status that is not understood, and no-store.
    let page = bench.answering([ok(&[(
        "Cache-Control",
        "max-age=60, no-store; must-understand",
    )])]);
    page.get().expect(200);
    assert!(!page.get().is_hit());
}

#[test]
fn a_mistyped_lifetime_bounds_a_true_one() {
    let bench = Bench::new();
    for says in [
        "max-age=3600, public; max-age=30",
        "s-maxage=3600, public; s-maxage=30",
        "s-maxage=3600, public max-age=30",
    ] {
        let page = bench.answering([ok(&[("Cache-Control", says)])]);
        page.get().expect(200);
        assert!(page.get().is_hit(), "{says}");
        bench.pass(31);
        assert!(!page.get().is_hit(), "{says}");
    }
}

#[test]
fn parameters_of_a_targeted_field_restrict_too() {
    // RFC 9213 §2.1: a semicolon makes parameters of them.
    let bench = Bench::new();
    for (says, reused) in [
        ("max-age=60; no-store", false),
        ("max-age=60;private", false),
        ("max-age=60; no-cache", false),
        ("max-age=60;max-age=0", false),
        ("max-age=60; a=no-store", true),
        ("max-age=60;no-store=?0", true),
        ("max-age=60;immutable", true),
    ] {
        let page = bench.answering([ok(&[("CDN-Cache-Control", says)])]);
        page.get().expect(200);
        assert_eq!(page.get().is_hit(), reused, "{says}");
    }
}

#[test]
fn a_client_s_mistyped_wish_to_be_answered_anew_is_heard() {
    let bench = Bench::new();
    for says in [
        "foo; no-cache",
        "max-stale; no-cache",
        "foo no-cache",
        "foo; max-age=0",
        "no-transform; min-fresh=600",
    ] {
        let page = bench.answering([ok(&[("Cache-Control", "max-age=60")])]);
        page.get().expect(200);
        assert!(!page.ask(&[("Cache-Control", says)]).is_hit(), "{says}");
    }
    let page = bench.answering([ok(&[("Cache-Control", "max-age=10")])]);
    page.get().expect(200);
    bench.pass(11);
    for says in ["foo; max-stale=60", "foo max-stale", "foo; only-if-cached"] {
        let answer = page.ask(&[("Cache-Control", says)]).expect(200);
        assert!(!answer.says("ttl=-1"), "{says}: {}", brief(&answer));
        bench.pass(11);
    }
}
