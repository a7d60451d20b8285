//! Answers of the gateway's own, and paths that could lead round them.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::api;
use super::pages::{APP, cors_of, preflight};
use super::users::{HASH, users};
use crate::common::{Gateway, get, head, post, request};

#[test]
fn a_route_answers_itself() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route(
            "/down",
            "respond = { status = 503, body = 'Back at noon.', retry_after = '5m' }",
        )
        .route("/gone", "respond = { status = 410 }\nclient_ttl = '1m'")
        .route(
            "/hello",
            "respond = { status = 200, body = '{}', type = 'application/json' }",
        )
        .route("/nothing", "respond = { status = 204 }")
        .route(
            "/old/{id}",
            "respond = { status = 308, location = '/new/{id}' }",
        )
        .route(
            "/moved/{*rest}",
            "respond = { status = 302, location = 'https://b.example/{rest}?' }",
        )
        .route(
            "/loose/{*rest}",
            "respond = { status = 307, location = '/{rest}' }",
        )
        .route(
            "/books",
            "respond = { status = 405 }\nmethods = ['POST', 'PUT']",
        )
        .start();
    for (request, status, field, content) in [
        (get("/down"), 503, "retry-after: 300", "Back at noon."),
        (
            get("/down"),
            503,
            "content-type: text/plain; charset=utf-8",
            "Back at noon.",
        ),
        (
            post("/down", "a"),
            503,
            "cache-control: no-store",
            "Back at noon.",
        ),
        (head("/down"), 503, "content-length: 13", ""),
        (
            get("/gone"),
            410,
            "content-type: application/problem+json",
            "{\"status\":410,\"title\":\"Gone\",\"type\":\"about:blank\"}\n",
        ),
        (
            get("/gone"),
            410,
            "cache-control: max-age=60",
            "{\"status\":410,\"title\":\"Gone\",\"type\":\"about:blank\"}\n",
        ),
        (get("/hello"), 200, "content-type: application/json", "{}"),
        (
            get("/hello").field("Range", "bytes=0-0"),
            200,
            "content-length: 2",
            "{}",
        ),
        (get("/nothing"), 204, "cache-control: no-store", ""),
        (get("/old/7?a=b"), 308, "location: /new/7?a=b", ""),
        (get("/%6fld/%37"), 308, "location: /new/7", ""),
        (get("/old/7"), 308, "cache-control: max-age=3600", ""),
        (post("/old/7", "a"), 308, "location: /new/7", ""),
        (
            get("/moved/a/b?c=d"),
            302,
            "location: https://b.example/a/b?",
            "",
        ),
        (get("/loose/a"), 307, "location: /a", ""),
        (
            post("/books", "a"),
            405,
            "allow: GET, HEAD, PATCH, DELETE, OPTIONS, TRACE, QUERY",
            "{\"status\":405,\"title\":\"Method Not Allowed\",\"type\":\"about:blank\"}\n",
        ),
    ] {
        let answer = gateway.send(&request).expect(status);
        let (name, value) = field.split_once(": ").expect("a field");
        assert_eq!(
            answer.field(name),
            Some(value),
            "{} {}",
            request.method,
            request.target
        );
        assert_eq!(
            answer.text(),
            content,
            "{} {}",
            request.method,
            request.target
        );
        assert!(answer.says("detail=responded"), "{}", answer.cache_status());
        assert!(answer.fields.has("date") && answer.fields.has("via"));
    }
    assert_eq!(gateway.get("/nothing").field("content-length"), None);
    assert_eq!(origin.count(), 0);
    assert_eq!(
        gateway.metric("bookend_requests_total{result=\"direct\"}"),
        17
    );
    gateway.get("/books").expect(200);
}

#[test]
fn a_redirect_never_leads_to_a_host_that_its_client_chose() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route(
            "/to/{*rest}",
            "respond = { status = 302, location = '/{rest}' }",
        )
        .start();
    for target in [
        "/to//evil.example",
        "/to///evil.example",
        "/to/%2Fevil.example",
        "/to/\\evil.example",
        "/to/%5Cevil.example",
        "/to/.//evil.example",
        "//to//evil.example",
        "/to/;@evil.example",
    ] {
        let answer = gateway.get(target);
        let location = answer.field("location").unwrap_or("/");
        let second = location.chars().nth(1);
        let is_own = location.starts_with('/') && !matches!(second, Some('/' | '\\'));
        assert!(is_own, "{target}: {} {location}", answer.status);
    }
}

#[test]
fn no_spelling_of_a_path_leads_past_an_answer() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route("/internal/{*rest}", "respond = { status = 404 }")
        .start();
    for target in ["/internal/a", "/internal%2Fa", "//internal/a"] {
        gateway.get(target).expect(404);
    }
    assert_eq!(origin.count(), 0);
}

