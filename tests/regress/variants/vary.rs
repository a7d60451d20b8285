//! What a URL was seen to vary on stays so: no 304, no HEAD and no later response makes fewer variants of it.

use std::time::Duration;

use super::asking;
use crate::common::{Gateway, Origin, Reply, Request, reply};

type Lines<'a> = &'a [(&'a str, &'a str)];

const SECOND: Duration = Duration::from_secs(1);

/// The coding, the language and the media type that a request gets of an API that has each of them twice.
fn negotiated(request: &Request) -> String {
    let has = |name: &str, wanted: &str| {
        let asked = request.fields.all(name).collect::<Vec<_>>().join(", ");
        if asked.contains(wanted) { wanted } else { "" }.to_owned()
    };
    format!(
        "<{}|{}|{}|{}>",
        has("accept-encoding", "gzip"),
        has("accept-language", "de"),
        has("accept", "text/csv"),
        has("x-tenant", "7")
    )
}

/// An API whose every representation has a tag of its own, and whose 200s and later answers differ in Vary.
fn shrinking(full: &'static [&'static str], less: Option<&'static str>) -> Origin {
    Origin::start(move |request, conn| {
        let body = negotiated(request);
        let tag = format!("\"{body}\"");
        let known = request.fields.get("if-none-match").unwrap_or_default();
        let late = known.contains(&tag) || request.method == "HEAD";
        let answer = match known.contains(&tag) {
            true => reply(304),
            false => reply(200).body(&body),
        };
        let answer = answer
            .field("Cache-Control", "max-age=1")
            .field("ETag", tag);
        let vary: Vec<_> = match late {
            true => less.into_iter().collect(),
            false => full.to_vec(),
        };
        let answer = vary
            .iter()
            .fold(answer, |answer: Reply, line| answer.field("Vary", line));
        conn.reply(request, &answer);
    })
}

#[test]
fn a_stored_vary_never_shrinks_by_an_update() {
    // (Vary of a 200, Vary of a later 304 or HEAD, one request, another that gets something else)
    let table: &[(&[&str], Option<&str>, Lines<'_>, Lines<'_>)] = &[
        (
            &["Origin, Accept-Encoding"],
            Some("Origin"),
            &[("Accept-Encoding", "gzip")],
            &[],
        ),
        (
            &["Origin", "Accept-Encoding"],
            Some("origin"),
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "br")],
        ),
        (
            &["Accept-Encoding"],
            Some("Origin"),
            &[("Accept-Encoding", "gzip")],
            &[("Accept-Encoding", "identity")],
        ),
        (
            &["Accept-Language, Accept-Encoding"],
            Some("ACCEPT-ENCODING"),
            &[("Accept-Language", "de")],
            &[("Accept-Language", "en")],
        ),
        (
            &["Accept-Language"],
            Some(""),
            &[("Accept-Language", "de")],
            &[],
        ),
        (
            &["Accept"],
            Some("Accept-Encoding"),
            &[("Accept", "text/csv")],
            &[("Accept", "*/*")],
        ),
        (
            &["X-Tenant"],
            Some("Accept"),
            &[("X-Tenant", "7")],
            &[("X-Tenant", "8")],
        ),
        (
            &["Accept-Encoding"],
            None,
            &[("Accept-Encoding", "gzip")],
            &[],
        ),
    ];
    for (full, less, one, another) in table {
        for update in ["GET", "HEAD"] {
            let what = format!("{full:?}, then {less:?} by {update}");
            let origin = shrinking(full, *less);
            let gateway = Gateway::before(&origin).manual_clock().start();
            let ask = |method: &str, lines: Lines<'_>| gateway.send(&asking(method, "/a", lines));
            ask("GET", one).expect(200);
            gateway.advance(2 * SECOND);
            let updated = ask(update, one).expect(200);
            assert!(updated.fwd("stale"), "{what}: {}", updated.cache_status());
            let others = ask("GET", another).expect(200);
            assert_eq!(
                others.text(),
                negotiated(&asking("GET", "/a", another)),
                "{what}"
            );
            let own = ask("GET", one).expect(200);
            assert_eq!(own.text(), negotiated(&asking("GET", "/a", one)), "{what}");
            // Who stores it downstream is told the same.
            let vary = own.list("vary").to_ascii_lowercase();
            for name in full.iter().flat_map(|line| line.split(", ")) {
                assert!(vary.contains(&name.to_ascii_lowercase()), "{what}: {vary}");
            }
        }
    }
}

