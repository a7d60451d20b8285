//! An invalidation of very many responses holds before they are removed.

use bookend::ledger::invalidation::{Invalidation, Matcher};
use bookend::semantics::selector::Selector;

use crate::common::{Gateway, Origin, await_that, get, post, reply};

fn tag(name: &str) -> Matcher {
    Matcher::Tag {
        name: name.to_owned(),
        origin: None,
    }
}

fn prefix(prefix: &str) -> Matcher {
    Matcher::Urls(Selector::prefix(prefix).expect(prefix))
}

/// Books with the tag `books`, odd ones with `odd` too; each answer is a new one.
fn api() -> Origin {
    Origin::start(|request, conn| {
        let number = request
            .target
            .trim_start_matches(|c: char| !c.is_ascii_digit());
        let tags = match number.parse::<u64>() {
            Ok(number) if number % 2 == 1 => "\"books\", \"odd\"",
            Ok(_) => "\"books\"",
            Err(_) => "",
        };
        let answer = match &*request.method {
            "GET" => reply(200)
                .field("Cache-Control", "max-age=60")
                .field("ETag", "\"1\"")
                .field("Cache-Groups", tags),
            _ => reply(204).field("Cache-Group-Invalidation", "\"books\""),
        };
        conn.reply(request, &answer);
    })
}

const BOOKS: u64 = 40;

fn fill(gateway: &Gateway) {
    let mut client = gateway.client();
    for number in 0..BOOKS {
        client.get(&format!("/books/{number}")).expect(200);
    }
    client.get("/films").expect(200);
}

#[test]
fn what_a_purge_covers_is_gone_before_it_is_removed_and_what_comes_after_stays() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(2);
    fill(&gateway);
    let purge = Invalidation::hard(vec![tag("books")]);
    let foreseen = gateway.preview(&purge);
    let (applied, removal) = gateway.begin(&purge);
    assert_eq!(
        (applied.resources, applied.bytes),
        (foreseen.resources, foreseen.bytes)
    );
    assert_eq!((applied.resources, applied.sequence), (BOOKS as usize, 1));
    let removal = removal.expect("something to be removed");
    assert!(
        gateway.get("/books/1").fwd("uri-miss"),
        "it is gone, and not validated"
    );
    assert!(
        gateway.get("/books/1").is_hit(),
        "what was fetched since is not covered"
    );
    assert!(gateway.get("/films").is_hit());
    let anew = get("/books/2").field("Cache-Control", "no-cache");
    assert!(gateway.send(&anew).fwd("uri-miss"));
    assert!(
        !origin.last().fields.has("if-none-match"),
        "it is not used to validate with either"
    );
    // Nothing is left to be purged but what came since, in whichever way.
    let again = gateway.preview(&purge);
    assert_eq!(again.resources, 2);
    let (applied, second) = gateway.begin(&Invalidation::hard(vec![tag("odd")]));
    assert_eq!((applied.resources, applied.sequence), (1, 2));
    assert!(second.is_none(), "the preview has looked all others up");
    assert_eq!(gateway.remove(removal), BOOKS as usize);
    assert!(gateway.get("/books/2").is_hit());
    assert!(gateway.get("/books/1").fwd("uri-miss"));
    assert_eq!(gateway.stored(), 3);
}

#[test]
fn several_tags_are_counted_once() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(1);
    fill(&gateway);
    let purge = Invalidation::hard(vec![tag("odd"), tag("books"), tag("none")]);
    let foreseen = gateway.preview(&purge);
    let (applied, removal) = gateway.begin(&purge);
    assert_eq!(
        (applied.resources, applied.bytes),
        (foreseen.resources, foreseen.bytes)
    );
    assert_eq!(applied.resources, BOOKS as usize);
    gateway.remove(removal.expect("something to be removed"));
    assert_eq!(gateway.stored(), 1);
    // Few are removed at once.
    let few = gateway.begin(&Invalidation::hard(vec![tag("none")]));
    assert!(few.1.is_none());
}

