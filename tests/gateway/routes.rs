//! Several APIs behind one gateway: which of them a request goes to, by its host, its path and its method.

use std::sync::Arc;
use std::thread;

use crate::common::{Answer, Client, Gate, Gateway, Origin, Request, Setup, get, post, reply};

/// An API whose every answer says who it is, and what it was asked.
fn api(name: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let asked = format!("{name} {} {}", request.method, request.target);
        let said = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("X-Api", name);
        conn.reply(request, &said.body(asked));
    })
}

/// A gateway before the two, the second of which is called `films`.
fn before(books: &Origin, films: &Origin) -> Setup {
    Gateway::before(books).more(&table("films", films, ""))
}

fn table(name: &str, origin: &Origin, lines: &str) -> String {
    format!(
        "[upstreams.{name}]\nservers = '{}'\n{lines}\n",
        origin.url()
    )
}

fn request(method: &str, target: &str, host: &str) -> Request {
    Request {
        method: method.to_owned(),
        ..get(target).field("Host", host)
    }
}

/// The route of a table's row, its keys on lines of their own.
fn route(keys: &str) -> String {
    format!("[[route]]\n{}\n", keys.replace("; ", "\n"))
}

#[test]
fn a_request_goes_to_the_api_of_its_most_specific_route() {
    let (books, films) = (api("books"), api("films"));
    let gateway = before(&books, &films)
        .route("/films/{*rest}", "upstream = 'films'")
        .route("/films/{id}/book", "")
        .route("/shared/{id}", "upstream = 'films'\nmethods = ['POST', 'PUT']")
        .route("/reviews/{id}.json", "upstream = 'films'")
        .more("[[route]]\nhost = ['films.example.org', '*.films.example.org']\nupstream = 'films'")
        .more("[[route]]\nhost = '*.example.org'\nmatch = '/films/{*rest}'\nmethods = 'GET'")
        .more("[[route]]\nhost = 'films.example.org'\nmatch = '/books/{*rest}'\nupstream = 'films'\nmethods = 'GET'")
        .more("[[route]]\nhost = 'films.example.org'\nmatch = '/books/{*rest}'")
        .start();
    for (method, host, target, answer) in [
        ("GET", "gw.example", "/", "books GET /"),
        ("GET", "gw.example", "/films/1", "films GET /films/1"),
        ("GET", "gw.example", "/films/", "films GET /films/"),
        (
            "GET",
            "gw.example",
            "/films/?a=/books",
            "films GET /films/?a=/books",
        ),
        ("GET", "gw.example", "/films", "books GET /films"),
        ("GET", "gw.example", "/filmsets/1", "books GET /filmsets/1"),
        (
            "GET",
            "gw.example",
            "/films/1/book",
            "books GET /films/1/book",
        ),
        (
            "GET",
            "gw.example",
            "/%66ilms/%32",
            "films GET /%66ilms/%32",
        ),
        ("POST", "gw.example", "/shared/1", "films POST /shared/1"),
        ("PUT", "gw.example", "/shared/1", "films PUT /shared/1"),
        ("GET", "gw.example", "/shared/1", "books GET /shared/1"),
        (
            "DELETE",
            "gw.example",
            "/shared/1",
            "books DELETE /shared/1",
        ),
        (
            "GET",
            "gw.example",
            "/reviews/1.json",
            "films GET /reviews/1.json",
        ),
        (
            "GET",
            "gw.example",
            "/reviews/1.xml",
            "books GET /reviews/1.xml",
        ),
        ("GET", "films.example.org", "/", "films GET /"),
        ("GET", "FILMS.example.org.", "/x", "films GET /x"),
        ("GET", "films.example.org:8080", "/y", "films GET /y"),
        ("GET", "eu.films.example.org", "/", "films GET /"),
        ("GET", "a.b.films.example.org", "/", "films GET /"),
        ("DELETE", "films.example.org", "/", "films DELETE /"),
        ("OPTIONS", "films.example.org", "*", "films OPTIONS *"),
        ("OPTIONS", "gw.example", "*", "books OPTIONS *"),
        // `*.example.org` takes the GETs; what it does not take is for the route of every host.
        ("GET", "gw.example.org", "/films/1", "books GET /films/1"),
        ("POST", "gw.example.org", "/films/1", "films POST /films/1"),
        ("GET", "example.org", "/films/1", "films GET /films/1"),
        // The host's own route for all methods precedes `*.films.example.org` and those of every host.
        ("GET", "films.example.org", "/books/1", "films GET /books/1"),
        (
            "POST",
            "films.example.org",
            "/books/1",
            "books POST /books/1",
        ),
        (
            "GET",
            "films.example.org",
            "/films/1/book",
            "films GET /films/1/book",
        ),
    ] {
        let sent = request(method, target, host);
        let told = gateway.send(&sent).expect(200);
        assert_eq!(told.text(), answer, "{method} {host} {target}");
    }
    // A HEAD goes where a GET does, and may be answered by what the GET has stored.
    for path in ["/films/1/head", "/books/head"] {
        let stored = gateway
            .send(&request("GET", path, "gw.example"))
            .expect(200);
        let head = gateway
            .send(&request("HEAD", path, "gw.example"))
            .expect(200);
        assert!(head.is_hit());
        assert_eq!(head.field("x-api"), stored.field("x-api"));
    }
}

