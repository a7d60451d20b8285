//! A client of HTTP/2 by prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Answer, End, Fields, PATIENCE};

/// One GET on a connection of its own, and as much of its answer as came.
pub fn get(addr: SocketAddr, target: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let answered = runtime.block_on(async { timeout(PATIENCE, ask(addr, target)).await });
    answered.unwrap_or_else(|_| nothing(End::Stalled))
}

async fn ask(addr: SocketAddr, target: &str) -> Answer {
    let socket = TcpStream::connect(addr)
        .await
        .expect("the gateway accepts connections");
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .handshake(TokioIo::new(socket))
        .await
        .expect("the gateway speaks HTTP/2");
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{addr}{target}"))
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let Ok(response) = sender.send_request(request).await else {
        return nothing(End::Reset);
    };
    let (parts, mut body) = response.into_parts();
    let mut answer = nothing(End::Complete);
    answer.status = parts.status.as_u16();
    answer.version = "HTTP/2".to_owned();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let field = |(name, value): (&http::HeaderName, _)| (name.to_string(), text(value));
    answer.fields = Fields(parts.headers.iter().map(field).collect());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => answer.body.extend(frame.into_data().unwrap_or_default()),
            Err(_) => {
                answer.end = End::Reset;
                break;
            }
        }
    }
    answer
}

fn nothing(end: End) -> Answer {
    Answer {
        status: 0,
        version: String::new(),
        fields: Fields::default(),
        body: Vec::new(),
        trailers: Fields::default(),
        interim: Vec::new(),
        end,
    }
}
