//! An API that speaks HTTP/2 by prior knowledge, and clients that do: every message is a test's own.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::common::{Answer, Client, Gateway, PATIENCE, Setup};

/// The API's port, before anybody serves it.
pub struct Api(TcpListener);

/// A request that came to the API, and the way to answer it.
pub struct Call {
    pub request: Request<RecvStream>,
    pub respond: SendResponse<Bytes>,
    /// Which of its connections it came on, from 0.
    pub connection: usize,
}

impl Api {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        Self(listener)
    }

    pub fn gateway(&self) -> Setup {
        let addr = self.0.local_addr().expect("an address");
        Gateway::before_all([format!("http://{addr}/api")]).upstream("protocol = \"h2c\"")
    }

    /// Serves the port from here on; the requests, in order.
    pub fn serve(&self) -> mpsc::UnboundedReceiver<Call> {
        let listener = self.0.try_clone().expect("a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        let (calls, called) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for number in 0.. {
                let (socket, _) = listener.accept().await.expect("a connection");
                tokio::spawn(connection(socket, number, calls.clone()));
            }
        });
        called
    }
}

async fn connection(socket: TcpStream, number: usize, calls: mpsc::UnboundedSender<Call>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let call = Call {
            request,
            respond,
            connection: number,
        };
        drop(calls.send(call));
    }
}

impl Call {
    pub fn field(&self, name: &str) -> Option<&str> {
        text(self.request.headers(), name)
    }

    /// Begins the response.
    pub fn head(&mut self, response: Response<()>) -> SendStream<Bytes> {
        let begun = self.respond.send_response(response, false);
        begun.expect("a stream that is open")
    }

    /// An interim response.
    pub fn interim(&mut self, status: u16, fields: &[(&str, &str)]) {
        let mut interim = response(fields);
        *interim.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        let sent = self.respond.send_informational(interim);
        sent.expect("a stream that is open");
    }

    /// The whole response.
    pub fn answer(&mut self, response: Response<()>, content: &'static str) {
        let mut content_sent = self.head(response);
        let content = Bytes::from_static(content.as_bytes());
        content_sent
            .send_data(content, true)
            .expect("an open stream");
    }

    /// The request's next content.
    pub async fn content(&mut self) -> Option<Bytes> {
        next(self.request.body_mut()).await
    }

    /// Waits until the gateway has reset the stream, before it has been answered; its code.
    pub async fn reset(&mut self) -> Reason {
        let reset = std::future::poll_fn(|cx| self.respond.poll_reset(cx));
        reset.await.expect("a connection")
    }
}

/// The same, within the answer.
pub async fn reset(stream: &mut SendStream<Bytes>) -> Reason {
    let reset = std::future::poll_fn(|cx| stream.poll_reset(cx));
    reset.await.expect("a connection")
}

/// A response with these fields.
pub fn response(fields: &[(&str, &str)]) -> Response<()> {
    let builder = fields
        .iter()
        .fold(Response::builder(), |builder, (name, value)| {
            builder.header(*name, *value)
        });
    builder.body(()).expect("a response")
}

pub fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let parsed = fields.iter().map(|(name, value)| {
        (
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )
    });
    parsed.collect()
}

pub fn text<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name).map(|value| value.to_str().expect("text"))
}

/// The next content of a stream, which may be followed by more; `None` at its end.
pub async fn next(stream: &mut RecvStream) -> Option<Bytes> {
    loop {
        let data = stream.data().await?.expect("a stream that goes on");
        let released = stream.flow_control().release_capacity(data.len());
        released.expect("a stream that is open");
        if !data.is_empty() {
            return Some(data);
        }
    }
}

/// All that is left of it.
pub async fn rest(stream: &mut RecvStream) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(data) = next(stream).await {
        content.extend(data);
    }
    content
}

/// A client of HTTP/2.
pub struct Caller(SendRequest<Bytes>);

impl Caller {
    pub async fn to(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).await.expect("a gateway");
        let (sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(
        &mut self,
        request: Request<()>,
        end: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.0.clone().ready().await.expect("a connection");
        sender.send_request(request, end).expect("a request")
    }
}

/// One request of HTTP/1 on a connection of its own, while the API goes on.
pub fn http1(
    gateway: &Gateway,
    request: crate::common::Request,
) -> impl Future<Output = Answer> + use<> {
    let addr = gateway.addr();
    let asked = tokio::task::spawn_blocking(move || Client::to(addr).send(&request));
    async { asked.await.expect("an answer") }
}

/// Runs a test with the API and clients that it has.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        timeout(PATIENCE, test).await.expect("the test hangs");
    });
}
