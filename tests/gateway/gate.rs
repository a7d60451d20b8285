//! What stands before the cache: networks that may ask, and answers of the gateway's own.

use std::fs;
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::common::{
    Answer, Gateway, Origin, Request, Setup, get, head, http2, post, reply, request,
};

fn api() -> Origin {
    Origin::start(|request, conn| {
        let said = reply(200).field("Cache-Control", "max-age=60");
        conn.reply(request, &said.body(format!("api {}", request.target)));
    })
}

/// A request of a client whose address a trusted proxy tells.
fn of(client: &str, request: Request) -> Request {
    request.field("X-Forwarded-For", client)
}

fn behind_a_proxy(origin: &Origin) -> Setup {
    Gateway::before(origin).server("trusted_proxies = ['127.0.0.0/8']")
}

#[test]
fn networks_are_asked_before_the_cache_and_in_every_spelling_of_a_path() {
    let origin = api();
    let gateway = behind_a_proxy(&origin)
        .route(
            "/staff/{*rest}",
            "allow = ['10.0.0.0/8', '2001:db8::/32']\ndeny = '10.9.0.0/16'",
        )
        .route("/open/{*rest}", "ttl = '1m'")
        .start();
    // The stored response is for nobody else.
    gateway.send(&of("10.1.2.3", get("/staff/1"))).expect(200);
    assert!(gateway.send(&of("10.1.2.3", get("/staff/1"))).is_hit());
    let before = origin.count();
    for (client, target, status) in [
        ("10.1.2.3", "/staff/1", 200),
        ("::ffff:10.1.2.3", "/staff/1", 200),
        ("2001:db8::1", "/staff/1", 200),
        ("10.9.2.3", "/staff/1", 403),
        ("::ffff:10.9.2.3", "/staff/1", 403),
        ("192.0.2.1", "/staff/1", 403),
        ("192.0.2.1, 10.1.2.3", "/staff/1", 200),
        ("10.1.2.3, 192.0.2.1", "/staff/1", 403),
        ("192.0.2.1", "/%73taff/1", 403),
        ("192.0.2.1", "/staff%2F1", 403),
        ("192.0.2.1", "//staff/1", 403),
        ("192.0.2.1", "/staff;x/1", 403),
    ] {
        let answer = gateway.send(&of(client, get(target)));
        assert_eq!(answer.status, status, "{client} {target}");
        if status == 403 {
            assert!(
                answer.text().contains("\"error\":\"address_denied\""),
                "{}",
                answer.text()
            );
            assert!(answer.says("detail=refused"), "{}", answer.cache_status());
        }
    }
    assert_eq!(origin.count(), before, "none of them reached the API");
    // A HEAD, a write and a condition are refused alike.
    for request in [
        head("/staff/1"),
        post("/staff/1", "a"),
        get("/staff/1").field("If-None-Match", "*"),
        get("/staff/1").field("Range", "bytes=0-0"),
        get("/staff/1")
            .field("Connection", "upgrade")
            .field("Upgrade", "websocket"),
    ] {
        gateway.send(&of("192.0.2.1", request)).expect(403);
    }
    gateway.send(&of("192.0.2.1", get("/open/1"))).expect(200);
    gateway.send(&of("10.1.2.3", get("/staff%2F1"))).expect(200);
    assert_eq!(
        gateway.metric("bookend_errors_total{error=\"address_denied\"}"),
        13
    );
}

#[test]
fn refused_requests_count_for_rate_limits() {
    let origin = api();
    let limit = "rate_limit = { requests = 2, per = '1h' }";
    let gateway = Gateway::before(&origin)
        .route("/staff", &format!("deny = '127.0.0.0/8'\n{limit}"))
        .manual_clock()
        .start();
    let statuses = [(); 3].map(|()| gateway.get("/staff").status);
    assert_eq!(statuses, [403, 403, 429]);
}

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

/// The hash of "sesame".
const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";

fn basic(user: &str, password: &str, request: Request) -> Request {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    request.field("Authorization", format!("Basic {credentials}"))
}

fn bearer(token: &str, request: Request) -> Request {
    request.field("Authorization", format!("Bearer {token}"))
}

/// A file of users in a folder that lasts as long as the test.
fn users(lines: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users.htpasswd");
    fs::write(&file, lines).expect("written");
    let path = file.display().to_string();
    (folder, path)
}

