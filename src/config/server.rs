//! `[server]`: the door that clients come through.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Where the gateway listens and what it bears from clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: Vec<ListenAddr>,
    /// Worker threads; 0 means one a core.
    pub workers: usize,
    /// The instance's name in Via, Cache-Status and CDN-Loop; a token. `None` when the operator gave none.
    pub name: Option<String>,
    /// Peers whose X-Forwarded-* and Forwarded fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may go on after the signal to stop.
    pub drain_timeout: Duration,
    /// From the first byte of a request (or the connection's start) to the end of its head.
    pub head_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// How long a request's content may stall.
    pub body_timeout: Duration,
    /// How long a client may take no byte of a response that waits for it.
    pub write_timeout: Duration,
    /// Client connections open at once, over all workers.
    pub max_connections: usize,
    /// Bytes of a request's line and fields together.
    pub max_head: usize,
    /// Field lines in a request.
    pub max_fields: usize,
    /// Bytes of a request's target.
    pub max_uri: usize,
    /// Bytes of a request's content; `None` means that only the upstream limits it.
    pub max_body: Option<u64>,
    pub http2: Http2,
}

impl Server {
    /// The name used where the operator gave none.
    pub const DEFAULT_NAME: &'static str = "bookend";

    /// The name in Via and Cache-Status.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(Self::DEFAULT_NAME)
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 8080).into())],
            workers: 0,
            name: None,
            trusted_proxies: Vec::new(),
            drain_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 16_384,
            max_head: 32 << 10,
            max_fields: 100,
            max_uri: 8 << 10,
            max_body: None,
            http2: Http2::default(),
        }
    }
}

/// `[server.http2]`: limits that HTTP/2 connections have beside those of [`Server`].
#[derive(Clone, Debug, PartialEq)]
pub struct Http2 {
    /// Requests in flight on one connection.
    pub max_concurrent_streams: u32,
    /// Request content in flight on one stream, in bytes.
    pub stream_window: u32,
    /// Request content in flight on one connection, in bytes.
    pub connection_window: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 128,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
        }
    }
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// Port 0 means a free port.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
