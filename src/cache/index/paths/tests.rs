use super::*;
use crate::semantics::target::key_with;

const TARGETS: [&str; 20] = [
    "http://a/",
    "http://a/?x",
    "http://a//",
    "http://a/books",
    "http://a/books?x=1",
    "http://a/books?x=/1",
    "http://a/books/",
    "http://a/books/1",
    "http://a/books/1?x=1",
    "http://a/books/1/reviews",
    "http://a/books/10",
    "http://a/bookshop",
    "http://a/1/2/3/4",
    "http://a/1/2/3/4?x",
    "http://a/1/2/3/4/5",
    "http://a/1/2/3/4/5?x",
    "http://a/1/2/3/4/5/6/7",
    "http://a/1/2/3/4/50",
    "http://a:8080/books/1",
    "https://b/1/2/3/4/5?x",
];

fn found(find: impl FnOnce(&mut dyn FnMut(&Arc<str>, u32) -> ControlFlow<()>)) -> Vec<Arc<str>> {
    let mut found = Vec::new();
    find(&mut |target, bytes| {
        assert_eq!(bytes, 7);
        found.push(target.clone());
        ControlFlow::Continue(())
    });
    found
}

fn paths(numbers: &Numbers, targets: &[&str]) -> Mutex<Paths> {
    let mut paths = Paths::default();
    for target in targets {
        paths.insert(numbers.of(target), (*target).into(), 7);
    }
    Mutex::new(paths)
}

fn selectors() -> Vec<Selector> {
    let named = TARGETS.iter().flat_map(|target| {
        let (_, path) = split_origin(target);
        let urls = [target, path].map(|url| Selector::url(url).expect(url));
        let prefixes = [target, path].map(|prefix| Selector::prefix(prefix).ok());
        let paths = [split_query(target).0].map(|path| Selector::TargetPath(path.to_owned()));
        let prefixes = prefixes.into_iter().flatten();
        urls.into_iter().chain(prefixes).chain(paths)
    });
    let origins = ["/", "http://a", "https://b", "http://c"];
    let origins = origins.map(|prefix| Selector::prefix(prefix).expect(prefix));
    named.chain(origins).collect()
}

#[test]
fn all_that_a_selector_covers_is_found_and_found_once() {
    let longer = TARGETS.map(|target| key_with(target, "x=a&b"));
    let longer = longer.iter().map(String::as_str);
    let keys: Vec<&str> = TARGETS.into_iter().chain(longer).collect();
    for _ in 0..20 {
        let numbers = Numbers::default();
        let paths = paths(&numbers, &keys);
        for selector in selectors() {
            for all_queries in [false, true] {
                let place = Place::of(&selector, &numbers, all_queries);
                let found = found(|mut visit| {
                    let _ = place.find(&numbers, &paths, &mut visit);
                });
                let mut texts: Vec<&str> = found.iter().map(|target| &**target).collect();
                texts.sort_unstable();
                let count = texts.len();
                texts.dedup();
                assert_eq!(texts.len(), count, "{selector}: {found:?}");
                for key in keys.iter().filter(|key| selector.covers(target_of(key))) {
                    assert!(texts.contains(key), "{selector}: {key}");
                }
            }
        }
    }
}

#[test]
fn little_is_found_that_is_not_covered() {
    let numbers = Numbers::default();
    let targets: Vec<String> = (0..10_000)
        .flat_map(|n| {
            [
                format!("http://a/books/{n}"),
                format!("http://a/search?q={n}"),
                format!("http://a/api/v1/shops/7/books/{n}/reviews"),
                format!("http://host-{n}/authors/1"),
            ]
        })
        .collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let paths = paths(&numbers, &targets);
    for (selector, covered) in [
        (Selector::prefix("http://a/books/77"), 1),
        (Selector::prefix("/books/77"), 1),
        (Selector::prefix("/books"), 10_000),
        (Selector::url("/search?q=77"), 1),
        (Selector::url("/search"), 0),
        (Selector::prefix("http://host-7"), 1),
        (Selector::prefix("/api/v1/shops/7/books/77"), 1),
        (Selector::prefix("http://a/api/v1/shops/7/books/77"), 1),
        (Selector::url("/api/v1/shops/7/books/77/reviews"), 1),
        (
            Ok(Selector::TargetPath("http://a/search".to_owned())),
            10_000,
        ),
        (Ok(Selector::TargetPath("http://a/books/77".to_owned())), 1),
    ] {
        let selector = selector.expect("a selector");
        let place = Place::of(&selector, &numbers, false);
        let found = found(|mut visit| {
            let _ = place.find(&numbers, &paths, &mut visit);
        });
        let is_covered = |target: &&Arc<str>| selector.covers(target);
        assert_eq!(
            found.iter().filter(is_covered).count(),
            covered,
            "{selector}"
        );
        // Origins have 8 bits: one of 256 of 10,000, and what shares a level of the path.
        assert!(found.len() <= covered + 100, "{selector}: {}", found.len());
    }
}

#[test]
fn what_is_taken_out_is_not_found() {
    let numbers = Numbers::default();
    let paths = paths(&numbers, &TARGETS);
    let everything = || {
        let found = found(|mut visit| {
            let _ = all(&paths, &mut visit);
        });
        found.len()
    };
    assert_eq!(everything(), TARGETS.len());
    for target in TARGETS {
        lock(&paths).remove(numbers.of(target), target.into());
    }
    assert_eq!(everything(), 0);
}

#[test]
fn more_than_what_is_taken_at_once_is_found() {
    let numbers = Numbers::default();
    let targets: Vec<String> = (0..3 * CHUNK).map(|n| format!("http://a/{n}")).collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let paths = paths(&numbers, &targets);
    let found = found(|mut visit| {
        let _ = all(&paths, &mut visit);
    });
    assert_eq!(found.len(), targets.len());
    let mut few = 0;
    let broken_off = all(&paths, &mut |_: &Arc<str>, _| {
        few += 1;
        match few {
            7 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert_eq!((broken_off.is_break(), few), (true, 7));
}
