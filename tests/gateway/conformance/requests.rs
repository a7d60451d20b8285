//! What the gateway makes of requests themselves: targets, Host, framing, Via, loops (RFC 9110 §7, RFC 9112).

use super::before;
use crate::common::{Client, Gateway, Origin, get, reply, request};

/// The status of the answer to these octets; 0 when the connection just closes.
fn status(gateway: &Gateway, octets: &str) -> u16 {
    let mut client = Client::to(gateway.addr());
    client.write(octets);
    client.half_close();
    client.answer("GET").finish().status
}

#[test]
fn malformed_requests_are_refused() {
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    let table = [
        // RFC 9112 §3.2
        ("no Host", "GET /a HTTP/1.1\r\n\r\n"),
        ("two Hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("an invalid Host", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "user information",
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        // §5.1, §5.2
        (
            "space before the colon",
            "GET /a HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
        ),
        (
            "a folded line",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        ),
        // §6.3
        (
            "two lengths",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        ),
        (
            "a negative length",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        ),
        (
            "a length in words",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n",
        ),
        // §6.1
        (
            "another coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        ),
        (
            "a coding before chunked",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (what, octets) in table {
        let status = status(&gateway, octets);
        assert!(matches!(status, 400 | 501), "{what}: {status}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn nothing_is_smuggled_behind_two_framings() {
    // RFC 9112 §6.1: whatever is made of it, the connection ends
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    let octets = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    status(&gateway, octets);
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.target != "/smuggled")
    );
}

#[test]
fn the_target_is_one_however_it_is_written() {
    // RFC 9112 §3.2.2, RFC 9110 §4.2.3
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    for octets in [
        "GET /a HTTP/1.1\r\nHost: books.example\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: BOOKS.example:80\r\n\r\n",
        "GET http://books.example/a HTTP/1.1\r\nHost: other.example\r\n\r\n",
    ] {
        assert_eq!(status(&gateway, octets), 200);
    }
    assert_eq!(origin.count(), 1);
    assert_eq!(
        status(&gateway, "GET /a HTTP/1.1\r\nHost: other.example\r\n\r\n"),
        200
    );
    assert_eq!(origin.count(), 2);
    assert_eq!(origin.last().fields.get("host"), Some("other.example"));
}

#[test]
fn every_message_says_who_passed_it_on() {
    // RFC 9110 §7.6.3, RFC 8586, RFC 9211 §2
    let (origin, gateway) = before(&[
        ("Cache-Control", "max-age=60"),
        ("Via", "1.1 inner"),
        ("Cache-Status", "Inner; hit"),
    ]);
    let answer = gateway.send(&get("/a").field("Via", "1.0 outer"));
    assert_eq!(answer.list("via"), "1.1 inner, 1.1 bookend");
    assert!(
        answer
            .cache_status()
            .starts_with("Inner; hit, bookend; fwd=uri-miss"),
        "{}",
        answer.cache_status()
    );
    let asked = origin.last();
    assert_eq!(
        asked.fields.all("via").collect::<Vec<_>>().join(", "),
        "1.0 outer, 1.1 bookend"
    );
    let own = asked.fields.get("cdn-loop").expect("CDN-Loop").to_owned();
    gateway
        .send(&get("/b").field("CDN-Loop", format!("other, {own}")))
        .expect(508);
    gateway
        .send(&get("/b").field("CDN-Loop", "bookend"))
        .expect(200);
}

#[test]
fn who_the_client_is_cannot_be_made_up() {
    let (origin, gateway) = before(&[("Cache-Control", "no-store")]);
    gateway.send(
        &get("/a")
            .field("X-Forwarded-For", "10.9.8.7")
            .field("X-Forwarded-Proto", "https")
            .field("Forwarded", "for=10.9.8.7"),
    );
    let asked = origin.last();
    assert_eq!(asked.fields.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.fields.get("x-forwarded-proto"), Some("http"));
    assert!(
        asked
            .fields
            .get("forwarded")
            .is_some_and(|value| value.starts_with("for=127.0.0.1;"))
    );
}

#[test]
fn a_trusted_proxy_is_believed() {
    let origin = Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
    let gateway = Gateway::before(&origin)
        .server("trusted_proxies = [\"127.0.0.0/8\"]")
        .start();
    gateway.send(
        &get("/a")
            .field("X-Forwarded-For", "10.9.8.7")
            .field("X-Forwarded-Proto", "https"),
    );
    let asked = origin.last();
    assert_eq!(
        asked.fields.get("x-forwarded-for"),
        Some("10.9.8.7, 127.0.0.1")
    );
    assert_eq!(asked.fields.get("x-forwarded-proto"), Some("https"));
    assert!(
        !gateway.get("/a").is_hit(),
        "another scheme is another resource"
    );
}

#[test]
fn max_forwards_ends_here() {
    // RFC 9110 §7.6.2, §9.3.7, §9.3.8
    let (origin, gateway) = before(&[]);
    let options = gateway.send(&request("OPTIONS", "/a").field("Max-Forwards", "0"));
    assert!(options.status == 200 && options.field("allow").is_some());
    let trace = gateway.send(
        &request("TRACE", "/a")
            .field("Max-Forwards", "0")
            .field("Cookie", "secret"),
    );
    assert!(trace.text().starts_with("TRACE /a") && !trace.text().contains("secret"));
    assert_eq!(origin.count(), 0);
    gateway.send(&request("OPTIONS", "/a").field("Max-Forwards", "5"));
    assert_eq!(origin.last().fields.get("max-forwards"), Some("4"));
}

#[test]
fn a_get_with_content_is_passed_through() {
    // RFC 9110 §9.3.1
    let (origin, gateway) = before(&[("Cache-Control", "max-age=60")]);
    for n in 1..3 {
        assert!(gateway.send(&get("/a").body("x")).fwd("bypass"));
        assert_eq!(origin.count(), n);
    }
    assert_eq!(origin.last().text(), "x");
}
