//! A write makes what is stored for its target unusable, whatever becomes of the client that sent it.

use crate::common::{Client, Gate, Gateway, Origin, delete, get, post, put, reply, request};

/// Answers GET with something that may be stored, and everything else with `status` and `Location: /books/7`.
fn books(status: u16) -> Origin {
    Origin::start(move |request, conn| {
        let answer = match &*request.method {
            "GET" | "HEAD" => reply(200).field("Cache-Control", "max-age=60").body("1984"),
            _ => reply(status).field("Location", "/books/7").body("done"),
        };
        conn.reply(request, &answer);
    })
}

fn warm(gateway: &crate::common::Gateway, target: &str) {
    gateway.get(target).expect(200);
    assert!(gateway.get(target).is_hit(), "{target}");
}

#[test]
fn a_successful_write_invalidates_its_target_and_location() {
    for write in [
        put("/books", "x"),
        post("/books", "x"),
        delete("/books"),
        crate::common::request("FROB", "/books"),
    ] {
        let origin = books(201);
        let gateway = Gateway::before(&origin).start();
        for target in ["/books", "/books/7", "/books/8"] {
            warm(&gateway, target);
        }
        gateway.send(&write).expect(201);
        assert!(gateway.get("/books").fwd("uri-miss"), "{}", write.method);
        assert!(gateway.get("/books/7").fwd("uri-miss"), "{}", write.method);
        assert!(gateway.get("/books/8").is_hit(), "{}", write.method);
    }
}

#[test]
fn a_write_that_was_refused_invalidates_nothing() {
    for status in [400, 404, 422, 500, 503] {
        let origin = books(status);
        let gateway = Gateway::before(&origin).start();
        warm(&gateway, "/books");
        gateway.send(&put("/books", "x")).expect(status);
        assert!(gateway.get("/books").is_hit(), "{status}");
    }
}

#[test]
fn a_write_whose_client_leaves_before_the_answer_invalidates_all_the_same() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.method == "PUT" {
            held.pass();
        }
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).start();
    warm(&gateway, "/books/123");
    let mut client = gateway.client();
    client.start(&put("/books/123", "x"));
    gate.await_arrivals(1);
    client.reset();
    gate.open();
    gateway.await_sum(1, |counted| counted.invalidations.value());
    assert!(gateway.get("/books/123").fwd("uri-miss"));
}

#[test]
fn a_write_whose_outcome_is_unknown_invalidates() {
    let origin = Origin::start(|request, conn| {
        if request.method == "PUT" {
            conn.reset();
        } else {
            conn.reply(
                request,
                &reply(200).field("Cache-Control", "max-age=60").body("1984"),
            );
        }
    });
    let gateway = Gateway::before(&origin).start();
    warm(&gateway, "/books/123");
    gateway.send(&put("/books/123", "x")).expect(502);
    assert!(gateway.get("/books/123").fwd("uri-miss"));
}

/// Invariant 3: a fill that began before the write must not bring the old content back.
#[test]
fn a_fill_that_began_before_the_write_is_neither_stored_nor_joined() {
    let gate = Gate::new();
    let held = gate.clone();
    let written = std::sync::atomic::AtomicBool::new(false);
    let origin = Origin::start(move |request, conn| {
        let after = if request.method == "PUT" {
            written.swap(true, std::sync::atomic::Ordering::SeqCst);
            true
        } else {
            written.load(std::sync::atomic::Ordering::SeqCst)
        };
        if !after {
            held.pass();
        }
        let title = if after { "new" } else { "old" };
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body(title),
        );
    });
    let gateway = Gateway::before(&origin).start();
    let mut early = gateway.client();
    early.start(&get("/books/123"));
    gate.await_arrivals(1);
    gateway.send(&put("/books/123", "x")).expect(200);
    let joined = gateway.get("/books/123").expect(200);
    assert_eq!(joined.text(), "new");
    gate.open();
    assert_eq!(early.answer("GET").finish().expect(200).text(), "old");
    gateway.await_no_fills();
    assert_eq!(gateway.get("/books/123").expect(200).text(), "new");
}

#[test]
fn a_write_covers_the_list_above_it_and_all_below_it_where_its_route_says_so() {
    let origin = books(200);
    let gateway = Gateway::before(&origin)
        .cache("invalidate = 'hierarchy'")
        .route("/alone/{*rest}", "invalidate = 'target'")
        .start();
    let all = [
        "/",
        "/books",
        "/books?page=2",
        "/books/",
        "/books/?page=2",
        "/books/123",
        "/books/123?full",
        "/books/123/",
        "/books/123/reviews/7",
        "/books/1234",
        "/books/124",
        "/bookshop",
        "/alone/1",
        "/alone/1/below",
    ];
    let (book, list) = (&all[1..9], &all[..11]);
    let cases: [(&str, &[&str]); 8] = [
        ("/books/123", book),
        ("/books/123?full", book),
        ("/books/123/", book),
        ("/%62ooks/123", book),
        ("/books/123/reviews", &all[5..9]),
        ("/alone/1", &all[12..13]),
        ("/books", list),
        ("/", &all),
    ];
    for (target, expected) in cases {
        for method in ["PUT", "POST", "DELETE"] {
            all.iter().for_each(|target| warm(&gateway, target));
            let write = request(method, target).body("new");
            gateway.send(&write).expect(200);
            for path in all {
                let is_gone = gateway.get(path).fwd("uri-miss");
                let is_expected = expected.contains(&path);
                assert_eq!(is_gone, is_expected, "{method} {target}: {path}");
            }
        }
    }
}

#[test]
fn explain_says_what_a_write_would_invalidate() {
    let origin = books(200);
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "invalidate = 'hierarchy'")
        .more("[[route]]\nmatch = '/books/{id}'\nmethods = 'PUT'\ninvalidates = ['/top/{id}']")
        .start();
    let mut admin = Client::to(gateway.admin_addr());
    let mut told = |url: &str| {
        let answer = admin.get(&format!("/explain?url={url}")).expect(200);
        let document: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
        document["write_invalidates"].clone()
    };
    let host = "http://a.test/books/1";
    assert_eq!(
        told(host),
        serde_json::json!([
            host,
            format!("{host} and all below it"),
            "http://a.test/books/ with all queries",
            "http://a.test/books with all queries",
            "http://a.test/top/1 with all queries",
        ])
    );
    assert_eq!(told("/films/1"), serde_json::json!(["/films/1"]));
}
