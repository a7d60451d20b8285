//! An API that floods one request's connection holds up nobody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::{Gateway, Origin, await_that, get, reply};

/// What is looked at of a flood while somebody else's request is answered, in bytes: some turns' worth. On a machine
/// that keeps this test waiting it is more now and then, but not as a rule.
const SOME: usize = 2 << 20;

#[test]
fn a_flood_of_interim_responses_holds_up_nobody_elses_request() {
    let flooded = Arc::new(AtomicUsize::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let (taken, enough) = (flooded.clone(), ended.clone());
    let origin = Origin::start(move |request, conn| {
        if request.target != "/flood" {
            return conn.reply(
                request,
                &reply(200).field("Cache-Control", "max-age=60").body("fine"),
            );
        }
        let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(64);
        while !enough.load(Ordering::Relaxed) && conn.write(&many) {
            taken.fetch_add(many.len(), Ordering::Relaxed);
        }
        conn.reply(request, &reply(200).body("at last"));
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut neighbour = gateway.client();
    neighbour.get("/fine").expect(200);
    let mut flood = gateway.client();
    flood.start(&get("/flood"));
    await_that("the flood is under way", || {
        flooded.load(Ordering::Relaxed) > 4 << 20
    });
    let mut meanwhile: Vec<_> = (0..9)
        .map(|_| {
            let before = flooded.load(Ordering::Relaxed);
            assert!(neighbour.get("/fine").expect(200).is_hit());
            flooded.load(Ordering::Relaxed) - before
        })
        .collect();
    meanwhile.sort_unstable();
    assert!(meanwhile[4] < SOME, "{meanwhile:?} bytes came first");
    ended.store(true, Ordering::Relaxed);
    assert_eq!(flood.answer("GET").finish().expect(200).text(), "at last");
}
