//! Every request has a line in the access log, which says what came of it, for whom, and what was wrong.

use std::path::PathBuf;

use serde_json::Value;

use crate::common::{Client, Conn, End, Gate, Gateway, Origin, Setup, await_that, get, reply};

/// A gateway, and the lines of its access log.
struct Logged {
    gateway: Gateway,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Logged {
    fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("access.log");
        Self {
            gateway: setup.access_log(&file).start(),
            file,
            _folder: folder,
        }
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }

    /// The line after the first `before`.
    #[track_caller]
    fn line(&self, before: usize) -> Value {
        await_that("a line", || self.lines().len() > before);
        self.lines()[before].clone()
    }
}

#[test]
fn refused_requests_are_logged_with_what_was_wrong() {
    let origin = Origin::answering(reply(200));
    let setup =
        Gateway::before(&origin).server("max_uri = '64B'\nmax_fields = 8\nmax_head = '8KiB'");
    let logged = Logged::start(setup);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100));
    let many = format!(
        "GET /many HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(9)
    );
    let large = format!(
        "GET /large HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(9000)
    );
    #[rustfmt::skip]
    let table: [(&[u8], u16, &str, &str, Option<&str>); 12] = [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "Host", Some("/")),
        (b"GET /two HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request", "Host", Some("/two")),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "bad_request", "transfer coding", Some("/a")),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400, "bad_request", "", None),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 405, "method_not_allowed", "", Some("a:1")),
        (b"GET /{#} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request", "`#` at offset 2", Some("/%7B")),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request", "a space at offset 2", None),
        (b"GET /\x07 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request", "0x07 at offset 1", None),
        (long.as_bytes(), 414, "uri_too_long", "", Some("/xxxx")),
        (many.as_bytes(), 431, "head_too_large", "", None),
        (large.as_bytes(), 431, "head_too_large", "", None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request", "TLS", None),
    ];
    for (at, (octets, status, failure, detail, target)) in table.into_iter().enumerate() {
        let sent = octets.escape_ascii().to_string();
        let mut client = Client::to(logged.gateway.addr());
        client.write(octets);
        client.answer("GET").finish().expect(status);
        let line = logged.line(at);
        assert_eq!(line["status"], status, "{sent}: {line}");
        assert_eq!(line["failure"], failure, "{sent}: {line}");
        let told = line["detail"].as_str().unwrap_or_default();
        assert!(!told.is_empty() && told.contains(detail), "{sent}: {line}");
        let shown = line["target"].as_str();
        assert_eq!(shown.is_some(), target.is_some(), "{sent}: {line}");
        assert!(
            shown
                .unwrap_or_default()
                .starts_with(target.unwrap_or_default()),
            "{sent}: {line}"
        );
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_client_that_leaves_is_logged_as_that_and_never_as_served() {
    let gate = Gate::new();
    let until = gate.clone();
    let origin = Origin::start(move |request, conn: &mut Conn| {
        if request.target == "/waiting" {
            until.pass();
            return conn.reply(request, &reply(200));
        }
        conn.write(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        conn.chunk("1984");
        conn.await_close();
    });
    let logged = Logged::start(Gateway::before(&origin));
    let mut waiting = logged.gateway.client();
    waiting.start(&get("/waiting"));
    origin.await_requests(1);
    waiting.reset();
    let line = logged.line(0);
    assert_eq!(
        (&line["status"], &line["failure"]),
        (&499.into(), &"client_gone".into()),
        "{line}"
    );

    let mut reading = logged.gateway.client();
    let mut answer = reading.open(&get("/reading"));
    assert_eq!(answer.until(4), b"1984");
    answer.abandon();
    reading.reset();
    let line = logged.line(1);
    assert_eq!(
        (&line["status"], &line["failure"]),
        (&200.into(), &"client_gone".into()),
        "{line}"
    );
    gate.open();
}

#[test]
fn a_response_that_comes_in_pieces_and_is_read_to_its_end_has_no_failure() {
    let gate = Gate::new();
    let until = gate.clone();
    let origin = Origin::start(move |_, conn: &mut Conn| {
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 200000\r\n\r\n";
        conn.write(head);
        conn.write(vec![b'x'; 100_000]);
        until.pass();
        conn.write(vec![b'x'; 100_000]);
    });
    let logged = Logged::start(Gateway::before(&origin));
    let mut client = logged.gateway.client();
    let mut answer = client.open(&get("/books"));
    answer.until(1000);
    gate.open();
    assert_eq!(answer.finish().expect(200).body.len(), 200_000);
    let line = logged.line(0);
    assert_eq!(line.get("failure"), None, "{line}");
    assert!(
        line["cache"]
            .as_str()
            .unwrap_or_default()
            .contains("stored"),
        "{line}"
    );
    assert_eq!(line["bytes"], 200_000);
}

#[test]
fn a_response_that_broke_off_is_not_said_to_be_stored() {
    let origin = Origin::start(|_, conn: &mut Conn| {
        conn.write(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\n1984",
        );
        conn.close();
    });
    let logged = Logged::start(Gateway::before(&origin));
    let answer = logged.gateway.get("/books");
    assert_ne!(answer.end, End::Complete, "{answer:?}");
    let line = logged.line(0);
    let cache = line["cache"].as_str().unwrap_or_default();
    assert!(
        cache.contains("fwd=uri-miss") && !cache.contains("stored"),
        "{line}"
    );
    assert_eq!(line["failure"], "response_incomplete");
}

#[test]
fn the_line_is_about_the_client_that_a_trusted_proxy_names() {
    let origin = Origin::answering(reply(200));
    let setup = Gateway::before(&origin).server("trusted_proxies = ['127.0.0.1']");
    let logged = Logged::start(setup);
    logged
        .gateway
        .send(&get("/books").field("X-Forwarded-For", "192.0.2.7"))
        .expect(200);
    assert_eq!(logged.line(0)["client"], "192.0.2.7");
    let refused = get("/books")
        .field("X-Forwarded-For", "192.0.2.8")
        .field("Host", "a b");
    logged.gateway.send(&refused).expect(400);
    assert_eq!(logged.line(1)["client"], "192.0.2.8");
    // Who is not behind a proxy cannot name another.
    logged.gateway.get("/books").expect(200);
    assert_eq!(logged.line(2).get("client"), None);
}

#[test]
fn some_hits_stand_for_all_and_a_route_may_have_lines_for_errors_alone() {
    let origin = Origin::start(|request, conn| {
        let status = match request.target.ends_with("fails") {
            true => 500,
            false => 200,
        };
        let reply = reply(status).field("Cache-Control", "max-age=60");
        conn.reply(request, &reply.body("1984"));
    });
    let setup = Gateway::before(&origin)
        .workers(1)
        .log("access_hits = 4")
        .route("/quiet/{*rest}", "access_log = false")
        .route("/books/{id}", "");
    let logged = Logged::start(setup);
    // A miss, and nine hits of which the first, the fifth and the ninth have lines.
    for _ in 0..10 {
        logged.gateway.get("/books/1").expect(200);
    }
    for target in ["/quiet/1", "/quiet/1", "/quiet/fails", "/end"] {
        logged.gateway.get(target);
    }
    logged.line(5);
    let lines = logged.lines();
    let said = |name: &str| -> Vec<_> {
        let lines = lines.iter();
        lines
            .map(|line| line[name].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    assert_eq!(
        said("target"),
        [
            "/books/1",
            "/books/1",
            "/books/1",
            "/books/1",
            "/quiet/fails",
            "/end"
        ]
    );
    assert_eq!(
        said("route"),
        [
            "/books/{id}",
            "/books/{id}",
            "/books/{id}",
            "/books/{id}",
            "/quiet/{*rest}",
            "(default)"
        ]
    );
    let hits = said("cache")
        .iter()
        .filter(|cache| cache.contains("hit"))
        .count();
    assert_eq!(hits, 3);
}
