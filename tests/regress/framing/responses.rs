//! What of a response's head passes as it is: its reason phrase, the names of its trailers, and fields that are no business
//! of a gateway.

use std::time::Duration;

use http::HeaderMap;
use http_body_util::Full;

use crate::common::{Conn, Gateway, Origin, Request, get, head, http2, post};

/// The status line that a client gets for one of the API's.
fn status_line(line: &str, method: &str, version: &str) -> String {
    let octets = format!("{line}\r\nContent-Length: 0\r\n\r\n");
    let origin = Origin::start(move |_, conn| {
        conn.write(&octets);
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = gateway.client();
    let content = if method == "POST" {
        "Content-Length: 1\r\n\r\nx"
    } else {
        "\r\n"
    };
    client.write(format!(
        "{method} /a {version}\r\nHost: a.test\r\n{content}"
    ));
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n") {
        got.extend(client.octets(1).expect("a status line"));
    }
    String::from_utf8_lossy(&got)
        .trim_end_matches("\r\n")
        .to_owned()
}

#[test]
fn a_reason_phrase_is_the_apis_and_never_none() {
    #[rustfmt::skip]
    let table = [
        ("499 Client Left", "499 Client Left"),
        ("499 ", "499 "),
        ("599", "599 "),
        ("404 No Such Book", "404 No Such Book"),
        ("503 Back In 5 Minutes", "503 Back In 5 Minutes"),
        ("404 Not Found", "404 Not Found"),
    ];
    for (sent, expected) in table {
        for method in ["GET", "POST", "DELETE"] {
            for version in ["HTTP/1.1", "HTTP/1.0"] {
                let got = status_line(&format!("HTTP/1.1 {sent}"), method, version);
                assert_eq!(got, format!("{version} {expected}"), "{method}");
            }
        }
    }
}

#[test]
fn trailers_are_announced_to_those_who_get_them_by_all_their_names() {
    let origin = Origin::start(|_, conn| {
        conn.write(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTrailer: X-One\r\nTrailer: X-Two\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n",
        );
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    for request in [get("/a"), post("/a", "b")] {
        let answer = gateway
            .send(&request.clone().field("TE", "trailers"))
            .expect(200);
        assert_eq!(answer.list("trailer"), "X-One, X-Two");
        let trailers = ["x-one", "x-two"].map(|name| answer.trailers.get(name));
        assert_eq!(trailers, [Some("1"), Some("2")]);
        for te in ["", "gzip"] {
            let answer = gateway.send(&request.clone().field("TE", te)).expect(200);
            assert!(!answer.fields.has("trailer"), "{te:?}");
            assert!(answer.trailers.0.is_empty(), "{te:?}");
        }
    }
}

/// The line of the answer to a request with these fields.
fn line_of(gateway: &Gateway, method: &str, fields: &str) -> String {
    let mut client = gateway.client();
    client.write(format!(
        "{method} /a HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"
    ));
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n") {
        got.extend(client.octets(1).expect("a status line"));
    }
    String::from_utf8_lossy(&got).trim_end().to_owned()
}

#[test]
fn what_is_stored_keeps_its_reason_phrase() {
    for chunked in [false, true] {
        let origin = Origin::start(move |request, conn| {
            if request.fields.has("if-none-match") {
                conn.write(
                    "HTTP/1.1 304 Not Changed\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n\r\n",
                );
                return;
            }
            let framing = match chunked {
                true => "Transfer-Encoding: chunked\r\n\r\n4\r\n1984\r\n0\r\n\r\n",
                false => "Content-Length: 4\r\n\r\n1984",
            };
            let head = "HTTP/1.1 200 Here You Are\r\nCache-Control: max-age=60, stale-if-error=600\r\nETag: \"1\"\r\n";
            conn.write(format!("{head}{framing}"));
        });
        let gateway = Gateway::before(&origin).workers(1).manual_clock().start();
        let all_forms = |when: &str| {
            for (method, fields, line) in [
                ("GET", "", "200 Here You Are"),
                ("GET", "", "200 Here You Are"),
                ("HEAD", "", "200 Here You Are"),
                ("GET", "Range: bytes=9-\r\n", "416 Range Not Satisfiable"),
                ("GET", "Range: bytes=0-1\r\n", "206 Partial Content"),
                ("GET", "If-None-Match: \"1\"\r\n", "304 Not Modified"),
            ] {
                let got = line_of(&gateway, method, fields);
                assert_eq!(
                    got,
                    format!("HTTP/1.1 {line}"),
                    "{method} {fields:?} {when}"
                );
            }
        };
        all_forms("when fresh");
        let asked = origin.count();
        gateway.advance(Duration::from_secs(61));
        all_forms("after a 304");
        assert!(origin.count() > asked, "it was validated");
        gateway.advance(Duration::from_secs(61));
        origin.stop();
        assert_eq!(
            line_of(&gateway, "GET", ""),
            "HTTP/1.1 200 Here You Are",
            "stale"
        );
    }
}

#[test]
fn no_trailers_are_announced_that_are_not_sent() {
    for (framing, trails) in [
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\n1984\r\n0\r\nX-One: 1\r\n\r\n",
            true,
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n4\r\n1984\r\n0\r\n\r\n",
            false,
        ),
        ("Content-Length: 4\r\n\r\n1984", false),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTrailer: X-One\r\nTrailer: X-Two\r\n{framing}"
            ));
        });
        let gateway = Gateway::before(&origin).workers(1).start();
        let wish = |request: Request| request.field("TE", "trailers").field("Connection", "te");
        let first = gateway.send(&wish(get("/a"))).expect(200);
        assert_eq!(
            first.trailers.get("x-one"),
            trails.then_some("1"),
            "{framing}"
        );
        for request in [
            get("/a"),
            head("/a"),
            get("/a").field("Range", "bytes=0-1"),
            get("/a").field("Range", "bytes=0-0,2-2"),
        ] {
            let answer = gateway.send(&wish(request));
            assert!(
                answer.is_hit() && !answer.fields.has("trailer"),
                "{answer:#?}"
            );
            assert!(answer.trailers.0.is_empty());
        }
    }
}

