//! The primary that Sentinels name: real ones that fail over, and scripted ones for what those would not do at will.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::connections::{kept, linked};
use super::members::{MANY, acknowledged, member_of, run_two, until_all_serve, url};
use super::server::{LONG, TestServer, free_port, runtime, until};
use crate::clock::{timer_now, within};
use crate::config::valkey_servers::{Address, Login, Servers, Written};
use crate::tier::fleet::Stored;
use crate::tier::valkey::sentinels::Sentinels;

/// A primary, its replica, and three Sentinels that know each other.
struct Watched {
    primary: TestServer,
    replica: TestServer,
    sentinels: Vec<TestServer>,
}

impl Watched {
    async fn start() -> Self {
        let (primary, replica) = (TestServer::start(), TestServer::start());
        replica.follow(&primary).await;
        let ports = [(); 3].map(|()| free_port());
        let id = |index: usize| format!("{index:040}");
        let start = |index: usize| {
            let others = (0..3).filter(|other| *other != index).map(|other| {
                let (port, id) = (ports[other], id(other));
                format!("sentinel known-sentinel books 127.0.0.1 {port} {id}\n")
            });
            TestServer::sentinel(
                ports[index],
                &format!(
                    "sentinel myid {}\nsentinel monitor books 127.0.0.1 {} 2\n\
                     sentinel down-after-milliseconds books 400\nsentinel failover-timeout books 3000\n\
                     sentinel known-replica books 127.0.0.1 {}\n{}",
                    id(index),
                    primary.port,
                    replica.port,
                    others.collect::<String>(),
                ),
            )
        };
        let sentinels = (0..3).map(start).collect::<Vec<_>>();
        for sentinel in &sentinels {
            drop(sentinel.connection().await);
        }
        Self {
            primary,
            replica,
            sentinels,
        }
    }

    fn servers(&self) -> Servers {
        let urls = self.sentinels.iter().map(TestServer::url).collect();
        through(urls)
    }
}

fn through(urls: Vec<String>) -> Servers {
    let servers = Servers::of(Written {
        urls,
        sentinel: Some("books".into()),
        ..Written::default()
    });
    servers.expect("servers")
}

#[test]
#[ignore = "needs redis-server"]
fn after_a_failover_that_lost_a_purge_no_gateway_serves_what_it_covered() {
    runtime().block_on(async {
        let mut watched = Watched::start().await;
        let servers = watched.servers();
        let members = [1, 2].map(|id| member_of(&servers, id, MANY, 0));
        run_two(&members, async |members, switch| {
            until_all_serve(members).await;
            acknowledged(members[0], &url(0)).await;
            until_all_serve(members).await;
            assert_eq!(
                members[1]
                    .memory()
                    .count(&format!("{:?}", Stored::Validated)),
                1
            );
            // The other one does not hear, so the purge waits for the end of its lease.
            switch.send_replace(false);
            // Nothing reaches the replica any more.
            watched
                .replica
                .tell(&format!("REPLICAOF 127.0.0.1 {}", free_port()))
                .await;
            let lost = acknowledged(members[0], &url(1)).await;
            assert_eq!(members[1].memory().count(&url(1).to_string()), 0);
            watched.primary.end();
            switch.send_replace(true);
            let replica = watched.replica.address();
            let is_there = |index: usize| {
                let link = members[index].connection().link();
                link.is_some_and(|link| *link.address() == replica)
            };
            until(async || is_there(0) && is_there(1)).await;
            until_all_serve(members).await;
            let first = linked(members[0].connection()).await;
            assert_ne!(first.epoch, lost.epoch);
            assert_eq!(first.epoch, linked(members[1].connection()).await.epoch);
            // It has not heard of the purge, nor will it: so it validates what it has.
            assert_eq!(members[1].memory().count(&url(1).to_string()), 0);
            assert_eq!(
                members[1]
                    .memory()
                    .count(&format!("{:?}", Stored::Validated)),
                2
            );
            assert!(!members[1].answers(lost));
            let next = acknowledged(members[1], &url(2)).await;
            assert_eq!(next.epoch, first.epoch);
            assert_eq!(members[0].memory().count(&url(2).to_string()), 1);
        })
        .await;
    });
}

#[test]
#[ignore = "needs redis-server"]
fn a_primary_that_was_a_replica_in_between_has_another_epoch() {
    let (first, second) = (TestServer::start(), TestServer::start());
    runtime().block_on(async {
        drop(first.connection().await);
        let before = {
            let mut before = None;
            kept(&first.servers(), 0, async |connection| {
                before = Some(linked(connection).await)
            })
            .await;
            before.expect("a link")
        };
        let run = first.info("run_id").await;
        second.follow(&first).await;
        second.tell("REPLICAOF NO ONE").await;
        first.follow(&second).await;
        kept(&first.servers(), 0, async |connection| {
            let link = pin!(linked(connection));
            let refused = within(Duration::from_millis(300), link).await;
            assert!(refused.is_err(), "it is a replica");
        })
        .await;
        first.tell("REPLICAOF NO ONE").await;
        kept(&first.servers(), 0, async |connection| {
            let after = linked(connection).await;
            assert_eq!(first.info("run_id").await, run);
            assert_ne!(after.epoch, before.epoch);
        })
        .await;
    });
}

