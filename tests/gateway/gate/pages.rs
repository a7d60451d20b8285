//! Pages of other origins (CORS): what they may read, and their preflights.

use crate::common::{Answer, Gateway, Origin, Request, get, head, post, reply, request};

/// A request of a page of this origin.
fn from(origin: &str, request: Request) -> Request {
    request.field("Origin", origin)
}

pub(super) fn preflight(origin: &str, method: &str, target: &str) -> Request {
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

pub(super) const APP: &str = "https://app.example.org";

/// The fields of CORS of an answer, and Vary.
pub(super) fn cors_of(answer: &Answer) -> String {
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