/// Trailers as they come from the API, and as they reach the client.
const TRAILERS: &str = "X-Sum: 7\r\nX-Two: a\r\nX-Two: b\r\nX-Empty:\r\nContent-Length: 9\r\nConnection: x-hop\r\n\
    X-Hop: 1\r\nSet-Cookie: a=b\r\nTransfer-Encoding: chunked\r\n";

/// An API that announces none of its trailers.
fn unannounced(cache_control: &'static str, length: usize) -> Origin {
    Origin::start(move |_, conn: &mut Conn| {
        conn.write(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: {cache_control}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        for _ in 0..length / 10_000 {
            conn.chunk(vec![b'\n'; 10_000]);
        }
        if !length.is_multiple_of(10_000) {
            conn.chunk(vec![b'\r'; length % 10_000]);
        }
        conn.write(format!("0\r\n{TRAILERS}\r\n"));
    })
}

#[test]
fn trailers_that_were_not_announced_reach_those_who_take_them() {
    for length in [0, 2, 5_000, 400_000] {
        for cache_control in ["no-store", "max-age=60", "private"] {
            let origin = unannounced(cache_control, length);
            let gateway = Gateway::before(&origin).workers(1).start();
            for (n, request) in [get("/0"), post("/1", "b"), get("/2"), post("/3", "")]
                .into_iter()
                .enumerate()
            {
                let case = format!("{} {length} {cache_control}", request.method);
                let mut client = gateway.client();
                let wish = request.clone().field("TE", "gzip, trailers");
                client.start(&wish);
                // Another behind it, to see where the first ends.
                client.start(&get(&format!("/next/{n}")));
                let answer = client.answer(&request.method).finish().expect(200);
                assert_eq!(answer.body.len(), length, "{case}");
                let got: Vec<_> = answer
                    .trailers
                    .0
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let expected = [
                    ("x-sum", "7"),
                    ("x-two", "a"),
                    ("x-two", "b"),
                    ("x-empty", ""),
                ];
                assert_eq!(got, expected, "{case}");
                let next = client.answer("GET").finish().expect(200);
                assert_eq!(next.body.len(), length, "{case}");
                assert!(next.trailers.0.is_empty(), "{case}: it did not ask for any");
            }
        }
    }
}

#[test]
fn trailers_reach_clients_of_http_2() {
    for cache_control in ["no-store", "max-age=60"] {
        let origin = unannounced(cache_control, 5_000);
        let gateway = Gateway::before(&origin).workers(1).start();
        let request = http::Request::get("http://a.test/a").header("te", "trailers");
        let answer = http2::send(&gateway, request.body(Full::default()).expect("a request"));
        let answer = answer.expect("an answer");
        assert_eq!(answer.body().len(), 5_000);
        let trailers = answer.extensions().get::<HeaderMap>().expect("trailers");
        let lines: Vec<_> = trailers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("a text")))
            .collect();
        assert_eq!(lines, ["x-sum: 7", "x-two: a", "x-two: b", "x-empty: "]);
    }
}

#[test]
fn if_range_content_location_and_link_pass_as_they_are() {
    let origin = Origin::start(|_, conn| {
        conn.write(
            "HTTP/1.1 200 OK\r\nContent-Location: /a.en\r\nLink: </b>; rel=\"next\"\r\nLink: <c>; rel=x\r\n\
             Content-Length: 0\r\n\r\n",
        );
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    let answer = gateway.send(
        &post("/a", "")
            .field("Range", "bytes=0-1")
            .field("If-Range", "\"x\""),
    );
    assert_eq!(answer.field("content-location"), Some("/a.en"));
    assert_eq!(answer.list("link"), "</b>; rel=\"next\", <c>; rel=x");
    assert_eq!(origin.last().fields.get("if-range"), Some("\"x\""));
}

#[test]
fn http_1_0_keeps_its_connection_only_where_the_end_is_known() {
    for (fields, content, keeps) in [
        ("Content-Length: 2", "ok", true),
        ("Transfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n", false),
    ] {
        for method in ["GET", "POST", "HEAD"] {
            let sent = if method == "HEAD" { "" } else { content };
            let octets =
                format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n{fields}\r\n\r\n{sent}");
            let origin = Origin::start(move |_, conn| {
                conn.write(&octets);
            });
            let gateway = Gateway::before(&origin).workers(1).start();
            let mut client = gateway.client();
            for _ in 0..2 {
                client.write(format!(
                    "{method} /a HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
                ));
                let answer = client.answer(method).finish();
                let kept = answer.field("connection") == Some("keep-alive");
                assert_eq!(kept, keeps || method == "HEAD", "{method} {fields}");
            }
        }
    }
}