#[test]
fn a_vary_that_grows_by_an_update_selects_from_then_on() {
    for update in ["GET", "HEAD"] {
        let origin = shrinking(&["Accept"], Some("Accept, Accept-Language"));
        let gateway = Gateway::before(&origin).manual_clock().start();
        let ask = |method: &str, lines: Lines<'_>| gateway.send(&asking(method, "/a", lines));
        let german = &[("Accept-Language", "de")];
        ask("GET", german).expect(200);
        gateway.advance(2 * SECOND);
        ask(update, german).expect(200);
        assert!(ask("GET", german).expect(200).is_hit(), "{update}");
        assert_eq!(ask("GET", &[]).expect(200).text(), "<|||>", "{update}");
    }
}

/// An API that names in Vary only what it has used: the field that a request has.
fn forgetful() -> Origin {
    Origin::start(|request, conn| {
        let used = ["accept-encoding", "accept-language", "accept", "x-tenant"];
        let used = used.iter().filter(|name| request.fields.has(name));
        let answer = used.fold(reply(200), |answer, name| answer.field("Vary", name));
        let answer = answer.field("Cache-Control", "max-age=60");
        conn.reply(request, &answer.body(negotiated(request)));
    })
}

#[test]
fn what_a_url_was_seen_to_vary_on_selects_each_later_response() {
    // Each row: what is asked for in turn. The first names what the API's later answers do not.
    let table: &[&[Lines<'_>]] = &[
        &[
            &[("X-Tenant", "7")],
            &[],
            &[("X-Tenant", "7")],
            &[("X-Tenant", "8")],
        ],
        &[
            &[("Accept-Encoding", "gzip")],
            &[],
            &[("Accept-Encoding", "gzip, br")],
            &[("Accept-Encoding", "gzip")],
        ],
        &[
            &[("Accept-Language", "de")],
            &[("Accept-Encoding", "gzip")],
            &[("Accept-Language", "de"), ("Accept-Encoding", "gzip")],
            &[],
            &[("Accept-Language", "de")],
            &[("Accept-Encoding", "gzip")],
        ],
        &[
            &[("Accept", "text/csv")],
            &[("Accept-Language", "de")],
            &[("Accept-Language", "de"), ("Accept", "text/csv")],
            &[("Accept", "text/csv")],
        ],
    ];
    for row in table {
        let origin = forgetful();
        let gateway = Gateway::before(&origin).start();
        for lines in *row {
            let request = asking("GET", "/a", lines);
            let answer = gateway.send(&request).expect(200);
            assert_eq!(answer.text(), negotiated(&request), "{lines:?} of {row:?}");
            assert!(gateway.send(&request).is_hit(), "{lines:?} of {row:?}");
        }
    }
}

#[test]
fn what_a_url_varied_on_is_forgotten_with_its_last_variant() {
    let origin = Origin::scripted([
        reply(200)
            .field("Vary", "X-Tenant")
            .field("Cache-Control", "max-age=60"),
        reply(204),
        reply(200).field("Cache-Control", "max-age=60"),
    ]);
    let gateway = Gateway::before(&origin).start();
    let tenant = asking("GET", "/a", &[("X-Tenant", "7")]);
    gateway.send(&tenant).expect(200);
    gateway.send(&asking("DELETE", "/a", &[])).expect(204);
    gateway.send(&tenant).expect(200);
    assert!(gateway.get("/a").expect(200).is_hit());
}