#[test]
fn each_request_says_who_it_is_hits_too() {
    let origin = api();
    let (_folder, file) = users(&format!("alice:{HASH}\nb\u{f6}b:{HASH}\n"));
    let gateway = Gateway::before(&origin)
        .route(
            "/users/{*rest}",
            &format!("auth = {{ basic_file = '{file}', realm = 'Staff' }}"),
        )
        .route("/tokens/{*rest}", "auth = { bearer = ['abc', 'def'] }")
        .route(
            "/both/{*rest}",
            &format!("auth = {{ basic_file = '{file}', bearer = 'abc' }}"),
        )
        .start();
    for target in ["/users/1", "/both/1"] {
        gateway
            .send(&basic("alice", "sesame", get(target)))
            .expect(200);
    }
    gateway.send(&bearer("abc", get("/tokens/1"))).expect(200);
    let before = origin.count();
    let staff = "Basic realm=\"Staff\", charset=\"UTF-8\"";
    let (missing, wrong) = (
        "Bearer realm=\"api\"",
        "Bearer realm=\"api\", error=\"invalid_token\"",
    );
    let both = "Basic realm=\"api\", charset=\"UTF-8\", Bearer realm=\"api\"";
    for (request, challenge) in [
        (basic("alice", "sesame", get("/users/1")), ""),
        (basic("b\u{f6}b", "sesame", get("/users/1")), ""),
        (basic("alice", "sesame", get("/both/1")), ""),
        (bearer("abc", get("/both/1")), ""),
        (bearer("def", get("/tokens/1")), ""),
        (get("/users/1"), staff),
        (basic("alice", "wrong", get("/users/1")), staff),
        (basic("alice", "", get("/users/1")), staff),
        (basic("", "sesame", get("/users/1")), staff),
        (basic("carol", "sesame", get("/users/1")), staff),
        (bearer("abc", get("/users/1")), staff),
        (
            basic("alice", "sesame", basic("alice", "sesame", get("/users/1"))),
            staff,
        ),
        (
            get("/users/1").field("Authorization", "Digest username=alice"),
            staff,
        ),
        (get("/users/1").field("Cookie", "a=b"), staff),
        (get("/tokens/1"), missing),
        (bearer("ab", get("/tokens/1")), wrong),
        (bearer("abcd", get("/tokens/1")), wrong),
        (basic("alice", "sesame", get("/tokens/1")), wrong),
        (get("/both/1"), both),
        // No spelling, method or condition leads past it.
        (head("/users/1"), staff),
        (post("/users/1", "a"), staff),
        (get("/users%2F1"), staff),
        (get("//users/1"), staff),
        (get("/users/1").field("If-None-Match", "*"), staff),
        (get("/users/1").field("Range", "bytes=0-0"), staff),
        (get("/users/1").field("Connection", "authorization"), staff),
        (
            basic("alice", "wrong", get("/users/1"))
                .field("Connection", "upgrade")
                .field("Upgrade", "websocket"),
            staff,
        ),
    ] {
        let what = format!(
            "{} {} {:?}",
            request.method,
            request.target,
            request.fields.get("authorization")
        );
        let answer = gateway.send(&request);
        assert_eq!(
            answer.status,
            if challenge.is_empty() { 200 } else { 401 },
            "{what}"
        );
        assert_eq!(answer.list("www-authenticate"), challenge, "{what}");
        assert_eq!(
            answer.is_hit(),
            challenge.is_empty(),
            "{what}: {}",
            answer.cache_status()
        );
        if !challenge.is_empty() {
            assert!(
                answer.says("detail=unauthorized"),
                "{what}: {}",
                answer.cache_status()
            );
        }
    }
    // One response was stored for each, and none of the refused requests reached the API.
    assert_eq!((before, origin.count()), (3, 3));
    assert_eq!(
        gateway.metric("bookend_errors_total{error=\"unauthorized\"}"),
        22
    );
}

