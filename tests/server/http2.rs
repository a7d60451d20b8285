//! HTTP/2 by prior knowledge, on the port that HTTP/1 uses.

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

use crate::harness::{Gateway, PATIENCE, config, until};

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
fn a_connection_that_does_not_answer_does_not_hold_up_the_drain_for_long() {
    let gateway = Gateway::start(&config());
    let mut client = gateway.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    until("it is there", || gateway.connections() == 1);
    assert_eq!(gateway.join().unwrap(), Outcome::Drained);
}
