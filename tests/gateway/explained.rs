//! `explain`: why a URL is not answered from the store, in words, and what to change; for requests that nobody has sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bookend::semantics::reasons::REASONS;
use serde_json::Value;

use crate::common::{Client, Gateway, Origin, Reply, Request, Setup, get, post, reply};

/// What the gateway says of a request; the fields are those of the hypothetical one.
fn explain(gateway: &Gateway, method: &str, target: &str, fields: &[(&str, &str)]) -> Value {
    let encoded = |text: &str| -> String {
        let octets = text.bytes().map(|octet| format!("%{octet:02X}"));
        octets.collect()
    };
    let url = encoded(&format!("{}{target}", gateway.url()));
    let fields = fields
        .iter()
        .map(|(name, value)| format!("&header={}", encoded(&format!("{name}: {value}"))));
    let fields: String = fields.collect();
    let query = format!("/explain?url={url}&method={method}{fields}");
    let answer = Client::to(gateway.admin_addr()).get(&query).expect(200);
    serde_json::from_str(&answer.text()).expect("JSON")
}

fn with(target: &str, fields: &[(&str, &str)]) -> Request {
    let plain = get(target);
    let mut fields = fields.iter();
    fields
        .try_fold(plain, |request, (name, value)| {
            Some(request.field(name, value))
        })
        .expect("a request")
}

struct Row {
    target: &'static str,
    /// Of the request.
    fields: &'static [(&'static str, &'static str)],
    /// The token of the reason.
    reason: &'static str,
    /// A part of the cure, which is applied then.
    cure: &'static str,
}

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    Row { target: "/books?q=new", fields: &[], reason: "no-store", cure: "Have the API leave it out" },
    Row { target: "/books/1", fields: &[], reason: "private", cure: "Have the API say `public`" },
    Row { target: "/books/2", fields: &[], reason: "never-reusable", cure: "Have the API send `Cache-Control: max-age` or an ETag" },
    Row { target: "/books/3", fields: &[], reason: "vary-any", cure: "Have the API name the request fields" },
    Row { target: "/books/4/cover", fields: &[], reason: "unverified-end", cure: "Have the API send `Content-Length` or chunks" },
    Row { target: "/books/5", fields: &[], reason: "no-cache", cure: "Have the API send `max-age` in its place" },
    Row { target: "/books/6", fields: &[("Authorization", "Bearer a")], reason: "authorization", cure: "Have the API say `public` or `s-maxage`" },
    Row { target: "/session/books", fields: &[], reason: "set-cookie", cure: "set `set_cookie = \"strip\"` on the route" },
    Row { target: "/books/7/text", fields: &[], reason: "too-large", cure: "Raise `max_stored_body` on the route" },
    Row { target: "/shelves", fields: &[], reason: "route", cure: "Remove `bypass` from the route" },
    Row { target: "/latest", fields: &[], reason: "not-cacheable", cure: "set `ttl` and `statuses` on the route" },
    Row { target: "/reviews", fields: &[("Cache-Control", "no-cache")], reason: "request", cure: "leave it out of `honour` on the route" },
];

/// The API, before and after what is wrong with its responses was corrected.
fn answer(target: &str, is_cured: bool) -> Reply {
    let control = |before: &str, after: &str| {
        let control = if is_cured { after } else { before };
        match control {
            "" => reply(200).body("a book"),
            control => reply(200).field("Cache-Control", control).body("a book"),
        }
    };
    match target {
        "/books?q=new" => control("no-store", "max-age=60"),
        "/books/1" => control("private", "public, max-age=60"),
        "/books/2" => control("", "max-age=60"),
        "/books/3" if is_cured => control("", "max-age=60").field("Vary", "Accept"),
        "/books/3" => control("max-age=60", "").field("Vary", "*"),
        "/books/4/cover" if is_cured => control("", "max-age=60"),
        "/books/4/cover" => control("max-age=60", "").until_close(),
        "/books/5" => control("no-cache", "max-age=60").field("ETag", "\"5\""),
        "/books/6" => control("max-age=60", "public, max-age=60"),
        "/session/books" => control("max-age=60", "max-age=60").field("Set-Cookie", "a=b"),
        "/books/7/text" => control("max-age=60", "max-age=60").body("x".repeat(2_000)),
        "/latest" => reply(302).field("Location", "/books/9"),
        _ => control("max-age=60", "max-age=60"),
    }
}

fn setup(origin: &Origin, is_cured: bool) -> Setup {
    let setup = Gateway::before(origin);
    let lines = |before: &'static str, after: &'static str| if is_cured { after } else { before };
    setup
        .route("/session/{*rest}", lines("", "set_cookie = 'strip'"))
        .route(
            "/books/{id}/text",
            lines("max_stored_body = 1000", "max_stored_body = '1MiB'"),
        )
        .route("/shelves", lines("bypass = true", ""))
        .route("/latest", lines("", "ttl = '1m'\nstatuses = 302"))
        .route("/reviews", lines("", "honour = ['no-store']"))
}

