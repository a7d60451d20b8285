//! A body without a verified end is never taken for whole: not by the client, not by the store.

use crate::common::{Conn, End, Gateway, Origin, Request, get, reply};

type Break = fn(&mut Conn);

const HEAD: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";

/// The ways in which an origin breaks off, each after the octets `short`.
const BREAKS: [(&str, Break); 6] = [
    ("Content-Length, then FIN", |conn| {
        conn.write(format!("{HEAD}Content-Length: 9\r\n\r\nshort"));
        conn.close();
    }),
    ("Content-Length, then RST", |conn| {
        conn.write(format!("{HEAD}Content-Length: 9\r\n\r\nshort"));
        conn.reset();
    }),
    ("a chunk, then FIN", |conn| {
        conn.write(format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"
        ));
        conn.close();
    }),
    ("half a chunk, then FIN", |conn| {
        conn.write(format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n9\r\nshort"
        ));
        conn.close();
    }),
    ("a chunk, then garbage", |conn| {
        conn.write(format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n"
        ));
        conn.await_close();
    }),
    ("the last chunk without its end, then FIN", |conn| {
        conn.write(format!(
            "{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n"
        ));
        conn.close();
    }),
];

/// Breaks off the first answer, gives a whole one after that.
fn breaking(break_off: Break) -> Origin {
    let first = std::sync::atomic::AtomicBool::new(true);
    Origin::start(move |request: &Request, conn| {
        if first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            break_off(conn);
        } else {
            conn.reply(
                request,
                &reply(200)
                    .field("Cache-Control", "max-age=60")
                    .body("whole"),
            );
        }
    })
}

#[test]
fn a_truncated_body_is_never_whole_for_the_client_nor_stored() {
    for (how, break_off) in BREAKS {
        let origin = breaking(break_off);
        let gateway = Gateway::before(&origin).start();
        let answer = gateway.get("/books/123");
        assert!(
            matches!(answer.end, End::Truncated | End::Reset) || answer.status == 502,
            "{how}: {answer:?}"
        );
        let next = gateway.get("/books/123").expect(200);
        assert_eq!(next.text(), "whole", "{how}");
        assert!(!next.is_hit(), "{how}: {}", next.cache_status());
        assert!(gateway.get("/books/123").is_hit(), "{how}");
        assert_eq!(origin.count(), 2, "{how}");
    }
}

#[test]
fn an_http_1_0_client_sees_a_reset_where_a_fin_would_look_like_the_end() {
    for (how, break_off) in BREAKS {
        let origin = breaking(break_off);
        let gateway = Gateway::before(&origin).start();
        let request = get("/books/123")
            .version("HTTP/1.0")
            .field("Host", "books.example");
        let answer = gateway.send(&request);
        assert!(
            answer.end == End::Reset || answer.field("content-length").is_some(),
            "{how}: {answer:?}"
        );
        assert!(
            answer.end != End::Complete || answer.status == 502,
            "{how}: {answer:?}"
        );
    }
}

#[test]
fn a_body_that_the_end_of_the_connection_delimits_is_whole_at_a_fin_and_not_at_a_reset() {
    let origin = Origin::start(|request, conn| {
        conn.write(format!("{HEAD}\r\nshort"));
        if request.target == "/whole" {
            conn.close();
        } else {
            conn.reset();
        }
    });
    let gateway = Gateway::before(&origin).start();
    assert_eq!(gateway.get("/whole").expect(200).text(), "short");
    assert_ne!(gateway.get("/reset").end, End::Complete);
}
