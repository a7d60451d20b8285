//! Two fills for one URL overlap since the first has had no answer for long: the answer to the first, which comes last, is
//! older than what the second has stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Answer, Client, Gate, Gateway, Origin, get, reply};

/// What the second request got, and what a third gets when the first has got its answer, which has this Cache-Control.
fn after_the_slow_one(cache_control: &'static str) -> (String, Answer) {
    let gate = Gate::new();
    let (slow, count) = (gate.clone(), Arc::<AtomicUsize>::default());
    let origin = Origin::start(move |request, conn| {
        let answer = match count.fetch_add(1, Ordering::SeqCst) {
            0 => {
                slow.pass();
                reply(200)
                    .field("Cache-Control", cache_control)
                    .body("first")
            }
            1 => reply(200)
                .field("Cache-Control", "max-age=60")
                .body("second"),
            _ => reply(200).body("third"),
        };
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin)
        .cache("leader_timeout = \"20s\"")
        .manual_clock()
        .start();
    let addr = gateway.addr();
    let first = thread::spawn(move || Client::to(addr).send(&get("/books/1")));
    gate.await_arrivals(1);
    gateway.advance(Duration::from_secs(20));
    let second = gateway.send(&get("/books/1")).expect(200).text();
    gateway.advance(Duration::from_secs(1));
    gate.open();
    let first = first.join().expect("a client").expect(200).text();
    assert_eq!(first, "first");
    (second, gateway.send(&get("/books/1")).expect(200))
}

#[test]
fn an_answer_that_comes_late_does_not_replace_one_that_was_asked_for_later() {
    let (second, third) = after_the_slow_one("max-age=60");
    assert_eq!((second, third.text()), ("second".into(), "second".into()));
    assert!(third.is_hit(), "{third:?}");
}

#[test]
fn an_answer_that_comes_late_and_may_not_be_stored_removes_none_that_was_asked_for_later() {
    let (second, third) = after_the_slow_one("no-store");
    assert_eq!((second, third.text()), ("second".into(), "second".into()));
    assert!(third.is_hit(), "{third:?}");
}