#[test]
fn twelve_urls_are_uncached_for_twelve_reasons_and_cached_once_their_cures_are_applied() {
    let is_cured = Arc::new(AtomicBool::new(false));
    let cured = is_cured.clone();
    let origin = Origin::start(move |request, conn| {
        conn.reply(
            request,
            &answer(&request.target, cured.load(Ordering::SeqCst)),
        );
    });
    let gateway = setup(&origin, false).start();
    for Row {
        target,
        fields,
        reason,
        cure,
    } in &ROWS
    {
        for _ in 0..2 {
            let answer = gateway.send(&with(target, fields));
            assert!(!answer.is_hit(), "{target}: {answer:#?}");
            gateway.await_no_fills();
        }
        let explained = explain(&gateway, "GET", target, fields);
        let now = &explained["now"];
        assert_eq!(now["reason"], *reason, "{target}: {explained:#}");
        let known = REASONS.iter().find(|known| {
            let why = now["why"].as_str().expect("words");
            known.token == *reason && why.starts_with(known.sentence)
        });
        assert!(known.is_some(), "{target}: {explained:#}");
        let change = explained["change"][0].as_str().unwrap_or_default();
        assert!(change.contains(cure), "{target}: {explained:#}");
        println!(
            "GET {target}\n  {}\n  {change}",
            now["why"].as_str().unwrap_or_default()
        );
    }
    is_cured.store(true, Ordering::SeqCst);
    gateway.reload(&setup(&origin, true));
    for Row { target, fields, .. } in &ROWS {
        gateway.send(&with(target, fields));
        gateway.await_no_fills();
        let explained = explain(&gateway, "GET", target, fields);
        assert_eq!(explained["now"]["result"], "hit", "{target}: {explained:#}");
        let answer = gateway.send(&with(target, fields));
        assert!(answer.is_hit(), "{target}: {answer:#?}");
    }
}

#[test]
fn what_is_explained_is_what_then_happens_and_nothing_changes_by_it() {
    let origin = Origin::start(|request, conn| {
        let answer = match &*request.target {
            "/varied" => reply(200)
                .field("Cache-Control", "max-age=60")
                .field("Vary", "Accept-Language"),
            "/private" => reply(200).field("Cache-Control", "private"),
            "/checked" => reply(200)
                .field("Cache-Control", "no-cache")
                .field("ETag", "\"a\""),
            "/grace" => reply(200).field("Cache-Control", "max-age=10, stale-while-revalidate=60"),
            _ => reply(200).field("Cache-Control", "max-age=60"),
        };
        conn.reply(request, &answer.body("1984"));
    });
    let gateway = Gateway::before(&origin)
        .manual_clock()
        .workers(1)
        .route("/staff/{*rest}", "respond = { status = 503 }")
        .route("/through", "bypass = true")
        .start();
    let german = [("Accept-Language", "de")];
    for target in ["/plain", "/private", "/checked", "/grace"] {
        gateway.get(target);
    }
    gateway.send(&with("/varied", &german));
    gateway.await_no_fills();
    gateway.advance(Duration::from_secs(11));
    #[rustfmt::skip]
    let table: &[(&str, &str, &[(&str, &str)], &str, &str)] = &[
        // method, target, fields, result, how Cache-Status begins
        ("GET", "/plain", &[], "hit", "bookend; hit; ttl=49"),
        ("HEAD", "/plain", &[], "hit", "bookend; hit; ttl=49"),
        ("GET", "/plain", &[("Cache-Control", "no-cache")], "validate", "bookend; fwd=request"),
        ("GET", "/plain", &[("If-Match", "\"a\"")], "pass", "bookend; fwd=request"),
        ("GET", "/varied", &german, "hit", "bookend; hit; ttl=49"),
        ("GET", "/varied", &[], "miss", "bookend; fwd=vary-miss"),
        ("GET", "/private", &[], "miss", "bookend; fwd=uri-miss"),
        ("GET", "/checked", &[], "validate", "bookend; fwd=stale; detail=no-cache"),
        ("GET", "/new", &[], "miss", "bookend; fwd=uri-miss"),
        ("GET", "/newer", &[("Cache-Control", "only-if-cached")], "error", "bookend; detail=only-if-cached"),
        ("HEAD", "/new-head", &[], "pass", "bookend; fwd=uri-miss"),
        ("GET", "/through", &[], "pass", "bookend; fwd=bypass"),
        ("OPTIONS", "/plain", &[], "pass", "bookend; fwd=method"),
        ("GET", "/staff/1", &[], "own", "bookend; detail=responded"),
        ("GET", "/grace", &[], "stale", "bookend; hit; ttl=-1; detail=stale-while-revalidate"),
        ("POST", "/varied", &[], "pass", "bookend; fwd=method"),
    ];
    for (method, target, fields, result, status) in table {
        let requests = origin.count();
        let counted = || {
            gateway.sum(|counters| {
                counters.hits.value()
                    + counters.misses.value()
                    + counters.passes.value()
                    + counters.direct.value()
            })
        };
        let before = (counted(), gateway.stored());
        let explained = explain(&gateway, method, target, fields);
        let again = explain(&gateway, method, target, fields);
        assert_eq!(explained, again, "{target}: it changes nothing");
        assert_eq!((counted(), gateway.stored()), before, "{method} {target}");
        assert_eq!(origin.count(), requests, "{method} {target}");
        let now = &explained["now"];
        assert_eq!(now["result"], *result, "{method} {target}: {explained:#}");
        let told = now["cache_status"].as_str().expect("a status");
        assert!(told.starts_with(status), "{method} {target}: {told}");
        let request = match *method {
            "POST" => post(target, ""),
            _ => crate::common::request(method, target),
        };
        let mut sent = request;
        for (name, value) in *fields {
            sent = sent.field(name, value);
        }
        let answer = gateway.send(&sent);
        gateway.await_no_fills();
        let real = answer.cache_status();
        let first = |text: &str| text.split("; ").nth(1).map(str::to_owned);
        assert_eq!(first(&real), first(told), "{method} {target}: {real}");
    }
    let other = explain(&gateway, "GET", "/grace", &[]);
    assert!(
        other["rules"]
            .as_array()
            .is_some_and(|rules| rules.len() > 5),
        "{other:#}"
    );
}

