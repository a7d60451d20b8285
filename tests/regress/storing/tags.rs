//! Tags that an API gives in fields of its own, and those of routes: what is stored is purged by each of them.

use crate::common::{Client, Gateway, Origin, Reply, get, head, post, reply, request};

/// What was purged by these parameters.
fn purge(gateway: &Gateway, parameters: &str) -> u64 {
    let purge = request("POST", &format!("/purge?{parameters}"));
    let answer = Client::to(gateway.admin_addr()).send(&purge).expect(200);
    let outcome: serde_json::Value = serde_json::from_str(&answer.text()).expect("JSON");
    outcome["purged"].as_u64().expect("a count")
}

fn fresh() -> Reply {
    reply(200).field("Cache-Control", "max-age=60").body("1984")
}

#[test]
fn what_has_a_tag_in_any_field_that_is_read_is_purged_by_it_and_no_client_gets_the_field() {
    let origin = Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/fastly" => fresh().field("Surrogate-Key", "books book-1"),
            "/cloudflare" => fresh().field("Cache-Tag", "books,one tag"),
            "/varnish" => fresh().field("xkey", "books, b1").field("xkey", "b2"),
            "/group" => fresh().field("Cache-Groups", "\"books\""),
            _ => fresh().field("X-Tag", "books"),
        };
        conn.reply(request, &answer);
    });
    let fields = "tag_fields = ['Surrogate-Key', 'Cache-Tag', 'xkey']";
    let gateway = Gateway::before(&origin).cache(fields).start();
    let paths = ["/fastly", "/cloudflare", "/varnish", "/group", "/other"];
    for (tag, expected) in [
        ("books", &[true, true, true, true, false][..]),
        ("book-1", &[true, false, false, false, false]),
        ("one%20tag", &[false, true, false, false, false]),
        ("b2", &[false, false, true, false, false]),
        ("none", &[false; 5]),
    ] {
        for path in paths {
            gateway.get(path).expect(200);
            let hit = gateway.get(path).expect(200);
            assert!(hit.is_hit(), "{path}");
            for name in ["surrogate-key", "cache-tag", "xkey"] {
                assert_eq!(hit.field(name), None, "{path}");
            }
        }
        let count = expected.iter().filter(|is_purged| **is_purged).count();
        assert_eq!(
            purge(&gateway, &format!("tag={tag}")),
            count as u64,
            "{tag}"
        );
        let gone = paths.map(|path| gateway.get(path).fwd("uri-miss"));
        assert_eq!(gone, expected, "{tag}");
    }
    // Neither does the client that a response was fetched for, nor one whose request is passed on.
    for request in [get("/fastly?new"), post("/fastly", "")] {
        assert_eq!(
            gateway.send(&request).expect(200).field("surrogate-key"),
            None
        );
    }
    assert_eq!(gateway.get("/other").field("x-tag"), Some("books"));
}

#[test]
fn clients_get_the_fields_where_they_are_kept() {
    let origin = Origin::answering(fresh().field("xkey", "books"));
    let gateway = Gateway::before(&origin)
        .cache("tag_fields = 'xkey'")
        .route("/kept", "keep_tag_fields = true")
        .route("/unread", "tag_fields = []")
        .start();
    for (path, field, purged) in [
        ("/", None, 1),
        ("/kept", Some("books"), 1),
        ("/unread", Some("books"), 0),
    ] {
        assert_eq!(gateway.get(path).field("xkey"), field, "{path}");
        let hit = gateway.get(path);
        assert_eq!((hit.is_hit(), hit.field("xkey")), (true, field), "{path}");
        assert_eq!(purge(&gateway, "tag=books"), purged, "{path}");
    }
}

/// An API whose first answer has two tags, and which answers then as `later` says.
fn updating(later: fn() -> Reply) -> Origin {
    Origin::start(move |request, conn| {
        let is_later = request.fields.has("if-none-match") || request.method == "HEAD";
        let answer = match is_later {
            false => fresh().field("Surrogate-Key", "old").field("xkey", "other"),
            true => later(),
        };
        conn.reply(request, &answer.field("ETag", "\"1\""));
    })
}

#[test]
fn a_304_replaces_the_tags_of_the_fields_that_it_has_and_keeps_the_others() {
    let silent: fn() -> Reply = || reply(304).field("Cache-Control", "max-age=60");
    let speaking: fn() -> Reply = || {
        let reply = reply(304).field("Cache-Control", "max-age=60");
        reply.field("Surrogate-Key", "new")
    };

    for (later, expected) in [
        (silent, [("old", 1), ("new", 0), ("other", 1)]),
        (speaking, [("old", 0), ("new", 1), ("other", 1)]),
    ] {
        for (tag, purged) in expected {
            let origin = updating(later);
            let gateway = Gateway::before(&origin)
                .cache("tag_fields = ['Surrogate-Key', 'xkey']")
                .start();
            gateway.get("/books").expect(200);
            let anew = get("/books").field("Cache-Control", "no-cache");
            let validated = gateway.send(&anew).expect(200);
            assert_eq!(validated.number("fwd-status"), Some(304));
            assert_eq!(validated.field("surrogate-key"), None);
            assert_eq!(purge(&gateway, &format!("tag={tag}")), purged, "{tag}");
        }
    }
}

