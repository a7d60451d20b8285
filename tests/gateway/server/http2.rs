//! HTTP/2 by prior knowledge, on the port that HTTP/1 uses.

use std::io::Read;
use std::time::Duration;

use bookend::config::{Http2, Server as Config};
use bookend::server::Outcome;
use bookend::telemetry::readiness::Stage;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::harness::{Client, Gateway, PATIENCE, config, until};

type Sender = SendRequest<Full<Bytes>>;

async fn connect(gateway: &Gateway) -> (Sender, JoinHandle<hyper::Result<()>>) {
    let socket = TcpStream::connect(gateway.addr()).await.unwrap();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(64 << 10)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Full<Bytes>> {
    post(path, "")
}

fn post(path: &str, content: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .uri(format!("http://a{path}"))
        .body(Full::new(content.into()))
        .unwrap()
}

async fn answer(sender: &mut Sender, request: Request<Full<Bytes>>) -> (StatusCode, Bytes) {
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status();
    (status, answer.collect().await.unwrap().to_bytes())
}

/// A client that writes frames, and reads them one by one.
struct Raw(Client<std::net::TcpStream>);

#[derive(Debug)]
struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ENDS: u8 = 1;

impl Raw {
    /// Its windows are as large as they can be.
    fn connect(gateway: &Gateway) -> Self {
        let mut client = gateway.connect();
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let most = i32::MAX.to_be_bytes();
        let initial_window = [&[0, 4][..], &most].concat();
        client.send(frame(SETTINGS, 0, 0, &initial_window));
        let rest = (i32::MAX - 65_535).to_be_bytes();
        client.send(frame(WINDOW_UPDATE, 0, 0, &rest));
        Self(client)
    }

    fn read(&mut self) -> Seen {
        let mut head = [0; 9];
        self.0.0.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.0.read_exact(&mut payload).unwrap();
        Seen {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
        }
    }

    /// The streams that have ended, once so many have.
    fn ended(&mut self, count: usize) -> Vec<u32> {
        let mut ended = Vec::new();
        while ended.len() < count {
            let seen = self.read();
            if seen.kind <= HEADERS && seen.flags & ENDS == ENDS {
                ended.push(seen.stream);
            }
        }
        ended.sort_unstable();
        ended
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole GET.
fn asking(stream: u32, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let fields = [b"\x82\x86\x01\x01a\x04", &[length][..], path.as_bytes()].concat();
    frame(HEADERS, 0x5, stream, &fields)
}

/// Waits for the server's thread while the client's tasks go on.
async fn until_here(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() });
}

#[test]
fn many_requests_share_a_connection() {
    let gateway = Gateway::start(&config());
    run(async {
        let (sender, _connection) = connect(&gateway).await;
        let answers = (0..20).map(|n| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let content = format!("number {n}").repeat(1_000);
                let (status, echo) = answer(&mut sender, post("/echo", content.clone())).await;
                assert_eq!((status, echo), (StatusCode::OK, Bytes::from(content)));
            })
        });
        for answer in answers.collect::<Vec<_>>() {
            answer.await.unwrap();
        }
    });
    assert_eq!(gateway.metrics.sum(|c| c.connections_accepted.value()), 1);
}

#[test]
fn a_stream_whose_content_breaks_off_is_reset_and_its_connection_goes_on() {
    let gateway = Gateway::start(&config());
    run(async {
        let (mut sender, _connection) = connect(&gateway).await;
        for path in ["/breaks", "/panics-midway"] {
            let broken = sender.send_request(get(path)).await.unwrap();
            assert!(broken.collect().await.is_err(), "{path}");
            assert_eq!(answer(&mut sender, get("/hello")).await.1, "hello");
        }
    });
}

#[test]
fn a_head_over_the_limits_is_refused_alone() {
    let gateway = Gateway::start(&config());
    run(async {
        let (mut sender, _connection) = connect(&gateway).await;
        let long = format!("/{}", "x".repeat(9 << 10));
        let (status, _) = answer(&mut sender, get(&long)).await;
        assert_eq!(status, StatusCode::URI_TOO_LONG);
        let mut many = get("/hello");
        for n in 0..101 {
            let name = http::HeaderName::try_from(format!("x-{n}")).unwrap();
            many.headers_mut().insert(name, "1".parse().unwrap());
        }
        let (status, _) = answer(&mut sender, many).await;
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(answer(&mut sender, get("/hello")).await.1, "hello");
    });
}

