//! The collector: requests to it, one after another, on a connection that is kept.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::message::ExportTraceServiceResponse;
use crate::clock::{Clock, within};
use crate::config::Endpoint;
use crate::config::certificate::certificates;
use crate::config::traces::Export;
use crate::semantics::time::Timestamp;

/// Octets of an answer that are read: it has a few words at most.
const MAX_ANSWER: usize = 64 << 10;

const AGENT: &str = concat!("bookend/", env!("CARGO_PKG_VERSION"), " OTLP");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Collector {
    endpoint: Endpoint,
    path: Uri,
    fields: HeaderMap,
    timeout: Duration,
    /// `None` without TLS.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// That of the latest request, while it is open.
    connection: Option<SendRequest<Full<Bytes>>>,
    clock: Clock,
}

/// What becomes of a request.
pub(super) enum Outcome {
    /// It was taken, but for so many of its spans, for this reason.
    Taken { rejected: u64, why: String },
    /// It may be sent again, after this time where the collector says one.
    Later(Option<Duration>, String),
    /// It was not taken, and never will be.
    Refused(String),
}

impl Collector {
    /// Fails when the certificates cannot be used, or the URL.
    pub fn new(export: &Export, clock: &Clock) -> Result<Self, BoxError> {
        let endpoint = export.endpoint.endpoint.clone();
        let mut fields = HeaderMap::new();
        fields.insert(HOST, HeaderValue::try_from(endpoint.authority())?);
        fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in &export.headers {
            let mut value = HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            fields.insert(name, value);
        }
        let kind = HeaderValue::from_static("application/x-protobuf");
        fields.insert(CONTENT_TYPE, kind);
        let tls = match &endpoint {
            Endpoint::Https { host, .. } => {
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
                Some((connector(export)?, name))
            }
            Endpoint::Http { .. } | Endpoint::Unix(_) => None,
        };
        Ok(Self {
            endpoint,
            path: export.endpoint.base_path.parse()?,
            fields,
            timeout: export.timeout,
            tls,
            connection: None,
            clock: clock.clone(),
        })
    }

    /// Sends a request, and says what became of it.
    pub async fn send(&mut self, content: Bytes) -> Outcome {
        let timeout = self.timeout;
        let answer = match within(timeout, pin!(self.exchange(content))).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Outcome::Later(None, words(&*error)),
            Err(_late) => {
                let why = format!("no answer within {} ms", timeout.as_millis());
                return Outcome::Later(None, why);
            }
        };
        let status = answer.status();
        let why = || format!("it answered {status}");
        match status {
            _ if status.is_success() => {
                // OTLP, "Partial Success". What cannot be read was a success all the same.
                let answer = ExportTraceServiceResponse::decode(answer.into_body());
                let partial = answer
                    .unwrap_or_default()
                    .partial_success
                    .unwrap_or_default();
                Outcome::Taken {
                    rejected: u64::try_from(partial.rejected_spans).unwrap_or_default(),
                    why: partial.error_message,
                }
            }
            // OTLP, "Failures": these alone may be tried again.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let now = self.clock.now().wall;
                Outcome::Later(retry_after(answer.headers(), now), why())
            }
            _ => Outcome::Refused(why()),
        }
    }

    /// The answer to a request, on the connection that is open, or on another where that has turned out to be closed.
    async fn exchange(&mut self, content: Bytes) -> Result<Response<Bytes>, BoxError> {
        loop {
            // Taken: it is of no use after a request that was left.
            let open = self.connection.take().filter(|open| !open.is_closed());
            let is_reused = open.is_some();
            let mut sender = match open {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            let mut request = Request::new(Full::new(content.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.path.clone();
            *request.headers_mut() = self.fields.clone();
            let response = match sender.ready().await {
                Ok(()) => sender.send_request(request).await,
                Err(error) => Err(error),
            };
            let response = match response {
                Ok(response) => response,
                Err(_) if is_reused => continue,
                Err(error) => return Err(error.into()),
            };
            let (parts, content) = response.into_parts();
            let content = Limited::new(content, MAX_ANSWER).collect().await?;
            self.connection = Some(sender);
            return Ok(Response::from_parts(parts, content.to_bytes()));
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, BoxError> {
        match (&self.endpoint, &self.tls) {
            (Endpoint::Unix(path), _) => speak(UnixStream::connect(path).await?).await,
            (Endpoint::Http { host, port } | Endpoint::Https { host, port }, tls) => {
                let host = host.trim_matches(['[', ']']);
                let stream = TcpStream::connect((host, *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => speak(stream).await,
                    Some((tls, name)) => speak(tls.connect(name.clone(), stream).await?).await,
                }
            }
        }
    }
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, BoxError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender is dropped.
    tokio::spawn(connection);
    Ok(sender)
}

fn connector(export: &Export) -> Result<TlsConnector, BoxError> {
    let mut roots = RootCertStore::empty();
    match &export.ca_file {
        Some(file) => {
            for certificate in certificates(file).map_err(|fault| fault.to_string())? {
                roots.add(certificate)?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(fields: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = fields.get(RETRY_AFTER)?.to_str().ok()?;
    if let Ok(secs) = value.parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = Timestamp::parse_http_date_at(value.as_bytes(), now)?;
    Some(at.since(now))
}

/// An error with what it is due to, which most of them do not say.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
