//! Connections over streams in memory while time is paused: no socket, no thread, and each deadline at its exact time.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bookend::clock::{Clock, timer_now};
use bookend::config::{Config, Server as Limits};
use bookend::error::Error;
use bookend::proxy;
use bookend::server::{Answer, InMemory, Peer, RequestContent, Scheme, Service};
use bookend::telemetry::counters::Counters;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

/// The tick of a worker with the default deadlines.
const TICK: Duration = Duration::from_millis(500);

/// Where clients come from.
const CLIENT: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    5_000,
);

/// Runs a test in a runtime whose time passes only while all its tasks wait.
fn paused(test: impl Future<Output = ()>) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

/// A whole gateway before an API that is never asked.
fn gateway() -> InMemory<proxy::Worker> {
    let config = "[upstream]\nservers = [\"http://127.0.0.1:9\"]\n[log]\naccess = \"off\"";
    let config = Config::parse(config, "the test", &|_| None).expect("a valid configuration");
    let (limits, clock) = (config.server.clone(), Clock::system());
    let deadlines = clock.for_deadlines();
    let gateway = proxy::Gateway::new(config, 1, clock).expect("a gateway");
    let counters = gateway.metrics().workers[0].clone();
    InMemory::new(&limits, deadlines, counters, proxy::Worker::new(gateway, 0))
}

/// Answers with the request's scheme and content; `/large` with more than the stream takes.
struct Scripted;

impl Service for Scripted {
    type Body = Full<Bytes>;

    fn handle(
        self: &Rc<Self>,
        peer: &Rc<Peer>,
        parts: Parts,
        content: RequestContent,
    ) -> Answer<Full<Bytes>> {
        if parts.uri.path() == "/large" {
            return Answer::Now(Response::new(Full::from(vec![b'x'; 4 << 20])));
        }
        let scheme = peer.scheme;
        Answer::later(async move {
            let content = match content.collect().await {
                Ok(content) => content.to_bytes(),
                Err(error) => error.to_string().into(),
            };
            let answer = [scheme.as_str().as_bytes(), b" ", &content].concat();
            Response::new(answer.into())
        })
    }

    fn refuse(
        self: &Rc<Self>,
        _: &Rc<Peer>,
        error: Error,
        _: Option<&Parts>,
    ) -> Response<Self::Body> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = error.kind().status();
        response
    }

    async fn drained(self: &Rc<Self>) {}
}

/// With the counters of its worker.
fn scripted() -> (InMemory<Scripted>, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let clock = Clock::system().for_deadlines();
    let server = InMemory::new(
        &Limits::default(),
        clock,
        counters.clone(),
        Rc::new(Scripted),
    );
    (server, counters)
}

/// All that comes until the server has closed its side.
async fn rest(client: &mut DuplexStream) -> String {
    let mut octets = Vec::new();
    client
        .read_to_end(&mut octets)
        .await
        .expect("an orderly end");
    String::from_utf8(octets).expect("text")
}

/// A deadline passes at the second tick that finds it passed, by the time of the tick before it began.
#[test]
fn a_head_and_the_next_request_have_their_deadlines_to_the_millisecond() {
    let limits = Limits::default();
    let answered = "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    #[rustfmt::skip]
    let table = [
        // (milliseconds to wait, what is sent then, the answer, when the connection ends)
        (0, "", None, limits.head_timeout),
        (0, "GET / HT", Some("408 "), limits.head_timeout),
        // A head has no more time when it begins later.
        (3_200, "GET / HT", Some("408 "), limits.head_timeout),
        (0, answered, Some("200 "), limits.idle_timeout),
        (3_200, answered, Some("200 "), Duration::from_secs(3) + limits.idle_timeout),
    ];
    for (delay, sent, answer, limit) in table {
        paused(async move {
            let gateway = gateway();
            let start = timer_now();
            let mut client = gateway.connect(Some(CLIENT), Scheme::Http);
            sleep(Duration::from_millis(delay)).await;
            client.write_all(sent.as_bytes()).await.unwrap();
            let received = rest(&mut client).await;
            assert_eq!(start.elapsed(), limit + 2 * TICK, "{delay} {sent:?}");
            let status = received.strip_prefix("HTTP/1.1 ");
            match answer {
                Some(answer) => assert!(status.unwrap().starts_with(answer), "{received}"),
                None => assert_eq!(received, ""),
            }
        });
    }
}

#[test]
fn content_that_does_not_come_and_a_response_that_is_not_taken_have_their_deadlines() {
    let limits = Limits::default();
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    let get = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    for (sent, limit) in [(post, limits.body_timeout), (get, limits.write_timeout)] {
        paused(async move {
            let (server, counters) = scripted();
            let mut client = server.connect(Some(CLIENT), Scheme::Http);
            client.write_all(sent.as_bytes()).await.unwrap();
            let timeouts = || {
                (
                    counters.content_timeouts.value(),
                    counters.write_timeouts.value(),
                )
            };
            sleep(limit + 2 * TICK - Duration::from_millis(1)).await;
            assert_eq!(timeouts(), (0, 0), "{sent:?}");
            assert_eq!(counters.connections.value(), 1, "{sent:?}");
            sleep(Duration::from_millis(2)).await;
            let expected = if sent == post { (1, 0) } else { (0, 1) };
            assert_eq!(timeouts(), expected, "{sent:?}");
        });
    }
}

#[test]
fn requests_have_the_scheme_of_their_socket() {
    for scheme in [Scheme::Http, Scheme::Https] {
        paused(async move {
            let (server, _) = scripted();
            let mut client = server.connect(Some(CLIENT), scheme);
            let sent =
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
            client.write_all(sent.as_bytes()).await.unwrap();
            let received = rest(&mut client).await;
            let expected = format!("\r\n\r\n{} abc", scheme.as_str());
            assert!(received.ends_with(&expected), "{received}");
        });
    }
}

#[test]
fn a_drain_closes_idle_connections_at_once() {
    paused(async {
        let (server, counters) = scripted();
        let mut client = server.connect(None, Scheme::Http);
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let start = timer_now();
        let drained = timeout(Duration::from_secs(60), server.drain()).await;
        assert!(drained.is_ok());
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(counters.connections.value(), 0);
        rest(&mut client).await;
    });
}