#[test]
fn a_head_updates_the_tags_too() {
    let origin = updating(|| {
        let reply = fresh().field("Surrogate-Key", "new");
        reply.field("Cache-Groups", "\"group\"")
    });
    for (tag, purged) in [("old", 0), ("new", 1), ("other", 1), ("group", 1)] {
        let gateway = Gateway::before(&origin)
            .cache("tag_fields = ['Surrogate-Key', 'xkey']")
            .start();
        gateway.get("/books").expect(200);
        let anew = head("/books").field("Cache-Control", "no-cache");
        assert_eq!(gateway.send(&anew).expect(200).field("surrogate-key"), None);
        assert_eq!(purge(&gateway, &format!("tag={tag}")), purged, "{tag}");
    }
}

#[test]
fn a_response_whose_tags_cannot_all_be_kept_is_not_stored_and_says_so() {
    let many: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    let origin = Origin::start(move |request, conn| {
        let answer = match &*request.target {
            "/many" => fresh().field("xkey", many.join(" ")),
            "/umlaut" => fresh().field("xkey", "b\u{fc}cher"),
            _ => fresh(),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("tag_fields = 'xkey'")
        .start();
    for _ in 0..2 {
        let answer = gateway.get("/many").expect(200);
        assert!(
            answer.says("detail=tags") && !answer.says("stored"),
            "{}",
            answer.cache_status()
        );
    }
    gateway.get("/umlaut").expect(200);
    assert_eq!(purge(&gateway, "tag=b%C3%BCcher"), 1);
}

#[test]
fn what_is_stored_of_a_route_has_the_route_s_tags() {
    let origin = Origin::start(|request, conn| {
        conn.reply(request, &fresh().field("Cache-Groups", "\"own\""));
    });
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "tags = ['book-{id}', 'books']")
        .route("/books/{id}/{*rest}", "tags = ['book-{id}', 'below']")
        .start();
    let paths = [
        "/books/1",
        "/books/1?a",
        "/books/2",
        "/books/1/reviews",
        "/films",
    ];
    for (parameters, expected) in [
        ("tag=book-1", [true, true, false, true, false]),
        ("tag=book-2", [false, false, true, false, false]),
        ("tag=books", [true, true, true, false, false]),
        ("tag=own", [true; 5]),
        (
            "tag=book-2&tag=below&tag=none",
            [false, false, true, true, false],
        ),
    ] {
        for path in paths {
            gateway.get(path).expect(200);
        }
        let count = expected.iter().filter(|is_purged| **is_purged).count();
        assert_eq!(purge(&gateway, parameters), count as u64, "{parameters}");
        let gone = paths.map(|path| gateway.get(path).fwd("uri-miss"));
        assert_eq!(gone, expected, "{parameters}");
    }
}

#[test]
fn a_purge_of_a_route_covers_what_takes_it_now() {
    let origin = Origin::answering(fresh());
    let books = "[[route]]\nmatch = '/books/{id}'\n";
    let setup = Gateway::before(&origin).more(books);
    let gateway = setup.clone().start();
    let paths = ["/books/1", "/books/2?a", "/books", "/films/1"];
    let fill = || {
        paths
            .iter()
            .for_each(|path| drop(gateway.get(path).expect(200)))
    };
    let gone = || paths.map(|path| gateway.get(path).fwd("uri-miss"));
    fill();
    assert_eq!(purge(&gateway, "route=/books/{id}"), 2);
    assert_eq!(gone(), [true, true, false, false]);
    assert_eq!(purge(&gateway, "route=(default)&tag=none"), 2);
    assert_eq!(gone(), [false, false, true, true]);
    // Under another name, the same pattern covers what was stored before; a route that takes part of it, that part.
    let renamed = format!(
        "{}host = '127.0.0.1'\n[[route]]\nmatch = '/films/{{id}}'\n",
        books
    );
    gateway.reload(&Gateway::before(&origin).more(&renamed));
    let refused = request("POST", "/purge?route=/books/%7Bid%7D");
    let refused = Client::to(gateway.admin_addr()).send(&refused).expect(400);
    let told = refused.text();
    assert!(
        told.contains("did you mean") && told.contains("127.0.0.1/books/{id}"),
        "{told}"
    );
    assert_eq!(
        purge(&gateway, "route=127.0.0.1/books/{id}&route=/films/{id}"),
        3
    );
    assert_eq!(gone(), [true, true, false, true]);
    // What a route took that is there no more is what no route takes.
    gateway.reload(&Gateway::before(&origin));
    assert_eq!(purge(&gateway, "route=(default)"), 4);
    let listed = Client::to(gateway.admin_addr())
        .get("/purges?limit=1")
        .text();
    assert!(listed.contains(r#"route \"(default)\""#), "{listed}");
}