fn problem(answer: &Answer) -> String {
    assert_eq!(
        answer.field("content-type"),
        Some("application/problem+json")
    );
    answer.text()
}

#[test]
fn without_an_upstream_of_its_own_a_request_that_no_route_takes_is_not_found() {
    let films = api("films");
    let gateway = Gateway::before_all([])
        .more(&table("films", &films, ""))
        .route("/films/{id}", "upstream = 'films'")
        .start();
    assert_eq!(
        gateway.get("/films/1").expect(200).text(),
        "films GET /films/1"
    );
    for method in ["GET", "HEAD", "POST", "QUERY", "OPTIONS"] {
        let answer = gateway
            .send(&request(method, "/books/1", "gw.example"))
            .expect(404);
        if method != "HEAD" {
            let told = problem(&answer);
            assert!(
                told.contains("no_route") && told.contains("no route of the gateway takes"),
                "{told}"
            );
        }
        assert_eq!(answer.verdict(), Vec::<String>::new());
    }
    assert_eq!(films.count(), 1);
    assert_eq!(
        gateway.metric("bookend_upstream_requests_total{upstream=\"films\"}"),
        1
    );
}

#[test]
fn a_path_that_could_be_either_api_s_is_refused_and_one_that_is_one_s_is_passed() {
    let (books, films) = (api("books"), api("films"));
    let gateway = before(&books, &films)
        .route("/films/{*rest}", "upstream = 'films'")
        .route("/books/{id}", "")
        .start();
    for path in [
        "/films%2F1",
        "//films/1",
        "/films/../books/1",
        "/x/..%2ffilms/1",
        "/films;v=1/1",
    ] {
        let answer = gateway.get(path).expect(400);
        let told = problem(&answer);
        assert!(told.contains("several routes"), "{path}: {told}");
    }
    assert_eq!((books.count(), films.count()), (0, 0));
    for (path, answer) in [
        ("/films/a%2Fb", "films GET /films/a%2Fb"),
        ("/films//1", "films GET /films//1"),
        ("//books/1", "books GET //books/1"),
    ] {
        assert_eq!(gateway.get(path).expect(200).text(), answer);
    }
    assert!(gateway.get("//books/1").fwd("bypass"));
}

#[test]
fn each_api_has_its_own_connections_limits_and_numbers() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200).body("late"));
    });
    let books = api("books");
    let gateway = Gateway::before(&books)
        .workers(1)
        .upstream("max_connections = 8")
        .more(&table(
            "slow",
            &slow,
            "max_connections = 1\nmax_waiting = 0",
        ))
        .route("/slow/{id}", "upstream = 'slow'")
        .start();
    let gateway = Arc::new(gateway);
    let asked = {
        let gateway = gateway.clone();
        thread::spawn(move || gateway.get("/slow/1").expect(200).text())
    };
    slow.await_requests(1);
    assert_eq!(gateway.get("/slow/2").status, 503);
    gateway.get("/books/1").expect(200);
    gateway.get("/books/2").expect(200);
    let metrics = Client::to(gateway.admin_addr())
        .get("/metrics")
        .expect(200)
        .text();
    for line in [
        "bookend_upstream_requests_total 2".to_owned(),
        "bookend_upstream_requests_total{upstream=\"slow\"} 1".to_owned(),
        "bookend_upstream_errors_total 0".to_owned(),
        "bookend_upstream_errors_total{upstream=\"slow\"} 1".to_owned(),
        format!("bookend_upstream_up{{server=\"{}\"}} 1", books.url()),
        format!(
            "bookend_upstream_load{{upstream=\"slow\",server=\"{}\"}} 1",
            slow.url()
        ),
    ] {
        assert!(
            metrics.lines().any(|said| said == line),
            "{line} is not in {metrics}"
        );
    }
    gate.open();
    assert_eq!(asked.join().expect("an answer"), "late");
}

