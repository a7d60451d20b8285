//! Requests for one resource that come together cost the upstream one request.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{Client, Gate, Gateway, Origin, get, reply};

/// An origin that holds its answers until the gate is open.
fn held(gate: &Gate, answer: crate::common::Reply) -> Origin {
    let gate = gate.clone();
    Origin::start(move |request, conn| {
        gate.pass();
        conn.reply(request, &answer);
    })
}

fn crowd(gateway: &Gateway, n: usize) -> Vec<thread::JoinHandle<crate::common::Answer>> {
    let addr = gateway.addr();
    (0..n)
        .map(|_| {
            thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || Client::to(addr).get("/books/123"))
                .expect("a thread")
        })
        .collect()
}

#[test]
fn a_thousand_clients_on_a_cold_key_cost_one_request() {
    let gate = Gate::new();
    let book = "1984 ".repeat(2_000);
    let answer = reply(200).field("Cache-Control", "max-age=60").body(&book);
    let origin = held(&gate, answer);
    let gateway = Gateway::before(&origin).start();
    let clients = crowd(&gateway, 1_000);
    gateway.await_metric("bookend_followers", 999);
    gate.open();
    let answers: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("a client").expect(200))
        .collect();
    assert!(answers.iter().all(|answer| answer.text() == book));
    assert_eq!(origin.count(), 1);
    let collapsed = answers.iter().filter(|answer| answer.says("collapsed"));
    assert_eq!(collapsed.count(), 999);
    assert!(gateway.get("/books/123").is_hit());
}

#[test]
fn the_one_who_asked_first_may_leave_without_harm_to_the_others() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "max-age=60").body("1984"),
    );
    let gateway = Gateway::before(&origin).start();
    let mut leader = gateway.client();
    leader.start(&get("/books/123"));
    gate.await_arrivals(1);
    let followers = crowd(&gateway, 3);
    gateway.await_sum(3, |counted| counted.followers.value());
    leader.reset();
    gateway.await_sum(3, |counted| counted.in_flight.value());
    gate.open();
    for follower in followers {
        assert_eq!(
            follower.join().expect("a client").expect(200).text(),
            "1984"
        );
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_all_have_left_is_still_stored() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "max-age=60").body("1984"),
    );
    let gateway = Gateway::before(&origin).start();
    let mut only = gateway.client();
    only.start(&get("/books/123"));
    gate.await_arrivals(1);
    gateway.await_sum(1, |counted| counted.in_flight.value());
    only.reset();
    gateway.await_sum(0, |counted| counted.in_flight.value());
    gate.open();
    gateway.await_no_fills();
    assert!(gateway.get("/books/123").is_hit());
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_answer_that_may_not_be_shared_is_given_to_one_client_only() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "private").body("mine"),
    );
    let gateway = Gateway::before(&origin).start();
    let clients = crowd(&gateway, 5);
    gateway.await_sum(4, |counted| counted.followers.value());
    gate.open();
    for client in clients {
        assert!(
            !client
                .join()
                .expect("a client")
                .expect(200)
                .says("collapsed")
        );
    }
    assert_eq!(origin.count(), 5);
}

