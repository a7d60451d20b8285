//! Users and tokens: who asks.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::api;
use crate::common::{Gateway, Origin, Request, get, head, post, reply};

/// The hash of "sesame".
pub(super) const HASH: &str = "$2y$04$abcdefghijklmnopqrstuuinwY/tkBVrn3xrxQI/TgnMHhkvl85RW";

pub(super) fn basic(user: &str, password: &str, request: Request) -> Request {
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    request.field("Authorization", format!("Basic {credentials}"))
}

pub(super) fn bearer(token: &str, request: Request) -> Request {
    request.field("Authorization", format!("Bearer {token}"))
}

/// A file of users in a folder that lasts as long as the test.
pub(super) fn users(lines: &str) -> (tempfile::TempDir, String) {
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
