//! The embedded book API of `bookend demo`, over its socket.

use crate::common::{Client, await_that, delete, get, head, post, put};
use std::net::TcpStream;

use bookend::demo::{BookApi, Options, tour};

#[test]
fn the_book_api_keeps_books_and_says_how_long_they_may_be_reused() {
    let api = BookApi::start(Options::default()).expect("a free port");
    let mut client = Client::to(api.addr());
    let book = client.get("/books/123").expect(200);
    assert_eq!(book.text(), r#"{"title":"1984","author":"George Orwell"}"#);
    assert_eq!(book.field("cache-control"), Some("public, max-age=60"));
    let tag = book.field("etag").expect("an ETag").to_owned();

    client
        .send(&get("/books/123").field("If-None-Match", &tag))
        .expect(304);
    let length = client.send(&head("/books/123")).expect(200);
    assert_eq!(length.field("content-length"), Some("41"));

    let created = client
        .send(&post("/books", r#"{"title":"t","author":"a"}"#))
        .expect(201);
    let location = created.field("location").expect("a Location").to_owned();
    client
        .send(&put(&location, r#"{"title":"u","author":"a"}"#))
        .expect(200);
    assert!(
        client
            .get("/books")
            .expect(200)
            .text()
            .contains(r#""title":"u""#)
    );
    client.send(&delete(&location)).expect(204);
    client.get(&location).expect(404);
    assert_eq!((api.seen().requests(), client.connects()), (8, 1));
}

#[test]
fn the_streamed_list_gives_each_line_when_it_is_made() {
    let api = BookApi::start(Options::default()).expect("a free port");
    let mut client = Client::to(api.addr());
    let mut list = client.open(&get("/books/stream"));
    let first = list.more().expect("a first line");
    assert!(first.ends_with(b"}\n") && !String::from_utf8_lossy(&first).contains("456"));
    let whole = list.finish().expect(200);
    assert_eq!(whole.field("transfer-encoding"), Some("chunked"));
    assert_eq!(whole.text().lines().count(), 2);
}

#[test]
fn content_beyond_the_limit_is_refused() {
    let api = BookApi::start(Options::default()).expect("a free port");
    let answer = Client::to(api.addr()).send(&post("/books", vec![b' '; 9_000]));
    assert_eq!(answer.status, 413);
}

#[test]
fn the_port_is_closed_when_the_api_is_dropped() {
    let api = BookApi::start(Options::default()).expect("a free port");
    let addr = api.addr();
    drop(api);
    // Another test's server may have been given the port meanwhile, and closes it soon.
    await_that("nobody listens there", || TcpStream::connect(addr).is_err());
}

/// The tour before an API without a gateway: what it finds is what a gateway would have to add.
#[test]
fn the_tour_really_checks() {
    let api = BookApi::start(Options::default()).expect("a free port");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut out = Vec::new();
    let mut tour = tour::Tour::of(
        tour::Place::plain(api.addr()),
        Some(api.seen().clone()),
        &mut out,
        false,
    );
    runtime.block_on(tour.run()).expect("memory");
    runtime.block_on(tour.run_after_restart()).expect("memory");
    let differences = tour.close().expect("memory");
    let shown = String::from_utf8(out).expect("text");
    for missing in [
        "1. A miss, then a hit: expected Cache-Status: hit; found no Cache-Status",
        "3. HEAD from a stored GET: expected Cache-Status: hit",
        "4. A range of it: expected status 206; found 200 OK",
        "12. Twenty at once: expected the API asked once; found 20",
        "14. A restart: expected Cache-Status: hit; found no Cache-Status",
    ] {
        assert!(
            differences.iter().any(|found| found.starts_with(missing)),
            "{missing} is not among {differences:#?}"
        );
        assert!(shown.contains(missing));
    }
    let client = Client::to(api.addr()).get("/books/123").expect(200);
    assert!(
        client.text().contains("1984"),
        "the tour leaves the books as they were"
    );
}

#[test]
fn the_tour_can_be_read_as_curl_lines() {
    let text = tour::describe(&tour::Place::plain(([127, 0, 0, 1], 8081).into()));
    assert!(
        text.contains("$ curl -i http://127.0.0.1:8081/books/123\n"),
        "{text}"
    );
    assert!(!text.contains("{}"), "{text}");
}
