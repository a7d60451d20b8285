//! Clients that leave in order (FIN) while they wait: it may be a half-close (RFC 9112 §9.6), and keeps nobody else out.

use std::io::Read as _;

use crate::common::{Client, Gate, Gateway, Origin, Request, get, post, reply};

/// An API that answers what is under `/now` and holds everything else back until the gate opens.
fn slow(gate: &Gate) -> Origin {
    let held = gate.clone();
    Origin::start(move |request, conn| {
        if !request.target.starts_with("/now") {
            held.pass();
        }
        conn.reply(request, &reply(200).field("Cache-Control", "no-store"));
    })
}

#[test]
fn clients_that_left_in_order_take_no_place_from_others() {
    // What is scarce.
    for (server, upstream) in [
        ("max_requests = 40", ""),
        (
            "max_requests_per_client = 8\ntrusted_proxies = '127.0.0.1'",
            "",
        ),
        ("", "max_connections = 12\nqueue_timeout = '30s'"),
    ] {
        let gate = Gate::new();
        let origin = slow(&gate);
        let gateway = Gateway::before(&origin)
            .workers(1)
            .server(server)
            .upstream(upstream)
            .start();
        let from = |request: Request| request.field("X-Forwarded-For", "192.0.2.1");
        for n in 0..200 {
            let mut client = gateway.client();
            let asked = origin.count();
            client.start(&from(get(&format!("/slow/{n}")).field("Cookie", "a=1")));
            origin.await_requests(asked + 1);
            client.leave();
            if n % 20 == 0 {
                gateway.send(&from(get("/now"))).expect(200);
            }
        }
        gate.open();
    }
}

#[test]
fn a_client_that_half_closes_gets_its_answer_as_long_as_places_are_free() {
    let get = |n: usize| get(&format!("/slow/{n}"));
    let post = |n: usize| post(&format!("/slow/{n}"), "1984");
    let kinds: [&dyn Fn(usize) -> Request; 2] = [&get, &post];
    for request in kinds {
        let gate = Gate::new();
        let origin = slow(&gate);
        let gateway = Gateway::before(&origin).workers(1).start();
        let mut clients: Vec<Client> = (0..8).map(|_| gateway.client()).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            client.start(&request(n));
            client.half_close();
            origin.await_requests(n + 1);
        }
        gateway.get("/now").expect(200);
        gate.open();
        for mut client in clients {
            assert_eq!(client.answer("GET").finish().status, 200);
        }
    }
}

#[test]
fn more_half_closed_clients_than_may_wait_count_as_gone() {
    let gate = Gate::new();
    let origin = slow(&gate);
    let gateway = Gateway::before(&origin)
        .workers(1)
        .cache("max_unattended_fills = 16")
        .start();
    let mut clients: Vec<Client> = (0..6).map(|_| gateway.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.start(&get(&format!("/slow/{n}")).field("Cookie", "a=1"));
        origin.await_requests(n + 1);
    }
    // One client has an eighth of them.
    clients.iter_mut().for_each(Client::half_close);
    gateway.await_metric("bookend_connections", 2);
    gate.open();
    let answers = clients.iter_mut().map(|client| {
        let mut octets = Vec::new();
        // Those that are given up are reset.
        let _ = client.hold().read_to_end(&mut octets);
        octets
    });
    let answered = answers.filter(|octets| octets.starts_with(b"HTTP/1.1 200"));
    assert_eq!(answered.count(), 2);
}