#[test]
fn what_the_gateway_has_consumed_is_no_credential_further_on() {
    let origin = Origin::start(|request, conn| {
        let shared = reply(200)
            .field("Cache-Control", "public, max-age=60, s-maxage=90")
            .field("CDN-Cache-Control", "public, max-age=9")
            .field("Cloudflare-CDN-Cache-Control", "public, max-age=9")
            .field("Surrogate-Control", "max-age=9")
            .field("X-Edge-Lifetime", "max-age=9")
            .field("Expires", "Thu, 01 Jan 2099 00:00:00 GMT");
        let private = reply(200).field("Cache-Control", "max-age=60");
        let said = if request.target.ends_with("public") {
            shared
        } else {
            private
        };
        conn.reply(
            request,
            &said.body(format!("{:?}", request.fields.get("authorization"))),
        );
    });
    let gateway = Gateway::before(&origin)
        .route(
            "/own/{*rest}",
            "auth = { bearer = ['abc', 'def'] }\ntargeted_fields = 'X-Edge-Lifetime'",
        )
        .route(
            "/forward/{*rest}",
            "auth = { bearer = ['abc', 'def'], forward = true }",
        )
        .start();
    // Target, whether the API sees it, and whether the second user gets what the first one fetched.
    for (target, seen, shared) in [
        ("/own/1", "None", true),
        ("/own/public", "None", true),
        ("/forward/1", "Some(\"Bearer abc\")", false),
        ("/forward/public", "Some(\"Bearer abc\")", true),
    ] {
        let first = gateway.send(&bearer("abc", get(target))).expect(200);
        assert_eq!(first.text(), seen, "{target}");
        let second = gateway.send(&bearer("def", get(target))).expect(200);
        assert_eq!(
            second.is_hit(),
            shared,
            "{target}: {}",
            second.cache_status()
        );
        for answer in [first, second] {
            assert_eq!(
                answer.list("cache-control"),
                "max-age=60, private",
                "{target}"
            );
            for name in [
                "cdn-cache-control",
                "cloudflare-cdn-cache-control",
                "surrogate-control",
            ] {
                assert_eq!(answer.field(name), None, "{target} {name}");
            }
            let own = answer.field("x-edge-lifetime").is_some();
            assert_eq!(own, target == "/forward/public", "{target}");
            let expires = answer.field("expires").is_some();
            assert_eq!(expires, target.ends_with("public"), "{target}");
        }
    }
    // A cookie that comes along is still one.
    let with_cookie = |cookie: &str| bearer("abc", get("/own/2")).field("Cookie", cookie);
    gateway.send(&with_cookie("a")).expect(200);
    assert!(!gateway.send(&with_cookie("b")).is_hit());
    // Nor is a write's, and what it invalidates is fetched again.
    let written = gateway
        .send(&bearer("abc", post("/own/1", "a")))
        .expect(200);
    assert_eq!(written.text(), "None");
    assert!(!gateway.send(&bearer("abc", get("/own/1"))).is_hit());
}

#[test]
fn users_are_those_of_the_file_at_the_latest_reload() {
    let origin = api();
    let (folder, file) = users(&format!("alice:{HASH}\n"));
    let log = folder.path().join("access.log");
    let setup = || {
        Gateway::before(&origin)
            .cache(&format!("auth = {{ basic_file = '{file}' }}"))
            .route("/open", "auth = 'off'")
            .access_log(&log)
    };
    let gateway = setup().start();
    let asked = |user: &str, target: &str| gateway.send(&basic(user, "sesame", get(target))).status;
    assert_eq!([asked("alice", "/"), asked("bob", "/")], [200, 401]);
    fs::write(&file, format!("bob:{HASH}\n")).expect("written");
    assert_eq!([asked("alice", "/"), asked("bob", "/")], [200, 401]);
    gateway.reload(&setup());
    assert_eq!([asked("alice", "/"), asked("bob", "/")], [401, 200]);
    assert_eq!(gateway.get("/open").status, 200);
    // Those that were let in are named in the log, whether their password was verified then or before.
    drop(gateway);
    let lines = fs::read_to_string(&log).expect("a log");
    let user = |line: &str| {
        let read: serde_json::Value = serde_json::from_str(line).expect("an object");
        read["user"].as_str().unwrap_or("-").to_owned()
    };
    let users: Vec<_> = lines.lines().map(user).collect();
    assert_eq!(users, ["alice", "-", "alice", "-", "-", "bob", "-"]);
}

