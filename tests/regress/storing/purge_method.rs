//! PURGE on the listeners of clients, as plugins for Varnish send it.

use crate::common::{Client, Gateway, Origin, Request, get, reply, request};

fn api() -> Origin {
    Origin::start(|request, conn| {
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("xkey", format!("all {}", request.target.replace('/', "-")))
            .field("ETag", "\"1\"");
        conn.reply(request, &answer.body("1984"));
    })
}

fn purge(target: &str) -> Request {
    request("PURGE", target)
}

fn count(gateway: &Gateway, purge: &Request) -> u64 {
    let answer = gateway.send(purge).expect(200);
    assert!(answer.says("detail=purged"), "{}", answer.cache_status());
    assert_eq!(answer.field("content-type"), Some("application/json"));
    let soft = ["fastly-soft-purge", "xkey-softpurge"];
    let is_soft = soft.iter().any(|name| purge.fields.has(name)) && !purge.fields.has("xkey");
    assert_eq!(answer.field("bookend-receipt").is_none(), is_soft);
    let outcome: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert!(outcome["sequence"].as_u64() > Some(0) && outcome["bytes"].is_u64());
    outcome["purged"].as_u64().expect("a count")
}

#[test]
fn a_url_or_a_batch_of_tags_is_purged_for_those_who_may() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("purge_from = ['10.0.0.0/8', '127.0.0.1']")
        .cache("tag_fields = 'xkey'")
        .start();
    let paths = ["/", "/books/1", "/books/1?a=b", "/books/2", "/films"];
    let [root, book, query, other, film] = [0, 1, 2, 3, 4];
    let all = &[root, book, query, other, film][..];
    for (purge, expected) in [
        (purge("/books/1"), &[book][..]),
        (purge("/%62ooks/1?a=b"), &[query]),
        (purge("/books"), &[]),
        (
            purge("/").field("Surrogate-Key", "-books-1 -films"),
            &[book, film],
        ),
        (purge("/").field("Cache-Tag", "-books-1,none"), &[book]),
        (
            purge("/").field("xkey", "-books-1, -books-2"),
            &[book, other],
        ),
        (purge("/").field("xkey-purge", "all"), all),
        (
            purge("/books/.*").field("X-Purge-Method", "regex"),
            &[book, query, other],
        ),
        (purge("/.*").field("X-Purge-Method", "regex"), all),
        (purge("/films").field("X-Purge-Method", "exact"), &[film]),
    ] {
        for path in paths {
            gateway.get(path).expect(200);
            assert!(gateway.get(path).is_hit());
        }
        let asked = origin.count();
        let told = format!("{purge:?}");
        assert_eq!(count(&gateway, &purge), expected.len() as u64, "{told}");
        assert_eq!(origin.count(), asked, "it does not go on to the API");
        for (nth, path) in paths.into_iter().enumerate() {
            let is_gone = gateway.get(path).fwd("uri-miss");
            assert_eq!(is_gone, expected.contains(&nth), "{told}: {path}");
        }
    }
    for soft in ["Fastly-Soft-Purge: 1", "xkey-softpurge: all"] {
        let (name, value) = soft.split_once(": ").expect("a field");
        assert!(gateway.get("/films").is_hit());
        assert!(count(&gateway, &purge("/films").field(name, value)) > 0);
        assert!(gateway.get("/films").fwd("stale"), "{soft}");
    }
    // One that is for hard purges as well is no softer than it says.
    let both = purge("/films")
        .field("xkey", "all")
        .field("xkey-softpurge", "other");
    assert!(count(&gateway, &both) > 0);
    assert!(gateway.get("/films").fwd("uri-miss"));
    assert!(gateway.get("/films").is_hit());
    assert!(count(&gateway, &purge("/films").field("xkey-softpurge", "all")) > 0);
    let listed = Client::to(gateway.admin_addr())
        .get("/purges?limit=1")
        .text();
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let latest = &listed["purges"][0];
    assert_eq!(
        (&latest["actor"], &latest["reason"], &latest["soft"]),
        (&"127.0.0.1".into(), &"PURGE".into(), &true.into())
    );
}

#[test]
fn what_was_stored_over_https_is_purged_too() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("purge_from = '127.0.0.1'\ntrusted_proxies = '127.0.0.1'")
        .start();
    let secure = get("/books").field("X-Forwarded-Proto", "https");
    gateway.send(&secure).expect(200);
    assert!(gateway.send(&secure).is_hit());
    assert_eq!(
        count(
            &gateway,
            &purge("/books").field("X-Forwarded-For", "127.0.0.1")
        ),
        1
    );
    assert!(gateway.send(&secure).fwd("uri-miss"));
    // A proxy that is trusted says who the client is.
    let of_stranger = purge("/books").field("X-Forwarded-For", "192.0.2.1");
    gateway.send(&of_stranger).expect(403);
}

#[test]
fn a_client_that_may_not_purge_is_refused_and_without_a_list_the_api_answers() {
    let origin = api();
    let setup = Gateway::before(&origin);
    let guarded = setup.clone().server("purge_from = '10.0.0.0/8'").start();
    guarded.get("/books").expect(200);
    for purge in [purge("/books"), purge("/").field("xkey", "all")] {
        let refused = guarded.send(&purge).expect(403);
        assert!(refused.text().contains("purge_from"), "{}", refused.text());
    }
    assert_eq!(origin.count(), 1);
    assert!(guarded.get("/books").is_hit());
    let open = setup.start();
    open.get("/books").expect(200);
    let passed = open.send(&purge("/books")).expect(200);
    assert!(passed.fwd("method"), "{}", passed.cache_status());
    assert_eq!(origin.last().method, "PURGE");
}

#[test]
fn a_purge_that_cannot_be_meant_purges_nothing() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .server("purge_from = '127.0.0.1'")
        .start();
    gateway.get("/books").expect(200);
    for purge in [
        purge("/books").field("xkey", " , "),
        purge("/boo.*").field("X-Purge-Method", "regex"),
        purge("/(books|films)/.*").field("X-Purge-Method", "regex"),
        purge("/books").field("X-Magento-Tags-Pattern", ".*"),
    ] {
        gateway.send(&purge).expect(400);
        assert!(gateway.get("/books").is_hit(), "{purge:?}");
    }
}

/// A write's route may leave parameters out that a GET's has in its keys.
#[test]
fn a_purge_and_a_write_name_the_whole_url_whatever_their_own_route_leaves_out() {
    let origin = Origin::start(|request, conn| {
        let said = reply(200).field("Cache-Control", "max-age=60");
        conn.reply(request, &said.body(&request.target));
    });
    let gateway = Gateway::before(&origin)
        .server("purge_from = ['127.0.0.1']")
        .cache("query = { ignore = ['page'] }")
        .route("/books", "methods = 'GET'\nquery = { ignore = [] }")
        .start();
    for method in ["PURGE", "PUT", "DELETE"] {
        gateway.get("/books?page=2").expect(200);
        assert!(gateway.get("/books?page=2").is_hit());
        gateway.send(&request(method, "/books?page=2")).expect(200);
        assert!(!gateway.get("/books?page=2").is_hit(), "{method}");
    }
}
