//! The same gateway over HTTP/2 (RFC 9113): one key, one store, fields as its rules have them.

use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Bytes;

use super::bench::ok;
use super::with;
use crate::common::http2::send;
use crate::common::{Gateway, Origin, get, reply};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");

fn asking(method: &str, target: &str, lines: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method.parse().expect("a method");
    *request.uri_mut() = format!("http://books.example{target}")
        .parse()
        .expect("a URI");
    *request.version_mut() = Version::HTTP_2;
    for (name, value) in lines {
        let name: http::HeaderName = name.parse().expect("a name");
        request
            .headers_mut()
            .append(name, value.parse().expect("a value"));
    }
    request
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .map_or("", |value| value.to_str().unwrap_or_default())
}

#[test]
fn a_response_is_one_for_clients_of_both_versions() {
    // RFC 9111 §2: the version is no part of the key; RFC 9113 §8.3.1: nor is where the authority stands
    let origin = Origin::answering(ok(&[
        FRESH,
        ("ETag", "\"v1\""),
        ("Connection", "X-H"),
        ("X-H", "1"),
    ]));
    let gateway = Gateway::before(&origin).start();
    let first = send(&gateway, asking("GET", "/a", &[])).expect("an answer");
    assert_eq!(
        field(first.headers(), "cache-status"),
        "bookend; fwd=uri-miss; fwd-status=200; stored"
    );
    assert_eq!(first.body(), "1984");
    assert_eq!(origin.last().fields.get("host"), Some("books.example"));
    assert_eq!(origin.last().fields.get("via"), Some("2 bookend"));
    let second = send(&gateway, asking("GET", "/a", &[])).expect("an answer");
    assert!(field(second.headers(), "cache-status").starts_with("bookend; hit"));
    for gone in ["connection", "keep-alive", "transfer-encoding", "x-h"] {
        assert!(!second.headers().contains_key(gone), "{gone}");
    }
    assert!(
        gateway
            .send(&get("/a").field("Host", "books.example"))
            .is_hit()
    );
    let headed = send(&gateway, asking("HEAD", "/a", &[])).expect("an answer");
    assert_eq!(
        (
            field(headed.headers(), "content-length"),
            headed.body().len()
        ),
        ("4", 0)
    );
    let known = send(
        &gateway,
        asking("GET", "/a", &[("if-none-match", "\"v1\"")]),
    )
    .expect("an answer");
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let cut = send(&gateway, asking("GET", "/a", &[("range", "bytes=1-2")])).expect("an answer");
    assert_eq!(
        (cut.status(), &**cut.body()),
        (StatusCode::PARTIAL_CONTENT, &b"98"[..])
    );
    assert_eq!(origin.count(), 1);
}

#[test]
fn cookies_in_several_lines_are_one_field() {
    // RFC 9113 §8.2.3
    let origin = Origin::answering(ok(&[("Cache-Control", "no-store")]));
    let gateway = Gateway::before(&origin).start();
    send(
        &gateway,
        asking("GET", "/a", &[("cookie", "a=b"), ("cookie", "c=d")]),
    )
    .expect("an answer");
    let seen: Vec<_> = origin
        .last()
        .fields
        .all("cookie")
        .map(str::to_owned)
        .collect();
    assert_eq!(seen, ["a=b; c=d"]);
}

#[test]
fn content_goes_up_in_whatever_framing_and_comes_down_whole() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200).body(&request.body);
        conn.reply(
            request,
            &if request.body.len() % 2 == 0 {
                answer
            } else {
                answer.chunked()
            },
        );
    });
    let gateway = Gateway::before(&origin).start();
    for length in [0, 1, 1000, 200_001] {
        let content = Bytes::from(vec![b'x'; length]);
        let mut request = asking("PUT", "/a", &[]);
        *request.body_mut() = Full::new(content.clone());
        let answer = send(&gateway, request).expect("an answer");
        assert_eq!((answer.status(), answer.body()), (StatusCode::OK, &content));
        let seen = origin.last().fields;
        assert!(!(seen.has("content-length") && seen.has("transfer-encoding")));
    }
}

#[test]
fn interim_responses_end_where_they_cannot_be_sent() {
    // RFC 9110 §15.2
    let origin = Origin::start(|request, conn| {
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        conn.reply(request, &with(reply(200), &[FRESH]).body("1984"));
    });
    let gateway = Gateway::before(&origin).start();
    for _ in 0..2 {
        let answer = send(&gateway, asking("GET", "/a", &[])).expect("an answer");
        assert_eq!(
            (answer.status(), &**answer.body()),
            (StatusCode::OK, &b"1984"[..])
        );
    }
}

#[test]
fn connect_and_what_is_no_target_are_refused() {
    // RFC 9113 §8.5, RFC 9110 §9.3.6
    let origin = Origin::answering(reply(200));
    let gateway = Gateway::before(&origin).start();
    let mut request = asking("GET", "/", &[]);
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = "books.example:443".parse().expect("a URI");
    if let Ok(answer) = send(&gateway, request) {
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    let odd = send(&gateway, asking("GET", "/a", &[("host", "other.example")]));
    if let Ok(answer) = odd {
        assert!(
            answer.status().is_client_error()
                || origin.last().fields.get("host") == Some("books.example")
        );
    }
}
