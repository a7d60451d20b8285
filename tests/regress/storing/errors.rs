//! One client's error takes nothing from others: neither what is stored and fresh, nor storing, nor waiting together.

use std::sync::Arc;

use crate::common::bench::{Bench, Lines, Rows, brief, ok, with};
use crate::common::{Gate, Gateway, Origin, get, reply};

/// The request of the client that provokes an error: it asks past the cache, and has a field that others do not have.
const ODD: Lines<'_> = &[("Cache-Control", "no-cache"), ("X-Odd", "9000 octets")];

/// Statuses of answers that are not stored here: without a lifetime, or by their definition.
const ERRORS: [u16; 41] = [
    302, 303, 307, 305, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414,
    415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503,
    504, 507, 511,
];

#[test]
fn an_error_that_one_client_provokes_leaves_what_is_fresh_and_no_marker() {
    let bench = Bench::new();
    let mut failed = Rows::default();
    let lines: [Lines<'_>; 4] = [
        &[],
        &[("Cache-Control", "no-store")],
        &[("Cache-Control", "private, max-age=60")],
        &[("Vary", "*")],
    ];
    for status in ERRORS {
        for lines in lines {
            let page = bench.page(move |_, request| match request.fields.has("x-odd") {
                true => with(reply(status), lines).body("odd"),
                false => ok(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]),
            });
            page.get().expect(200);
            let odd = page.ask(ODD);
            let later = [page.get(), page.get()];
            let held = odd.status == status && later.iter().all(|later| later.is_hit());
            failed.check(held, || {
                format!(
                    "{status} {lines:?}: {} then {}",
                    brief(&odd),
                    brief(&later[0])
                )
            });
            failed.check(page.count() == 2, || {
                format!("{status}: {} asked", page.count())
            });
        }
    }
}

#[test]
fn an_error_before_anything_is_stored_leaves_no_marker() {
    let bench = Bench::new();
    let mut failed = Rows::default();
    for status in ERRORS {
        for odd in [ODD, &[("X-Odd", "1"), ("Cookie", "a=b")]] {
            let page = bench.page(move |_, request| match request.fields.has("x-odd") {
                true => reply(status).body("odd"),
                false => ok(&[("Cache-Control", "max-age=60")]),
            });
            page.ask(odd);
            let later = [page.get(), page.get()];
            failed.check(later[0].says("stored") && later[1].is_hit(), || {
                format!("{status}: {}, {}", brief(&later[0]), brief(&later[1]))
            });
        }
    }
}

#[test]
fn a_personal_answer_to_one_client_says_nothing_to_others() {
    // What its credentials brought is neither shared nor a sign of what others would get.
    let bench = Bench::with(|setup| setup.cache("credential_fields = [\"X-API-Key\"]"));
    let mut failed = Rows::default();
    for field in ["Authorization", "Cookie", "X-API-Key"] {
        for says in ["private", "no-store", "private, max-age=60", "no-cache"] {
            for stored in [true, false] {
                let page = bench.page(move |_, request| match request.fields.has(field) {
                    true => ok(&[("Cache-Control", says)]).body("personal"),
                    false => ok(&[("Cache-Control", "max-age=60")]),
                });
                if stored {
                    page.get().expect(200);
                }
                let own = page.ask(&[(field, "mine"), ("Cache-Control", "no-cache")]);
                let later = [page.get(), page.get()];
                let held = own.text() == "personal"
                    && later[0].is_hit() == stored
                    && later[0].text() == "1984"
                    && later[1].is_hit();
                failed.check(held, || {
                    format!("{field} {says}: {} then {}", brief(&own), brief(&later[0]))
                });
            }
        }
    }
}

#[test]
fn a_validation_that_one_client_s_credentials_spoil_leaves_what_is_fresh() {
    // A 304 with fields that keep the updated response out of the store.
    let bench = Bench::new();
    for says in [
        ("Cache-Control", "private"),
        ("Cache-Control", "no-store"),
        ("Set-Cookie", "session=1"),
    ] {
        let update = with(reply(304), &[("ETag", "\"v1\""), says]);
        let first = ok(&[("Cache-Control", "max-age=60"), ("ETag", "\"v1\"")]);
        let page = bench.validating(first, update);
        page.get().expect(200);
        page.ask(&[("Cookie", "a=b"), ("Cache-Control", "no-cache")])
            .expect(200);
        assert!(page.get().is_hit(), "{says:?}");
    }
}

