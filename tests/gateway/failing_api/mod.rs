//! An API that fails costs its request an answer of the gateway's own, and nothing else.

mod deadlines;
mod each_deadline;
mod neighbours;
mod rates;
mod shedding;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Client, Conn, End, Gate, Gateway, Origin, get, reply};

type Fault = fn(&mut Conn);

#[test]
fn each_fault_has_its_status_and_proxy_status_and_the_gateway_lives_on() {
    #[rustfmt::skip]
    let table: [(&str, Fault, u16, &str); 8] = [
        ("closes unanswered", Conn::close, 502, "connection_terminated"),
        ("resets unanswered", Conn::reset, 502, "connection_terminated"),
        ("half a head, then FIN", |conn| { conn.write("HTTP/1.1 200 OK\r\nCache-"); conn.close(); }, 502, "connection_terminated"),
        ("half a head, then RST", |conn| { conn.write("HTTP/1.1 200 OK\r\nCache-"); conn.reset(); }, 502, "connection_terminated"),
        ("garbage", |conn| { conn.write("garbage\r\n\r\n"); conn.await_close(); }, 502, "http_protocol_error"),
        ("a field without a colon", |conn| { conn.write("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"); conn.await_close(); }, 502, "http_protocol_error"),
        ("two lengths", |conn| { conn.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"); conn.await_close(); }, 502, "http_protocol_error"),
        ("never answers", Conn::await_close, 504, "http_response_timeout"),
    ];
    for (how, fault, status, kind) in table {
        // Only for the one that takes it.
        let deadline = if status == 504 { 300 } else { 30_000 };
        let origin = Origin::start(move |request, conn| {
            if request.target == "/fine" {
                conn.reply(request, &reply(200).body("fine"));
            } else {
                fault(conn);
            }
        });
        let gateway = Gateway::before(&origin)
            .upstream(&format!("response_timeout = \"{deadline}ms\""))
            .start();
        let answer = gateway.get("/books/123");
        assert_eq!(
            (answer.status, answer.end),
            (status, End::Complete),
            "{how}: {answer:?}"
        );
        let said = answer.field("proxy-status").unwrap_or_default();
        assert!(said.contains(&format!("error={kind}")), "{how}: {said}");
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json"),
            "{how}"
        );
        assert!(
            !answer.is_hit() && !answer.says("stored"),
            "{how}: {}",
            answer.cache_status()
        );
        assert_eq!(gateway.get("/fine").expect(200).text(), "fine", "{how}");
    }
}

#[test]
fn an_api_that_is_not_there_is_502() {
    let origin = Origin::answering(reply(200));
    origin.stop();
    let gateway = Gateway::before(&origin).start();
    let answer = gateway.get("/books/123").expect(502);
    assert!(
        answer
            .field("proxy-status")
            .is_some_and(|said| said.contains("connection_refused"))
    );
}

#[test]
fn while_no_answer_can_be_had_a_stale_response_is_one_for_as_long_as_is_allowed() {
    let ill = Arc::new(AtomicBool::new(false));
    let fails = ill.clone();
    let origin = Origin::start(move |request, conn| {
        let status = if fails.load(Ordering::Relaxed) {
            503
        } else {
            200
        };
        let answer = reply(status).field("Cache-Control", "max-age=10");
        conn.reply(request, &answer.field("Connection", "close").body("1984"));
    });
    let gateway = Gateway::before(&origin)
        .route("/books/{id}", "stale_if_disconnected = '1h'")
        .manual_clock()
        .start();
    for target in ["/books/123", "/loans"] {
        gateway.get(target).expect(200);
    }
    gateway.advance(Duration::from_secs(20));
    // An error of the API's own is an answer.
    ill.store(true, Ordering::Relaxed);
    gateway.get("/books/123").expect(503);
    origin.stop();
    let stale = gateway.get("/books/123").expect(200);
    assert!(
        stale.says("detail=disconnected"),
        "{}",
        stale.cache_status()
    );
    assert_eq!((stale.text().as_str(), stale.age()), ("1984", Some(20)));
    // A minute, where nothing else is said.
    let stale = gateway.get("/loans").expect(200);
    assert!(stale.says("detail=disconnected"));
    gateway.advance(Duration::from_secs(60));
    gateway.get("/loans").expect(502);
    gateway.advance(Duration::from_secs(3600));
    gateway.get("/books/123").expect(502);
}

#[test]
fn a_server_that_dies_costs_only_the_responses_that_it_had_begun() {
    let gate = Gate::new();
    let held = gate.clone();
    let dying = Origin::start(move |request, conn| {
        if request.target.ends_with("/begun") {
            conn.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        }
        held.pass();
        conn.reset();
    });
    let well = || {
        Origin::start(|request, conn| {
            let cacheable = request.target.starts_with("/books");
            let cache = if cacheable { "max-age=60" } else { "no-store" };
            let answer = reply(200).field("Cache-Control", cache).body("well");
            conn.reply(request, &answer);
        })
    };
    let (one, other) = (well(), well());
    // By turns, each gets a third.
    let gateway = Gateway::before_all([&dying, &one, &other].map(Origin::url))
        .workers(1)
        .start();
    let ask = |target: String| {
        let addr = gateway.addr();
        thread::spawn(move || Client::to(addr).get(&target))
    };
    let unbegun: Vec<_> = (0..3)
        .flat_map(|n| [format!("/books/{n}"), format!("/loans/{n}")])
        .map(ask)
        .collect();
    dying.await_requests(2);
    one.await_requests(2);
    other.await_requests(2);
    let begun: Vec<_> = (0..3).map(|n| ask(format!("/books/{n}/begun"))).collect();
    dying.await_requests(3);
    dying.refuse(true);
    gate.open();
    for client in unbegun {
        assert_eq!(client.join().expect("a client").expect(200).text(), "well");
    }
    let begun: Vec<_> = begun
        .into_iter()
        .map(|client| client.join().expect("a client").end)
        .collect();
    let whole = begun.iter().filter(|end| **end == End::Complete).count();
    assert_eq!(whole, 2, "{begun:?}");
    for n in 0..20 {
        gateway.get(&format!("/loans/later/{n}")).expect(200);
    }
}

#[test]
fn a_kept_connection_that_has_died_is_replaced_without_the_client_noticing() {
    let origin = Origin::start(|request, conn| {
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "no-store").body("1984"),
        );
        // Closed without having said so.
        conn.close();
    });
    let gateway = Gateway::before(&origin).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        assert_eq!(client.send(&get("/books/123")).expect(200).text(), "1984");
    }
    assert_eq!(origin.count(), 5);
}

