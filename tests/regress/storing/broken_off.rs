//! A write that its client breaks off: the API never had a whole request, and what is stored is validated, not thrown
//! away. Whoever can begin a write could empty the cache otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::super::http2::frames::{Client as Http2, DATA, fields};
use crate::common::{Answer, Conn, Gate, Gateway, Origin, Request, await_that, get, post, reply};

/// An API that validates, and answers no write.
struct Api {
    origin: Origin,
    /// Writes whose head has come, and writes whose content has.
    heads: Arc<AtomicUsize>,
    whole: Arc<AtomicUsize>,
    /// Has the API close the connections of writes that are whole.
    closing: Arc<AtomicBool>,
}

impl Api {
    fn new() -> Self {
        Self::held(None)
    }

    /// A GET of the write's target waits for the gate where there is one.
    fn held(gate: Option<Gate>) -> Self {
        let (heads, whole) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let closing = Arc::<AtomicBool>::default();
        let (begun, ended, closes) = (heads.clone(), whole.clone(), closing.clone());
        let serve = move |request: &Request, conn: &mut Conn| {
            if request.method == "GET" {
                let held = gate.as_ref().filter(|_| request.target == "/hot");
                held.into_iter().for_each(Gate::pass);
                let status = match request.fields.get("if-none-match") {
                    Some(_) => 304,
                    None => 200,
                };
                let fresh = reply(status)
                    .field("Cache-Control", "max-age=60")
                    .field("ETag", "\"1\"");
                return conn.reply(request, &fresh.body("1984"));
            }
            begun.fetch_add(1, Ordering::SeqCst);
            if conn.content_of(request).is_some() {
                ended.fetch_add(1, Ordering::SeqCst);
                while !closes.load(Ordering::SeqCst)
                    && !conn.closes_within(Duration::from_millis(5))
                {}
            }
            conn.close();
        };
        let origin = Origin::greeting(
            move |conn| {
                while let Some(request) = conn.request_head() {
                    serve(&request, conn);
                }
            },
            |_, _| {},
        );
        Self {
            origin,
            heads,
            whole,
            closing,
        }
    }

    fn gateway(&self) -> Gateway {
        Gateway::before(&self.origin)
            .route("/hot", "invalidates = ['/list']")
            .manual_clock()
            .start()
    }
}

/// The answer to the first GET that is not a hit.
#[track_caller]
fn first_without_a_hit(gateway: &Gateway, target: &str) -> Answer {
    let mut answer = None;
    await_that("a GET is not answered from the cache alone", || {
        let got = gateway.get(target).expect(200);
        let is_hit = got.is_hit();
        answer = Some(got);
        !is_hit
    });
    answer.expect("an answer")
}

/// How a client begins a write that it does not finish.
#[derive(Clone, Copy, Debug)]
enum Begun {
    Length,
    Chunked,
    Reset,
    Stream,
    StreamWithLength,
    StreamOfLostConnection,
}

const ALL: [Begun; 6] = [
    Begun::Length,
    Begun::Chunked,
    Begun::Reset,
    Begun::Stream,
    Begun::StreamWithLength,
    Begun::StreamOfLostConnection,
];

impl Begun {
    /// Begins the write, and breaks it off once the API has its head.
    fn break_off(self, method: &str, api: &Api, gateway: &Gateway) {
        let host = gateway.addr().to_string();
        let before = api.heads.load(Ordering::SeqCst);
        let arrived = || {
            await_that("the API has the head of the write", || {
                api.heads.load(Ordering::SeqCst) > before
            });
        };
        let head =
            |framing: &str| format!("{method} /hot HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n");
        let mut client = gateway.client();
        match self {
            Self::Length | Self::Reset => client.write(head("Content-Length: 10") + "x"),
            Self::Chunked => client.write(head("Transfer-Encoding: chunked") + "1\r\nx\r\n"),
            Self::Stream | Self::StreamWithLength | Self::StreamOfLostConnection => {
                let mut client = Http2::to(gateway);
                let stream = begin(
                    &mut client,
                    method,
                    &host,
                    &match self {
                        Self::StreamWithLength => vec![(&b"content-length"[..], &b"10"[..])],
                        _ => Vec::new(),
                    },
                );
                client.frame(DATA, 0, stream, b"x");
                arrived();
                match self {
                    Self::StreamOfLostConnection => drop(client),
                    _ => {
                        client.reset(stream);
                        client.expect_ok("/other");
                    }
                }
                return;
            }
        }
        arrived();
        match self {
            Self::Reset => client.reset(),
            _ => client.leave(),
        }
    }
}

