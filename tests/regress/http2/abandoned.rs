//! What goes on at the API without a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::super::common::{Client as Http1, Gateway, Origin, await_that, get, reply};
use super::frames::{
    CANCEL, Client, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, RST_STREAM, block,
    fields, frame,
};

/// As many fills of one client go on for the store alone, by default.
const UNATTENDED: usize = 8;

/// So many streams may be reset in a row, by default.
const RESETS: usize = 100;

/// An API that answers what is under `/now/` and keeps everything else waiting until its client has gone, or it is
/// released.
struct Slow {
    origin: Origin,
    under_way: Arc<AtomicUsize>,
    released: Arc<AtomicBool>,
}

struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Slow {
    fn new() -> Self {
        Self::beginning(b"")
    }

    /// Each answer begins with these octets.
    fn beginning(octets: &[u8]) -> Self {
        let octets = octets.to_vec();
        let under_way = Arc::<AtomicUsize>::default();
        let released = Arc::<AtomicBool>::default();
        let (counted, ends) = (under_way.clone(), released.clone());
        let origin = Origin::start(move |request, conn| {
            if request.target.starts_with("/now/") {
                let fresh = reply(200).field("Cache-Control", "max-age=60").body("1984");
                return conn.reply(request, &fresh);
            }
            counted.fetch_add(1, Ordering::SeqCst);
            conn.write(&octets);
            while !conn.closes_within(Duration::from_millis(5)) && !ends.load(Ordering::SeqCst) {}
            conn.close();
            counted.fetch_sub(1, Ordering::SeqCst);
        });
        Self {
            origin,
            under_way,
            released,
        }
    }

    fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Lets what waits end when it is dropped: a gateway waits for its fills.
    fn release(&self) -> Release {
        Release(self.released.clone())
    }

    #[track_caller]
    fn await_at_most(&self, most: usize) {
        await_that("few requests go on at the API", || self.under_way() <= most);
    }
}

#[test]
fn fills_whose_streams_were_reset_are_cancelled_but_for_a_few() {
    // How the API's answer begins, and what its client sends beside.
    let heads: [&[u8]; 2] = [
        b"",
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\n19",
    ];
    for head in heads {
        let api = Slow::beginning(head);
        let gateway = Gateway::before(&api.origin).workers(1).start();
        let _release = api.release();
        let mut client = Client::to(&gateway);
        for n in 0..40 {
            let stream = client.get(&format!("/slow/{n}"));
            api.origin.await_requests(n + 1);
            if !head.is_empty() {
                client.until(|frame| frame.stream == stream && frame.kind == DATA);
            }
            client.reset(stream);
        }
        client.expect_ok("/now/1");
        api.await_at_most(UNATTENDED);
        assert_eq!(api.under_way(), UNATTENDED, "some go on for the store");
        assert!(gateway.get("/now/2").expect(200).says("stored"));
    }
}

#[test]
fn fills_whose_http1_clients_left_are_cancelled_but_for_a_few() {
    let api = Slow::new();
    let gateway = Gateway::before(&api.origin).workers(1).start();
    let _release = api.release();
    let mut clients: Vec<_> = (0..30).map(|_| gateway.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.start(&get(&format!("/slow/{n}")));
    }
    api.origin.await_requests(clients.len());
    clients.iter_mut().for_each(Http1::reset);
    api.await_at_most(UNATTENDED);
    assert_eq!(api.under_way(), UNATTENDED, "some go on for the store");
}

