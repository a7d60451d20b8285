//! A purge of very many responses by a tag holds before they are removed.

use bookend::ledger::invalidation::{Invalidation, Matcher};

use crate::common::{Gateway, Origin, await_that, get, post, reply};

fn tag(name: &str) -> Matcher {
    Matcher::Tag {
        name: name.to_owned(),
        origin: None,
    }
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
    assert_eq!(
        (applied.resources, applied.sequence, second.is_some()),
        (1, 2, false)
    );
    gateway.remove(removal);
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
    // What is softly invalidated stays, and few members are removed at once.
    let soft = gateway.begin(&Invalidation::soft(vec![tag("books")]));
    let few = gateway.begin(&Invalidation::hard(vec![tag("none")]));
    assert!(soft.1.is_none() && few.1.is_none());
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