fn begin(client: &mut Http2, method: &str, host: &str, more: &[(&[u8], &[u8])]) -> u32 {
    let mut all = fields(method, "/hot").to_vec();
    all[3].1 = host.as_bytes();
    all.extend(more);
    client.head(0, &all)
}

#[test]
fn a_write_that_is_broken_off_has_what_it_covers_validated() {
    let api = Api::new();
    let gateway = api.gateway();
    for method in ["POST", "PUT", "PATCH", "DELETE", "FROB"] {
        for begun in ALL {
            let targets = ["/hot", "/list", "/list?page=2"];
            for target in targets {
                gateway.get(target).expect(200);
                assert!(gateway.get(target).is_hit(), "{target}");
            }
            begun.break_off(method, &api, &gateway);
            for target in targets {
                let next = first_without_a_hit(&gateway, target);
                assert!(
                    next.fwd("stale") && next.number("fwd-status") == Some(304),
                    "{method} {begun:?}, {target}: {}",
                    next.cache_status()
                );
                assert!(gateway.get(target).is_hit(), "{method} {begun:?}, {target}");
            }
        }
    }
    assert_eq!(api.whole.load(Ordering::SeqCst), 0);
    assert_eq!(gateway.sum(|counted| counted.invalidations.value()), 0);
}

#[test]
fn a_write_that_the_api_has_whole_removes_however_its_client_ends_it() {
    let api = Api::new();
    let gateway = api.gateway();
    gateway.get("/hot").expect(200);
    let (host, mut client) = (gateway.addr().to_string(), Http2::to(&gateway));
    let length = (&b"content-length"[..], &b"1"[..]);
    let stream = begin(&mut client, "POST", &host, &[length]);
    // That is all of it, without a word that it is.
    client.frame(DATA, 0, stream, b"x");
    await_that("the API has all of the write", || {
        api.whole.load(Ordering::SeqCst) == 1
    });
    client.reset(stream);
    client.expect_ok("/other");
    api.closing.store(true, Ordering::SeqCst);
    let next = first_without_a_hit(&gateway, "/hot");
    assert!(next.fwd("uri-miss"), "{}", next.cache_status());
}

#[test]
fn a_fill_in_flight_is_not_stored_as_fresh_when_a_write_is_broken_off() {
    for begun in ALL {
        let gate = Gate::new();
        let api = Api::held(Some(gate.clone()));
        let gateway = api.gateway();
        gateway.get("/list").expect(200);
        let mut early = gateway.client();
        early.start(&get("/hot"));
        gate.await_arrivals(1);
        begun.break_off("PUT", &api, &gateway);
        // The write's own target comes before what it invalidates besides.
        assert!(first_without_a_hit(&gateway, "/list").fwd("stale"));
        gate.open();
        early.answer("GET").finish().expect(200);
        gateway.await_no_fills();
        let next = gateway.get("/hot").expect(200);
        let is_validated = next.fwd("stale") && next.number("fwd-status") == Some(304);
        assert!(is_validated, "{begun:?}: {}", next.cache_status());
    }
}

/// Nothing is known of a write that was sent and not answered; of one that was never sent, that it did nothing.
#[test]
fn a_write_that_reaches_no_api_invalidates_nothing() {
    let origin = Origin::answering(
        reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Connection", "close")
            .body("1984"),
    );
    let gateway = Gateway::before(&origin).start();
    gateway.get("/hot").expect(200);
    origin.await_idle();
    origin.refuse(true);
    for _ in 0..10 {
        let answer = gateway.send(&post("/hot", "new"));
        assert!(answer.status >= 500, "{}", answer.status);
        assert!(gateway.get("/hot").is_hit());
    }
    origin.refuse(false);
    await_that("the API is asked again", || {
        gateway.send(&post("/hot", "new")).status == 200
    });
    assert!(gateway.get("/hot").fwd("uri-miss"));
}
