//! Messages octet by octet, on both sides: what is refused, what is repaired, and what must never be taken for two
//! (RFC 9112, RFC 9110 §5, §7).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::bench::{Rows, brief};
use crate::common::{Answer, End, Gate, Gateway, Origin, PATIENCE, get, reply};

fn plain_origin() -> Origin {
    Origin::start(|request, conn| {
        let body = format!("{} {} {}", request.method, request.target, request.text());
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body(body),
        );
    })
}

/// All answers to these octets, until the connection ends or nothing more is to come.
fn answers(gateway: &Gateway, octets: &str) -> Vec<Answer> {
    let mut client = gateway.client();
    client.write(octets);
    client.half_close();
    let mut answers = Vec::new();
    while answers.len() < 4 {
        let answer = client.answer("GET").finish();
        if answer.status == 0 {
            break;
        }
        let closes = answer
            .field("connection")
            .is_some_and(|said| said.eq_ignore_ascii_case("close"));
        answers.push(answer);
        if closes {
            break;
        }
    }
    answers
}

#[test]
fn requests_that_two_parsers_could_read_differently_are_refused() {
    // RFC 9112 §2.2, §3, §5, §6.1, §6.3, §7.1
    let origin = plain_origin();
    let gateway = Gateway::before(&origin).start();
    let mut failed = Rows::default();
    for (what, octets) in [
        (
            "two lengths",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "two lengths in a list",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 44\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a signed length",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a hexadecimal length",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "an empty length",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a length beyond 64 bits",
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "chunked not last",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "gzip before chunked",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "chunked twice",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "chunked in two lines",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a coding like chunked",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a quoted coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "identity",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "chunked in HTTP/1.0",
            "POST /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "space before the colon",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a folded coding",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a line that begins with white space",
            "GET /a HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n",
        ),
        (
            "a chunk size with a sign",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
        ),
        (
            "a chunk size with 0x",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        ),
        (
            "a chunk size beyond 64 bits",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n",
        ),
        (
            "a chunk longer than its size",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxGET /evil HTTP/1.1\r\n0\r\n\r\n",
        ),
        (
            "a chunk size without digits",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        ),
        (
            "a bare LF after a chunk size",
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        ),
        (
            "a NUL in a value",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        ),
        (
            "a bare CR in a value",
            "GET /a HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
        ),
        (
            "a bare CR in the target",
            "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("an empty name", "GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
        (
            "a name with a space",
            "GET /a HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
        ),
        (
            "a line without a colon",
            "GET /a HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
        ),
        ("no version", "GET /a\r\nHost: a\r\n\r\n"),
        ("another version", "GET /a HTTP/1.2x\r\nHost: a\r\n\r\n"),
        (
            "a version in lower case",
            "GET /a http/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("no target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("a target that is none", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("an empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n"),
        ("no Host", "GET /a HTTP/1.1\r\n\r\n"),
        ("two Hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (
            "the same Host twice",
            "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        ),
        (
            "two Hosts in a list",
            "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n",
        ),
        ("a path in Host", "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("a user in Host", "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        (
            "a port that is none",
            "GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n",
        ),
        (
            "a port too large",
            "GET /a HTTP/1.1\r\nHost: a:65536\r\n\r\n",
        ),
        (
            "no Host beside an absolute target",
            "GET http://a/b HTTP/1.1\r\n\r\n",
        ),
        (
            "a method with a colon",
            "G:T /a HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("garbage", "\u{16}\u{3}\u{1}\r\n\r\n"),
    ] {
        let answers = answers(&gateway, octets);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        // Where the head is sound and the content is not, the request may have been begun.
        let refused = matches!(
            statuses.as_slice(),
            [] | [400] | [411] | [413] | [414] | [431] | [501] | [502] | [505]
        );
        failed.check(refused, || format!("{what}: {statuses:?}"));
    }
    let reached: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    failed.check(!reached.iter().any(|target| target == "/evil"), || {
        "a smuggled request came through".to_owned()
    });
    failed.check(
        origin.requests().iter().all(|seen| seen.method == "POST"),
        || format!("malformed heads reached the origin: {reached:?}"),
    );
}

#[test]
fn a_request_with_two_framings_is_refused_and_the_connection_ends() {
    // RFC 9112 §6.1, §6.3
    for (one, two) in [
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 4"),
    ] {
        let origin = plain_origin();
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        client.write(format!(
            "POST /a HTTP/1.1\r\nHost: a\r\n{one}\r\n{two}\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        let answer = client.answer("POST").finish().expect(400);
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(origin.count(), 0);
    }
}

#[test]
fn white_space_before_a_colon_is_removed_from_a_response() {
    // RFC 9112 §5.1
    let (answer, _) = before_octets("HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(answer.expect(200).field("x"), Some("1"));
}

#[test]
fn codings_that_are_not_understood_are_501_and_chunks_in_chunks_malformed() {
    // RFC 9112 §6.1, §7.1
    let origin = plain_origin();
    let gateway = Gateway::before(&origin).start();
    for (codings, status) in [
        ("gzip, chunked", 501),
        ("x-own, chunked", 501),
        ("chunked, chunked", 400),
        ("chunked, gzip", 400),
        ("gzip", 400),
    ] {
        let octets =
            format!("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {codings}\r\n\r\n0\r\n\r\n");
        let answers = answers(&gateway, &octets);
        assert_eq!(answers.len(), 1, "{codings}");
        assert_eq!(
            answers[0].status,
            status,
            "{codings}: {}",
            brief(&answers[0])
        );
        assert_eq!(answers[0].field("connection"), Some("close"), "{codings}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_is_only_unusual_is_understood() {
    // RFC 9112 §2.2, §3.2, §7.1, RFC 9110 §5.1: (octets, what the origin sees of it)
    let origin = plain_origin();
    let gateway = Gateway::before(&origin).start();
    let mut failed = Rows::default();
    for (octets, seen) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a "),
        ("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a "),
        ("GET /a HTTP/1.1\r\nhOsT:a\r\n\r\n", "GET /a "),
        ("GET /a HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET /a "),
        ("GET /a HTTP/1.0\r\n\r\n", "GET /a "),
        (
            "GET http://books.example/a?x HTTP/1.1\r\nHost: other\r\n\r\n",
            "GET /a?x ",
        ),
        (
            "GET http://books.example HTTP/1.1\r\nHost: other\r\n\r\n",
            "GET / ",
        ),
        (
            "GET HTTP://BOOKS.example:80/a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a ",
        ),
        (
            "GET http://books.example?x=1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /?x=1 ",
        ),
        ("GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET /a "),
        (
            "GET /a%2Fb%20c?x=%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a%2Fb%20c?x=%00 ",
        ),
        ("GET //a/../b HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a/../b "),
        ("GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a? "),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * "),
        (
            "FROB /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "FROB /a x",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "POST /a x",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n001;ext=\"a\"\r\nx\r\n0\r\n\r\n",
            "POST /a x",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-T: 1\r\n\r\n",
            "POST /a x",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "POST /a x",
        ),
    ] {
        let answers = answers(&gateway, octets);
        let text = answers.first().map(Answer::text).unwrap_or_default();
        failed.check(text == seen && answers.len() == 1, || {
            format!(
                "{octets:?}: {:?}",
                answers.iter().map(brief).collect::<Vec<_>>()
            )
        });
    }
}

#[test]
fn pipelined_requests_are_each_answered_once_and_in_order() {
    // RFC 9112 §9.3.2
    let origin = plain_origin();
    let gateway = Gateway::before(&origin).start();
    let octets = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let texts: Vec<_> = answers(&gateway, octets).iter().map(Answer::text).collect();
    assert_eq!(texts, ["GET /1 ", "POST /2 hi", "GET /3 "]);
}

/// What a client gets where the origin answers these octets, and then a second request on whatever connection.
fn before_octets(octets: &'static str) -> (Answer, Answer) {
    let origin = Origin::start(move |request, conn| match &*request.target {
        "/odd" => drop(conn.write(octets)),
        _ => conn.reply(request, &reply(200).body("plain")),
    });
    let gateway = Gateway::before(&origin)
        .upstream("response_timeout = \"2s\"\nbody_timeout = \"2s\"")
        .start();
    let mut client = gateway.client();
    let odd = client.send(&get("/odd"));
    (odd, client.send(&get("/plain")))
}

#[test]
fn responses_that_two_parsers_could_read_differently_are_not_passed_on() {
    // RFC 9112 §6.1, §6.3: a bad gateway, or whole to its real end; and the next response is never a part of it
    let mut failed = Rows::default();
    for octets in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nnonsense\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "ICY 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "<html>no head at all</html>\r\n\r\n",
    ] {
        let (odd, next) = before_octets(octets);
        let refused = odd.status == 502 || odd.end != End::Complete;
        failed.check(refused, || format!("{octets:?}: {}", brief(&odd)));
        failed.check(next.status == 200 && next.text() == "plain", || {
            format!("after {octets:?}: {}", brief(&next))
        });
    }
}

#[test]
fn what_comes_after_a_response_is_no_response() {
    // RFC 9112 §9.2, §11.1: a connection with octets nobody asked for is not used again
    for octets in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let (odd, next) = before_octets(octets);
        assert!(!odd.text().contains("evil"), "{octets:?}: {}", brief(&odd));
        assert_eq!(next.text(), "plain", "{octets:?}: {}", brief(&next));
    }
}

#[test]
fn a_head_s_answer_ends_with_its_head() {
    // RFC 9112 §6.3: whatever it says about a length
    let origin = Origin::start(|request, conn| match &*request.method {
        "HEAD" => drop(conn.write("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")),
        _ => conn.reply(request, &reply(200).body("plain")),
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..3 {
        let headed = client.send(&crate::common::head("/a")).expect(200);
        assert_eq!(headed.field("content-length"), Some("4000"));
        assert_eq!(client.send(&get("/b")).expect(200).text(), "plain");
    }
    assert_eq!(client.connects(), 1);
}

#[test]
fn interim_responses_are_passed_on() {
    // RFC 9110 §15.2, §7.6.1: in order, before the final one, which they are no part of; a 100 is the server's own
    let (answer, next) = before_octets(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\nConnection: X-H\r\nX-H: 1\r\n\r\nHTTP/1.1 199 Odd\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfinal",
    );
    assert_eq!((answer.status, &*answer.text()), (200, "final"));
    assert_eq!((answer.field("x-a"), answer.field("link")), (None, None));
    let statuses: Vec<_> = answer.interim.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [102, 103, 199]);
    let hints = &answer.interim[1].1;
    assert_eq!(hints.all("link").collect::<Vec<_>>(), ["</a>", "</b>"]);
    assert!(!hints.has("x-h") && !hints.has("connection"));
    assert!(next.interim.is_empty() && next.text() == "plain");
}

#[test]
fn an_interim_response_does_not_wait_for_the_final_one() {
    // RFC 9110 §15.2.3: that is what it is for. By all ways upstream: to be stored, not to be stored, a write.
    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |request, conn| {
            conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            held.pass();
            conn.reply(
                request,
                &reply(200).field("Cache-Control", "max-age=60").body("1984"),
            );
        });
        let gateway = Gateway::before(&origin).start();
        let mut stream = TcpStream::connect(gateway.addr()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        write!(
            stream,
            "{method} /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .expect("a connection");
        let mut hints = [0; 40];
        stream.read_exact(&mut hints).expect("the hints");
        let expected = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&hints), expected, "{method}");
        gate.open();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("the response");
        assert!(rest.starts_with("HTTP/1.1 200 "), "{method}: {rest}");
    }
}

#[test]
fn interim_responses_are_for_the_one_whose_request_they_answer() {
    // neither stored, nor sent to those who wait for the same
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        held.pass();
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).start();
    std::thread::scope(|scope| {
        let clients = [(); 2].map(|()| scope.spawn(|| gateway.get("/a").expect(200)));
        gateway.await_sum(1, |counted| counted.followers.value());
        gate.open();
        let answers = clients.map(|client| client.join().expect("a client"));
        let hinted = answers.iter().filter(|answer| !answer.interim.is_empty());
        assert_eq!(hinted.count(), 1);
    });
    let hit = gateway.get("/a").expect(200);
    assert!(hit.is_hit() && hit.interim.is_empty());
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_interim_response_comes_after_all_of_the_response_before_it() {
    // RFC 9112 §9.3.2: though that is large and its client slow to take it
    let large = "x".repeat(8 << 20);
    let body = large.clone();
    let origin = Origin::start(move |request, conn| match &*request.target {
        "/large" => conn.reply(request, &reply(200).body(&body)),
        _ => {
            conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            conn.reply(request, &reply(200).body("last"));
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    client.write("GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /hinted HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.await_requests(1);
    let first = client.answer("GET").finish().expect(200);
    assert!(first.body == large.as_bytes() && first.interim.is_empty());
    let second = client.answer("GET").finish().expect(200);
    assert_eq!((&*second.text(), second.interim.len()), ("last", 1));
}

#[test]
fn countless_interim_responses_neither_fill_memory_nor_hold_up_the_final_one() {
    let origin = Origin::start(|request, conn| {
        let many = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(1000);
        for _ in 0..10 {
            conn.write(&many);
        }
        conn.reply(request, &reply(200).body("1984"));
    });
    let gateway = Gateway::before(&origin).start();
    assert_eq!(gateway.get("/a").expect(200).text(), "1984");
}

#[test]
fn an_origin_of_http_1_0_is_understood_and_answered_for() {
    // RFC 9112 §2.3, RFC 9110 §2.5: the version is of the hop
    for octets in [
        "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n1984",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\n1984",
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.write(octets);
            conn.close();
        });
        let gateway = Gateway::before(&origin).start();
        let first = gateway.get("/a").expect(200);
        assert_eq!((&*first.version, &*first.text()), ("HTTP/1.1", "1984"));
        assert!(gateway.get("/a").is_hit(), "{octets:?}");
    }
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_nor_interim_responses() {
    // RFC 9112 §6.1, §7.1, RFC 9110 §15.2
    let origin = Origin::start(|request, conn| {
        conn.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        let answer = reply(200).field("Cache-Control", "no-store");
        conn.reply(request, &answer.body("one\ntwo\n").chunked());
    });
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.send(&get("/a").version("HTTP/1.0")).expect(200);
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!((answer.interim.len(), &*answer.text()), (0, "one\ntwo\n"));
}
