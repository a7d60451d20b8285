//! Which stored responses a validation names, and what a 304 makes of them, where variants share validators.

use std::time::Duration;

use super::asking;
use crate::common::{Gateway, Origin, Request, reply};

type Lines<'a> = &'a [(&'a str, &'a str)];

/// How servers tag a representation and its compressed form.
#[derive(Clone, Copy, Debug)]
enum Tags {
    /// The same strong tag (Flask-Compress of old, many by hand).
    Same,
    /// mod_deflate's suffix, which it takes off again when it compares.
    Suffix,
    /// Flask-Compress: a colon and the coding.
    Colon,
    /// Django: a weak one of the same.
    Weak,
    /// Both weak and the same (Express, nginx).
    BothWeak,
}

const TAGS: [Tags; 5] = [
    Tags::Same,
    Tags::Suffix,
    Tags::Colon,
    Tags::Weak,
    Tags::BothWeak,
];

impl Tags {
    fn of(self, version: &str, coding: &str) -> String {
        match (self, coding) {
            (Self::BothWeak, _) => format!("W/\"{version}\""),
            (Self::Same, _) | (_, "") => format!("\"{version}\""),
            (Self::Suffix, coding) => format!("\"{version}-{coding}\""),
            (Self::Colon, coding) => format!("\"{version}:{coding}\""),
            (Self::Weak, _) => format!("W/\"{version}\""),
        }
    }
}

/// An API that compresses for who accepts it, and says 304 to any tag of the present version, with the tag that came.
fn compressing(tags: Tags) -> Origin {
    Origin::start(move |request, conn| {
        let coding = coding_for(request);
        let known = request.fields.get("if-none-match").unwrap_or_default();
        let first = known.split(", ").find(|tag| tag.contains("v1"));
        let tag = match first {
            Some(known) => known.to_owned(),
            None => tags.of("v1", coding),
        };
        let answer = reply(if first.is_some() { 304 } else { 200 })
            .field("Vary", "Accept-Encoding")
            .field("ETag", tag)
            .field("Cache-Control", "max-age=10");
        let answer = match (first, coding) {
            (None, "") => answer.body("identity"),
            (None, coding) => answer.field("Content-Encoding", coding).body(coding),
            _ => answer,
        };
        conn.reply(request, &answer);
    })
}

fn coding_for(request: &Request) -> &'static str {
    let accepted = request.fields.get("accept-encoding").unwrap_or_default();
    let accepts = |coding: &str| {
        let mut members = accepted.split(',').map(str::trim);
        members.any(|member| member == coding)
    };
    match (accepts("br"), accepts("gzip")) {
        (true, _) => "br",
        (_, true) => "gzip",
        _ => "",
    }
}

#[test]
fn each_client_keeps_its_coding_whatever_tags_its_variants_have() {
    let clients: [Lines<'_>; 5] = [
        &[],
        &[("Accept-Encoding", "gzip")],
        &[("Accept-Encoding", "gzip, br")],
        &[("Accept-Encoding", "identity")],
        &[("Accept-Encoding", "gzip;q=0.5, deflate")],
    ];
    for tags in TAGS {
        let origin = compressing(tags);
        let gateway = Gateway::before(&origin).manual_clock().start();
        for round in 0..4 {
            // Each round begins with another.
            for turn in 0..clients.len() {
                let lines = clients[(turn + round) % clients.len()];
                let request = asking("GET", "/a", lines);
                let wanted = match coding_for(&request) {
                    "" => "identity",
                    coding => coding,
                };
                for _ in 0..2 {
                    let answer = gateway.send(&request).expect(200);
                    let what = format!("{tags:?} {round} {lines:?}: {}", answer.cache_status());
                    assert_eq!(answer.text(), wanted, "{what}");
                    let coding = answer.field("content-encoding");
                    assert_eq!(coding.unwrap_or("identity"), wanted, "{what}");
                }
            }
            gateway.advance(Duration::from_secs(11));
        }
    }
}

