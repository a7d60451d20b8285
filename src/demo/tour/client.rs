//! The tour's HTTP client: real sockets, one connection a request, as curl makes them.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::place::Place;
use crate::clock::{Clock, Monotonic};

/// No answer of the tour may take longer, its content included.
const DEADLINE: Duration = Duration::from_secs(20);

/// A request of the tour.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) fields: Vec<(&'static str, String)>,
    /// JSON.
    pub(super) content: Option<String>,
    pub(super) version: Version,
}

impl Ask {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            fields: Vec::new(),
            content: None,
            version: Version::HTTP_11,
        }
    }

    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(super) fn json(mut self, content: impl Into<String>) -> Self {
        self.content = Some(content.into());
        self
    }

    pub(super) fn http2(mut self) -> Self {
        self.version = Version::HTTP_2;
        self
    }

    /// The curl command that sends the same request.
    pub(super) fn curl(&self, gateway: &Place) -> String {
        let mut line = match self.method {
            Method::GET => "curl -i".to_owned(),
            Method::HEAD => "curl -I".to_owned(),
            ref method => format!("curl -i -X {method}"),
        };
        if self.version == Version::HTTP_2 {
            line.push_str(" --http2-prior-knowledge");
        }
        for (name, value) in &self.fields {
            line.push_str(&format!(" -H '{name}: {value}'"));
        }
        if let Some(content) = &self.content {
            line.push_str(&format!(" --json '{content}'"));
        }
        let line = gateway.command(&line);
        let url = format!("{}{}", gateway.url(), self.target);
        if url.contains(['?', '&']) {
            return format!("{line} '{url}'");
        }
        format!("{line} {url}")
    }
}

/// The answer to an [`Ask`], read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) content: Bytes,
    /// From the first octets of the content to its end.
    pub(super) streamed_for: Duration,
}

impl Answer {
    /// The field's first line; `None` when it is missing or not text.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

/// Sends one request. Fails when no whole answer comes within the deadline.
pub(super) async fn send(gateway: &Place, ask: &Ask) -> Result<Answer, BoxError> {
    timeout(DEADLINE, exchange(gateway, ask))
        .await
        .map_err(|_| format!("no whole answer within {} s", DEADLINE.as_secs()))?
}

type BoxError = Box<dyn Error + Send + Sync>;

async fn exchange(gateway: &Place, ask: &Ask) -> Result<Answer, BoxError> {
    let stream = TcpStream::connect(gateway.addr).await?;
    stream.set_nodelay(true)?;
    let Some(trust) = &gateway.tls else {
        return exchange_over(stream, gateway, ask).await;
    };
    let protocol: &[u8] = match ask.version {
        Version::HTTP_2 => b"h2",
        _ => b"http/1.1",
    };
    let connector = TlsConnector::from(trust.speaking(protocol));
    let name = ServerName::from(gateway.addr.ip());
    let stream = connector.connect(name, stream).await?;
    exchange_over(stream, gateway, ask).await
}

async fn exchange_over<S>(stream: S, gateway: &Place, ask: &Ask) -> Result<Answer, BoxError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let io = TokioIo::new(stream);
    let response = if ask.version == Version::HTTP_2 {
        let request = request(&format!("{}{}", gateway.url(), ask.target), ask)?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    } else {
        let mut request = request(&ask.target, ask)?;
        let host = gateway.addr.to_string().parse()?;
        request.headers_mut().insert(HOST, host);
        let (mut sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await?
    };
    let clock = Clock::system();
    let (parts, mut body) = response.into_parts();
    let mut content = Vec::new();
    let mut first: Option<Monotonic> = None;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            first.get_or_insert_with(|| clock.now().mono);
            content.extend_from_slice(&data);
        }
    }
    let last = clock.now().mono;
    Ok(Answer {
        version: parts.version,
        status: parts.status,
        fields: parts.headers,
        content: content.into(),
        streamed_for: last.since(first.unwrap_or(last)),
    })
}

fn request(uri: &str, ask: &Ask) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder().method(&ask.method).uri(uri);
    for (name, value) in &ask.fields {
        request = request.header(*name, value);
    }
    if ask.content.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::from(ask.content.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_says_what_the_request_says() {
        let gateway = &Place::plain(([127, 0, 0, 1], 8080).into());
        let put = Ask::new(Method::PUT, "/books/123?a=b")
            .with("If-Match", "\"x\"")
            .json("{}");
        assert_eq!(
            put.curl(gateway),
            "curl -i -X PUT -H 'If-Match: \"x\"' --json '{}' 'http://127.0.0.1:8080/books/123?a=b'"
        );
        let get = Ask::get("/books").http2();
        assert_eq!(
            get.curl(gateway),
            "curl -i --http2-prior-knowledge http://127.0.0.1:8080/books"
        );
    }
}
