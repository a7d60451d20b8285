//! Read your writes: who has the receipt of a write or a purge gets nothing older, from whichever gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::{Client, Gate, Gateway, Origin, Request, get, head, post, put, reply, request};

/// An API of one number, which each PUT raises. It has no answer while it is `down`.
#[derive(Clone, Default)]
struct Api {
    number: Arc<AtomicU64>,
    is_down: Arc<AtomicBool>,
    hold: Option<Gate>,
}

impl Api {
    fn origin(&self) -> Origin {
        let api = self.clone();
        Origin::start(move |request, conn| {
            if api.is_down.load(Ordering::SeqCst) {
                return conn.reset();
            }
            let number = match &*request.method {
                "PUT" => api.number.fetch_add(1, Ordering::SeqCst) + 1,
                _ => api.number.load(Ordering::SeqCst),
            };
            if let Some(gate) = &api.hold
                && request.fields.has("x-hold")
            {
                gate.pass();
            }
            let status = if request.fields.has("x-refuse") {
                409
            } else {
                200
            };
            let tag = format!("\"{number}\"");
            let status = match request.fields.get("if-none-match") == Some(&tag) {
                true => 304,
                false => status,
            };
            let answer = reply(status)
                .field("Cache-Control", "max-age=60, stale-if-error=600")
                .field("ETag", tag);
            conn.reply(request, &answer.body(number.to_string()));
        })
    }
}

fn after(receipt: &str) -> Request {
    get("/books/1").field("Bookend-After", receipt)
}

#[test]
fn purges_and_writes_on_routes_that_say_so_have_receipts() {
    let origin = Api::default().origin();
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "receipts = true")
        .start();
    let receipt = |request: &Request| {
        let answer = gateway.send(request);
        answer.field("bookend-receipt").map(str::to_owned)
    };
    let purge = request("POST", "/purge?all=true");
    let purged = Client::to(gateway.admin_addr()).send(&purge).expect(200);
    let first = purged
        .field("bookend-receipt")
        .expect("a receipt")
        .to_owned();
    let (epoch, number) = first.split_once('.').expect("an epoch and a number");
    assert_eq!((epoch.len(), number), (16, "1"));
    // What it covers may be used stale.
    let softly = request("POST", "/purge?all=true&soft=true");
    let softly = Client::to(gateway.admin_addr()).send(&softly).expect(200);
    assert_eq!(softly.field("bookend-receipt"), None);
    assert_eq!(receipt(&put("/books/1", "a")), Some(format!("{epoch}.3")));
    assert_eq!(receipt(&post("/books/1", "a")), Some(format!("{epoch}.4")));
    for none in [
        put("/books/1", "a").field("X-Refuse", "1"),
        put("/films/1", "a"),
        get("/books/1"),
        get("/books/1"),
    ] {
        assert_eq!(receipt(&none), None, "{none:?}");
    }
}

#[test]
fn a_request_with_a_receipt_of_this_gateway_is_answered_as_any_other() {
    let origin = Api::default().origin();
    let gateway = Gateway::before(&origin).cache("receipts = true").start();
    gateway.get("/books/1").expect(200);
    let write = gateway.send(&put("/books/1", "a")).expect(200);
    let receipt = write.field("bookend-receipt").expect("a receipt");
    let missed = gateway.send(&after(receipt)).expect(200);
    assert!(missed.fwd("uri-miss") && missed.text() == "1");
    assert!(
        !origin.last().fields.has("bookend-after"),
        "it is for the gateway alone"
    );
    let hit = gateway.send(&after(receipt)).expect(200);
    assert!(hit.is_hit() && hit.text() == "1");
    // Nor does the API get it with a write.
    gateway
        .send(&put("/books/1", "a").field("Bookend-After", receipt))
        .expect(200);
    assert!(!origin.last().fields.has("bookend-after"));
}

#[test]
fn a_request_with_an_unknown_receipt_gets_what_the_api_has_now() {
    let api = Api::default();
    let origin = api.origin();
    let other = Gateway::before(&origin).cache("receipts = true").start();
    for honour in ["", "honour = []"] {
        let gateway = Gateway::before(&origin).cache(honour).start();
        for ask in [get("/books/1"), head("/books/1")] {
            let before = gateway.get("/books/1").expect(200).text();
            assert!(gateway.get("/books/1").is_hit());
            let write = other.send(&put("/books/1", "a")).expect(200);
            let receipt = write
                .field("bookend-receipt")
                .expect("a receipt")
                .to_owned();
            assert_eq!(
                gateway.get("/books/1").text(),
                before,
                "it has not heard of it"
            );
            let asked = origin.count();
            let answer = gateway
                .send(&ask.clone().field("Bookend-After", &receipt))
                .expect(200);
            assert!(answer.fwd("request"), "{}", answer.cache_status());
            assert_eq!(origin.count(), asked + 1);
            let now = api.number.load(Ordering::SeqCst);
            assert_eq!(answer.field("etag"), Some(&*format!("\"{now}\"")));
            // The API may be a gateway itself, whose receipt it is.
            let passed_on = origin.last().fields.get("bookend-after").map(str::to_owned);
            assert_eq!(passed_on, Some(receipt));
            // Others have it from then on.
            let tag = gateway.get("/books/1");
            assert_eq!(tag.field("etag"), Some(&*format!("\"{now}\"")));
            for unknown in ["", "x", "1.1", "0000000000000000.1"] {
                let answer = gateway.send(&after(unknown)).expect(200);
                let validated = answer.number("fwd-status") == Some(304);
                assert!(
                    answer.fwd("request") && validated,
                    "{unknown:?}: {}",
                    answer.cache_status()
                );
            }
        }
    }
}

#[test]
fn a_request_with_an_unknown_receipt_joins_no_fill_that_has_begun_before() {
    let gate = Gate::new();
    let api = Api {
        hold: Some(gate.clone()),
        ..Api::default()
    };
    let origin = api.origin();
    // One that waits for the fill waits until the test fails.
    let gateway = Gateway::before(&origin)
        .cache("leader_timeout = '10m'")
        .start();
    thread::scope(|scope| {
        let first = scope.spawn(|| {
            gateway
                .send(&get("/books/1").field("X-Hold", "1"))
                .expect(200)
                .text()
        });
        gate.await_arrivals(1);
        api.number.fetch_add(1, Ordering::SeqCst);
        let second = gateway.send(&after("other.1")).expect(200);
        assert_eq!(second.text(), "1");
        gate.open();
        assert_eq!(first.join().expect("an answer"), "0");
    });
}

#[test]
fn a_request_with_an_unknown_receipt_gets_no_stale_response_from_an_api_that_is_down() {
    let api = Api::default();
    let origin = api.origin();
    let gateway = Gateway::before(&origin).start();
    gateway.get("/books/1").expect(200);
    api.is_down.store(true, Ordering::SeqCst);
    for ask in [get("/books/1"), head("/books/1")] {
        // The most that a client can allow.
        let lenient = ask.field("Cache-Control", "max-age=0, stale-if-error=600");
        gateway.send(&lenient).expect(200);
        gateway
            .send(&lenient.field("Bookend-After", "other.1"))
            .expect(502);
    }
}
