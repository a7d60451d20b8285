//! What is too much for one worker, though not yet for all.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::common::{Gate, Gateway, Origin, reply};

#[tokio::test]
async fn a_worker_takes_twice_its_share_of_the_requests_that_may_wait() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::start(move |request, conn| {
        held.pass();
        conn.reply(request, &reply(200).field("Cache-Control", "no-store"));
    });
    let gateway = Gateway::before(&origin)
        .workers(4)
        .server("max_requests = 4")
        .start();
    // All requests of a connection are one worker's.
    let socket = TcpStream::connect(gateway.addr()).await.expect("a gateway");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let ask = |path: &str| {
        let request = Request::get(format!("http://a{path}")).body(Empty::<Bytes>::new());
        let mut sender = sender.clone();
        let answer = sender.send_request(request.expect("a request"));
        async move { answer.await.expect("an answer").status() }
    };
    let waiting = [tokio::spawn(ask("/1")), tokio::spawn(ask("/2"))];
    while gateway.sum(|counted| counted.waiting.value()) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask("/3").await, StatusCode::SERVICE_UNAVAILABLE);
    gate.open();
    for answer in waiting {
        assert_eq!(answer.await.expect("a client"), StatusCode::OK);
    }
    assert_eq!(ask("/3").await, StatusCode::OK);
    connection.abort();
}
