use super::*;
use crate::ledger::invalidation::Route;

fn subject<'a>(target: &'a str, tags: &'a [Box<str>]) -> Subject<'a> {
    Subject {
        target,
        tags,
        ignores_query: false,
    }
}

fn index_of(limit: usize, invalidations: &[(Matcher, Strength)]) -> Index {
    let mut index = Index::new(Secret::random(), limit);
    for (number, (matcher, strength)) in (1..).zip(invalidations) {
        let mut recorded = Vec::new();
        index.secret.record(matcher, &mut recorded);
        index.apply(number, *strength, &recorded);
    }
    index
}

#[test]
fn a_stronger_invalidation_is_not_hidden_by_a_later_weaker_one() {
    let url = || Matcher::target("http://h/a");
    let index = index_of(9, &[(url(), Strength::Hard), (url(), Strength::Soft)]);
    let at = |stamp| index.judge(stamp, &subject("http://h/a", &[]));
    assert_eq!(
        [at(0), at(1), at(2)],
        [Verdict::Dead, Verdict::Stale, Verdict::Valid]
    );
}

#[test]
fn what_is_forgotten_is_validated() {
    let each = (0..9).map(|n| (Matcher::target(format!("http://h/{n}")), Strength::Soft));
    let index = index_of(8, &each.collect::<Vec<_>>());
    // The ninth was too many: an eighth of the limit goes, and it.
    assert_eq!((index.len(), index.floor()), (7, 2));
    let of = |stamp, target: &str| index.judge(stamp, &subject(target, &[]));
    assert_eq!(of(1, "http://h/1"), Verdict::MustValidate);
    assert_eq!(of(1, "http://h/other"), Verdict::MustValidate);
    assert_eq!(of(2, "http://h/other"), Verdict::Valid);
    assert_eq!(of(2, "http://h/2"), Verdict::Stale);
}

#[test]
fn one_invalidation_of_more_than_is_remembered_has_everything_validated() {
    let mut index = Index::new(Secret::random(), 4);
    let mut recorded = Vec::new();
    for n in 0..9 {
        index
            .secret
            .record(&Matcher::target(format!("http://h/{n}")), &mut recorded);
    }
    index.apply(1, Strength::Hard, &recorded);
    let of = |stamp| index.judge(stamp, &subject("http://h/8", &[]));
    assert_eq!((of(0), of(1)), (Verdict::MustValidate, Verdict::Valid));
}

#[test]
fn a_prefix_that_is_deeper_than_is_looked_up_covers_more() {
    let deep = |segments: usize| format!("http://h{}", "/a".repeat(segments));
    let prefix = |text: String| Matcher::Urls(Selector::TargetPrefix(text));
    for (invalidated, asked, expected) in [
        (deep(200), deep(200), Verdict::Dead),
        (deep(200), deep(201), Verdict::Dead),
        (deep(200), deep(100), Verdict::Dead),
        (deep(200), deep(3), Verdict::Valid),
        (deep(3), deep(200), Verdict::Dead),
        (
            "http://h/a?b".to_owned(),
            "http://h/a".to_owned(),
            Verdict::Dead,
        ),
        ("http:".to_owned(), "http://h/a".to_owned(), Verdict::Dead),
        ("http://".to_owned(), "http://h/a".to_owned(), Verdict::Dead),
    ] {
        let index = index_of(9, &[(prefix(invalidated.clone()), Strength::Hard)]);
        let verdict = index.judge(0, &subject(&asked, &[]));
        assert_eq!(verdict, expected, "{invalidated} {asked}");
    }
    let slashes = format!("http://h/{}?{}", "/".repeat(8_000), "/".repeat(8_000));
    let index = index_of(9, &[(prefix(slashes.clone()), Strength::Hard)]);
    assert_eq!(index.judge(0, &subject(&slashes, &[])), Verdict::Dead);
}

#[test]
fn a_route_is_recorded_as_the_urls_around_it() {
    let within = Selector::prefix("/books").unwrap();
    let route = Route::new("/books/{id}", within, |target| target.ends_with("/1"));
    let index = index_of(9, &[(Matcher::Route(route), Strength::Hard)]);
    for (target, expected) in [
        ("http://h/books/1", Verdict::Dead),
        ("http://h/books/2", Verdict::Dead),
        ("http://h/shelves/1", Verdict::Valid),
    ] {
        assert_eq!(index.judge(0, &subject(target, &[])), expected, "{target}");
    }
}

#[test]
fn a_record_that_ignores_parts_of_its_query_is_covered_by_each_query() {
    for (url, expected) in [
        ("http://h/a?x=1&utm=2", Verdict::Dead),
        ("http://h/a", Verdict::Dead),
        ("/a?x", Verdict::Dead),
        ("/a", Verdict::Dead),
        ("http://h/b?x=1", Verdict::Valid),
        ("http://other/a?x=1", Verdict::Valid),
    ] {
        let selector = Selector::url(url).unwrap();
        let index = index_of(9, &[(Matcher::Urls(selector), Strength::Hard)]);
        let subject = Subject {
            target: "http://h/a?x=1#values",
            tags: &[],
            ignores_query: true,
        };
        assert_eq!(index.judge(0, &subject), expected, "{url}");
    }
}
