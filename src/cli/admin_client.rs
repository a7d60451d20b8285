//! How a subcommand reaches a running gateway: by one request to its admin API, over TCP or a Unix socket.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::admin_answer::Error;
pub use super::admin_answer::{Answer, Failure};
use super::report::environment;
use crate::config::{Admin, Config, ListenAddr};

/// The file that is read when no other is named, where it exists; as `run` does.
const DEFAULT_FILE: &str = "config.toml";

/// The environment variable with the token.
const TOKEN: &str = "BOOKEND_ADMIN_TOKEN";

/// Bytes of an answer at most.
const MAX_ANSWER: usize = 64 << 20;

/// What drives a connection; dropping it closes that.
type Connection = JoinSet<hyper::Result<()>>;

#[derive(Debug, Args)]
pub struct AdminArguments {
    /// The address of the gateway's admin API: 127.0.0.1:9090, host:9090, unix:/path [default: that of the configuration
    /// file, or 127.0.0.1:9090 without one]
    #[arg(long, value_name = "ADDR")]
    admin: Option<AdminTarget>,

    /// The configuration file that names the address and the token [default: config.toml, where it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A file that holds the token [default: the environment variable BOOKEND_ADMIN_TOKEN, or else the configuration
    /// file's token]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Where an admin API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminTarget {
    At(ListenAddr),
    /// To be looked up.
    Named {
        host: String,
        port: u16,
    },
}

/// An address as [`ListenAddr`] reads it, or `host:port`; with or without `http://` before it.
impl FromStr for AdminTarget {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let fault = match text.parse() {
            Ok(addr) => return Ok(Self::At(addr)),
            Err(fault) => fault,
        };
        let is_name = |host: &str| {
            let is_of = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
            host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.bytes().all(is_of)
        };
        match text.rsplit_once(':') {
            Some((host, port)) if is_name(host) => match port.parse() {
                Ok(port) => Ok(Self::Named {
                    host: host.to_owned(),
                    port,
                }),
                Err(_) => Err(fault),
            },
            _ => Err(fault),
        }
    }
}

/// A client of one admin API.
#[derive(Debug)]
pub struct AdminClient {
    target: AdminTarget,
    token: Option<HeaderValue>,
}

