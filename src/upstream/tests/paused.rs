//! Deadlines to the millisecond. Time is paused until every task waits for a timer, and between the
//! two ends of a Unix socket there is no network: what happens before what is the same each time.

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::*;
use crate::config::Endpoint;

const DEADLINE: Duration = Duration::from_secs(1);

/// Milliseconds by which a deadline has passed, with the last look that is left after it.
const LATE: u64 = 1_011;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn run_paused(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build_local(tokio::runtime::LocalOptions::default())
        .expect("a runtime");
    runtime.block_on(test);
}

/// A server behind a Unix socket.
struct Local {
    listener: UnixListener,
    path: PathBuf,
    _directory: TempDir,
}

impl Local {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("api.sock");
        Self {
            listener: UnixListener::bind(&path).expect("a socket"),
            path,
            _directory: directory,
        }
    }

    fn worker(&self, change: impl FnOnce(&mut Upstream)) -> Worker {
        let mut config = config(vec![ServerUrl {
            endpoint: Endpoint::Unix(self.path.clone()),
            base_path: String::new(),
        }]);
        change(&mut config);
        Worker::new(&config)
    }

    async fn accept(&self) -> Peer<UnixStream> {
        Peer::new(self.listener.accept().await.expect("a connection").0)
    }
}

/// What a request comes to when its response is sent in `parts`, each so many milliseconds after the one before.
fn outcome(parts: &[(u64, &str)]) -> Result<Bytes, ErrorKind> {
    let mut outcome = None;
    run_paused(async {
        let server = Local::start();
        let worker = server.worker(|config| {
            config.response_timeout = DEADLINE;
            config.body_timeout = DEADLINE;
        });
        let script = async {
            let mut peer = server.accept().await;
            peer.head().await;
            for (after, octets) in parts {
                sleep(Duration::from_millis(*after)).await;
                // A request that has timed out has closed its connection.
                let _ = peer.try_send(octets).await;
            }
            peer.closed().await;
        };
        let client = async {
            let read = async { read(worker.get("/books/1").await?).await };
            outcome = Some(read.await.map_err(|error| error.kind()));
            drop(worker);
        };
        exchange(script, client).await;
    });
    outcome.expect("it has ended")
}

#[test]
fn a_response_has_until_its_deadline_however_its_head_comes() {
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let (half, rest) = OK.split_at(20);
    let table: [(&[(u64, &str)], _); 7] = [
        (&[(999, OK)], Ok("ok")),
        (&[(LATE, OK)], Err(ErrorKind::ResponseTimeout)),
        // No interim response makes it longer (RFC 9110 §15.2).
        (&[(400, HINTS), (400, HINTS), (199, OK)], Ok("ok")),
        (
            &[(400, HINTS), (400, HINTS), (LATE - 800, OK)],
            Err(ErrorKind::ResponseTimeout),
        ),
        // Nor does a part of the head.
        (&[(600, half), (399, rest)], Ok("ok")),
        (
            &[(600, half), (LATE - 600, rest)],
            Err(ErrorKind::ResponseTimeout),
        ),
        (&[(0, half), (999, rest)], Ok("ok")),
    ];
    for (parts, expected) in table {
        assert_eq!(outcome(parts), expected.map(Bytes::from), "{parts:?}");
    }
}

#[test]
fn content_may_take_any_time_and_stall_for_none_longer_than_its_deadline() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n";
    for (pause, expected) in [
        (999, Ok(Bytes::from("x".repeat(20)))),
        (LATE, Err(ErrorKind::ResponseBodyTimeout)),
    ] {
        let mut parts = vec![(999, HEAD)];
        parts.extend([(999, "x"); 10]);
        parts.push((pause, "x"));
        parts.extend([(999, "x"); 9]);
        assert_eq!(outcome(&parts), expected, "{pause}");
    }
}

#[test]
fn a_request_gets_a_connection_until_the_queue_s_deadline() {
    for (busy, expected) in [
        (999, Ok(Bytes::from("ok"))),
        (LATE, Err(ErrorKind::ConnectionLimit)),
    ] {
        run_paused(async move {
            let server = Local::start();
            let worker = server.worker(|config| {
                config.max_connections = 1;
                config.queue_timeout = DEADLINE;
            });
            let script = async {
                let mut peer = server.accept().await;
                peer.head().await;
                sleep(Duration::from_millis(busy)).await;
                peer.send(OK).await;
                while peer.try_answer("ok").await.is_some() {}
            };
            let exchanges = async {
                let get = async || read(worker.get("/books/1").await?).await;
                let (first, second) = tokio::join!(get(), get());
                assert_eq!(first.expect("content"), "ok");
                assert_eq!(second.map_err(|error| error.kind()), expected, "{busy}");
                drop(worker);
            };
            exchange(script, exchanges).await;
        });
    }
}