#[test]
fn what_is_too_much_for_the_api_is_turned_away_at_once() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        if request.target == "/slow" {
            held.pass();
        }
        conn.reply(
            request,
            &reply(200).field("Cache-Control", "max-age=60").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin).server("max_requests = 1").start();
    gateway.get("/hit").expect(200);
    let mut slow = gateway.client();
    slow.start(&get("/slow"));
    gate.await_arrivals(1);
    let turned_away = gateway.get("/other");
    assert_eq!(turned_away.status, 503, "{}", turned_away.text());
    assert!(turned_away.field("retry-after").is_some());
    assert!(gateway.get("/hit").is_hit(), "hits do not count");
    gate.open();
    assert_eq!(slow.answer("GET").finish().status, 200);
    gateway.get("/other").expect(200);
}

#[test]
fn the_metrics_tell_where_memory_is() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        let fresh = "Cache-Control: max-age=60\r\n";
        if request.target == "/coming" {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\n{fresh}Content-Length: 30\r\n\r\nhalf"
            ));
            held.pass();
            conn.write("x".repeat(26));
            return;
        }
        let reply = reply(200).field("Cache-Control", "max-age=60");
        conn.reply(
            request,
            &reply.field("Cache-Groups", "\"a\", \"b\"").body("1984"),
        );
    });
    let gateway = Gateway::before(&origin)
        .server("rate_limit = { requests = 100, per = '1s' }")
        .manual_clock()
        .start();
    gateway.get("/books/123").expect(200);
    let mut coming = gateway.client();
    let mut half = coming.open(&get("/coming"));
    half.until(4);
    let piece = size_of::<bytes::Bytes>() as u64;
    assert_eq!(gateway.metric("bookend_memory_in_flight_bytes"), 4 + piece);
    assert_eq!(
        gateway.metric("bookend_requests_waiting"),
        0,
        "its head has come"
    );
    assert_eq!(gateway.metric("bookend_groups"), 2);
    assert_eq!(gateway.metric("bookend_group_members"), 2);
    assert_eq!(gateway.metric("bookend_rate_limit_clients"), 1);
    assert_eq!(gateway.metric("bookend_memory_ready_fields_bytes"), 0);
    gate.open();
    half.finish().expect(200);
    gateway.await_no_fills();
    assert_eq!(gateway.metric("bookend_memory_in_flight_bytes"), 0);
    assert_eq!(gateway.metric("bookend_memory_leaving_bytes"), 0);
    assert!(gateway.metric("bookend_stored_bytes") > 34);
    // What is asked for again and again is kept ready, once by each worker.
    let mut client = gateway.client();
    for _ in 0..3 {
        assert!(client.get("/books/123").is_hit());
    }
    assert!(gateway.metric("bookend_memory_ready_fields_bytes") > 0);
    let resident = gateway.metric("process_resident_memory_bytes");
    assert!(gateway.metric("bookend_memory_anonymous_bytes") <= resident);
    assert!(gateway.metric("bookend_memory_peak_bytes") > 0);
}