#[test]
fn the_next_storable_response_is_stored_and_clears_a_marker() {
    let bench = Bench::new();
    let mut failed = Rows::default();
    let uncacheable: [Lines<'_>; 5] = [
        &[("Cache-Control", "no-store")],
        &[("Cache-Control", "private")],
        &[("Cache-Control", "max-age=60"), ("Vary", "*")],
        &[("Set-Cookie", "a=b")],
        &[],
    ];
    for lines in uncacheable {
        let page = bench.answering([
            ok(lines),
            ok(lines),
            ok(&[("Cache-Control", "max-age=60")]).body("newer"),
        ]);
        page.get().expect(200);
        page.get().expect(200);
        let third = page.get();
        let fourth = page.get();
        failed.check(third.says("stored") && fourth.is_hit(), || {
            format!("{lines:?}: {}, {}", brief(&third), brief(&fourth))
        });
    }
}

#[test]
fn what_replaced_the_representation_supersedes_it() {
    // RFC 9111 §4.3.3: a full response says that what is stored is not suitable any more.
    let bench = Bench::new();
    for lines in [
        &[("Cache-Control", "no-store")][..],
        &[("Cache-Control", "private")],
        &[("Set-Cookie", "a=b")],
    ] {
        let page = bench.answering([
            ok(&[("Cache-Control", "max-age=3600"), ("ETag", "\"v1\"")]),
            ok(lines).body("newer"),
        ]);
        page.get().expect(200);
        page.ask(&[("Cache-Control", "no-cache")]);
        let later = page.get();
        assert!(!later.is_hit() && later.text() == "newer", "{lines:?}");
    }
}

#[test]
fn what_was_stale_stays_stale_and_is_not_served_after_another_answer() {
    // What the API gave instead of it ends stale-while-revalidate and stale-if-error, unless it was about the request.
    let bench = Bench::new();
    let mut failed = Rows::default();
    let says = "max-age=10, stale-while-revalidate=600, stale-if-error=600";
    for (status, ends) in [
        (302, true),
        (401, true),
        (403, true),
        (404, true),
        (410, true),
        (451, true),
        (400, false),
        (406, false),
        (414, false),
        (429, false),
        (431, false),
    ] {
        let page = bench.page(move |nth, _| match nth {
            1 => ok(&[("Cache-Control", says), ("ETag", "\"v1\"")]),
            2 => reply(status).body("else"),
            _ => reply(503),
        });
        page.get().expect(200);
        bench.pass(11);
        page.ask(ODD);
        let later = page.get();
        failed.check((later.status != 200) == ends, || {
            format!("{status}: {}", brief(&later))
        });
        bench.gateway.await_no_fills();
    }
}

#[test]
fn who_waited_for_an_error_of_another_waits_for_a_better_one() {
    // One client's error costs one request, not one for each who waited for it.
    let gate = Gate::new();
    let closed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.fields.has("x-odd") {
            closed.pass();
            conn.reply(request, &reply(431));
        } else {
            let answer = ok(&[("Cache-Control", "max-age=60")]);
            conn.reply(request, &answer);
        }
    });
    let gateway = Arc::new(Gateway::before(&origin).start());
    let odd = {
        let gateway = gateway.clone();
        std::thread::spawn(move || gateway.send(&get("/a").field("X-Odd", "1")))
    };
    gate.await_arrivals(1);
    let others: Vec<_> = (0..8)
        .map(|_| {
            let gateway = gateway.clone();
            std::thread::spawn(move || gateway.get("/a"))
        })
        .collect();
    gateway.await_sum(8, |counted| counted.followers.value());
    gate.open();
    assert_eq!(odd.join().unwrap().status, 431);
    for other in others {
        assert_eq!(other.join().unwrap().expect(200).text(), "1984");
    }
    assert_eq!(origin.count(), 2);
}
