//! Fields that Connection names (RFC 9110 §7.6.1): what is removed at a client's word selects nothing, and what is not
//! for one hop is not removed.

use crate::common::{Gateway, Origin, Request, get, reply};

/// An API that tells what it got of `field`, and says that it varies by it.
fn telling(field: &'static str) -> Origin {
    Origin::start(move |request, conn| {
        let got = request.fields.all(field).collect::<Vec<_>>().join(", ");
        let answer = reply(200)
            .field("Vary", field)
            .field("Cache-Control", "max-age=60")
            .body(format!("<{got}>"));
        conn.reply(request, &answer);
    })
}

fn with(lines: &[(&str, &str)]) -> Request {
    lines.iter().fold(get("/a"), |request, (name, value)| {
        request.field(name, value)
    })
}

/// (the field, its value, the Connection lines that name it)
const NAMED: &[(&str, &str, &[&str])] = &[
    ("Accept", "application/json", &["accept"]),
    ("Accept", "application/json", &["ACCEPT"]),
    ("Accept", "application/json", &["close, Accept"]),
    (
        "Accept",
        "application/json",
        &["keep-alive", " , \taccept ,"],
    ),
    ("Accept-Language", "de", &["accept-language"]),
    ("Accept-Encoding", "gzip", &["te, accept-encoding"]),
    ("Accept-Version", "2", &["accept-version"]),
    ("Authorization", "Bearer a", &["authorization"]),
    ("Cookie", "a=b", &["cookie"]),
    ("Origin", "https://a.test", &["origin"]),
    ("User-Agent", "a", &["user-agent"]),
    ("X-Requested-With", "fetch", &["x-requested-with"]),
    ("X-Tenant", "7", &["x-tenant"]),
    ("X-Tenant", "7", &["X-TENANT, x-other"]),
    ("Content-Language", "de", &["content-language"]),
    ("Sec-Fetch-Mode", "cors", &["sec-fetch-mode"]),
    ("Prefer", "return=minimal", &["prefer"]),
    ("HX-Request", "true", &["hx-request"]),
];

#[test]
fn a_field_that_connection_names_gives_nobody_else_another_variant() {
    // The attack: the field is taken away before the API sees it, and what comes is stored for those who send it.
    for (field, value, connection) in NAMED {
        for method in ["GET", "HEAD", "QUERY"] {
            let origin = telling(field);
            let gateway = Gateway::before(&origin).start();
            let mut attack = with(&[(field, value), ("Cache-Control", "no-cache")]);
            attack.method = method.to_owned();
            attack = connection
                .iter()
                .fold(attack, |attack, line| attack.field("Connection", line));
            let what = format!("{method} {field} {connection:?}");
            for _ in 0..2 {
                gateway.send(&attack);
                gateway.await_no_fills();
            }
            let honest = with(&[(field, value)]);
            let answer = gateway.send(&honest).expect(200);
            assert_eq!(answer.text(), format!("<{value}>"), "{what}");
            // Those without the field are not given what it selects either.
            let answer = gateway.get("/a").expect(200);
            assert_eq!(answer.text(), "<>", "{what}");
        }
    }
}