#[test]
fn one_api_s_servers_may_be_another_s_as_well() {
    let both = api("both");
    let gateway = Gateway::before(&both)
        .more(&table("again", &both, "host = 'upstream'"))
        .route("/again/{id}", "upstream = 'again'")
        .start();
    for (path, host) in [
        ("/1", "gw.example".to_owned()),
        ("/again/1", both.addr().to_string()),
    ] {
        gateway
            .send(&request("GET", path, "gw.example"))
            .expect(200);
        assert_eq!(both.last().fields.get("host"), Some(&*host));
    }
}

#[test]
fn a_reload_that_adds_or_removes_an_api_keeps_the_others_connections() {
    let (books, films, music) = (api("books"), api("films"), api("music"));
    let two = before(&books, &films)
        .workers(1)
        .route("/films/{id}", "upstream = 'films'");
    let three = two
        .clone()
        .more(&table("music", &music, ""))
        .route("/music/{id}", "upstream = 'music'");
    let one = Gateway::before(&books).workers(1);
    let gateway = two.clone().start();
    let mut n = 0;
    let mut ask = |path: &str| {
        n += 1;
        gateway.get(&format!("/{path}/{n}")).expect(200).text()
    };
    for _ in 0..2 {
        ask("books");
        assert!(ask("films").starts_with("films"));
        gateway.reload(&three);
        ask("books");
        assert!(ask("films").starts_with("films"));
        assert!(ask("music").starts_with("music"));
        gateway.reload(&two);
        music.await_idle();
        assert!(ask("music").starts_with("books"));
    }
    assert_eq!(
        (
            books.connections(),
            films.connections(),
            music.connections()
        ),
        (1, 1, 2)
    );
    gateway.reload(&one);
    films.await_idle();
    assert!(ask("films").starts_with("books"));
    assert_eq!(books.connections(), 1);
    // What was counted of an API is not lost with it.
    gateway.reload(&two);
    assert_eq!(
        gateway.metric("bookend_upstream_requests_total{upstream=\"films\"}"),
        4
    );
}

#[test]
fn an_api_gets_the_path_that_its_route_says() {
    let (books, films) = (api("books"), api("films"));
    let gateway = before(&books, &films)
        .more(&route("match = '/v1/{*rest}'; strip_prefix = '/v1'"))
        .more(&route("match = '/v1'; strip_prefix = '/v1'"))
        .more(&route(
            "match = '/films/{*rest}'; upstream = 'films'; rewrite = '/api/{rest}'",
        ))
        .more(&route(
            "match = '/film/{id}.json'; upstream = 'films'; rewrite = '/api/{id}/as-json'",
        ))
        .more(&route(
            "match = '/{year}/{id}'; rewrite = '/by/{id}/of/{year}'",
        ))
        .more(&route(
            "match = '/b\u{fc}cher/{id}'; rewrite = '/b\u{fc}cher-api/{id}'",
        ))
        .more(&route("host = 'films.example'; upstream = 'films'"))
        .more(&route(
            "host = 'films.example'; match = '/old/{*rest}'; upstream = 'films'; rewrite = '/gone'",
        ))
        .start();
    for (host, target, sent) in [
        ("gw.example", "/v1/books/7?a=b", "books GET /books/7?a=b"),
        ("gw.example", "/v1", "books GET /"),
        ("gw.example", "/v1?a=b", "books GET /?a=b"),
        ("gw.example", "/v1/", "books GET /"),
        ("gw.example", "/v1//x", "books GET //x"),
        (
            "gw.example",
            "/%76%31/caf%c3%a9?%7e",
            "books GET /caf%c3%a9?%7e",
        ),
        ("gw.example", "/v2/7/8", "books GET /v2/7/8"),
        ("gw.example", "/films/7", "films GET /api/7"),
        ("gw.example", "/films/", "films GET /api/"),
        ("gw.example", "/films/a%2Fb/?q", "films GET /api/a%2Fb/?q"),
        ("gw.example", "/film/7.json", "films GET /api/7/as-json"),
        ("gw.example", "/film/7%2Ejson", "films GET /api/7/as-json"),
        ("gw.example", "/1949/7?x", "books GET /by/7/of/1949?x"),
        (
            "gw.example",
            "/b%C3%BCcher/7",
            "books GET /b%C3%BCcher-api/7",
        ),
        ("films.example", "/v1/books/8", "films GET /v1/books/8"),
        ("films.example", "/old/a/b?c", "films GET /gone?c"),
    ] {
        let told = gateway
            .send(&request("GET", target, host))
            .expect(200)
            .text();
        assert_eq!(told, sent, "{host} {target}");
    }
    let prefix = |origin: &Origin| {
        origin
            .last()
            .fields
            .get("x-forwarded-prefix")
            .map(str::to_owned)
    };
    let forged = |target: &str| get(target).field("X-Forwarded-Prefix", "/forged");
    gateway.send(&forged("/v1/prefix")).expect(200);
    assert_eq!(prefix(&books).as_deref(), Some("/v1"));
    gateway.get("/films/prefix").expect(200);
    assert_eq!(prefix(&films), None);
    let outside = gateway.get("/films/../films/x").expect(400);
    assert!(problem(&outside).contains("leads out of"));
}