#[test]
fn what_will_not_be_stored_ends_with_its_client() {
    let rule = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n19";
    // What the client sends beside, and how the API's answer begins.
    #[rustfmt::skip]
    let table: [(&[(&[u8], &[u8])], &str); 5] = [
        (&[(b"authorization", b"Basic eA==")], ""),
        (&[(b"cookie", b"a=1")], ""),
        (&[(b"cache-control", b"no-store")], ""),
        (&[(b"cookie", b"a=1")], rule),
        (&[], "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 9\r\n\r\n19"),
    ];
    for (also, head) in table {
        let api = Slow::beginning(head.as_bytes());
        let gateway = Gateway::before(&api.origin).workers(1).start();
        let _release = api.release();
        let mut client = Client::to(&gateway);
        let fields = [&fields("GET", "/slow/1")[..], also].concat();
        let stream = client.head(END_STREAM, &fields);
        api.origin.await_requests(1);
        if !head.is_empty() {
            client.until(|frame| frame.stream == stream && frame.kind == DATA);
        }
        client.reset(stream);
        api.await_at_most(0);
        gateway.await_no_fills();
    }
}

#[test]
fn a_fill_goes_on_as_long_as_somebody_waits_for_it() {
    let api = Slow::new();
    let gateway = Gateway::before(&api.origin)
        .workers(1)
        .cache("max_unattended_fills = 0")
        .start();
    let _release = api.release();
    let mut clients = [Client::to(&gateway), Client::to(&gateway)];
    let leader = clients[0].get("/slow/1");
    api.origin.await_requests(1);
    let follower = clients[1].get("/slow/1");
    gateway.await_sum(1, |counted| counted.followers.value());
    clients[0].reset(leader);
    clients[0].expect_ok("/now/1");
    assert_eq!(api.under_way(), 1, "the other one still waits");
    clients[1].reset(follower);
    api.await_at_most(0);
    gateway.await_no_fills();
}

#[test]
fn what_goes_on_without_its_client_counts_among_the_requests_that_wait() {
    for method in ["GET", "POST", "DELETE"] {
        let api = Slow::new();
        let gateway = Gateway::before(&api.origin)
            .workers(1)
            .server("max_requests = 10\ntrusted_proxies = \"127.0.0.1\"")
            .cache("max_unattended_fills = 800")
            .start();
        let _release = api.release();
        let mut client = Client::to(&gateway);
        let address: (&[u8], &[u8]) = (b"x-forwarded-for", b"192.0.2.1");
        for n in 0..9 {
            let path = format!("/slow/{n}");
            let fields = [&fields(method, &path)[..], &[address]].concat();
            let stream = client.head(END_STREAM, &fields);
            api.origin.await_requests(n + 1);
            client.reset(stream);
        }
        for n in 0..20 {
            let path = format!("/slow/more/{n}");
            let fields = [&fields(method, &path)[..], &[address]].concat();
            let stream = client.head(END_STREAM, &fields);
            let head = client.until(|frame| frame.stream == stream);
            assert!(!head.is_ok() && head.kind == HEADERS, "{method}");
        }
        assert_eq!(api.under_way(), 9, "{method}: a client has seven eighths");
        let other = gateway.send(&get("/now/1").field("X-Forwarded-For", "192.0.2.2"));
        other.expect(200);
        assert_eq!(gateway.sum(|counted| counted.waiting.value()), 9);
    }
}

#[test]
fn a_client_has_its_share_of_the_requests_that_wait() {
    // Whom the proxy names, and how many of six may wait.
    let table = [
        (&["192.0.2.1"; 6][..], 3),
        (&["192.0.2.1", "192.0.2.2"].repeat(3), 6),
        (&["2001:db8::1", "2001:db8::2", "2001:db8::3"].repeat(2), 3),
        (&["2001:db8::1", "2001:db8:0:1::1"].repeat(3), 6),
        // A proxy is not one client, but one of those behind it.
        (&["127.0.0.1"; 6], 6),
        (&[""; 6], 6),
        (&["unknown"; 6], 6),
    ];
    for (addresses, expected) in table {
        let api = Slow::new();
        let gateway = Gateway::before(&api.origin)
            .server("max_requests_per_client = 3\ntrusted_proxies = \"127.0.0.1\"")
            .start();
        let _release = api.release();
        let mut clients: Vec<_> = addresses.iter().map(|_| gateway.client()).collect();
        for (n, (client, address)) in clients.iter_mut().zip(addresses).enumerate() {
            let request = get(&format!("/slow/{n}"));
            client.start(&match *address {
                "" => request,
                address => request.field("X-Forwarded-For", address),
            });
        }
        let refused = clients.len() - expected;
        await_that("all have been admitted or refused", || {
            gateway.sum(|counted| counted.shed.value()) == refused as u64
                && api.under_way() == expected
        });
    }
}

