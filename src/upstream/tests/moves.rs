//! A name that moves: what becomes of the connections to where it led before.

use super::http2::frames::{DATA, END_STREAM, accept};
use super::name_server::{NameServer, Says, ips, named};
use super::*;
use crate::config::Protocol;

/// A name that leads to the first of two origins, and its name server, for which an answer is good for a second.
async fn two() -> (Origin, Origin, NameServer) {
    let old = Origin::start().await;
    let new = Origin::start_on("127.0.0.2", old.port()).await;
    let names = NameServer::start(Says::Addresses(ips(&["127.0.0.1"]), 0)).await;
    (old, new, names)
}

fn moved() -> Says {
    Says::Addresses(ips(&["127.0.0.2"]), 300)
}

/// Pools are looked through often; connections do not grow old, since the clock of these tests stands still.
fn worker(names: &NameServer, port: u16, change: impl FnOnce(&mut Upstream)) -> Worker {
    let mut config = named(names, port);
    config.idle_timeout = Duration::from_millis(40);
    change(&mut config);
    Worker::new(&config)
}

async fn ask(worker: &Worker) -> Bytes {
    let answer = worker.get("/").await.expect("a response");
    read(answer).await.expect("content")
}

#[test]
fn an_idle_connection_is_closed_when_its_address_is_none_of_the_server_s_any_more() {
    run(async {
        let (old, new, names) = two().await;
        let worker = worker(&names, old.port(), |_| {});
        let script = async {
            let mut peer = old.accept().await;
            peer.answer("old").await;
            peer
        };
        let (mut peer, content) = exchange(script, ask(&worker)).await;
        assert_eq!(content, "old");
        names.say(moved());
        // Nobody asks for anything meanwhile.
        peer.closed().await;
        let script = async { new.accept().await.answer("new").await };
        let (_, content) = exchange(script, ask(&worker)).await;
        assert_eq!(content, "new");
    });
}

#[test]
fn a_connection_that_is_always_in_use_is_left_too() {
    run(async {
        let (old, new, names) = two().await;
        let worker = worker(&names, old.port(), |config| config.max_connections = 1);
        let serve = async |origin: &Origin, name: &str| {
            let mut peer = origin.accept().await;
            while peer.try_answer(name).await.is_some() {}
        };
        let script = async {
            serve(&old, "old").await;
            serve(&new, "new").await;
        };
        // Each waits for the other's connection, which goes from hand to hand.
        let client = async || while ask(&worker).await != "new" {};
        let clients = async {
            // What it leads to is looked up once more, and it stays where it is.
            let at_first = async || {
                while names.asked() < 2 {
                    ask(&worker).await;
                }
            };
            tokio::join!(at_first(), at_first());
            assert_eq!(worker.counters.connects.value(), 1);
            names.say(moved());
            tokio::join!(client(), client());
        };
        tokio::select! {
            () = script => {}
            () = clients => {}
        }
        assert_eq!(worker.counters.connects.value(), 2);
    });
}

#[test]
fn a_connection_that_comes_back_from_where_the_name_no_longer_leads_is_not_kept() {
    run(async {
        let (old, new, names) = two().await;
        let worker = worker(&names, old.port(), |_| {});
        let script = async {
            let (mut idle, mut busy) = (old.accept().await, old.accept().await);
            idle.answer("old").await;
            busy.head().await;
            names.say(moved());
            idle.closed().await;
            busy.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
                .await;
            busy.closed().await;
        };
        let ((), one, other) = tokio::join!(script, ask(&worker), ask(&worker));
        assert_eq!((&*one, &*other), (&b"old"[..], &b"old"[..]));
        let script = async { new.accept().await.answer("new").await };
        let (_, content) = exchange(script, ask(&worker)).await;
        assert_eq!(content, "new");
    });
}

#[test]
fn a_shared_connection_takes_no_more_requests_and_ends_with_those_it_has() {
    run(async {
        let (old, new, names) = two().await;
        let worker = worker(&names, old.port(), |config| config.protocol = Protocol::H2c);
        let script = async {
            let mut before = accept(&old).await;
            let stream = before.asked().await;
            before.head(stream).await;
            (before, stream)
        };
        let ((mut before, stream), begun) = exchange(script, worker.get("/")).await;
        let begun = begun.expect("a response");
        names.say(moved());
        let script = async {
            let serve_old = async {
                loop {
                    let stream = before.asked().await;
                    before.answer(stream, "old").await;
                }
            };
            let mut after = tokio::select! {
                after = accept(&new) => after,
                () = serve_old => unreachable!(),
            };
            let stream = after.asked().await;
            after.answer(stream, "new").await;
            after
        };
        let client = async { while ask(&worker).await != "new" {} };
        let (_after, ()) = exchange(script, client).await;
        let script = async {
            before.frame(DATA, END_STREAM, stream, b"old").await;
            before.closed().await;
        };
        let (content, ()) = tokio::join!(read(begun), script);
        assert_eq!(content.expect("content"), "old");
    });
}
