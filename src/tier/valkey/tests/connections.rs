//! Connections that are lost, late and found again.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::server::{LONG, TestServer, runtime};
use crate::clock::{timer_now, within};
use crate::config::valkey_servers::Servers;
use crate::ledger::protocol::server::{Beaten, Limits};
use crate::tier::valkey::connection::{Connection, Error, LONGEST, Link};
use crate::tier::valkey::keys::Namespace;
use crate::tier::valkey::ledger::Ledger;
use crate::tier::valkey::log_reader::LogReader;

pub fn ledger() -> Ledger {
    Ledger {
        namespace: Namespace::new("books").expect("a name"),
        limits: Limits {
            log: 100,
            ledger: 100,
        },
    }
}

/// Runs `test` beside what keeps the connection.
fn beside(servers: &Servers, test: impl AsyncFnOnce(&Connection)) {
    runtime().block_on(kept(servers, 0, test));
}

/// The same in a test that has more to do.
pub async fn kept(servers: &Servers, replicas: u32, test: impl AsyncFnOnce(&Connection)) {
    let connection = Connection::new(servers, ledger(), replicas);
    tokio::select! {
        () = connection.keep() => unreachable!("it does not end"),
        () = test(&connection) => {}
    }
}

pub async fn linked(connection: &Connection) -> Link {
    let mut links = connection.links();
    let link = pin!(links.wait_for(Option::is_some));
    let link = within(LONG, link).await.expect("within a time");
    link.expect("a connection").clone().expect("a link")
}

#[test]
#[ignore = "needs redis-server"]
fn a_server_that_is_stopped_delays_nobody_and_is_found_again() {
    let server = TestServer::start();
    beside(&server.servers(), async |connection| {
        let link = linked(connection).await;
        let beat = ledger().beat(1, link.epoch, 0, 1);
        let (epoch, sequence) = (link.epoch, 0);
        let answer = connection.call(&beat).await.expect("an answer");
        assert_eq!(answer, Ok(Beaten { epoch, sequence }));
        server.signal("STOP");
        let began = timer_now();
        for _ in 0..3 {
            let answer = connection.call(&beat).await;
            assert!(matches!(answer, Err(Error::Late)), "{answer:?}");
        }
        assert!(began.elapsed() < 6 * LONGEST, "{:?}", began.elapsed());
        let mut links = connection.links();
        links.wait_for(Option::is_none).await.expect("a loss");
        let began = timer_now();
        let answer = connection.call(&beat).await;
        assert!(matches!(answer, Err(Error::Away)), "{answer:?}");
        assert!(began.elapsed() < LONGEST, "{:?}", began.elapsed());
        assert_eq!(connection.counters().given_up.load(Ordering::Relaxed), 1);
        server.signal("CONT");
        let again = linked(connection).await;
        assert_eq!((again.epoch, again.run()), (link.epoch, link.run()));
        assert!(connection.call(&beat).await.expect("an answer").is_ok());
    });
}

#[test]
#[ignore = "needs redis-server"]
fn calls_that_are_late_at_the_same_time_are_one_reason_to_give_a_connection_up() {
    let server = TestServer::start();
    beside(&server.servers(), async |connection| {
        let link = linked(connection).await;
        let beat = ledger().beat(1, link.epoch, 0, 1);
        let call = || connection.call(&beat);
        assert!(call().await.is_ok());
        server.signal("STOP");
        let all = tokio::join!(call(), call(), call(), call());
        for answer in [all.0, all.1, all.2, all.3] {
            assert!(matches!(answer, Err(Error::Late)), "{answer:?}");
        }
        let given_up = || connection.counters().given_up.load(Ordering::Relaxed);
        assert_eq!(connection.counters().late.load(Ordering::Relaxed), 4);
        assert_eq!(given_up(), 0);
        for _ in 0..2 {
            assert!(matches!(call().await, Err(Error::Late)));
        }
        assert_eq!(given_up(), 1);
        server.signal("CONT");
    });
}

#[test]
#[ignore = "needs redis-server"]
fn another_run_of_the_server_has_another_epoch_before_anything_is_called() {
    let mut server = TestServer::start();
    beside(&server.servers(), async |connection| {
        let before = linked(connection).await;
        server.restart();
        let beat = ledger().beat(1, before.epoch, 0, 1);
        let mut links = connection.links();
        while connection
            .link()
            .is_some_and(|link| link.run() == before.run())
        {
            let _ = connection.call(&beat).await;
            tokio::task::yield_now().await;
        }
        links.wait_for(Option::is_some).await.expect("a connection");
        let after = linked(connection).await;
        assert_ne!((before.epoch, before.run()), (after.epoch, after.run()));
    });
}

#[test]
#[ignore = "needs redis-server"]
fn entries_of_the_log_are_delivered_when_they_come() {
    let server = TestServer::start();
    beside(&server.servers(), async |connection| {
        let link = linked(connection).await;
        let mut reader = LogReader::new(connection);
        assert_eq!(
            reader.next(0).await.expect("an answer"),
            [],
            "nothing for a second"
        );
        let purge = ledger().purge(link.epoch, b"a", &[b"a".to_vec()]);
        let began = timer_now();
        let (entries, purged) = tokio::join!(reader.next(0), connection.call(&purge));
        let entries = entries.expect("an answer");
        assert_eq!(purged.expect("an answer").expect("the epoch").number, 1);
        assert_eq!((entries[0].epoch, entries[0].number), (link.epoch, 1));
        assert_eq!(
            (entries.len(), entries[0].covers.as_slice()),
            (1, &b"a"[..])
        );
        assert!(
            began.elapsed() < Duration::from_millis(900),
            "{:?}",
            began.elapsed()
        );
        server.signal("STOP");
        let answer = reader.next(1).await;
        assert!(matches!(answer, Err(Error::Late)), "{answer:?}");
        server.signal("CONT");
        assert!(
            connection
                .call(&purge)
                .await
                .is_ok_and(|purged| purged.is_ok())
        );
        assert_eq!(reader.next(1).await.expect("an answer")[0].number, 2);
    });
}
