//! What `memory` has room for: markers of uncacheable URLs have a small part of it, and a body that is larger than all of
//! it is one that is not stored.

use std::time::Duration;

use crate::common::{Gate, Gateway, Origin, get, head, reply};

const KIB: usize = 1024;
const MEMORY: &str = "memory = '256KiB'";

#[test]
fn markers_drive_out_nothing_that_is_stored_and_leave_when_they_have_expired() {
    let origin = Origin::start(|request, conn| {
        let lifetime = match request.target.starts_with("/stored/") {
            true => "max-age=600",
            false => "no-store",
        };
        let answer = reply(200).field("Cache-Control", lifetime).body("1984");
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache(MEMORY)
        .manual_clock()
        .start();
    let mut client = gateway.client();
    let stored = 20;
    for n in 0..stored {
        client.get(&format!("/stored/{n}")).expect(200);
    }
    let before = gateway.metric("bookend_stored_bytes");
    for n in 0..1_000 {
        client.get(&format!("/not/{n}")).expect(200);
    }
    gateway.await_no_fills();
    for n in 0..stored {
        assert!(client.get(&format!("/stored/{n}")).is_hit(), "{n}");
    }
    let markers = gateway.metric("bookend_stored_bytes") - before;
    assert!(0 < markers && markers <= 16 * KIB as u64, "{markers} bytes");
    assert!(gateway.metric("bookend_stored_resources") > stored);
    gateway.advance(Duration::from_secs(11));
    assert_eq!(gateway.metric("bookend_stored_resources"), stored);
    assert_eq!(gateway.metric("bookend_stored_bytes"), before);
}

#[test]
fn a_body_that_is_larger_than_memory_is_not_said_to_be_stored_nor_waited_for() {
    for length in [225 * KIB, 300 * KIB, 1024 * KIB] {
        let gate = Gate::new();
        let held = gate.clone();
        let origin = Origin::start(move |request, conn| {
            let answer = reply(200)
                .field("Cache-Control", "max-age=60")
                .body(vec![b'x'; length]);
            if request.method == "HEAD" || request.target == "/at-once" {
                return conn.reply(request, &answer);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n"
            );
            conn.write(head + "x");
            held.pass();
            conn.write(vec![b'x'; length - 1]);
        });
        let gateway = Gateway::before(&origin).cache(MEMORY).start();
        let (mut one, mut other) = (gateway.client(), gateway.client());
        let mut first = one.open(&get("/slow"));
        first.until(1);
        let mut second = other.open(&get("/slow"));
        second.until(1);
        assert_eq!(
            origin.count(),
            2,
            "{length}: the second waited for the first"
        );
        gate.open();
        for answer in [first.finish(), second.finish()] {
            assert_eq!(answer.body.len(), length);
            assert!(!answer.says("stored"), "{}", answer.cache_status());
        }
        for request in [get("/at-once"), get("/at-once"), head("/at-once")] {
            let answer = gateway.send(&request).expect(200);
            let is_said = answer.says("stored") || answer.is_hit();
            assert!(!is_said, "{length}: {}", answer.cache_status());
        }
        gateway.await_no_fills();
        assert_eq!(gateway.stored(), 0);
    }
}

#[test]
fn variants_that_memory_has_no_room_for_leave_for_the_one_that_comes() {
    let origin = Origin::start(|request, conn| {
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Vary", "Accept-Language")
            // Two of them are more than seven eighths of it.
            .body(vec![b'x'; 115 * KIB]);
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).cache(MEMORY).start();
    let ask = |language: &str| {
        let answer = gateway.send(&get("/").field("Accept-Language", language));
        gateway.await_no_fills();
        // Evictions that are due are done.
        gateway.stored();
        answer.expect(200)
    };
    for language in ["de", "en", "fr"] {
        let first = ask(language);
        assert!(!first.is_hit(), "{language}: {}", first.cache_status());
        assert!(ask(language).is_hit(), "{language}");
    }
}
