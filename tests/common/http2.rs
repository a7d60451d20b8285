//! A client that speaks HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).

use std::net::SocketAddr;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Gateway;

/// One request on a connection of its own, and its whole answer, with trailers among its extensions.
pub fn send(gateway: &Gateway, request: Request<Full<Bytes>>) -> hyper::Result<Response<Bytes>> {
    send_to(gateway.addr(), request)
}

/// The same to any address.
pub fn send_to(addr: SocketAddr, request: Request<Full<Bytes>>) -> hyper::Result<Response<Bytes>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(addr)
            .await
            .expect("a connection");
        let io = TokioIo::new(stream);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        let (mut head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        if let Some(trailers) = body.trailers() {
            head.extensions.insert(trailers.clone());
        }
        Ok(Response::from_parts(head, body.to_bytes()))
    })
}