#[test]
fn a_client_that_resets_too_much_is_told_to_calm_down() {
    for sees_each in [true, false] {
        let api = Slow::new();
        let gateway = Gateway::before(&api.origin).workers(1).start();
        let _release = api.release();
        let mut client = Client::to(&gateway);
        let mut sent = 0;
        while sent < 1_500 {
            let stream = client.get(&format!("/slow/{sent}"));
            // What is reset before we look is bounded by h2.
            if sees_each && sent <= RESETS {
                api.origin.await_requests(sent + 1);
            }
            if !client.reset(stream) {
                break;
            }
            sent += 1;
        }
        assert_eq!(client.farewell(), Some(ENHANCE_YOUR_CALM));
        api.await_at_most(UNATTENDED);
        if sees_each {
            assert_eq!(gateway.metric("bookend_reset_floods_total"), 1);
        }
        gateway.await_sum(0, |counted| counted.connections.value());
        assert!(gateway.get("/now/1").expect(200).says("stored"));
    }
}

/// Rapid reset (CVE-2023-44487) sends each request together with its reset.
#[test]
fn requests_that_come_with_their_resets_cost_the_api_nothing() {
    let api = Slow::new();
    let gateway = Gateway::before(&api.origin).workers(1).start();
    let _release = api.release();
    let mut client = Client::to(&gateway);
    client.expect_ok("/now/1");
    for round in 0..20 {
        let mut octets = Vec::new();
        for n in 0..4 {
            let stream = client.number();
            let block = block(&fields("GET", &format!("/slow/{round}/{n}")));
            octets.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, block));
            octets.extend(frame(RST_STREAM, 0, stream, CANCEL.to_be_bytes()));
        }
        client.write(octets);
        client.expect_ok("/now/1");
    }
    assert_eq!(api.origin.count(), 1);
}

#[test]
fn a_client_may_reset_now_and_then() {
    let api = Slow::new();
    let gateway = Gateway::before(&api.origin)
        .workers(1)
        .server("[server.http2]\nmax_resets = 3")
        .start();
    let _release = api.release();
    let mut client = Client::to(&gateway);
    for n in 0..20 {
        let stream = client.get(&format!("/slow/{n}"));
        api.origin.await_requests(n + 1 + usize::from(n > 0));
        client.reset(stream);
        client.expect_ok("/now/1");
    }
    assert_eq!(gateway.metric("bookend_reset_floods_total"), 0);
}

/// As a proxy in front does with the event streams of its users, each of which ends when its user leaves.
#[test]
fn requests_that_have_lasted_may_all_be_reset() {
    let api = Slow::new();
    let gateway = Gateway::before(&api.origin)
        .workers(1)
        .server("[server.http2]\nmax_resets = 3")
        .manual_deadlines()
        .start();
    let _release = api.release();
    let mut client = Client::to(&gateway);
    let streams: Vec<_> = (0..10)
        .map(|n| {
            let stream = client.get(&format!("/slow/{n}"));
            api.origin.await_requests(n + 1);
            stream
        })
        .collect();
    let mut silent = gateway.client();
    silent.write("GET / HT");
    gateway.await_sum(2, |counted| counted.connections.value());
    gateway.advance_deadlines(Duration::from_secs(20));
    // The worker has seen the time then.
    silent.answer("GET").finish().expect(408);
    for stream in streams {
        client.reset(stream);
    }
    client.expect_ok("/now/1");
    assert_eq!(gateway.metric("bookend_reset_floods_total"), 0);
}