/// What a scripted Sentinel answers: the configuration epoch and the primary, or nothing.
type Answer = Arc<Mutex<Option<(u64, Address)>>>;

/// Answers until it is dropped.
struct Scripted {
    address: Address,
    answer: Answer,
    serving: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Scripted {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = Address::Tcp {
            host: "127.0.0.1".into(),
            port: listener.local_addr().expect("an address").port(),
        };
        let answer = Answer::default();
        let shared = answer.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = shared.clone();
                tokio::spawn(async move {
                    let (mut heard, mut read) = (Vec::new(), [0; 512]);
                    while let Ok(length @ 1..) = stream.read(&mut read).await {
                        heard.extend_from_slice(&read[..length]);
                        if !heard.ends_with(b"$6\r\nMASTER\r\n$5\r\nbooks\r\n") {
                            continue;
                        }
                        heard.clear();
                        let answer = answer.lock().expect("no panic").clone();
                        let Some((epoch, Address::Tcp { host, port })) = answer else {
                            continue;
                        };
                        let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
                        let (host, port) = (text(&host), text(&port.to_string()));
                        let (key, epoch) = (text("config-epoch"), text(&epoch.to_string()));
                        let answer = format!("*2\r\n{host}{port}*2\r\n{key}{epoch}");
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Self {
            address,
            answer,
            serving,
        }
    }

    fn answers(&self, epoch: u64, primary: &Address) {
        *self.answer.lock().expect("no panic") = Some((epoch, primary.clone()));
    }

    fn is_silent(&self) {
        *self.answer.lock().expect("no panic") = None;
    }
}

fn urls(sentinels: &[Scripted]) -> Vec<String> {
    let url = |sentinel: &Scripted| format!("redis://{}", sentinel.address);
    sentinels.iter().map(url).collect()
}

#[test]
#[ignore = "needs redis-server"]
fn a_primary_that_does_not_know_that_it_was_replaced_is_left() {
    let (old, new) = (TestServer::start(), TestServer::start());
    runtime().block_on(async {
        drop((old.connection().await, new.connection().await));
        let sentinels = [
            Scripted::start().await,
            Scripted::start().await,
            Scripted::start().await,
        ];
        for sentinel in &sentinels {
            sentinel.answers(1, &old.address());
        }
        kept(&through(urls(&sentinels)), 0, async |connection| {
            let before = linked(connection).await;
            assert_eq!(*before.address(), old.address());
            // The first one that knows of a failover is believed.
            sentinels[2].answers(2, &new.address());
            let began = timer_now();
            until(async || {
                connection
                    .link()
                    .is_some_and(|link| *link.address() == new.address())
            })
            .await;
            assert!(
                began.elapsed() < Duration::from_secs(3),
                "{:?}",
                began.elapsed()
            );
            let beat = super::connections::ledger().beat(1, before.epoch, 0, 1);
            assert!(
                before.call(&beat).await.is_err(),
                "nobody goes on with the old one"
            );
        })
        .await;
    });
}

#[test]
fn most_sentinels_have_to_answer() {
    runtime().block_on(async {
        let sentinels = [
            Scripted::start().await,
            Scripted::start().await,
            Scripted::start().await,
        ];
        let at = |port| Address::Tcp {
            host: "10.0.0.1".into(),
            port,
        };
        let addresses = sentinels
            .iter()
            .map(|sentinel| sentinel.address.clone())
            .collect::<Vec<_>>();
        let servers = Arc::new(through(urls(&sentinels)));
        let mut asking = Sentinels::new(servers, "books", &addresses, &Login::default());
        sentinels[0].answers(1, &at(1));
        let failed = asking
            .primary()
            .await
            .expect_err("only one answers")
            .to_string();
        assert!(
            failed.starts_with("1 of 3 Sentinels have named the primary books, and 2 are needed"),
            "{failed}"
        );
        sentinels[1].answers(3, &at(3));
        assert_eq!(asking.primary().await.expect("a primary"), at(3));
        sentinels[2].answers(2, &at(2));
        assert_eq!(asking.primary().await.expect("a primary"), at(3));
        // With a real one, this takes ten seconds.
        asking.unheard = Duration::from_millis(1_200);
        let watching = async {
            let why = asking.watch(&at(3)).await;
            assert!(why.starts_with("0 of 3"), "{why}");
        };
        let began = timer_now();
        let silence = async {
            until(async || began.elapsed() > Duration::from_millis(1_100)).await;
            sentinels.iter().for_each(Scripted::is_silent);
        };
        let both = async { tokio::join!(watching, silence) };
        assert!(within(LONG, pin!(both)).await.is_ok());
    });
}
