//! What lasts takes no more than its part of the connections to the API (issue 11, the last sentence of point 4).

use crate::common::{Client, Gate, Gateway, Origin, Request, get, post, reply};

/// At `/events` a stream of events, at `/socket` another protocol, both until the gate opens; anything else at once.
fn origin() -> (Origin, Gate) {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| match request.target.as_str() {
        "/events" => {
            conn.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
            conn.write("Transfer-Encoding: chunked\r\n\r\n");
            conn.chunk("data: first\n\n");
            passed.pass();
            conn.last_chunk();
        }
        "/socket" => {
            conn.switch("websocket");
            passed.pass();
        }
        _ => conn.reply(request, &reply(200).body("short")),
    });
    (origin, gate)
}

fn gateway(origin: &Origin, upstream: &str) -> Gateway {
    Gateway::before(origin)
        .workers(1)
        .server("trusted_proxies = ['127.0.0.0/8']")
        .upstream(&format!("max_connections = 4\n{upstream}"))
        .start()
}

fn of(client: u8, request: Request) -> Request {
    request.field("X-Forwarded-For", format!("192.0.2.{client}"))
}

fn events() -> Request {
    get("/events")
}

fn socket() -> Request {
    let request = get("/socket").field("Upgrade", "websocket");
    request.field("Connection", "Upgrade")
}

#[test]
fn streams_and_tunnels_leave_connections_to_short_requests() {
    let kinds: [(fn() -> Request, u16); 2] = [(events, 200), (socket, 101)];
    for (lasting, status) in kinds {
        let (origin, gate) = origin();
        let gateway = gateway(&origin, "");
        let mut open: Vec<Client> = Vec::new();
        // Three of four in all, two of them one client's.
        for (client, expected) in [(1, status), (1, status), (1, 503), (2, status), (3, 503)] {
            let mut asks = gateway.client();
            let answer = asks.open(&of(client, lasting()));
            let so_far = answer.so_far().status;
            assert_eq!(so_far, expected, "client {client}: {:?}", answer.so_far());
            open.push(asks);
            assert_eq!(gateway.get("/short").status, 200);
        }
        // What has ended makes room.
        gate.open();
        drop(open);
        origin.await_idle();
        let mut asks = gateway.client();
        let answer = asks.open(&of(1, lasting()));
        assert_eq!(answer.so_far().status, status);
    }
}

#[test]
fn an_upload_that_lasts_ends_when_others_need_its_connection() {
    let (origin, _gate) = origin();
    let gateway = gateway(&origin, "queue_timeout = '10s'");
    let mut uploads: Vec<_> = (1..=4)
        .map(|client| {
            let mut upload = gateway.client();
            let head = of(client, post("/upload", "0123456789"));
            let text = format!(
                "POST {} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\nX-Forwarded-For: 192.0.2.{client}\r\n\r\n0",
                head.target
            );
            upload.write(text);
            upload
        })
        .collect();
    gateway.await_metric("bookend_upstream_connections", 4);
    assert_eq!(gateway.get("/short").status, 200, "one of them has ended");
    let mut statuses: Vec<u16> = Vec::new();
    for upload in &mut uploads {
        upload.write("123456789");
        statuses.push(upload.answer("POST").finish().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 503]);
}

#[test]
fn a_hundred_percent_is_no_bound() {
    let (origin, _gate) = origin();
    let gateway = gateway(&origin, "max_long_lived = 100");
    let mut open: Vec<Client> = Vec::new();
    for _ in 0..4 {
        let mut asks = gateway.client();
        assert_eq!(asks.open(&of(1, events())).so_far().status, 200);
        open.push(asks);
    }
}
