//! Requests to the authority: https, a connection each, with deadlines and a bound on what is read.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::failure::{BoxError, Failure, Unreachable};
use crate::clock::{Clock, within};
use crate::config::Acme;
use crate::config::certificate::certificates;

/// How long a request may take, its answer included.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a connection to one address may take: another may be reachable.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Octets of an answer: a certificate with its chain is a hundredth of it.
const MAX_ANSWER: usize = 1 << 20;

/// RFC 8555 §6.1: the client's name and that of its library.
const AGENT: &str = concat!("bookend/", env!("CARGO_PKG_VERSION"), " instant-acme");

/// How an authority is reached. Clones share it.
#[derive(Clone)]
pub(super) struct Authority(Arc<Shared>);

struct Shared {
    connector: TlsConnector,
    /// The seconds that the authority has asked to wait for, with a response that refused; 0: none.
    retry_after: AtomicU64,
    clock: Clock,
}

impl Authority {
    /// Fails when `directory_ca` cannot be used.
    pub fn new(acme: &Acme, clock: &Clock) -> Result<Self, Failure> {
        // Read at each issue: it is a rare event.
        let mut roots = RootCertStore::empty();
        match &acme.directory_ca {
            Some(file) => {
                for certificate in certificates(file).map_err(Failure::unusable)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| Failure::because(&error))?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::because(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(Shared {
            connector: TlsConnector::from(Arc::new(config)),
            retry_after: AtomicU64::new(0),
            clock: clock.clone(),
        })))
    }

    /// How long the authority has asked to wait for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.retry_after.load(Ordering::Relaxed) {
            0 => None,
            secs => Some(Duration::from_secs(secs)),
        }
    }
}

impl HttpClient for Authority {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let shared = self.0.clone();
        Box::pin(async move {
            let uri = request.uri().clone();
            let answer = within(ANSWER_WITHIN, pin!(Box::pin(shared.exchange(request)))).await;
            let answer = answer.unwrap_or_else(|_late| {
                Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs()).into())
            });
            let answer = answer.map_err(|error| Unreachable { uri, error });
            Ok(answer
                .map_err(|error| Error::Other(Box::new(error)))?
                .into())
        })
    }
}

impl Shared {
    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let authority = request.uri().authority().ok_or("a URL without a host")?;
        let (host, port) = (authority.host().to_owned(), authority.port_u16());
        let value = HeaderValue::from_str(authority.as_str())?;
        let stream = connect(&host, port.unwrap_or(443)).await?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
        let stream = self.connector.connect(name, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = Ended(tokio::spawn(connection));
        request.headers_mut().insert(HOST, value);
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        let target = request.uri().path_and_query().cloned();
        let target = target.unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(target);
        let response = sender.send_request(request).await?;
        let (parts, content) = response.into_parts();
        let content = Limited::new(content, MAX_ANSWER).collect().await?;
        drop(connection);
        if parts.status.is_client_error() || parts.status.is_server_error() {
            self.heed(&parts.headers);
            let problem = parts.headers.get(CONTENT_TYPE);
            let problem = problem.map(HeaderValue::as_bytes).unwrap_or_default();
            // RFC 8555 §6.7: what goes wrong is told in a problem document; other content is another server's.
            if !problem.starts_with(b"application/problem+json") {
                return Err(format!("it answered {}", parts.status).into());
            }
        }
        let content = Full::new(content.to_bytes());
        Ok(Response::from_parts(parts, content))
    }

    /// RFC 8555 §6.6: a client that is told to wait does so.
    fn heed(&self, fields: &HeaderMap) {
        let value = fields
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let Some(value) = value else { return };
        let secs = value.parse().ok().or_else(|| {
            let at = httpdate::parse_http_date(value).ok()?;
            let at = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
            Some(at.saturating_sub(self.clock.now().wall.as_secs()))
        });
        if let Some(secs) = secs {
            self.retry_after.store(secs, Ordering::Relaxed);
        }
    }
}

/// A task that ends with this.
struct Ended(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to the first address that can be reached.
async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for addr in lookup_host((host.trim_matches(['[', ']']), port)).await? {
        match within(CONNECT_WITHIN, pin!(TcpStream::connect(addr))).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_late) => failure = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failure)
}
