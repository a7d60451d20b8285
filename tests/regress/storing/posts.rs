//! A POST's response that is what a GET would bring (RFC 9110 §9.3.3) is stored, but not where anything was invalidated by
//! others since the POST was sent. Its own invalidations, as many as they are, do not keep it from that.

use crate::common::bench::{Rows, brief};
use crate::common::{Client, Gate, Gateway, Origin, Reply, Request, get, post, put, reply};

fn answer() -> Reply {
    reply(200)
        .field("Cache-Control", "max-age=60")
        .field("Content-Location", "/books")
        .field("Location", "/books/1")
        .field("Cache-Group-Invalidation", "\"shelf\", \"front\"")
        .body("from the POST")
}

/// Answers POST to `/books` once `gate` lets it.
fn api(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request, conn| {
        let fresh = reply(200).field("Cache-Control", "max-age=60");
        let answer = match (&*request.method, &*request.target) {
            ("POST", "/books") => {
                gate.pass();
                answer()
            }
            ("GET", "/books") => fresh.body("newer"),
            ("GET", _) => fresh.field("Cache-Groups", "\"shelf\"").body("1984"),
            _ => reply(204),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn what_a_post_brought_is_stored_unless_others_invalidated_something_meanwhile() {
    let mut failed = Rows::default();
    let table: [(&str, Option<Request>, bool); 6] = [
        ("nothing", None, true),
        ("a write to it", Some(put("/books", "new")), false),
        ("another write", Some(put("/others", "new")), false),
        ("a purge", Some(post("/purge?url=/books", "")), false),
        ("a purge of all", Some(post("/purge?all=true", "")), false),
        ("a group", Some(post("/purge?group=shelf", "")), false),
    ];
    for (what, invalidation, is_stored) in table {
        let gate = Gate::new();
        let origin = api(&gate);
        let gateway = Gateway::before(&origin)
            .route("/books", "invalidates = ['/shelves', '/authors']")
            .start();
        // What the POST invalidates beside its target.
        for path in [
            "/books/1",
            "/shelves",
            "/shelves?page=2",
            "/authors",
            "/more",
        ] {
            gateway.get(path).expect(200);
        }
        let mut client = gateway.client();
        client.start(&post("/books", "one more"));
        gate.await_arrivals(1);
        match &invalidation {
            Some(purge) if purge.target.starts_with("/purge") => {
                Client::to(gateway.admin_addr()).send(purge).expect(200);
            }
            Some(write) => drop(gateway.send(write).expect(204)),
            None => {}
        }
        gate.open();
        let posted = client.answer("POST").finish().expect(200);
        let next = gateway.send(&get("/books"));
        let right = match is_stored {
            true => posted.says("stored") && next.is_hit() && next.text() == "from the POST",
            false => !posted.says("stored") && !next.is_hit() && next.text() == "newer",
        };
        failed.check(right, || {
            format!("{what}: {} {}", brief(&posted), brief(&next))
        });
        for path in [
            "/books/1",
            "/shelves",
            "/shelves?page=2",
            "/authors",
            "/more",
        ] {
            let is_hit = gateway.get(path).expect(200).is_hit();
            failed.check(!is_hit, || format!("{what}: {path} is stored"));
        }
    }
}

#[test]
fn an_answer_to_a_post_is_stored_only_where_gets_have_the_same_route() {
    let origin = Origin::start(|request, conn| {
        let said = reply(200).field("Cache-Control", "max-age=60");
        let said = said.field("Content-Location", &request.target);
        conn.reply(request, &said.body("1984"));
    });
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "methods = 'GET'\ntags = ['book-{id}']")
        .start();
    for (target, is_stored) in [("/films/1", true), ("/books/1", false)] {
        gateway.send(&post(target, "a")).expect(200);
        assert_eq!(gateway.get(target).is_hit(), is_stored, "{target}");
    }
}