impl AdminArguments {
    /// A client of the admin API that the arguments, the environment and the configuration file name. `needs_token` is
    /// false for requests that do without: then a variable of the file that is not set here does not matter.
    pub fn client(&self, needs_token: bool) -> Result<AdminClient, Failure> {
        let given = self.given_token()?;
        let is_known = Cell::new(true);
        let lookup = |name: &str| {
            let value = environment(name);
            if value.is_some() || needs_token && given.is_none() {
                return value;
            }
            is_known.set(false);
            Some("not-set".to_owned())
        };
        let file = match (&self.config, &self.admin) {
            (Some(file), _) => Some(file.clone()),
            // The token of a file that nobody named is not sent to another address.
            (None, Some(_)) => None,
            (None, None) => Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()),
        };
        let admin = match &file {
            None => Some(Admin::default()),
            Some(file) => Config::load_admin(file, &lookup).map_err(Failure::Mistakes)?,
        };
        let written = admin.as_ref().and_then(|admin| admin.token.as_ref());
        let token = match (given, written) {
            (Some(given), _) => Some(given),
            (None, Some(written)) if is_known.get() => Some(written.expose().to_owned()),
            (None, _) => None,
        };
        let target = match (&self.admin, admin) {
            (Some(target), _) => target.clone(),
            (None, Some(admin)) if !admin.listen.is_free_port() => AdminTarget::At(admin.listen),
            (None, admin) => {
                let why = match admin {
                    None => "is off",
                    Some(_) => "takes any free port",
                };
                let file = file.unwrap_or_default();
                let what = format!(
                    "the admin API {why} in {}: name its address with --admin",
                    file.display()
                );
                return Err(Failure::Mistake(what));
            }
        };
        let token = token.map(|token| bearer(&token)).transpose()?;
        Ok(AdminClient { target, token })
    }

    /// The token of `--token-file`, or of the environment.
    fn given_token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.token_file else {
            return Ok(environment(TOKEN).filter(|token| !token.is_empty()));
        };
        let fault = |what: String| Failure::Mistake(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| fault(error.to_string()))?;
        match text.trim() {
            "" => Err(fault("has no token".to_owned())),
            token => Ok(Some(token.to_owned())),
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let what = "the token is not of visible ASCII characters";
    let mut value = value.map_err(|_| Failure::Mistake(what.to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl AdminClient {
    /// The answer to one request for `target`, a path with its query, that comes within `limit`.
    pub fn ask(
        &self,
        method: Method,
        target: &str,
        content: Option<&Value>,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let asked = || {
            let request = self.request(method, target, content)?;
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build()?;
            let answer = async {
                let (response, _connection) = self.open(request).await?;
                self.whole(response).await
            };
            runtime.block_on(async {
                match tokio::time::timeout(limit, answer).await {
                    Ok(answer) => answer,
                    Err(_) => Err(format!("nothing came within {limit:?}").into()),
                }
            })
        };
        asked().map_err(|source| Failure::Unreachable {
            addr: self.addr(),
            source,
        })
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        content: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Error> {
        let host = match &self.target {
            AdminTarget::At(ListenAddr::Unix(_)) => "localhost".to_owned(),
            AdminTarget::At(ListenAddr::Tcp(addr)) => reachable(*addr).to_string(),
            AdminTarget::Named { host, port } => format!("{host}:{port}"),
        };
        let mut request = Request::builder().method(method).uri(target);
        request = request.header(HOST, host);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if content.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let content = content.map(Value::to_string).unwrap_or_default();
        Ok(request.body(Full::new(content.into()))?)
    }

    /// The answer to a GET whose content has no end of its own: `take` gets each part of it, and says whether there is to
    /// be another. The head has to come within `limit`. Must be awaited within a runtime.
    pub async fn stream(
        &self,
        target: &str,
        limit: Duration,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let unreachable = |source: Error| Failure::Unreachable {
            addr: self.addr(),
            source,
        };
        let begun = async {
            let request = self.request(Method::GET, target, None)?;
            self.open(request).await
        };
        let begun = tokio::time::timeout(limit, begun).await;
        let begun = begun.unwrap_or_else(|_| Err(format!("nothing came within {limit:?}").into()));
        let (response, _connection) = begun.map_err(unreachable)?;
        if !response.status().is_success() {
            let answer = self.whole(response).await.map_err(unreachable)?;
            return answer.successful().map(drop);
        }
        let mut content = response.into_body();
        while let Some(frame) = content.frame().await {
            let frame = frame.map_err(|error| unreachable(error.into()))?;
            if let Ok(part) = frame.into_data()
                && take(&part).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Answer, Error> {
        let status = response.status();
        let content = Limited::new(response.into_body(), MAX_ANSWER);
        let content = content.collect().await?.to_bytes();
        Ok(Answer {
            status,
            content,
            addr: self.addr(),
        })
    }

    /// The head of the answer, and the connection that its content comes on.
    async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Connection), Error> {
        match &self.target {
            AdminTarget::At(ListenAddr::Unix(path)) => {
                send(UnixStream::connect(path).await?, request).await
            }
            AdminTarget::At(ListenAddr::Tcp(addr)) => {
                send(TcpStream::connect(reachable(*addr)).await?, request).await
            }
            AdminTarget::Named { host, port } => {
                send(TcpStream::connect((host.as_str(), *port)).await?, request).await
            }
        }
    }

    /// Where it asks, to be shown.
    pub fn addr(&self) -> String {
        match &self.target {
            AdminTarget::At(ListenAddr::Tcp(addr)) => reachable(*addr).to_string(),
            AdminTarget::At(addr) => addr.to_string(),
            AdminTarget::Named { host, port } => format!("{host}:{port}"),
        }
    }
}

/// The address to connect to where a gateway listens on `addr`: all addresses of a machine are no address.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        match addr {
            SocketAddr::V4(_) => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    addr
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Connection), Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driven = JoinSet::new();
    driven.spawn(connection);
    let response = sender.send_request(request).await?;
    Ok((response, driven))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_admin_api_is_an_address_or_a_name_with_a_port() {
        for (text, addr) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("bookend:9090", "bookend:9090"),
            ("http://bookend.internal:9090/", "bookend.internal:9090"),
        ] {
            let client = AdminClient {
                target: text.parse().expect(text),
                token: None,
            };
            assert_eq!(client.addr(), addr, "{text}");
        }
        for text in ["", "9090", "bookend", "https://a:1", "off", "-a:1", "a:b"] {
            assert!(text.parse::<AdminTarget>().is_err(), "{text}");
        }
    }
}
