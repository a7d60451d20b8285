//! Content that comes after its request was answered is content still (DESIGN.md, invariant 9).

use std::time::Duration;

use super::recorder::{Recorder, head_of, let_sleep, with_manual_deadlines};
use crate::common::{End, Origin, await_that, post, reply, request};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Responses that an API may give before it has read a request's content.
#[rustfmt::skip]
const EARLY: &[(u16, &str)] = &[
    (401, "HTTP/1.1 401 Unauthorized^Content-Length: 2^^no"),
    (404, "HTTP/1.1 404 Not Found^Transfer-Encoding: chunked^^2^no^0^^"),
    (307, "HTTP/1.1 307 Temporary Redirect^Location: /there^Content-Length: 0^^"),
    (204, "HTTP/1.1 204 No Content^^"),
    (200, "HTTP/1.1 103 Early Hints^Link: </a>^^HTTP/1.1 200 OK^Content-Length: 2^^ok"),
    (413, "HTTP/1.1 413 Content Too Large^Connection: close^Content-Length: 2^^no"),
];

/// What is sent of a message before the answer, before the pause and after it, when its content is a whole request.
fn parts(framing: &str, cut: usize) -> (String, String) {
    let content = match framing {
        "length" => SMUGGLED.to_owned(),
        _ => format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
    };
    let begins = content.find("GET").unwrap();
    // Before the content, before what reads as a request, and in the middle of that.
    let cut = [0, begins, begins + 7][cut];
    (content[..cut].to_owned(), content[cut..].to_owned())
}

#[test]
fn content_that_comes_after_an_early_answer_and_a_pause_is_never_a_request() {
    let recorder = Recorder::start();
    let gateway = with_manual_deadlines(&recorder.origin).start();
    let mut sent = Vec::new();
    for (at, (status, early)) in EARLY.iter().enumerate() {
        for (method, framing, cut) in [
            ("POST", "length", 0),
            ("PUT", "length", 2),
            ("DELETE", "length", 0),
            ("OPTIONS", "chunked", 1),
            ("PATCH", "chunked", 0),
            ("POST", "chunked", 1),
            ("PUT", "chunked", 2),
        ] {
            let case = format!("{method} {status} {framing} {cut}");
            let target = format!("/upload/{at}/{}", sent.len());
            let head = request(method, &target).field("Early", early);
            let head = match framing {
                "length" => head.field("Content-Length", SMUGGLED.len()),
                _ => head.field("Transfer-Encoding", "chunked"),
            };
            let (before, after) = parts(framing, cut);
            let mut client = gateway.client();
            client.write(head_of(&head) + &before);
            let answer = client.answer(method).finish();
            assert_eq!(
                (answer.status, answer.end),
                (*status, End::Complete),
                "{case}"
            );
            sent.push(format!("{method} {target}"));
            let_sleep(&gateway);
            // The client knows when the gateway has closed: nothing is sent on a new connection.
            if answer.field("connection") != Some("close") {
                client.write(&after);
                client.write("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
                let next = client.answer("GET").finish();
                if next.status != 0 {
                    assert_eq!((next.status, next.text().as_str()), (200, "ok"), "{case}");
                    sent.push("GET /next".to_owned());
                }
                client.leave();
            }
            assert_eq!(recorder.lines(), sent, "{case}");
        }
    }
}

#[test]
fn an_api_that_reads_on_after_its_early_answer_gets_the_whole_upload() {
    let content: String = (0..40).map(|n| format!("{n:0100}\n")).collect();
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let recorder = Recorder::start();
        let gateway = with_manual_deadlines(&recorder.origin).start();
        let early = format!("{version} 404 Not Found^Content-Length: 2^^no");
        let head = post("/upload", "")
            .field("Early", early)
            .field("Content-Length", content.len());
        let mut client = gateway.client();
        client.write(head_of(&head));
        assert_eq!(client.answer("POST").finish().status, 404);
        // Each pause is longer than a head may take, and all of them together longer than content may pause.
        for part in content.as_bytes().chunks(content.len() / 30) {
            let_sleep(&gateway);
            client.write(part);
        }
        let whole = || recorder.received()[0].content.as_deref() == Some(content.as_bytes());
        await_that("the origin has the whole upload", whole);
        client.write("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer("GET").finish().status, 200, "{version}");
        assert_eq!(recorder.lines(), ["POST /upload", "GET /next"]);
    }
}

#[test]
fn content_owed_after_an_early_answer_has_its_own_deadline() {
    for (silence, closes) in [(28, false), (30, true)] {
        let recorder = Recorder::start();
        let gateway = with_manual_deadlines(&recorder.origin).start();
        let early = "HTTP/1.1 404 Not Found^Content-Length: 2^^no";
        let head = post("/upload", "")
            .field("Early", early)
            .field("Content-Length", 9);
        let mut client = gateway.client();
        client.write(head_of(&head) + "four");
        assert_eq!(client.answer("POST").finish().status, 404);
        gateway.advance_deadlines(Duration::from_secs(silence));
        let_sleep(&gateway);
        if closes {
            assert_eq!(client.await_close(), End::Complete);
            recorder.origin.await_idle();
        } else {
            client.write("fives");
            await_that("the origin has all", || {
                recorder.received()[0].content.is_some()
            });
        }
    }
}

#[test]
fn what_nobody_reads_is_discarded_and_the_answer_is_not_lost_to_a_reset() {
    let origin = Origin::answering(reply(200));
    let gateway = with_manual_deadlines(&origin)
        .server("max_body = '1KiB'")
        .start();
    let mut client = gateway.client();
    let length = 8 << 20;
    client.write(head_of(
        &post("/upload", "").field("Content-Length", length),
    ));
    // A client that looks for its answer only when it has sent all, and takes longer than a client has for closing.
    for _ in 0..4 {
        client.write(vec![b'x'; length / 4]);
        let_sleep(&gateway);
    }
    let answer = client.answer("POST").finish();
    assert_eq!((answer.status, answer.end), (413, End::Complete));
}
