//! WebSocket and other changes of protocol (RFC 9110 §7.8).

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bookend::server::Outcome;

use crate::common::{
    Client, Conn, End, Gate, Gateway, Origin, PATIENCE, Request, await_that, get, reply,
};

fn handshake() -> Request {
    get("/chat")
        .field("Connection", "keep-alive, Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .field("Sec-WebSocket-Version", "13")
}

/// Goes over to WebSocket, and then does what `then` does.
fn switching(then: impl Fn(&mut Conn) + Send + Sync + 'static) -> Origin {
    Origin::start(move |request, conn| {
        assert_eq!(request.fields.get("upgrade"), Some("websocket"));
        let connection: Vec<_> = request.fields.all("connection").collect();
        assert_eq!(connection, ["upgrade"]);
        conn.switch("websocket");
        then(conn);
    })
}

/// A client on the other end of what its request went over to.
fn switched(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    switch(&mut client, &handshake());
    client
}

#[track_caller]
fn switch(client: &mut Client, request: &Request) {
    client.start(request);
    let answer = client.answer("GET").so_far().clone();
    assert_eq!(answer.status, 101, "{answer:#?}");
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert_eq!(answer.list("connection"), "upgrade");
    assert!(answer.fwd("bypass"), "{}", answer.cache_status());
}

#[test]
fn octets_go_both_ways_from_the_first_one_on() {
    let origin = switching(|conn| {
        conn.write("welcome");
        while let Ok(said) = conn.octets(5) {
            conn.write(said);
        }
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    // The client's first words come with its request, the origin's with its response.
    client.start(&handshake().field("Content-Length", "0"));
    client.write("early");
    let answer = client.answer("GET").so_far().clone();
    assert_eq!(answer.status, 101);
    assert!(!answer.fields.has("content-length") && !answer.fields.has("transfer-encoding"));
    assert_eq!(client.octets(12).as_deref(), Ok(&b"welcomeearly"[..]));
    for words in ["\0\x01\x02\x03\x04", "wheel", "GET /"] {
        client.write(words);
        assert_eq!(client.octets(5).as_deref(), Ok(words.as_bytes()));
    }
    assert_eq!(gateway.metric("bookend_tunnels"), 1);
    client.leave();
    gateway.await_metric("bookend_tunnels", 0);
    gateway.await_metric("bookend_upstream_connections", 0);
}

#[test]
fn each_client_has_a_connection_of_its_own_and_nothing_is_stored() {
    let origin = switching(|conn| {
        let name = conn.octets(1).expect("a name");
        conn.write(name);
        conn.await_close();
    });
    let gateway = Gateway::before(&origin)
        .route("/chat", "ttl = \"5m\"")
        .start();
    let mut clients = [switched(&gateway), switched(&gateway), switched(&gateway)];
    for (name, client) in (b'a'..).zip(&mut clients) {
        client.write([name]);
    }
    for (name, client) in (b'a'..).zip(&mut clients) {
        assert_eq!(client.octets(1), Ok(vec![name]));
    }
    assert_eq!((origin.connections(), gateway.stored()), (3, 0));
    drop(clients);
}

#[test]
fn a_refused_handshake_is_an_ordinary_response() {
    for (status, connection, upgrade) in [(400, "", ""), (401, "", ""), (426, "upgrade", "h9, x/2")]
    {
        let origin = Origin::start(move |request, conn| {
            let answer = reply(status).body("no");
            let answer = match upgrade {
                "" => answer,
                protocols => answer
                    .field("Upgrade", protocols)
                    .field("Connection", "Upgrade"),
            };
            conn.reply(request, &answer);
        });
        let gateway = Gateway::before(&origin).start();
        let mut client = gateway.client();
        for n in 1..3 {
            let answer = client.send(&handshake()).expect(status);
            assert_eq!(answer.text(), "no");
            // RFC 9110 §15.5.22
            assert_eq!(answer.list("upgrade"), upgrade);
            assert_eq!(answer.list("connection"), connection);
            assert_eq!(origin.count(), n);
        }
        assert_eq!(client.connects(), 1, "HTTP goes on");
    }
}

#[test]
fn what_is_no_offer_is_a_request_like_any_other() {
    let websocket = |request: Request| request.field("Upgrade", "websocket");
    let option = |request: Request| request.field("Connection", "upgrade");
    let requests = [
        websocket(get("/a")),
        websocket(option(get("/a")))
            .version("HTTP/1.0")
            .field("Host", "a"),
        option(get("/a"))
            .field("Upgrade", "h2c")
            .field("HTTP2-Settings", "AAMAAABk"),
        option(get("/a")).field("Upgrade", "TLS/1.3, HTTP/2.0"),
    ];
    for request in requests {
        let origin =
            Origin::answering(reply(200).field("Cache-Control", "max-age=60").body("1984"));
        let gateway = Gateway::before(&origin).start();
        for hit in [false, true] {
            let answer = gateway.send(&request).expect(200);
            assert_eq!((answer.text().as_str(), answer.is_hit()), ("1984", hit));
        }
        let received = origin.last().fields;
        assert!(
            !received.has("upgrade") && !received.has("connection"),
            "{received:?}"
        );
    }
}

#[test]
fn content_leaves_no_room_for_another_protocol() {
    let origin = Origin::answering(reply(200).body("read"));
    let gateway = Gateway::before(&origin).start();
    let request = Request {
        method: "POST".to_owned(),
        ..handshake()
    };
    assert_eq!(
        gateway.send(&request.body("1984")).expect(200).text(),
        "read"
    );
    let received = origin.last();
    assert_eq!(received.text(), "1984");
    assert!(!received.fields.has("upgrade"));
}

#[test]
fn an_origin_that_switches_to_what_it_was_not_asked_for_is_502() {
    for (asks, protocol) in [
        (handshake(), "x"),
        (handshake(), "h2c"),
        (get("/"), "websocket"),
    ] {
        let origin = Origin::start(move |_, conn| {
            conn.switch(protocol);
            conn.await_close();
        });
        let gateway = Gateway::before(&origin).start();
        let answer = gateway.send(&asks).expect(502);
        assert!(answer.list("proxy-status").contains("http_protocol_error"));
        origin.await_idle();
    }
}

#[test]
fn either_side_may_end_while_the_other_goes_on() {
    let (sender, gone) = mpsc::channel();
    let origin = switching(move |conn| {
        // The client's end comes after its words; ours are still welcome.
        let words = conn.octets(7);
        sender.send((words, conn.octets(1))).expect("a test");
        conn.write("after you");
        conn.half_close();
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = switched(&gateway);
    client.write("goodbye");
    client.half_close();
    let heard = gone.recv_timeout(PATIENCE).expect("an origin that hears");
    assert_eq!(heard, (Ok(b"goodbye".to_vec()), Err(End::Truncated)));
    assert_eq!(client.octets(9).as_deref(), Ok(&b"after you"[..]));
    assert_eq!(client.await_close(), End::Complete);

    let origin = switching(|conn| {
        conn.write("goodbye");
        conn.half_close();
        assert_eq!(conn.octets(9).as_deref(), Ok(&b"after you"[..]));
        assert_eq!(conn.octets(1), Err(End::Truncated));
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = switched(&gateway);
    assert_eq!(client.octets(7).as_deref(), Ok(&b"goodbye"[..]));
    assert_eq!(client.octets(1), Err(End::Truncated));
    client.write("after you");
    client.half_close();
    origin.await_idle();
}

#[test]
fn where_one_side_breaks_so_does_the_other() {
    let origin = switching(|conn| {
        assert!(conn.octets(1).is_ok());
        conn.reset();
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = switched(&gateway);
    client.write("x");
    assert_eq!(client.octets(1), Err(End::Reset));

    let (sender, ended) = mpsc::channel();
    let origin = switching(move |conn| sender.send(conn.octets(1)).expect("a test"));
    let gateway = Gateway::before(&origin).start();
    switched(&gateway).reset();
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(Err(End::Reset)));
}

#[test]
fn who_does_not_read_slows_the_other_down() {
    const FLOOD: usize = 64 << 20;
    let gate = Gate::new();
    let opened = gate.clone();
    let origin = switching(move |conn| {
        opened.pass();
        let mut left = FLOOD;
        while left > 0 {
            let n = left.min(1 << 20);
            assert!(
                conn.octets(n)
                    .expect("all of it")
                    .iter()
                    .all(|octet| *octet == b'x')
            );
            left -= n;
        }
        conn.write("all");
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = switched(&gateway);
    let flood = vec![b'x'; FLOOD];
    let (sent, all) = client.press(&flood, Duration::from_millis(500));
    assert!(!all, "64 MiB went nowhere");
    gate.open();
    client.write(&flood[sent..]);
    assert_eq!(client.octets(3).as_deref(), Ok(&b"all"[..]));
}

#[test]
fn a_flood_one_way_holds_up_nothing_the_other_way() {
    // What comes of the flood while one octet goes the other way: some turns' worth. On a machine that keeps this test
    // waiting it is more now and then, but not as a rule.
    const SOME: usize = 2 << 20;
    let flooded = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(AtomicBool::new(false));
    let (taken, speak) = (flooded.clone(), asked.clone());
    let origin = switching(move |conn| {
        let mut room = vec![0; 1 << 20];
        while let some @ 1.. = conn.swallow(&mut room) {
            taken.fetch_add(some, Ordering::Relaxed);
            if speak.swap(false, Ordering::Relaxed) {
                conn.write("!");
            }
        }
    });
    let gateway = Gateway::before(&origin).workers(1).start();
    let mut client = switched(&gateway);
    let mut pen = client.hold();
    let flood = thread::spawn(move || while pen.write_all(&[b'x'; 256 << 10]).is_ok() {});
    await_that("the flood is under way", || {
        flooded.load(Ordering::Relaxed) > 16 << 20
    });
    let mut meanwhile: Vec<_> = (0..9)
        .map(|_| {
            let before = flooded.load(Ordering::Relaxed);
            asked.store(true, Ordering::Relaxed);
            assert_eq!(client.octets(1).as_deref(), Ok(&b"!"[..]));
            flooded.load(Ordering::Relaxed) - before
        })
        .collect();
    meanwhile.sort_unstable();
    assert!(meanwhile[4] < SOME, "{meanwhile:?} octets came first");
    client.half_close();
    flood.join().expect("an end");
}

#[test]
fn silence_in_both_directions_ends_it() {
    let origin = switching(|conn| {
        // Words in one direction are enough to keep it.
        for _ in 0..40 {
            conn.write("x");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        conn.await_close();
    });
    let gateway = Gateway::before(&origin)
        .server("tunnel_timeout = \"200ms\"\nwrite_timeout = \"100ms\"\nbody_timeout = \"100ms\"")
        .start();
    let mut client = switched(&gateway);
    assert_eq!(client.octets(40), Ok(vec![b'x'; 40]));
    assert_eq!(client.await_close(), End::Complete);
    origin.await_idle();
}

#[test]
fn the_drain_waits_for_it_up_to_its_deadline() {
    let origin = switching(|conn| while conn.octets(1).is_ok_and(|said| conn.write(said)) {});
    let gateway = Gateway::before(&origin)
        .server("drain_timeout = \"300ms\"")
        .start();
    let mut client = switched(&gateway);
    client.write("a");
    assert_eq!(client.octets(1).as_deref(), Ok(&b"a"[..]));
    assert_eq!(gateway.stop(), Outcome::Aborted { connections: 1 });
    assert!(client.octets(1).is_err());
    origin.await_idle();

    let gateway = Gateway::before(&origin)
        .server("drain_timeout = \"15s\"")
        .start();
    let mut client = switched(&gateway);
    let stopping = std::thread::spawn(move || gateway.stop());
    for _ in 0..20 {
        client.write("a");
        assert_eq!(client.octets(1).as_deref(), Ok(&b"a"[..]));
    }
    client.leave();
    assert_eq!(stopping.join().expect("an end"), Outcome::Drained);
}