/// A books API that knows its books below `/v2`, whose answers to all but GET have the field that the content is.
fn writable() -> Origin {
    Origin::start(|request, conn| match request.method.as_str() {
        "GET" => conn.reply(request, &reply(200).field("Cache-Control", "max-age=600")),
        _ => {
            let field = request.text();
            let (name, value) = field.split_once(": ").unwrap_or(("X-None", ""));
            conn.reply(request, &reply(201).field(name, value));
        }
    })
}

const SHOP: &str = "shop.example";

/// Its books are `/books` to clients, all else of it is below `/more`; another API is below `/films`.
fn shop(books: &Origin, films: &Origin) -> Setup {
    before(books, films)
        .more(&route("match = '/more/{*rest}'; strip_prefix = '/more'"))
        .more(&route("host = 'b.example'; match = '/there/{*rest}'; strip_prefix = '/there'"))
        .more(&route("match = '/books'; rewrite = '/v2/books'; invalidates = ['/top']"))
        .more(&route("match = '/books/{id}'; rewrite = '/v2/books/{id}'; invalidates = ['/books', '/books/{id}/reviews']"))
        .more(&route("match = '/books/{id}/reviews'; rewrite = '/v2/reviews/{id}/all'"))
        .more(&route("match = '/films/{*rest}'; upstream = 'films'; strip_prefix = '/films'"))
}

#[test]
fn what_an_api_names_is_named_as_clients_know_it() {
    let (books, films) = (writable(), writable());
    // The request, what its API answers, and what the client gets.
    let rows = [
        ("/books", "/v2/books/7", "/books/7"),
        ("/books", "/v2/books/7?a=b#c", "/books/7?a=b#c"),
        ("/books", "/v2/books", "/books"),
        ("/books", "/v2/reviews/7/all", "/books/7/reviews"),
        (
            "/books",
            "http://shop.example/v2/books/7",
            "http://shop.example/books/7",
        ),
        (
            "/books",
            "//shop.example/v2/books/7",
            "http://shop.example/books/7",
        ),
        (
            "/books",
            "https://shop.example/v2/books/7",
            "https://shop.example/books/7",
        ),
        (
            "/books",
            "http://BOOKS/v2/books/7",
            "http://shop.example/books/7",
        ),
        ("/books", "http://FILMS/9", "http://shop.example/films/9"),
        ("/books", "/v2/./x/../books/7", "/books/7"),
        ("/books", "/v2/books/caf%c3%a9", "/books/caf%c3%a9"),
        // Relative to the path that the API got, which may be the same to the client.
        ("/books", "books/7", "books/7"),
        ("/books/1/reviews", "all?page=2", "/books/1/reviews?page=2"),
        ("/books/1/reviews", "?page=2", "?page=2"),
        ("/books/1/reviews", "../../books/1", "../../books/1"),
        ("/books/1/reviews", "../2/all", "/books/2/reviews"),
        // What only the rest of the API has.
        ("/books", "/status", "/more/status"),
        // The path of another host's route for the same API is none of this one's.
        ("/books", "/there/7", "/more/there/7"),
        ("/more/login", "/status", "/more/status"),
        // An API that heeds X-Forwarded-Prefix.
        ("/more/login", "/more/status", "/more/status"),
        ("/films/", "/films/9", "/films/9"),
        ("/films/", "/9", "/films/9"),
        ("/films/", "9", "9"),
        (
            "/films/",
            "http://shop.example/9",
            "http://shop.example/films/9",
        ),
        // Elsewhere.
        (
            "/books",
            "http://other.example/v2/books/7",
            "http://other.example/v2/books/7",
        ),
        ("/books", "mailto:a@b", "mailto:a@b"),
    ];
    for policy in ["host = 'client'", "host = 'upstream'"] {
        let gateway = shop(&books, &films).upstream(policy).start();
        for name in ["Location", "Content-Location", "Refresh"] {
            for (path, given, expected) in rows {
                let at = |text: &str| match name {
                    "Refresh" => format!("5; url={text}"),
                    _ => text.to_owned(),
                };
                let given = given.replace("BOOKS", &books.addr().to_string());
                let given = given.replace("FILMS", &films.addr().to_string());
                let write = post(path, format!("{name}: {}", at(&given))).field("Host", SHOP);
                let answer = gateway.send(&write).expect(201);
                assert_eq!(
                    answer.field(name),
                    Some(&*at(expected)),
                    "{path} {name}: {given}, {policy}"
                );
            }
        }
    }
}

