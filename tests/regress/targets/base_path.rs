//! What a write changes, under a base path: Location and Content-Location of its answer name URIs of the API's, which
//! clients know under other names.

use crate::common::{Gateway, Origin, Setup, get, post, put, reply};

const SHOP: &str = "shop.example";

/// An API under `/api` whose answers to writes have the field that the write's content is, and a second server under
/// `/v2`, which is down.
fn api() -> (Origin, Origin) {
    let own = Origin::start(|request, conn| match request.method.as_str() {
        "GET" => conn.reply(request, &reply(200).field("Cache-Control", "max-age=600")),
        _ => {
            let field = request.text();
            let (name, value) = field.split_once(": ").expect("a field");
            conn.reply(request, &reply(201).field(name, value));
        }
    });
    let sibling = Origin::answering(reply(500));
    sibling.stop();
    (own, sibling)
}

fn before(own: &Origin, sibling: &Origin) -> Setup {
    let sibling = format!("{}/v2", sibling.url());
    Gateway::before_all([format!("{}/api", own.url()), sibling])
}

#[test]
fn a_write_invalidates_what_its_answer_names_as_clients_know_it() {
    let (own, sibling) = api();
    // What the API writes in its answer to `POST /items`, and what is no longer fresh for clients.
    let rows = [
        ("/api/items/1", "/items/1"),
        ("/api/items/1#new", "/items/1"),
        ("/api?page=1", "/?page=1"),
        ("/api", "/"),
        ("http://OWN/api/items/1", "/items/1"),
        ("HTTP://OWN/api/items/1", "/items/1"),
        ("http://OWN/api/items/1?a=b", "/items/1?a=b"),
        ("http://me@OWN/api/items/1", "/items/1"),
        ("//OWN/api/items/1", "/items/1"),
        ("http://SIBLING/v2/items/1", "/items/1"),
        ("http://shop.example/api/items/1", "/items/1"),
        ("http://shop.example/items/1", "/items/1"),
        ("//shop.example/api/items/1", "/items/1"),
        ("/items/1", "/items/1"),
        ("items/1", "/items/1"),
        ("../api/items/1", "/items/1"),
        ("/api/./items/x/../1", "/items/1"),
        ("/api/items/%31", "/items/1"),
        ("/api/caf\u{e9}", "/caf%C3%A9"),
        ("/api/caf%c3%a9", "/caf%C3%A9"),
    ];
    for policy in ["host = 'upstream'", "host = 'client'"] {
        let gateway = before(&own, &sibling).upstream(policy).start();
        for name in ["Location", "Content-Location"] {
            for (given, named) in rows {
                let given = given.replace("OWN", &own.addr().to_string());
                let given = given.replace("SIBLING", &sibling.addr().to_string());
                let read = || gateway.send(&get(named).field("Host", SHOP)).expect(200);
                read();
                assert!(read().is_hit(), "{named}");
                let write = post("/items", format!("{name}: {given}")).field("Host", SHOP);
                gateway.send(&write).expect(201);
                assert!(
                    read().fwd("uri-miss"),
                    "{named} is old after {name}: {given}, {policy}"
                );
            }
        }
    }
}

#[test]
fn a_write_invalidates_nothing_of_another_host() {
    let (own, sibling) = api();
    let gateway = before(&own, &sibling).upstream("host = 'upstream'").start();
    let read = || {
        gateway
            .send(&get("/items/1").field("Host", "other.example"))
            .expect(200)
    };
    read();
    for given in [
        "/api/items/1",
        "http://other.example/items/1",
        "http://other.example/api/items/1",
        "//other.example/items/1",
        "https://shop.example/items/1",
    ] {
        let write = put("/items/2", format!("Location: {given}")).field("Host", SHOP);
        gateway.send(&write).expect(201);
        assert!(read().is_hit(), "{given}");
    }
}
