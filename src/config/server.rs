//! `[server]`: where clients connect, and the limits of their connections and requests.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::gate::client_network;
use super::listen_addr::{ListenAddr, listen_addrs};
use super::listener::Listener;
use super::rate_limit::RateLimit;
use super::readers::{YEAR, count, duration, list, network, or_off, path, size, timeout};
use super::section::Section;
use super::value::Value;

/// Where the gateway listens, and the limits that clients have.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Without TLS. Empty where the file has a `[[listener]]` and no `listen` here.
    pub listen: Vec<ListenAddr>,
    /// The addresses of `[[listener]]`.
    pub listeners: Vec<Listener>,
    /// Worker threads; 0 means one a core.
    pub workers: usize,
    /// The instance's name in Via, Cache-Status and CDN-Loop; a token. `None` when the operator gave none.
    pub name: Option<String>,
    /// Peers whose X-Forwarded-* and Forwarded fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Clients whose PURGE is carried out; where there are none, it goes on as any method does.
    pub purge_from: Vec<IpNet>,
    /// A Unix socket on which a successor gets the listening sockets; `None`: only one that SIGUSR2 starts.
    pub handover_socket: Option<PathBuf>,
    /// How long clients are served as before after the signal to stop, while `/readyz` fails.
    pub shutdown_delay: Duration,
    /// How long requests in flight may go on after that.
    pub drain_timeout: Duration,
    /// From the first byte of a request (or the connection's start) to the end of its head.
    pub head_timeout: Duration,
    /// How long a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// How long a request's content may stall.
    pub body_timeout: Duration,
    /// Bytes a second that a request's content has to come with, beyond `body_timeout`; `None` for any pace.
    pub min_body_rate: Option<u64>,
    /// From a request's head to the last byte of its response; `None` for as long as it takes.
    pub exchange_timeout: Option<Duration>,
    /// How long a client may take no byte of a response that waits for it.
    pub write_timeout: Duration,
    /// How long a connection that has gone over to another protocol may be silent in both directions.
    pub tunnel_timeout: Duration,
    /// Client connections open at once, over all workers.
    pub max_connections: usize,
    /// Of those, how many may be one client's; 0 means no limit.
    pub max_connections_per_client: usize,
    /// Requests that wait for the API at once, over all workers; 0 means no limit.
    pub max_requests: usize,
    /// Of those, how many may be one client's; 0 means no limit. Never more than seven eighths of `max_requests`.
    pub max_requests_per_client: usize,
    /// Bytes of a request's line and fields together.
    pub max_head: usize,
    /// Field lines in a request.
    pub max_fields: usize,
    /// Bytes of a request's target, as it is sent on.
    pub max_uri: usize,
    /// Bytes of a request's content; `None` means that only the upstream limits it.
    pub max_body: Option<u64>,
    /// For all requests together with what their routes say.
    pub rate_limit: Option<RateLimit>,
    pub http2: Http2,
}

impl Server {
    /// The name used where the operator gave none.
    pub const DEFAULT_NAME: &'static str = "bookend";