#[test]
fn a_worker_goes_on_while_a_password_is_verified() {
    let origin = api();
    // crypt(3) with 100000 rounds of SHA-512.
    let slow = "$6$rounds=100000$saltsalt$fg/co5pm8Z6I6KixNH1wx5KEbCFuHyYnX/sf0MOVG1a.umxfMdLd5SiF9jh1MyUcG5TzjbsR1UufTXIBzzlXr0";
    let (_folder, file) = users(&format!("alice:{slow}\n"));
    let gateway = Gateway::before(&origin)
        .workers(1)
        .route("/slow", &format!("auth = {{ basic_file = '{file}' }}"))
        .start();
    gateway.get("/").expect(200);
    let mut client = gateway.client();
    client.start(&basic("alice", "sesame", get("/slow")));
    gateway.await_sum(1, |counters| counters.in_flight.value());
    assert!(gateway.get("/").is_hit());
    assert_eq!(
        gateway.sum(|counters| counters.in_flight.value()),
        1,
        "it is still being verified"
    );
    client.answer("GET").finish().expect(200);
    // The next time, it is known.
    assert!(
        gateway
            .send(&basic("alice", "sesame", get("/slow")))
            .is_hit()
    );
}

/// A request of a page of this origin.
fn from(origin: &str, request: Request) -> Request {
    request.field("Origin", origin)
}

fn preflight(origin: &str, method: &str, target: &str) -> Request {
    from(origin, request("OPTIONS", target)).field("Access-Control-Request-Method", method)
}

/// An API that does CORS of its own, and says what it got.
fn cors_api() -> Origin {
    Origin::start(|request, conn| {
        let origin = request.fields.get("origin").unwrap_or("none");
        let said = match request.target.ends_with("varies") {
            true => reply(200).field("Vary", "Origin"),
            false => reply(200),
        };
        let said = said
            .field("Cache-Control", "max-age=60")
            .field("ETag", "\"a\"")
            .field("Access-Control-Allow-Origin", "https://old.example")
            .field("Access-Control-Allow-Credentials", "true")
            .field("Access-Control-Max-Age", "5");
        conn.reply(request, &said.body(format!("{} {origin}", request.method)));
    })
}

const APP: &str = "https://app.example.org";

/// The fields of CORS of an answer, and Vary.
fn cors_of(answer: &Answer) -> String {
    let fields = [
        ("origin", "access-control-allow-origin"),
        ("credentials", "access-control-allow-credentials"),
        ("expose", "access-control-expose-headers"),
        ("methods", "access-control-allow-methods"),
        ("headers", "access-control-allow-headers"),
        ("age", "access-control-max-age"),
        ("vary", "vary"),
    ];
    let said = fields
        .into_iter()
        .filter(|(_, name)| answer.fields.has(name));
    let said: Vec<_> = said
        .map(|(short, name)| format!("{short}: {}", answer.list(name)))
        .collect();
    said.join("; ")
}