#[test]
fn the_latest_outcome_is_remembered_also_of_what_is_not_stored() {
    let origin = Origin::start(|request, conn| match &*request.target {
        "/broken" => {
            conn.write(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\nshort",
            );
            conn.close();
        }
        "/secret" => conn.reply(request, &reply(200).field("Cache-Control", "max-age=60")),
        _ => conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        ),
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    let own = [("Cookie", "session=1")];
    gateway.get("/broken");
    for _ in 0..3 {
        gateway.send(&with("/secret", &own)).expect(200);
    }
    gateway.get("/books").expect(200);
    gateway.await_no_fills();
    gateway.apply(&bookend::ledger::invalidation::Invalidation::hard(vec![
        bookend::ledger::invalidation::Matcher::All,
    ]));
    gateway.advance(Duration::from_secs(12));
    for (target, fields, outcome, reason, words) in [
        (
            "/broken",
            &[][..],
            "not-stored",
            Some("broken-off"),
            "broke off",
        ),
        (
            "/secret",
            &own,
            "not-stored",
            Some("credentials"),
            "came 12 s ago",
        ),
        (
            "/books",
            &[],
            "stored",
            None,
            "Since then it was evicted, purged, or changed by a write.",
        ),
    ] {
        let explained = explain(&gateway, "GET", target, fields);
        let latest = &explained["latest"];
        assert_eq!(latest["outcome"], outcome, "{explained:#}");
        assert_eq!(latest["reason"].as_str(), reason, "{explained:#}");
        assert_eq!(latest["seconds_ago"], 12, "{explained:#}");
        let why = explained["now"]["why"].as_str().expect("words");
        assert!(why.contains(words), "{target}: {why}");
    }
    let counted = explain(&gateway, "GET", "/secret", &own);
    assert_eq!(counted["latest"]["count"], 3);
    // Where the URL is a path alone, the host that was asked for is meant.
    let answer = Client::to(gateway.admin_addr())
        .get("/explain?url=/secret")
        .expect(200);
    let by_path: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(by_path["target"], format!("{}/secret", gateway.url()));
    assert_eq!(by_path["latest"]["reason"], "credentials", "{by_path:#}");
    origin.stop();
    gateway.get("/gone").expect(502);
    let failed = explain(&gateway, "GET", "/gone", &[]);
    assert_eq!(
        failed["latest"]["error"], "connection_refused",
        "{failed:#}"
    );
    let why = failed["now"]["why"].as_str().expect("words");
    assert!(why.contains("`connection_refused`"), "{why}");
}

#[test]
fn each_value_of_the_policy_has_its_place_in_the_file() {
    let origin = Origin::answering(reply(200));
    let gateway = Gateway::before(&origin)
        .cache("ttl = '1m'")
        .route("/books/{id}", "etag = 'missing'\ntiers = []")
        .start();
    let explained = explain(&gateway, "GET", "/books/1", &[]);
    let policy = explained["policy"].as_array().expect("a list");
    let of = |name: &str| {
        let value = policy
            .iter()
            .find(|value| value["name"] == name)
            .expect(name);
        (
            value["section"].as_str(),
            value["at"].is_null(),
            value["value"].as_str().unwrap_or_default(),
        )
    };
    assert_eq!(
        of("ttl"),
        (
            Some("[cache]"),
            false,
            "1m (200, 203, 301, 308, 410) where the API gives no lifetime"
        )
    );
    assert_eq!(of("etag"), (Some("[[route]]"), false, "missing"));
    assert_eq!(of("tiers"), (Some("[[route]]"), false, "memory alone"));
    assert_eq!(of("bypass"), (None, true, "false"));
    let at = explained["route_at"].as_str().expect("a place");
    assert!(at.starts_with("the test:"), "{at}");
}
