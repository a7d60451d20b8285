//! What operators set for a route.

use crate::common::{Client, Gateway, Origin, get, post, put, reply, request};

#[test]
fn each_status_has_its_lifetime() {
    let origin = Origin::start(|request, conn| {
        let status = match request.target.as_str() {
            "/books/1" => 200,
            "/books/2" => 404,
            _ => 410,
        };
        conn.reply(request, &reply(status).body("said"));
    });
    let gateway = Gateway::before(&origin)
        .route(
            "/books/{id}",
            "ttl = { default = 'off', 200 = '5m', 404 = '30s' }\nheuristic = { percent = 0 }",
        )
        .manual_clock()
        .start();
    for (target, status, ttl) in [
        ("/books/1", 200, Some(300)),
        ("/books/2", 404, Some(30)),
        ("/books/3", 410, None),
    ] {
        gateway.get(target).expect(status);
        let again = gateway.get(target).expect(status);
        assert_eq!(
            again.number("ttl").filter(|_| again.is_hit()),
            ttl,
            "{target}: {again:?}"
        );
    }
}

#[test]
fn urls_that_differ_in_what_does_not_matter_share_a_response() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let gateway = Gateway::before(&origin)
        .cache("query = { ignore = ['utm_*', 'fbclid'] }")
        .route(
            "/lists/{*rest}",
            "query = { keep = ['page', 'sort'], sort = true }",
        )
        .start();
    // Whether each is a hit; what the API got where it is none.
    #[rustfmt::skip]
    let table = [
        ("/books?page=2&utm_source=mail", false),
        ("/books?page=2", true),
        ("/books?utm_medium=x&page=2&fbclid=1", true),
        ("/books?%75tm_source=y&page=2", true),
        ("/books?page=3", false),
        ("/books?utm_source=mail", false),
        ("/books", true),
        // A route has its own rule.
        ("/lists/a?sort=up&page=2&x=1", false),
        ("/lists/a?page=2&sort=up", true),
        ("/lists/a?page=2&sort=down", false),
    ];
    for (target, is_hit) in table {
        let answer = gateway.get(target).expect(200);
        assert_eq!(
            answer.is_hit(),
            is_hit,
            "{target}: {}",
            answer.cache_status()
        );
        if !is_hit {
            assert_eq!(origin.last().target, target);
        }
    }
    // A write and a purge find it under each of its URLs.
    gateway
        .send(&post("/books?page=2&fbclid=2", ""))
        .expect(200);
    assert!(!gateway.get("/books?page=2").expect(200).is_hit());
    let purge = request("POST", "/purge?url=/books%3Futm_source%3Dz%26page%3D2");
    let purged = Client::to(gateway.admin_addr()).send(&purge).expect(200);
    assert!(purged.text().contains("\"purged\":1"), "{}", purged.text());
    assert!(!gateway.send(&get("/books?page=2")).expect(200).is_hit());
}

#[test]
fn a_route_has_limits_in_the_place_of_the_server_s_and_the_upstream_s() {
    let silent = Origin::start(|request, conn| match request.target.as_str() {
        "/silent" => conn.await_close(),
        _ => conn.reply(request, &reply(200)),
    });
    let gateway = Gateway::before(&silent)
        .server("max_body = '1KiB'")
        .route("/silent", "response_timeout = '100ms'")
        .route("/large", "max_body = '4KiB'")
        .route("/any", "max_body = 'off'")
        .start();
    assert_eq!(gateway.get("/silent").status, 504);
    // The size of the content, and the status on each route.
    for (kilobytes, statuses) in [
        (1, [200, 200, 200]),
        (2, [413, 200, 200]),
        (5, [413, 413, 200]),
    ] {
        let content = vec![b'x'; kilobytes << 10];
        for (target, status) in ["/other", "/large", "/any"].into_iter().zip(statuses) {
            let answer = gateway.send(&put(target, &content));
            assert_eq!(answer.status, status, "{target}: {kilobytes} KiB");
        }
    }
}

#[test]
fn a_route_says_on_how_many_other_servers_a_request_is_tried() {
    let broken = Origin::start(|_, conn| conn.close());
    let whole = Origin::answering(reply(200));
    let gateway = Gateway::before_all([broken.url(), whole.url()])
        .workers(1)
        .route("/once", "retries = { max = 0 }")
        .start();
    let statuses = |target: &str| {
        let mut statuses = [0; 2].map(|_| gateway.get(target).status);
        statuses.sort_unstable();
        statuses
    };
    assert_eq!(statuses("/once"), [200, 502]);
    assert_eq!(statuses("/books"), [200, 200]);
}

#[test]
fn what_a_write_names_is_invalidated_as_its_own_route_stores_it() {
    let origin = Origin::start(|request, conn| {
        let answer = match (request.method.as_str(), request.target.as_str()) {
            ("POST", _) => reply(201).field("Location", "/lists/a?utm_source=api&page=2&x=1"),
            ("PUT", _) => reply(200).field("Content-Location", "/books/7?y=1&fbclid=3"),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .route("/lists/{*rest}", "query = { keep = ['page'] }")
        .route("/books/{id}", "query = { ignore = ['fbclid'] }")
        .start();
    for (write, target) in [
        (post("/orders", ""), "/lists/a?page=2"),
        (put("/orders/1", ""), "/books/7?y=1"),
    ] {
        gateway.get(target).expect(200);
        assert!(gateway.get(target).is_hit(), "{target}");
        gateway.send(&write);
        assert!(!gateway.get(target).is_hit(), "{target}");
    }
}
