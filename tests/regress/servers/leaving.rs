//! What has not been sent to the API leaves with its client (issue 11, point 50).

use crate::common::{
    Client, Gate, Gateway, Origin, Request, await_that, get, post, put, reply, request,
};

/// A server that answers nothing before its gate opens.
fn gated() -> (Origin, Gate) {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        passed.pass();
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("late"),
        );
    });
    (origin, gate)
}

fn kinds(at: usize) -> [(&'static str, Request); 6] {
    [
        ("a fill", get(&format!("/fill/{at}"))),
        (
            "a pass",
            get(&format!("/pass/{at}")).field("Cache-Control", "no-store"),
        ),
        ("a HEAD", request("HEAD", &format!("/head/{at}"))),
        ("a POST", post(&format!("/post/{at}"), "one more")),
        ("a PUT", put(&format!("/put/{at}"), "the same")),
        ("a DELETE", request("DELETE", &format!("/delete/{at}"))),
    ]
}

type Leave = fn(&mut Client);

#[test]
fn requests_of_clients_that_left_the_queue_are_not_sent() {
    let fin: Leave = Client::leave;
    let rst: Leave = Client::reset;
    for (how, leave) in [("FIN", fin), ("RST", rst)] {
        let (origin, gate) = gated();
        let gateway = Gateway::before(&origin)
            .workers(1)
            .upstream("max_connections = 2\nqueue_timeout = '30s'")
            .start();
        let mut stuck: Vec<_> = (0..2).map(|_| gateway.client()).collect();
        for (at, client) in stuck.iter_mut().enumerate() {
            client.start(&get(&format!("/stuck/{at}")));
        }
        origin.await_requests(2);
        let mut waiting = Vec::new();
        for at in 0..6 {
            for (_, request) in kinds(at) {
                let mut client = gateway.client();
                client.start(&request);
                waiting.push(client);
            }
        }
        gateway.await_metric("bookend_upstream_waiting", 36);
        for client in &mut waiting {
            leave(client);
        }
        // They leave the queue at once, not when their turn comes.
        gateway.await_metric("bookend_upstream_waiting", 0);
        gate.open();
        for client in &mut stuck {
            assert_eq!(client.answer("GET").finish().status, 200, "{how}");
        }
        assert_eq!(gateway.get("/next").status, 200, "{how}");
        let sent: Vec<_> = origin.requests().into_iter().map(|r| r.target).collect();
        assert_eq!(sent.len(), 3, "{how}: {sent:?}");
    }
}

#[test]
fn a_write_that_was_not_sent_invalidates_nothing() {
    let gate = Gate::new();
    let passed = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.target == "/stuck" {
            passed.pass();
        }
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("hot"),
        );
    });
    let gateway = Gateway::before(&origin)
        .workers(1)
        .upstream("max_connections = 1\nqueue_timeout = '300ms'")
        .start();
    gateway.get("/hot").expect(200);
    let mut stuck = gateway.client();
    stuck.start(&get("/stuck"));
    origin.await_requests(2);
    // Its client leaves, or its wait is over.
    assert_eq!(gateway.send(&post("/hot", "new")).status, 503);
    assert!(gateway.get("/hot").is_hit());
    let mut writes = gateway.client();
    writes.start(&post("/hot", "new"));
    gateway.await_metric("bookend_upstream_waiting", 1);
    writes.leave();
    gateway.await_metric("bookend_upstream_waiting", 0);
    assert!(gateway.get("/hot").is_hit());
    gate.open();
    assert_eq!(stuck.answer("GET").finish().status, 200);
    // What was sent owes it as ever.
    assert_eq!(gateway.send(&post("/hot", "new")).status, 200);
    assert!(!gateway.get("/hot").is_hit());
}

#[test]
fn a_fill_that_others_wait_for_stays_in_the_queue() {
    let (origin, gate) = gated();
    let gateway = Gateway::before(&origin)
        .workers(1)
        .upstream("max_connections = 1\nqueue_timeout = '30s'")
        .start();
    let mut stuck = gateway.client();
    stuck.start(&get("/stuck"));
    origin.await_requests(1);
    let (mut leader, mut follower) = (gateway.client(), gateway.client());
    leader.start(&get("/shared"));
    gateway.await_metric("bookend_upstream_waiting", 1);
    follower.start(&get("/shared"));
    gateway.await_sum(1, |counted| counted.followers.value());
    leader.leave();
    let open = |gateway: &Gateway| gateway.metric("bookend_connections");
    await_that("the leader is seen to have left", || open(&gateway) == 2);
    gate.open();
    assert_eq!(stuck.answer("GET").finish().status, 200);
    assert_eq!(follower.answer("GET").finish().status, 200);
    assert_eq!(origin.count(), 2);
}