/// An API with a German and an English representation, as JSON and as CSV, which tells what it sends.
fn telling() -> Origin {
    Origin::start(|request, conn| {
        let has = |name: &str, what: &str| {
            request
                .fields
                .get(name)
                .is_some_and(|value| value.starts_with(what))
        };
        let language = if has("accept-language", "de") {
            "de"
        } else {
            "en"
        };
        let kind = if has("accept", "text/csv") {
            "text/csv"
        } else {
            "application/json"
        };
        let coding = coding_for(request);
        let answer = reply(200)
            .field("Vary", "Accept, Accept-Language, Accept-Encoding, X-Tenant")
            .field("ETag", format!("\"{language}-{kind}-{coding}\""))
            .field("Content-Language", language)
            .field("Content-Type", kind)
            .field("Cache-Control", "max-age=60")
            .body("a");
        let answer = match coding {
            "" => answer,
            coding => answer.field("Content-Encoding", coding),
        };
        conn.reply(request, &answer);
    })
}

#[test]
fn only_what_a_request_may_have_and_would_prefer_is_named() {
    // (what is stored: two requests, what is asked for, the tags that may be named)
    let table: &[([Lines<'_>; 2], Lines<'_>, &[&str])] = &[
        // Two languages stored; who asks for others, or for neither first, is offered the one that suits.
        (
            [&[("Accept-Language", "de")], &[("Accept-Language", "en")]],
            &[("Accept-Language", "de-AT, en;q=0.5")],
            &[],
        ),
        (
            [&[("Accept-Language", "de")], &[("Accept-Language", "en")]],
            &[("Accept-Language", "de, en")],
            &["\"de-application/json-\"", "\"en-application/json-\""],
        ),
        (
            [&[("Accept-Language", "de")], &[("Accept-Language", "en")]],
            &[("Accept-Language", "fr")],
            &[],
        ),
        (
            [&[("Accept-Language", "de")], &[("Accept-Language", "en")]],
            &[],
            &[],
        ),
        // Codings.
        (
            [&[("Accept-Encoding", "gzip")], &[("Accept-Encoding", "br")]],
            &[("Accept-Encoding", "br, gzip")],
            &["\"en-application/json-gzip\"", "\"en-application/json-br\""],
        ),
        (
            [&[("Accept-Encoding", "gzip")], &[("Accept-Encoding", "br")]],
            &[],
            &[],
        ),
        (
            [&[("Accept-Encoding", "gzip")], &[]],
            &[("Accept-Encoding", "zstd")],
            &[],
        ),
        // Media types.
        (
            [&[("Accept", "text/csv")], &[("Accept", "application/json")]],
            &[("Accept", "application/xml")],
            &[],
        ),
        (
            [&[("Accept", "text/csv")], &[("Accept", "application/json")]],
            &[("Accept", "*/*")],
            &["\"en-text/csv-\"", "\"en-application/json-\""],
        ),
        // What is another's for any other reason is never offered.
        (
            [
                &[("X-Tenant", "7")],
                &[("X-Tenant", "8"), ("Accept-Language", "de")],
            ],
            &[],
            &[],
        ),
    ];
    for (stored, asked, named) in table {
        let origin = telling();
        let gateway = Gateway::before(&origin).start();
        for lines in stored {
            gateway.send(&asking("GET", "/a", lines)).expect(200);
        }
        gateway.send(&asking("GET", "/a", asked)).expect(200);
        let sent = origin
            .last()
            .fields
            .get("if-none-match")
            .unwrap_or_default()
            .to_owned();
        let mut tags: Vec<_> = sent.split(", ").filter(|tag| !tag.is_empty()).collect();
        tags.sort_unstable();
        let mut named = named.to_vec();
        named.sort_unstable();
        assert_eq!(tags, named, "{stored:?}, then {asked:?}");
    }
}

#[test]
fn a_304_that_names_what_was_not_asked_about_revives_nothing() {
    // The API answers with the tag of the plain representation, whatever it was asked with.
    let origin = Origin::start(|request, conn| {
        let coding = coding_for(request);
        let conditional = request.fields.has("if-none-match");
        let answer = reply(if conditional { 304 } else { 200 })
            .field("Vary", "Accept-Encoding")
            .field("Cache-Control", "max-age=10");
        let answer = match (conditional, coding) {
            (false, "gzip") => answer
                .field("ETag", "\"v1-gzip\"")
                .field("Content-Encoding", "gzip")
                .body("gzip"),
            _ => answer.field("ETag", "\"v1\"").body("identity"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).manual_clock().start();
    let gzip = asking("GET", "/a", &[("Accept-Encoding", "gzip")]);
    for _ in 0..3 {
        assert_eq!(gateway.get("/a").expect(200).text(), "identity");
        assert_eq!(gateway.send(&gzip).expect(200).text(), "gzip");
        gateway.advance(Duration::from_secs(11));
    }
}
