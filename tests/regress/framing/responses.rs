//! What of a response's head passes as it is: its reason phrase, the names of its trailers, and fields that are no business
//! of a gateway.

use crate::common::{Gateway, Origin, get, post};

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
