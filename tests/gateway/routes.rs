//! Several APIs behind one gateway: which of them a request goes to, by its host, its path and its method.

use std::sync::Arc;
use std::thread;

use crate::common::{Answer, Client, Gate, Gateway, Origin, Request, Setup, get, reply};

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
        assert!(told.contains("two routes"), "{path}: {told}");
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
        "bookend_upstream_connections 1".to_owned(),
        format!("bookend_upstream_load{{server=\"{}\"}} 0", books.url()),
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
