//! What stands before the cache: networks that may ask, here; answers of the gateway's own; users; pages of other origins.

mod answers;
mod pages;
mod users;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use self::pages::APP;
use self::users::{HASH, users};
use crate::common::{Gateway, Origin, Request, Setup, get, head, http2, post, reply};

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