#[test]
fn pages_read_what_their_origin_may_and_one_response_is_stored_for_all() {
    let origin = cors_api();
    let gateway = Gateway::before(&origin)
        .route("/one/{*rest}", "cors = { origins = ['https://app.example.org', 'https://*.dev.example.org'], expose = 'X-Total', credentials = true }")
        .route("/all/{*rest}", "cors = { origins = '*' }")
        .route("/own/{*rest}", "")
        .route("/limited", "cors = { origins = '*' }\nrate_limit = { requests = 1, per = '1h' }")
        .route("/down", "cors = { origins = 'https://app.example.org' }\nrespond = { status = 503 }")
        .route("/denied", "cors = { origins = '*' }\ndeny = '127.0.0.0/8'")
        .route("/who", "cors = { origins = '*' }\nauth = { bearer = 'abc' }")
        .route("/gone/{*rest}", "cors = { origins = '*' }\nupstream = 'none'")
        .more("[upstreams.none]\nservers = 'http://127.0.0.1:9'")
        .manual_clock()
        .start();
    let granted =
        "origin: https://app.example.org; credentials: true; expose: x-total; vary: Origin";
    let dev = "origin: https://a.dev.example.org; credentials: true; expose: x-total; vary: Origin";
    let own = "origin: https://old.example; credentials: true; age: 5";
    for (request, status, hit, content, cors) in [
        (from(APP, get("/one/1")), 200, false, "GET none", granted),
        (from(APP, get("/one/1")), 200, true, "GET none", granted),
        (
            from("https://a.dev.example.org", get("/one/1")),
            200,
            true,
            "GET none",
            dev,
        ),
        (
            from("https://evil.example", get("/one/1")),
            200,
            true,
            "GET none",
            "vary: Origin",
        ),
        (
            from("null", get("/one/1")),
            200,
            true,
            "GET none",
            "vary: Origin",
        ),
        (get("/one/1"), 200, true, "GET none", "vary: Origin"),
        (from(APP, head("/one/1")), 200, true, "", granted),
        (
            from(APP, get("/one/1")).field("If-None-Match", "\"a\""),
            304,
            true,
            "",
            granted,
        ),
        (
            from(APP, get("/one/1")).field("Range", "bytes=0-2"),
            206,
            true,
            "GET",
            granted,
        ),
        (
            from(APP, get("/one/1")).field("Range", "bytes=90-"),
            416,
            true,
            "",
            granted,
        ),
        // The API sees who asks for a write, which it may have to check.
        (
            from(APP, post("/one/1", "a")),
            200,
            false,
            "POST https://app.example.org",
            granted,
        ),
        (get("/all/1"), 200, false, "GET none", "origin: *"),
        (from(APP, get("/all/1")), 200, true, "GET none", "origin: *"),
        (get("/one/varies"), 200, false, "GET none", "vary: Origin"),
        (
            from(APP, get("/one/varies")),
            200,
            true,
            "GET none",
            granted,
        ),
        (
            from("https://evil.example", get("/all/1")),
            200,
            true,
            "GET none",
            "origin: *",
        ),
        // Without the key, CORS is the API's.
        (
            from(APP, get("/own/1")),
            200,
            false,
            "GET https://app.example.org",
            own,
        ),
        // Errors of the gateway's own can be read too.
        (
            from(APP, get("/limited")),
            200,
            false,
            "GET none",
            "origin: *",
        ),
        (from(APP, get("/limited")), 429, false, "", "origin: *"),
        (
            from(APP, get("/down")),
            503,
            false,
            "",
            "origin: https://app.example.org; vary: Origin",
        ),
        (from(APP, get("/denied")), 403, false, "", "origin: *"),
        (from(APP, get("/who")), 401, false, "", "origin: *"),
        (from(APP, get("/gone/1")), 502, false, "", "origin: *"),
    ] {
        let what = format!(
            "{} {} {:?}",
            request.method,
            request.target,
            request.fields.get("origin")
        );
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.is_hit()),
            (status, hit),
            "{what}: {}",
            answer.cache_status()
        );
        assert_eq!(cors_of(&answer), cors, "{what}");
        if !content.is_empty() {
            assert_eq!(answer.text(), content, "{what}");
        }
    }
}

#[test]
fn preflights_are_answered_as_the_method_that_they_ask_for() {
    let origin = cors_api();
    let gateway = Gateway::before(&origin)
        .route("/books", &format!("methods = ['PUT', 'DELETE']\nauth = {{ bearer = 'abc' }}\ncors = {{ origins = '{APP}' }}"))
        .route("/listed", &format!("cors = {{ origins = '{APP}', methods = ['PUT', 'PATCH'], headers = ['Content-Type', 'X-A'], credentials = true, max_age = '1h' }}"))
        .route("/all", "cors = { origins = '*' }")
        .route("/own", &format!("cors = {{ origins = '{APP}' }}\nmethods = 'PUT'"))
        .more("[[route]]\nmatch = '/own'\nmethods = 'OPTIONS'\nrespond = { status = 204 }")
        .route("/down", &format!("cors = {{ origins = '{APP}' }}\nrespond = {{ status = 503 }}"))
        .route("/denied", "cors = { origins = '*' }\ndeny = '127.0.0.0/8'")
        .start();
    let vary = "vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let of_app = |rest: &str| format!("origin: {APP}; {rest}; {vary}");
    let put = of_app("methods: PUT; age: 600");
    let listed =
        of_app("credentials: true; methods: PUT, PATCH; headers: content-type, x-a; age: 3600");
    let all = "origin: *; methods: PUT; headers: x-a, content-type; age: 600; vary: Access-Control-Request-Method, Access-Control-Request-Headers";
    let asking = "X-A, bad name, content-type";
    for (request, status, cors, detail) in [
        (preflight(APP, "PUT", "/books"), 204, &*put, "preflight"),
        (
            preflight(APP, "PATCH", "/listed").field("Access-Control-Request-Headers", asking),
            204,
            &listed,
            "preflight",
        ),
        (
            preflight(APP, "PUT", "/all").field(
                "Access-Control-Request-Headers",
                "x-a, bad name,content-type",
            ),
            204,
            all,
            "preflight",
        ),
        (
            preflight("https://evil.example", "PUT", "/books"),
            403,
            "vary: Origin",
            "preflight",
        ),
        (preflight(APP, "PUT", "/down"), 204, &put, "preflight"),
        (
            preflight(APP, "PUT", "/denied"),
            403,
            "origin: *",
            "refused",
        ),
        (preflight(APP, "PUT", "/own"), 204, "", "responded"),
    ] {
        let answer = gateway.send(&request).expect(status);
        assert_eq!(cors_of(&answer), cors, "{}", request.target);
        assert!(
            answer.says(&format!("detail={detail}")),
            "{}",
            answer.cache_status()
        );
    }
    assert_eq!(origin.count(), 0);
    // What is no preflight, or asks for a method of another route, is the API's.
    for request in [
        request("OPTIONS", "/listed"),
        from(APP, request("OPTIONS", "/listed")),
        request("OPTIONS", "/listed").field("Access-Control-Request-Method", "PUT"),
        preflight(APP, "GET", "/books"),
    ] {
        assert!(
            gateway
                .send(&request)
                .expect(200)
                .text()
                .starts_with("OPTIONS")
        );
    }
    assert_eq!(
        gateway.metric("bookend_errors_total{error=\"origin_denied\"}"),
        1
    );
}