/// Paths that some API reads as one below `/admin`, though it decodes, joins, drops or resolves less than others.
const DOTTED: [&str; 14] = [
    "/admin%2fpurge%2f..%2f..%2fx",
    "//admin/purge/../../books",
    "/admin/./x",
    "/x/../admin/purge",
    "/admin/../x",
    "/x/%2e%2e/admin",
    "/x/.%2E/admin",
    "/x;a/../admin",
    "/x/..;a/admin",
    "/x/..%3Ba/admin",
    "/x\\..\\admin",
    "/x%5c..%5Cadmin",
    "/admin/.",
    "/books/..",
];

#[test]
fn dot_segments_lead_round_no_gate() {
    for gate in [
        "auth = { bearer = 'abc' }",
        "allow = '10.0.0.0/8'",
        "deny = '127.0.0.0/8'",
        "respond = { status = 404 }",
        "request_fields = { set = { X-Role = 'none' } }",
        "cors = { origins = 'https://app.example.org' }",
    ] {
        let origin = api();
        let gateway = Gateway::before(&origin)
            .route("/admin", gate)
            .route("/admin/{*rest}", gate)
            .start();
        for target in DOTTED {
            for method in ["GET", "HEAD", "DELETE", "OPTIONS", "QUERY"] {
                let asked = request(method, target).field("X-Role", "root");
                let answer = gateway.send(&asked).expect(400);
                let told = answer.text();
                assert_eq!(
                    told.contains("segment `.` or `..`"),
                    method != "HEAD",
                    "{gate} {method} {target}: {told}"
                );
            }
            let page = preflight(APP, "DELETE", target);
            let answer = gateway.send(&page).expect(400);
            assert_eq!(cors_of(&answer), "", "{gate} {target}");
        }
        assert_eq!(origin.count(), 0, "{gate}");
        // Dots in names are none, nor are those in a query.
        for target in [
            "/books/a..b",
            "/.well-known/a",
            "/books?x=/../y",
            "/x%2Fy//z",
        ] {
            gateway.get(target).expect(200);
        }
    }
    // Without gates and rules nothing can be led round.
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route("/admin/{*rest}", "ttl = '1m'")
        .start();
    for target in DOTTED {
        gateway.get(target).expect(200);
    }
}

#[test]
fn a_dotted_path_is_refused_before_its_content_and_its_limits() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .route(
            "/admin/{*rest}",
            "auth = { bearer = 'abc' }\nrate_limit = { requests = 1, per = '1h' }",
        )
        .manual_clock()
        .start();
    for _ in 0..3 {
        gateway.get("/x/../admin/1").expect(400);
    }
    gateway.get("/admin/1").expect(401);
    let mut stream = gateway.client().hold();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!(
        "POST /x/../admin HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        smuggled.len()
    );
    stream.write_all(head.as_bytes()).expect("a connection");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 400");
    let _ = stream.write_all(smuggled.as_bytes());
    let _ = stream.read_to_end(&mut Vec::new());
    origin.await_idle();
    assert_eq!(origin.count(), 0);
}

#[test]
fn content_that_is_not_read_is_never_read_as_another_request() {
    let origin = api();
    let (_folder, file) = users(&format!("alice:{HASH}\n"));
    let gateway = Gateway::before(&origin)
        .route("/down", "respond = { status = 503 }")
        .route("/denied", "deny = '127.0.0.0/8'")
        .route("/tokens", "auth = { bearer = 'abc' }")
        .route("/users", &format!("auth = {{ basic_file = '{file}' }}"))
        .start();
    let wrong = STANDARD.encode("alice:wrong");
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    for target in ["/down", "/denied", "/tokens", "/users"] {
        let mut stream = gateway.client().hold();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {wrong}\r\nContent-Length: {}\r\n\r\n",
            smuggled.len()
        );
        stream.write_all(head.as_bytes()).expect("a connection");
        // The answer comes before the content does.
        let mut first = [0; 12];
        stream.read_exact(&mut first).expect("an answer");
        assert!(
            matches!(&first, b"HTTP/1.1 503" | b"HTTP/1.1 403" | b"HTTP/1.1 401"),
            "{target}"
        );
        let rest = format!("{smuggled}GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        // The gateway may have closed the connection by now.
        let _ = stream.write_all(rest.as_bytes());
        let _ = stream.read_to_end(&mut Vec::new());
        origin.await_idle();
        let asked: Vec<_> = origin
            .requests()
            .into_iter()
            .map(|seen| seen.target)
            .collect();
        assert!(
            !asked.contains(&"/smuggled".to_owned()),
            "{target}: {asked:?}"
        );
    }
}