#[test]
fn a_write_through_a_rewritten_route_makes_fresh_what_clients_know() {
    let (books, films) = (writable(), writable());
    let gateway = shop(&books, &films).start();
    let read = |path: &str| gateway.send(&get(path).field("Host", SHOP)).expect(200);
    for (method, path, field, stale) in [
        // The target, and what `invalidates` lists.
        ("PUT", "/books/7", "", "/books/7"),
        ("PUT", "/books/7", "", "/books"),
        ("PUT", "/books/7", "", "/books?page=2"),
        ("PUT", "/books/7", "", "/books/7/reviews"),
        ("POST", "/books", "", "/books"),
        ("POST", "/books", "", "/top"),
        ("POST", "/books?x=1", "", "/books?x=1"),
        // What the answer names, as the API knows it.
        ("POST", "/books", "Location: /v2/books/7", "/books/7"),
        (
            "POST",
            "/books",
            "Content-Location: /v2/books/7",
            "/books/7",
        ),
        (
            "POST",
            "/books",
            "Location: http://shop.example/v2/books/7?a",
            "/books/7?a",
        ),
        ("POST", "/books", "Location: books/7", "/books/7"),
        (
            "POST",
            "/books/7/reviews",
            "Location: ../8/all",
            "/books/8/reviews",
        ),
        (
            "POST",
            "/more/reviews/7/all",
            "Location: /status",
            "/more/status",
        ),
        ("POST", "/films/", "Location: /9", "/films/9"),
        ("POST", "/films/", "Location: /films/9", "/films/9"),
        // The same resource of the API under another path.
        ("PUT", "/more/v2/books/7", "", "/books/7"),
        ("PUT", "/books/7", "", "/more/v2/books/7"),
        (
            "POST",
            "/books",
            "Content-Location: /v2/books/7",
            "/more/v2/books/7",
        ),
        ("PUT", "/books/7?a=b", "", "/more/v2/books/7?a=b"),
    ] {
        read(stale);
        assert!(read(stale).is_hit(), "{stale}");
        let write = request(method, path, SHOP).body(field);
        gateway.send(&write).expect(201);
        assert!(
            read(stale).fwd("uri-miss"),
            "{stale} is old after {method} {path}, {field}"
        );
    }
    // Under the key of the route that a GET takes.
    let gateway = before(&books, &films)
        .more(&route(
            "match = '/books'; methods = 'GET'; query = { ignore = ['utm_*'] }",
        ))
        .start();
    let read = || {
        gateway
            .send(&get("/books?a=b&utm_x=1").field("Host", SHOP))
            .expect(200)
    };
    for (path, field) in [
        ("/books?a=b&utm_y=2", ""),
        ("/other", "Location: /books?utm_z&a=b"),
    ] {
        read();
        assert!(read().is_hit());
        gateway
            .send(&request("POST", path, SHOP).body(field))
            .expect(201);
        assert!(read().fwd("uri-miss"), "{path} {field}");
    }
}

#[test]
fn a_write_leaves_alone_what_is_another_api_s_or_another_host_s() {
    let (books, films) = (writable(), writable());
    let gateway = shop(&books, &films).start();
    // What is another API's, or another host's, stays.
    for (path, host) in [("/films/v2/books/7", SHOP), ("/books/7", "other.example")] {
        let get = get(path).field("Host", host);
        gateway.send(&get).expect(200);
        gateway.send(&request("PUT", "/books/7", SHOP)).expect(201);
        assert!(gateway.send(&get).is_hit(), "{path} {host}");
    }
}