#[test]
fn the_gate_is_the_same_over_http2() {
    let origin = api();
    let (_folder, file) = users(&format!("alice:{HASH}\n"));
    let gateway = Gateway::before(&origin)
        .route(
            "/users",
            &format!("auth = {{ basic_file = '{file}' }}\ncors = {{ origins = '{APP}' }}"),
        )
        .route("/down", "respond = { status = 503 }")
        .route("/denied", "deny = '127.0.0.0/8'")
        .start();
    let alice = format!("Basic {}", STANDARD.encode("alice:sesame"));
    let asked = [("origin", APP), ("access-control-request-method", "PUT")];
    let credentials = [("authorization", &*alice), ("origin", APP)];
    for (method, target, fields, status, hit) in [
        ("GET", "/users", &[][..], 401, false),
        ("GET", "/users", &credentials, 200, false),
        ("GET", "/users", &credentials, 200, true),
        ("HEAD", "/users", &credentials, 200, true),
        ("OPTIONS", "/users", &asked, 204, false),
        ("POST", "/down", &[], 503, false),
        ("POST", "/denied", &[], 403, false),
    ] {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{target}", gateway.url()));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let content = if method == "POST" { "content" } else { "" };
        let answer = http2::send(&gateway, request.body(content.into()).expect("a request"))
            .expect("an answer");
        assert_eq!(answer.status(), status, "{method} {target}");
        let cache_status = answer.headers()["cache-status"].to_str().expect("text");
        assert_eq!(
            cache_status.contains("; hit"),
            hit,
            "{method} {target}: {cache_status}"
        );
        if !fields.is_empty() {
            assert_eq!(
                answer.headers()["access-control-allow-origin"],
                APP,
                "{method} {target}"
            );
        }
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_host_has_a_policy_for_all_of_its_paths_that_no_other_route_is_for() {
    let origin = api();
    let gateway = Gateway::before(&origin)
        .more("[[route]]\nhost = 'staff.example.org'\nauth = { bearer = 'abc' }\nttl = '1h'")
        .more("[[route]]\nhost = 'staff.example.org'\nmatch = '/health'\nbypass = true")
        .route("/books", "")
        .start();
    for (host, target, status) in [
        ("staff.example.org", "/", 401),
        ("staff.example.org", "/books", 401),
        ("staff.example.org", "//books", 401),
        ("STAFF.example.org.:80", "/books", 401),
        ("staff.example.org", "/health", 200),
        ("staff.example.org", "/%2Fhealth", 401),
        ("www.example.org", "/", 200),
        ("www.example.org", "/books", 200),
    ] {
        let answer = gateway.send(&get(target).field("Host", host));
        assert_eq!(answer.status, status, "{host} {target}");
    }
}
