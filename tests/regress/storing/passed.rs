//! A request that is passed on, because its response will hardly be stored, has its response stored where that may be
//! stored after all; but not when something that covers it was invalidated since the request was sent.

use std::sync::Arc;
use std::thread;

use crate::common::bench::{Rows, brief};
use crate::common::{Client, Gate, Gateway, Origin, Request, get, post, put, reply};

/// How a URL comes to be passed on: the first request, and the one whose response may be stored after all.
fn passed() -> [(&'static str, Option<Request>, Request); 3] {
    [
        ("marked", Some(get("/books")), get("/books")),
        ("with a cookie", None, get("/books").field("Cookie", "a=b")),
        (
            "with credentials and a condition",
            None,
            get("/books")
                .field("Authorization", "Basic YTpi")
                .field("If-None-Match", "\"v0\""),
        ),
    ]
}

/// Answers the first GET with `no-store` where `marks`, and the others with what may be stored, once `gate` lets them.
fn api(marks: bool, gate: Gate) -> Origin {
    Origin::start(move |request, conn| {
        let answer = match (&*request.method, request.fields.has("x-first")) {
            ("GET", true) if marks => reply(200).field("Cache-Control", "no-store"),
            ("GET", _) => {
                gate.pass();
                reply(200)
                    .field("Cache-Control", "public, max-age=60")
                    .field("Cache-Groups", "\"shelf\"")
            }
            _ => reply(204),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn what_may_be_stored_after_all_is_unless_it_was_invalidated_meanwhile() {
    let mut failed = Rows::default();
    let invalidations: [(&str, Option<Request>, bool); 4] = [
        ("nothing", None, true),
        ("a write", Some(put("/books", "new")), false),
        ("a purge", Some(post("/purge?url=/books", "")), false),
        ("a group", Some(post("/purge?group=shelf", "")), false),
    ];
    for (how, first, request) in passed() {
        for (what, invalidation, stored) in &invalidations {
            let gate = Gate::new();
            let origin = api(first.is_some(), gate.clone());
            let gateway = Arc::new(Gateway::before(&origin).start());
            if let Some(first) = &first {
                gateway.send(&first.clone().field("X-First", "1"));
            }
            let waiting = {
                let (gateway, request) = (gateway.clone(), request.clone());
                thread::spawn(move || gateway.send(&request))
            };
            gate.await_arrivals(1);
            if let Some(invalidation) = invalidation {
                let is_admin = invalidation.target.starts_with("/purge");
                let answer = match is_admin {
                    true => Client::to(gateway.admin_addr()).send(invalidation),
                    false => gateway.send(invalidation),
                };
                assert!(answer.status < 300, "{what}: {}", brief(&answer));
            }
            gate.open();
            let answer = waiting.join().expect("an answer").expect(200);
            let later = gateway.get("/books");
            let held = answer.says("stored") == *stored && later.is_hit() == *stored;
            failed.check(held, || {
                format!("{how}, {what}: {} then {}", brief(&answer), brief(&later))
            });
        }
    }
}