    /// The name in Via and Cache-Status.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(Self::DEFAULT_NAME)
    }

    /// All addresses that clients connect to.
    pub fn addrs(&self) -> impl Iterator<Item = &ListenAddr> {
        let further = self.listeners.iter().flat_map(|listener| &listener.listen);
        self.listen.iter().chain(further)
    }

    /// What `new` changes that stays as it is until the gateway starts again. All else follows a reload.
    pub(super) fn bound_changes(&self, new: &Self) -> Vec<&'static str> {
        let bound = [
            ("[server] workers", self.workers != new.workers),
            (
                "[server] handover_socket",
                self.handover_socket != new.handover_socket,
            ),
            (
                "[server] max_connections",
                self.max_connections != new.max_connections,
            ),
        ];
        let changed = bound.into_iter().filter(|(_, is_changed)| *is_changed);
        changed.map(|(name, _)| name).collect()
    }

    pub(super) fn read(section: &mut Section<'_>, listeners: Vec<Listener>) -> Self {
        let mut server = Self::default();
        if !listeners.is_empty() {
            server.listen.clear();
        }
        server.listeners = listeners;
        section.set("listen", &mut server.listen, listen_addrs);
        section.set("workers", &mut server.workers, count(0..=1024));
        section.set("name", &mut server.name, |value| Some(Some(name(value)?)));
        section.set(
            "trusted_proxies",
            &mut server.trusted_proxies,
            list(network),
        );
        let networks = &mut server.purge_from;
        section.set("purge_from", networks, list(client_network));
        section.set("handover_socket", &mut server.handover_socket, |value| {
            Some(Some(path(value)?))
        });
        section.set(
            "shutdown_delay",
            &mut server.shutdown_delay,
            duration(Duration::ZERO..=YEAR),
        );
        section.set(
            "drain_timeout",
            &mut server.drain_timeout,
            duration(Duration::ZERO..=YEAR),
        );
        section.set("head_timeout", &mut server.head_timeout, timeout);
        section.set("idle_timeout", &mut server.idle_timeout, timeout);
        section.set("body_timeout", &mut server.body_timeout, timeout);
        let rate = &mut server.min_body_rate;
        section.set("min_body_rate", rate, or_off(size(1..=u64::MAX)));
        let exchange = &mut server.exchange_timeout;
        section.set("exchange_timeout", exchange, or_off(timeout));
        section.set("write_timeout", &mut server.write_timeout, timeout);
        section.set("tunnel_timeout", &mut server.tunnel_timeout, timeout);
        section.set(
            "max_connections",
            &mut server.max_connections,
            count(1..=10_000_000),
        );
        let each = &mut server.max_connections_per_client;
        section.set("max_connections_per_client", each, count(0..=10_000_000));
        section.set("max_requests", &mut server.max_requests, count(0..=1 << 24));
        let each = &mut server.max_requests_per_client;
        section.set("max_requests_per_client", each, count(0..=1 << 24));
        // hyper's HTTP/1 buffer cannot be smaller than 8 KiB.
        section.set("max_head", &mut server.max_head, size(8 << 10..=1 << 20));
        section.set("max_fields", &mut server.max_fields, count(8..=4096));
        section.set("max_uri", &mut server.max_uri, size(64..=64 << 10));
        section.set("max_body", &mut server.max_body, or_off(size(0..=u64::MAX)));
        server.rate_limit = section.section("rate_limit", RateLimit::read);
        server.http2 = section.section("http2", Http2::read);
        server
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 8080).into())],
            listeners: Vec::new(),
            workers: 0,
            name: None,
            trusted_proxies: Vec::new(),
            purge_from: Vec::new(),
            handover_socket: None,
            shutdown_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            min_body_rate: Some(100),
            exchange_timeout: Some(Duration::from_secs(3600)),
            write_timeout: Duration::from_secs(30),
            tunnel_timeout: Duration::from_secs(600),
            max_connections: 16_384,
            max_connections_per_client: 12_288,
            max_requests: 8192,
            max_requests_per_client: 768,
            max_head: 32 << 10,
            max_fields: 100,
            max_uri: 8 << 10,
            max_body: None,
            rate_limit: None,
            http2: Http2::default(),
        }
    }
}

/// `[server.http2]`: limits that HTTP/2 connections have beside those of [`Server`].
#[derive(Clone, Debug, PartialEq)]
pub struct Http2 {
    /// Requests in flight on one connection.
    pub max_concurrent_streams: u32,
    /// Streams that a client may reset within a second, before their response has ended; see [`crate::server`].
    pub max_resets: u32,
    /// Request content in flight on one stream, in bytes.
    pub stream_window: u32,
    /// Request content in flight on one connection, in bytes.
    pub connection_window: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 128,
            max_resets: 100,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
        }
    }
}

impl Http2 {
    fn read(section: &mut Section<'_>) -> Self {
        let mut http2 = Self::default();
        let streams = &mut http2.max_concurrent_streams;
        section.set("max_concurrent_streams", streams, count(1..=65_536));
        let resets = &mut http2.max_resets;
        section.set("max_resets", resets, count(1..=1 << 20));
        // RFC 9113 §6.9.1: a window is at most 2^31 - 1.
        let window = || size((1 << 14)..=(1 << 31) - 1);
        section.set("stream_window", &mut http2.stream_window, window());
        section.set("connection_window", &mut http2.connection_window, window());
        http2
    }
}

/// A name that can stand as it is in Via (RFC 9110 §7.6.3: a token), in Cache-Status (RFC 9211 §2: an sf-token) and
/// in CDN-Loop (RFC 8586 §2).
fn name(value: Value<'_>) -> Option<String> {
    let name = value.text("a name such as \"edge-1\"")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(fits) {
        return value.refuse_text("is not a letter followed by letters, digits, `-`, `_` or `.`");
    }
    Some(name.into_owned())
}