#[test]
fn what_is_for_all_recipients_goes_on_whoever_names_it() {
    let kept = [
        ("Accept", "application/json"),
        ("Accept-Version", "2"),
        ("Authorization", "Bearer a"),
        ("Cache-Control", "no-cache"),
        ("Content-Type", "text/plain"),
        ("Cookie", "a=b"),
        ("Forwarded", "for=192.0.2.1"),
        ("From", "a@b.test"),
        ("If-None-Match", "\"a\""),
        ("If-Match", "\"a\""),
        ("Idempotency-Key", "1"),
        ("Origin", "https://a.test"),
        ("Pragma", "no-cache"),
        ("Priority", "u=1"),
        ("Range", "bytes=0-1"),
        ("Referer", "https://a.test/"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Traceparent", "00-1-2-01"),
        ("User-Agent", "a"),
        ("X-Api-Key", "a"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Prefix", "/p"),
        ("X-HTTP-Method-Override", "PUT"),
        ("X-Real-IP", "192.0.2.1"),
        ("X-Request-ID", "1"),
    ];
    let origin = Origin::answering(reply(200).body("a"));
    let gateway = Gateway::before(&origin)
        .cache("credential_fields = [\"X-Api-Key\"]")
        .start();
    for method in ["GET", "POST"] {
        for (name, value) in kept {
            // A fill has no conditions and no Range of its client's.
            if method == "GET" && matches!(name, "If-None-Match" | "Range" | "Content-Type") {
                continue;
            }
            let mut asked = with(&[(name, value), ("Connection", name)]);
            asked.method = method.to_owned();
            gateway.send(&asked);
            let saw = origin.last().fields;
            assert!(saw.has(name), "{method} {name}: {saw:?}");
        }
    }
}

#[test]
fn host_and_our_own_fields_are_never_taken_away() {
    let origin = Origin::answering(reply(200).body("a"));
    let gateway = Gateway::before(&origin).start();
    let own = [
        "Host",
        "Via",
        "CDN-Loop",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
    ];
    for name in own {
        gateway.send(&with(&[("Connection", name)])).expect(200);
        let saw = origin.last().fields;
        assert!(saw.has(name), "{name}: {saw:?}");
        assert!(!saw.has("connection"), "{name}: {saw:?}");
    }
    // What tells of a loop cannot be hidden either.
    let loops = origin.last().fields.get("cdn-loop").unwrap().to_owned();
    let again = with(&[("CDN-Loop", &loops), ("Connection", "cdn-loop")]);
    assert_eq!(gateway.send(&again).status, 508);
}

#[test]
fn what_is_for_this_hop_goes_no_further() {
    let origin = telling("X-Hop");
    let gateway = Gateway::before(&origin).start();
    let asked = with(&[
        ("X-Hop", "1"),
        ("Connection", "x-hop, keep-alive"),
        ("Keep-Alive", "timeout=5"),
    ]);
    let answer = gateway.send(&asked).expect(200);
    assert_eq!(answer.text(), "<>");
    assert!(!origin.last().fields.has("keep-alive"));
    // It is stored for those who send none.
    assert!(gateway.get("/a").expect(200).is_hit());
    // By now it is known to select a variant, and so it is not for one hop.
    let answer = gateway.send(&asked).expect(200);
    assert_eq!(answer.text(), "<1>");
    assert!(gateway.send(&with(&[("X-Hop", "1")])).expect(200).is_hit());
}

#[test]
fn a_directive_that_connection_names_is_honoured_here_and_sent_on() {
    let origin = telling("X-A");
    let gateway = Gateway::before(&origin).start();
    gateway.get("/a").expect(200);
    let asked = with(&[
        ("Cache-Control", "no-cache"),
        ("Connection", "cache-control"),
    ]);
    assert!(gateway.send(&asked).expect(200).fwd("request"));
    assert_eq!(origin.last().fields.get("cache-control"), Some("no-cache"));
    let asked = with(&[
        ("Cache-Control", "only-if-cached"),
        ("Connection", "cache-control"),
    ]);
    assert!(gateway.send(&asked).expect(200).is_hit());
}

#[test]
fn a_field_that_a_response_s_connection_names_is_neither_stored_nor_served() {
    let answer = reply(200)
        .field("Connection", "x-hop, cache-control, vary, etag")
        .field("Connection", "Access-Control-Allow-Origin")
        .field("X-Hop", "1")
        .field("Access-Control-Allow-Origin", "*")
        .field("ETag", "\"a\"")
        .field("Vary", "X-A")
        .field("Cache-Control", "max-age=60")
        .body("a");
    let origin = Origin::answering(answer);
    let gateway = Gateway::before(&origin).start();
    for hit in [false, true] {
        let answer = gateway.get("/a").expect(200);
        assert_eq!(answer.is_hit(), hit);
        assert!(!answer.fields.has("x-hop"));
        for kept in [
            "access-control-allow-origin",
            "etag",
            "vary",
            "cache-control",
        ] {
            assert!(answer.fields.has(kept), "{kept}: {:?}", answer.fields);
        }
    }
    assert!(!gateway.send(&with(&[("X-A", "1")])).is_hit());
}
