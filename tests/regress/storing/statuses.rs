//! Errors: which of them answer more than the one request that they were given to, and for how long.

use crate::common::bench::{Bench, Lines, Rows, brief, ok, with};
use crate::common::reply;

const OLD: (&str, &str) = ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT");

/// A status, fields of the response beside its lifetime, and whether it answers another request.
const ERRORS: [(u16, Lines<'static>, bool); 45] = [
    (406, &[], false),
    (406, &[("Vary", "Origin")], false),
    (406, &[("Vary", "Accept-Encoding")], false),
    (406, &[("Vary", "Accept-Encoding, Origin, Cookie")], false),
    (406, &[("Vary", "Accept-Language")], false),
    (406, &[("Vary", "Accept")], true),
    (406, &[("Vary", "Accept-Encoding, Accept")], true),
    (412, &[], false),
    (412, &[("Vary", "Accept")], false),
    (413, &[], false),
    (413, &[("Vary", "Accept-Encoding")], false),
    (414, &[], false),
    (415, &[], false),
    (415, &[("Vary", "Accept, Origin")], false),
    (415, &[("Vary", "Content-Type")], true),
    (416, &[], false),
    (416, &[("Vary", "X-Tenant")], false),
    (417, &[], false),
    (417, &[("Vary", "X-Tenant")], false),
    (421, &[], false),
    (422, &[], false),
    (422, &[("Vary", "Origin, Accept-Encoding")], false),
    (422, &[("Vary", "X-Token")], true),
    // By their definition (RFC 6585).
    (428, &[], false),
    (428, &[("Vary", "If-Match")], false),
    (429, &[("Vary", "X-Tenant")], false),
    (431, &[], false),
    (431, &[("Vary", "X-Token")], false),
    // About the resource, or at the API's word.
    (400, &[], true),
    (401, &[], true),
    (402, &[], true),
    (403, &[], true),
    (404, &[], true),
    (405, &[], true),
    (408, &[], true),
    (409, &[], true),
    (410, &[], true),
    (411, &[], true),
    (418, &[], true),
    (423, &[], true),
    (426, &[], true),
    (451, &[], true),
    (500, &[], true),
    (501, &[], true),
    (503, &[], true),
];

#[test]
fn answers_to_one_request_s_own_fields_are_for_no_other() {
    let mut failed = Rows::default();
    let bench = Bench::new();
    for lifetime in [
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", "public, s-maxage=60"),
        ("Expires", "Thu, 18 Aug 2050 02:01:18 GMT"),
        ("CDN-Cache-Control", "max-age=60"),
    ] {
        for (status, lines, reused) in ERRORS {
            let page = bench.answering([with(reply(status), lines)
                .field(lifetime.0, lifetime.1)
                .body("no")]);
            let own = page.ask(&[("Accept", "image/png"), ("Accept-Encoding", "gzip")]);
            let again = page.ask(&[("Accept", "image/png"), ("Accept-Encoding", "gzip")]);
            failed.check(own.status == status && again.is_hit() == reused, || {
                format!("{status} {lines:?} {lifetime:?}: {}", brief(&again))
            });
            let other = page.ask(&[("Accept", "text/html"), ("X-Token", "1")]);
            let names = |name| lines.iter().any(|(_, names)| names.contains(name));
            let apart = names("X-Token") || (names("Accept") && !names("Accept-"));
            if apart || lines.is_empty() {
                let reused = reused && !apart;
                failed.check(other.is_hit() == reused, || {
                    format!("{status} {lines:?}, another: {}", brief(&other))
                });
            }
        }
    }
}

#[test]
fn a_406_with_max_age_leaves_what_others_get() {
    let bench = Bench::new();
    let page = bench.page(|_, request| match request.fields.get("accept") {
        Some("image/png") => reply(406).field("Cache-Control", "max-age=600").body("no"),
        _ => ok(&[("Cache-Control", "max-age=60")]),
    });
    page.ask(&[("Accept", "image/png")]).expect(406);
    page.get().expect(200);
    let png = page.ask(&[("Accept", "image/png"), ("Cache-Control", "no-cache")]);
    assert_eq!(png.status, 406);
    assert!(png.says("detail=request-fields"), "{}", png.cache_status());
    assert!(page.get().expect(200).is_hit());
}

#[test]
fn an_operator_s_ttl_stores_errors_about_the_resource_alone() {
    let bench = Bench::with(|setup| {
        setup.cache("ttl = \"1m\"\nstatuses = [200, 400, 404, 406, 414, 415, 422]")
    });
    for (status, reused) in [
        (400, true),
        (404, true),
        (406, false),
        (414, true),
        (415, false),
        (422, false),
    ] {
        let page = bench.answering([reply(status).body("no")]);
        page.get().expect(status);
        assert_eq!(page.get().is_hit(), reused, "{status}");
    }
}

#[test]
fn a_stored_refusal_does_not_answer_those_who_have_credentials() {
    let bench = Bench::with(|setup| setup.cache("credential_fields = [\"X-API-Key\"]"));
    for status in [401, 403, 407] {
        for field in ["Authorization", "Cookie", "X-API-Key"] {
            let page = bench.page(move |_, request| match request.fields.has(field) {
                true => ok(&[("Cache-Control", "max-age=60")]),
                false => reply(status)
                    .field("Cache-Control", "max-age=60")
                    .body("no"),
            });
            page.get().expect(status);
            assert!(page.get().expect(status).is_hit(), "{status}");
            page.ask(&[(field, "right")]).expect(200);
            assert!(page.get().expect(status).is_hit(), "{status} {field}");
        }
    }
}

#[test]
fn heuristics_keep_errors_for_a_minute_and_others_for_a_day() {
    let mut failed = Rows::default();
    for configured in ["", "[cache.heuristic]\nmax = \"30d\""] {
        let bench = Bench::with(|setup| setup.more(configured));
        let statuses = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 451, 501];
        let pages: Vec<_> = statuses
            .iter()
            .map(|status| bench.answering([with(reply(*status), &[OLD])]))
            .collect();
        for (after, most) in [(0, 600), (59, 600), (2, 300), (3600, 300)] {
            bench.pass(after);
            for (page, status) in pages.iter().zip(statuses) {
                let fresh = page.get().is_hit();
                let expected = status <= most || status < 400;
                if after != 0 {
                    failed.check(fresh == expected, || {
                        format!("{configured} {status} +{after}s")
                    });
                }
            }
            if most == 300 {
                break;
            }
        }
    }
}

#[test]
fn a_lifetime_that_someone_gave_an_error_is_kept_whole() {
    let bench = Bench::with(|setup| setup.route("/never", "ttl = \"1h\""));
    let given = bench.answering([reply(404).field("Cache-Control", "max-age=3600").body("no")]);
    given.get().expect(404);
    bench.pass(3000);
    assert!(given.get().is_hit());
    let short = bench.answering([with(reply(404), &[OLD]).body("no")]);
    let ttl = short.get().number("ttl");
    assert_eq!(ttl, None, "a miss has none");
    assert!(short.get().number("ttl").is_some_and(|ttl| ttl <= 60));
}