/// Without tags, of every kind; the films are not covered.
#[test]
fn a_purge_of_every_kind_holds_before_what_it_covers_is_removed() {
    let path = |gateway: &Gateway| {
        let target = format!("http://{}/books", gateway.addr());
        Matcher::path(target)
    };
    let kinds: [&dyn Fn(&Gateway) -> Matcher; 5] = [
        &|_| prefix("/books"),
        &|gateway| prefix(&format!("http://{}/books", gateway.addr())),
        &path,
        &|gateway| gateway.route("/books").expect("a route"),
        &|_| Matcher::All,
    ];
    for (nth, matcher) in kinds.into_iter().enumerate() {
        let origin = Origin::start(|request, conn| {
            conn.reply(request, &reply(200).field("Cache-Control", "max-age=60"));
        });
        let gateway = Gateway::before(&origin)
            .route("/books", "ttl = '1m'")
            .start();
        gateway.publish_from(2);
        let mut client = gateway.client();
        let books = || (0..20).map(|page| format!("/books?page={page}"));
        for target in books().chain(["/films".to_owned()]) {
            client.get(&target).expect(200);
        }
        let purge = Invalidation::hard(vec![matcher(&gateway)]);
        let foreseen = gateway.preview(&purge);
        let (applied, removal) = gateway.begin(&purge);
        let removal = removal.expect("something to be removed");
        let all = usize::from(matches!(purge.covers[0], Matcher::All));
        assert_eq!(applied.resources, 20 + all, "{purge}");
        assert_eq!(
            (applied.resources, applied.bytes),
            (foreseen.resources, foreseen.bytes),
            "{purge}"
        );
        for target in books().take(5) {
            assert!(client.get(&target).fwd("uri-miss"), "{nth}: {target}");
            assert!(client.get(&target).is_hit(), "{nth}: {target}");
        }
        assert_eq!(client.get("/films").is_hit(), all == 0, "{purge}");
        assert_eq!(gateway.remove(removal), 20 + all, "{purge}");
        for (nth, target) in books().enumerate() {
            assert_eq!(client.get(&target).is_hit(), nth < 5, "{purge}: {target}");
        }
    }
}

#[test]
fn a_soft_purge_holds_before_what_it_covers_is_expired() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(2);
    fill(&gateway);
    let purge = Invalidation::soft(vec![prefix("/books")]);
    let foreseen = gateway.preview(&purge);
    let (applied, removal) = gateway.begin(&purge);
    assert_eq!(
        (applied.resources, applied.bytes),
        (foreseen.resources, foreseen.bytes)
    );
    assert_eq!(applied.resources, BOOKS as usize);
    assert!(gateway.get("/books/1").fwd("stale"), "it is validated");
    assert!(gateway.get("/books/1").is_hit(), "it has been");
    assert!(gateway.get("/films").is_hit());
    let removal = removal.expect("something to be expired");
    assert_eq!(gateway.remove(removal), BOOKS as usize);
    assert!(gateway.get("/books/1").is_hit());
    assert!(gateway.get("/books/2").fwd("stale"));
}

#[test]
fn one_that_comes_again_meanwhile_covers_what_was_stored_since() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(2);
    fill(&gateway);
    let purge = Invalidation::hard(vec![prefix("/books")]);
    let (_, removal) = gateway.begin(&purge);
    assert!(gateway.get("/books/1").fwd("uri-miss"));
    let (applied, second) = gateway.begin(&purge);
    assert_eq!((applied.resources, applied.sequence), (1, 2));
    assert!(second.is_none(), "the first one's removal does it all");
    assert!(gateway.get("/books/1").fwd("uri-miss"));
    assert!(gateway.get("/books/1").is_hit());
    assert_eq!(
        gateway.remove(removal.expect("something to be removed")),
        BOOKS as usize + 1
    );
    assert!(gateway.get("/books/1").is_hit());
    assert!(gateway.get("/books/2").fwd("uri-miss"));
}

#[test]
fn of_very_many_at_once_the_last_are_carried_out_before_their_answer() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(1);
    fill(&gateway);
    let books = (0..12).map(|number| format!("/books/{number}"));
    let begun = books.map(|book| gateway.begin(&Invalidation::hard(vec![prefix(&book)])));
    let begun: Vec<_> = begun.collect();
    let published = begun.iter().filter(|(_, removal)| removal.is_some());
    assert_eq!(published.count(), 8);
    assert!(begun.iter().all(|(applied, _)| applied.resources == 1));
    assert_eq!(gateway.stored(), BOOKS + 1 - 12);
    for (_, removal) in begun {
        if let Some(removal) = removal {
            gateway.remove(removal);
        }
    }
    assert_eq!(gateway.stored(), BOOKS + 1 - 12);
}

#[test]
fn markers_of_before_are_gone_too() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &reply(200).field("Cache-Control", "no-store"));
    });
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(1);
    gateway.get("/private").expect(200);
    gateway.await_no_fills();
    let marked = || gateway.metric("bookend_stored_resources");
    assert_eq!(marked(), 1);
    let (applied, removal) = gateway.begin(&Invalidation::hard(vec![prefix("/private")]));
    assert_eq!(applied.resources, 0, "nothing is stored");
    gateway.remove(removal.expect("something to be removed"));
    assert_eq!(marked(), 0);
}

#[test]
fn what_a_write_s_answer_names_is_removed_behind_it() {
    let origin = api();
    let gateway = Gateway::before(&origin).start();
    gateway.publish_from(1);
    fill(&gateway);
    gateway.send(&post("/orders", "")).expect(204);
    for number in 0..BOOKS {
        assert!(
            gateway.get(&format!("/books/{number}")).fwd("uri-miss"),
            "{number}"
        );
    }
    gateway.send(&post("/orders", "")).expect(204);
    await_that("the books are removed", || {
        gateway.metric("bookend_group_members") == 0
    });
    assert!(gateway.get("/films").is_hit());
}