#[test]
fn an_idle_connection_is_told_to_go_away() {
    let gateway = Gateway::start(&Config {
        idle_timeout: Duration::from_millis(200),
        ..config()
    });
    run(async {
        let (mut sender, connection) = connect(&gateway).await;
        assert_eq!(answer(&mut sender, get("/hello")).await.1, "hello");
        connection.await.unwrap().unwrap();
    });
    until("it has left", || gateway.connections() == 0);
}

#[test]
fn a_stream_without_window_is_reset_and_its_connection_goes_on() {
    let gateway = Gateway::start(&Config {
        write_timeout: Duration::from_millis(200),
        http2: Http2 {
            max_concurrent_streams: 10,
            ..Http2::default()
        },
        ..config()
    });
    run(async {
        let (mut sender, _connection) = connect(&gateway).await;
        let unread = sender.send_request(get("/endless")).await.unwrap();
        // Other streams go on while this one waits, and afterwards.
        assert_eq!(answer(&mut sender, get("/hello")).await.1, "hello");
        until_here(|| gateway.dropped.try_recv().is_ok()).await;
        assert!(unread.collect().await.is_err());
        assert_eq!(answer(&mut sender, get("/hello")).await.1, "hello");
    });
}

#[test]
fn streams_in_flight_are_answered_while_draining() {
    let mut gateway = Gateway::start(&config());
    run(async {
        let (mut sender, connection) = connect(&gateway).await;
        let held = tokio::spawn(sender.send_request(get("/hold")));
        until_here(|| gateway.entered.try_recv().is_ok()).await;
        gateway.stop();
        until_here(|| gateway.readiness.stage() == Stage::Draining).await;
        gateway.release();
        let held = held.await.unwrap().unwrap();
        assert_eq!(held.collect().await.unwrap().to_bytes(), "held");
        connection.await.unwrap().unwrap();
    });
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}

#[test]
fn an_idle_connection_does_not_hold_up_the_drain() {
    let gateway = Gateway::start(&config());
    run(async {
        let (mut sender, _connection) = connect(&gateway).await;
        answer(&mut sender, get("/hello")).await;
        let joined = tokio::task::spawn_blocking(|| gateway.join()).await;
        assert_eq!(joined.unwrap().unwrap(), Outcome::Drained);
    });
}

#[test]
fn requests_that_come_together_are_answered_without_another_event() {
    let gateway = Gateway::start(&config());
    let mut client = Raw::connect(&gateway);
    let streams: Vec<u32> = (0..100).map(|at| 2 * at + 1).collect();
    let paths = ["/hello", "/empty", "/unknown"];
    let requests = streams.iter().zip(paths.iter().cycle());
    let requests: Vec<u8> = requests
        .flat_map(|(stream, path)| asking(*stream, path))
        .collect();
    client.0.send(requests);
    assert_eq!(client.ended(streams.len()), streams);
    // Nor does one that comes alone wait for company.
    client.0.send(asking(201, "/hello"));
    assert_eq!(client.ended(1), [201]);
}

#[test]
fn a_response_does_not_wait_for_one_that_takes_its_time() {
    let gateway = Gateway::start(&config());
    let mut client = Raw::connect(&gateway);
    client
        .0
        .send([asking(1, "/hold"), asking(3, "/hello")].concat());
    assert_eq!(client.ended(1), [3]);
    gateway.release();
    assert_eq!(client.ended(1), [1]);
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let gateway = Gateway::start(&Config {
        write_timeout: Duration::from_millis(200),
        ..config()
    });
    let mut client = Raw::connect(&gateway);
    client
        .0
        .send([asking(1, "/endless"), asking(3, "/hello")].concat());
    until("its connection is closed", || {
        gateway.metrics.sum(|c| c.write_timeouts.value()) == 1 && gateway.connections() == 0
    });
    assert_eq!(gateway.dropped.recv_timeout(PATIENCE).unwrap(), "/endless");
}

#[test]
fn a_drain_is_announced_at_once() {
    let mut gateway = Gateway::start(&config());
    let mut client = Raw::connect(&gateway);
    client.0.send(asking(1, "/hold"));
    gateway.until_entered();
    gateway.stop();
    while client.read().kind != GOAWAY {}
    gateway.release();
    assert_eq!(client.ended(1), [1]);
}

#[test]
fn a_connection_that_does_not_answer_does_not_hold_up_the_drain_for_long() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    until("it is there", || gateway.connections() == 1);
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}
