//! `[upstream]`: the API behind the gateway.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The servers of the API and how they are spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// At least one.
    pub servers: Vec<ServerUrl>,
    pub host: HostPolicy,
    /// To an open connection; TLS has a deadline of its own.
    pub connect_timeout: Duration,
    /// From the open connection to the end of the TLS handshake.
    pub tls_timeout: Duration,
    /// From the end of the request to the end of the response's head.
    pub response_timeout: Duration,
    /// How long content may stall, in either direction.
    pub body_timeout: Duration,
    /// How long a connection is kept for another request.
    pub idle_timeout: Duration,
    /// Connections to one server, over all workers.
    pub max_connections: usize,
    /// Connections to one server that a worker keeps for other requests.
    pub max_idle: usize,
    /// How long a request waits for one of `max_connections`.
    pub queue_timeout: Duration,
    /// Requests that wait for one at a time, to one server and over all workers; those beyond are refused.
    pub max_waiting: usize,
    /// Bytes of a response's status line and fields together.
    pub max_head: usize,
    /// Certificates (PEM) trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The name that certificates must be for; `None` means the host of the server's URL.
    pub tls_name: Option<String>,
}

impl Upstream {
    /// The defaults, for `servers`.
    pub fn in_front_of(servers: Vec<ServerUrl>) -> Self {
        Self {
            servers,
            host: HostPolicy::default(),
            connect_timeout: Duration::from_secs(2),
            tls_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(4),
            max_connections: 1024,
            max_idle: 64,
            queue_timeout: Duration::from_secs(5),
            max_waiting: 1024,
            max_head: 64 << 10,
            ca_file: None,
            tls_name: None,
        }
    }
}

/// Which Host the API is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPolicy {
    /// The one that the client sent.
    #[default]
    Client,
    /// The one of the server's URL; Location and Content-Location are rewritten.
    Upstream,
}

/// One server of the API.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    pub endpoint: Endpoint,
    /// Put before the path of each request: empty, or `/…` without a slash at its end.
    pub base_path: String,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `host` is a name or an address; an IPv6 address stands in brackets.
    Http { host: String, port: u16 },
    /// Likewise, over TLS.
    Https { host: String, port: u16 },
    /// HTTP without TLS over a Unix socket.
    Unix(PathBuf),
}

impl Endpoint {
    /// The authority for Host: the default port is left out, and a Unix socket is `localhost`.
    pub fn authority(&self) -> String {
        match self {
            Self::Http { host, port: 80 } | Self::Https { host, port: 443 } => host.clone(),
            Self::Http { host, port } | Self::Https { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Https { .. })
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Http { .. } => write!(f, "http://{}", self.endpoint.authority())?,
            Endpoint::Https { .. } => write!(f, "https://{}", self.endpoint.authority())?,
            Endpoint::Unix(path) => {
                write!(f, "unix:{}", path.display())?;
                if !self.base_path.is_empty() {
                    f.write_str(":")?;
                }
            }
        }
        f.write_str(&self.base_path)
    }
}