#[test]
fn a_crowd_on_what_may_not_be_stored_does_not_stand_in_line() {
    const CROWD: usize = 50;
    let (first, others) = (Gate::new(), Gate::new());
    let (held, holding) = (Mutex::new(Some(first.clone())), others.clone());
    let origin = Origin::start(move |request, conn| {
        let first = held.lock().expect("no panic").take();
        first.as_ref().unwrap_or(&holding).pass();
        let answer = reply(200).field("Cache-Control", "no-store").body("mine");
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let burst = crowd(&gateway, CROWD);
    gateway.await_sum(CROWD as u64 - 1, |counted| counted.followers.value());
    origin.await_requests(1);
    assert_eq!(origin.count(), 1);
    first.open();
    // Those who waited for the first ask all at once; and so do all, now that it is known.
    origin.await_requests(CROWD);
    let next = crowd(&gateway, CROWD);
    origin.await_requests(2 * CROWD);
    others.open();
    for client in burst.into_iter().chain(next) {
        assert_eq!(client.join().expect("a client").expect(200).text(), "mine");
    }
    assert_eq!(origin.count(), 2 * CROWD);
}

#[test]
fn variants_are_not_given_to_clients_that_they_do_not_match() {
    let gate = Gate::new();
    let (first, opened) = (gate.clone(), Arc::new(()));
    let origin = Origin::start(move |request, conn| {
        let _keep = &opened;
        first.pass();
        let language = request
            .fields
            .get("accept-language")
            .unwrap_or("none")
            .to_owned();
        let answer = reply(200)
            .field("Cache-Control", "max-age=60")
            .field("Vary", "Accept-Language")
            .body(language);
        conn.reply(request, &answer);
    });
    let gateway = Gateway::before(&origin).start();
    let clients: Vec<_> = ["en", "de", "en", "de", "fr"]
        .into_iter()
        .map(|language| {
            let addr = gateway.addr();
            thread::spawn(move || {
                let request = get("/books/123").field("Accept-Language", language);
                (language, Client::to(addr).send(&request))
            })
        })
        .collect();
    gateway.await_sum(4, |counted| counted.followers.value());
    gate.open();
    for client in clients {
        let (language, answer) = client.join().expect("a client");
        assert_eq!(answer.expect(200).text(), language);
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn however_slow_the_api_is_not_all_who_wait_ask_it_in_the_end() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "max-age=60").body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .cache("follower_timeout = \"100ms\"\nleader_timeout = \"100ms\"")
        .start();
    let clients = crowd(&gateway, 80);
    // Each time that they have waited for long enough, one more asks.
    origin.await_requests(8);
    gate.open();
    for client in clients {
        assert_eq!(client.join().expect("a client").expect(200).text(), "1984");
    }
    let asked = origin.count();
    assert!(asked < 40, "{asked} of 80 have asked");
}

#[test]
fn who_has_waited_for_long_enough_looks_again() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "max-age=60").body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .cache("follower_timeout = \"50ms\"\nleader_timeout = \"10s\"")
        .manual_clock()
        .start();
    let leader = crowd(&gateway, 1);
    gate.await_arrivals(1);
    let follower = crowd(&gateway, 1);
    gateway.await_sum(1, |counted| counted.followers.value());
    // Now there is something else to be seen: who looks again asks, and nobody new comes.
    gateway.advance(Duration::from_secs(10));
    origin.await_requests(2);
    gate.open();
    for client in leader.into_iter().chain(follower) {
        assert_eq!(client.join().expect("a client").expect(200).text(), "1984");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn newcomers_do_not_wait_for_one_that_has_no_answer_for_so_long() {
    let gate = Gate::new();
    let origin = held(
        &gate,
        reply(200).field("Cache-Control", "max-age=60").body("1984"),
    );
    let gateway = Gateway::before(&origin)
        .cache("follower_timeout = \"1h\"\nleader_timeout = \"20s\"")
        .manual_clock()
        .start();
    let mut clients = crowd(&gateway, 1);
    gate.await_arrivals(1);
    gateway.advance(Duration::from_secs(19));
    clients.extend(crowd(&gateway, 1));
    gateway.await_sum(1, |counted| counted.followers.value());
    gateway.advance(Duration::from_secs(1));
    clients.extend(crowd(&gateway, 1));
    origin.await_requests(2);
    // The others wait for that one.
    clients.extend(crowd(&gateway, 2));
    gateway.await_sum(3, |counted| counted.followers.value());
    gate.open();
    for client in clients {
        assert_eq!(client.join().expect("a client").expect(200).text(), "1984");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn so_many_wait_for_one_and_those_beyond_ask_for_themselves() {
    for (most, crowd_of) in [(2, 7), (0, 3)] {
        let gate = Gate::new();
        let origin = held(
            &gate,
            reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
        let gateway = Gateway::before(&origin)
            .cache(&format!("max_followers = {most}"))
            .start();
        let mut clients = Vec::new();
        for n in 1..=crowd_of {
            clients.extend(crowd(&gateway, 1));
            gateway.await_sum(n, |counted| counted.in_flight.value());
            // The first of those beyond is waited for by the next.
            let asking = u64::div_ceil(n, most + 1);
            origin.await_requests(asking as usize);
            gateway.await_sum(n - asking, |counted| counted.followers.value());
            assert_eq!(origin.count() as u64, asking);
        }
        gate.open();
        for client in clients {
            assert_eq!(client.join().expect("a client").expect(200).text(), "1984");
        }
    }
}

#[test]
fn so_many_fetches_go_on_behind_stale_responses_and_those_beyond_are_left_to_later() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.fields.has("if-none-match") {
            held.pass();
        }
        let answer = reply(200)
            .field("Cache-Control", "max-age=10, stale-while-revalidate=60")
            .field("ETag", "\"1\"");
        conn.reply(request, &answer.body("1984"));
    });
    let gateway = Gateway::before(&origin)
        .cache("max_background_fills = 2")
        .workers(1)
        .manual_clock()
        .start();
    let books = ["/books/1", "/books/2", "/books/3"];
    for book in books {
        gateway.get(book).expect(200);
    }
    gateway.advance(Duration::from_secs(20));
    let stale = |book| {
        let answer = gateway.get(book).expect(200);
        assert!(answer.is_hit(), "{}", answer.cache_status());
    };
    let counted = || {
        [
            "bookend_background_fills",
            "bookend_background_fills_total",
            "bookend_background_fills_refused_total",
        ]
        .map(|name| gateway.metric(name))
    };
    for (n, book) in (1..).zip(books) {
        stale(book);
        // One more of the same needs no other fetch.
        stale(books[0]);
        origin.await_requests(3 + n.min(2));
    }
    // Of the third as of any while two run, what is being fetched included.
    assert_eq!(counted(), [2, 2, 3]);
    assert_eq!(origin.count(), 5);
    gate.open();
    gateway.await_metric("bookend_background_fills", 0);
    stale(books[2]);
    gateway.await_metric("bookend_background_fills", 0);
    assert_eq!((counted(), origin.count()), ([0, 3, 3], 6));
}

#[test]
fn what_all_have_left_is_fetched_for_so_long_only() {
    let origin = Origin::start(|_, conn| {
        conn.write(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000000\r\n\r\n",
        );
        while conn.write("x") {
            thread::park_timeout(Duration::from_millis(5));
        }
    });
    let gateway = Gateway::before(&origin)
        .cache("fill_timeout = \"20s\"")
        .manual_clock()
        .start();
    let received = || gateway.sum(|counted| counted.upstream.bytes_received.value());
    let mut client = gateway.client();
    client.open(&get("/books")).until(1);
    client.reset();
    gateway.await_sum(0, |counted| counted.in_flight.value());
    for _ in 0..2 {
        let before = received();
        crate::common::await_that("more comes", || received() > before + 10);
        gateway.advance(Duration::from_secs(10));
    }
    let before = received();
    crate::common::await_that("more comes", || received() > before + 10);
    gateway.advance(Duration::from_secs(1));
    gateway.await_no_fills();
    origin.await_idle();
    assert_eq!(gateway.stored(), 0);
}
