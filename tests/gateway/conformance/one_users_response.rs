//! What one user's request brings does not get into what all share, by an update either (RFC 9111 §3.1, §3.5, §4.3.4,
//! §4.3.5).

use super::secs;
use crate::common::{Answer, Gateway, Origin, Reply, Request, get, head, reply, request};

type Lines = &'static [(&'static str, &'static str)];

const SHARED: Lines = &[("Cache-Control", "max-age=10"), ("ETag", "\"v1\"")];
const PERSONAL: Lines = &[
    ("Cache-Control", "max-age=60"),
    ("ETag", "\"v1\""),
    ("X-User", "winston"),
];

fn with(answer: Reply, lines: Lines) -> Reply {
    super::with(answer, lines)
}

/// A GET is answered with [`SHARED`] at first; a validation, or a HEAD, with `update`.
fn updated_by(update: Lines) -> (Origin, Gateway) {
    let origin = Origin::start(move |request, conn| {
        let answer = match &*request.method {
            "HEAD" => with(reply(200), update).body("1984"),
            _ if request.fields.has("if-none-match") => with(reply(304), update),
            _ => with(reply(200), SHARED).body("1984"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .route("/{*all}", "credential_fields = [\"X-Api-Key\"]")
        .manual_clock()
        .start();
    gateway.get("/a").expect(200);
    gateway.advance(secs(11));
    (origin, gateway)
}

fn stored(gateway: &Gateway) -> Answer {
    gateway.send(&get("/a").field("Cache-Control", "max-stale, only-if-cached"))
}

const PERSONALLY: [(&str, &str); 4] = [
    ("Authorization", "Bearer x"),
    ("Cookie", "session=1"),
    ("X-Api-Key", "x"),
    ("Cache-Control", "no-store"),
];

fn personally(request: Request, field: (&str, &str)) -> Request {
    request.field(field.0, field.1)
}

#[test]
fn what_is_not_in_the_response_leaves_what_is_stored_alone() {
    for field in PERSONALLY {
        for method in ["GET", "HEAD"] {
            let (_origin, gateway) = updated_by(PERSONAL);
            let own = gateway
                .send(&personally(request(method, "/a"), field))
                .expect(200);
            // A GET with no-store is passed through: there is no condition, and no 304.
            if field.1 != "no-store" || method == "HEAD" {
                assert_eq!(own.field("x-user"), Some("winston"), "{field:?}: {own:?}");
            }
            let stored = stored(&gateway);
            assert_eq!(
                (stored.status, stored.field("x-user")),
                (200, None),
                "{field:?}"
            );
            let next = gateway.get("/a").expect(200);
            assert!(
                !next.is_hit(),
                "not freshened: {field:?} {}",
                next.cache_status()
            );
        }
    }
}

#[test]
fn the_origin_s_word_lets_credentials_freshen() {
    let update: Lines = &[
        ("Cache-Control", "public, max-age=60"),
        ("ETag", "\"v1\""),
        ("X-New", "1"),
    ];
    for field in &PERSONALLY[..3] {
        for method in [get, head] {
            let (_origin, gateway) = updated_by(update);
            gateway.send(&personally(method("/a"), *field)).expect(200);
            let next = gateway.get("/a").expect(200);
            assert!(next.is_hit(), "{field:?}: {}", next.cache_status());
            assert_eq!(next.field("x-new"), Some("1"));
        }
    }
}

#[test]
fn an_update_brings_nothing_that_is_not_to_be_stored() {
    let table: [(Lines, &str); 4] = [
        (
            &[
                ("Cache-Control", "max-age=60, private=\"x-user\""),
                ("ETag", "\"v1\""),
                ("X-User", "winston"),
            ],
            "x-user",
        ),
        (
            &[
                ("Cache-Control", "max-age=60, no-cache=\"x-user\""),
                ("ETag", "\"v1\""),
                ("X-User", "winston"),
            ],
            "x-user",
        ),
        (
            &[
                ("Cache-Control", "max-age=60, private=\"set-cookie\""),
                ("ETag", "\"v1\""),
                ("Set-Cookie", "session=1"),
            ],
            "set-cookie",
        ),
        (
            &[
                ("Cache-Control", "max-age=60"),
                ("ETag", "\"v1\""),
                ("Connection", "X-Hop"),
                ("X-Hop", "1"),
            ],
            "x-hop",
        ),
    ];
    for (update, absent) in table {
        for method in [get, head] {
            let (_origin, gateway) = updated_by(update);
            gateway.send(&method("/a")).expect(200);
            let next = gateway.get("/a").expect(200);
            assert!(next.is_hit(), "{update:?}: {}", next.cache_status());
            assert_eq!(next.field(absent), None, "{update:?}");
        }
    }
}
