//! `[upstream]`: the API behind the gateway.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::balance::{BALANCES, Balance, Circuit, Ejection, Health, Retries};
use super::readers::{count, one_of, parsed, path, size, some_list, timeout};
use super::section::Section;
use super::server_url::ServerUrl;
use super::value::Value;

/// The servers of the API and how they are spoken to.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// At least one.
    pub servers: Vec<ServerUrl>,
    pub protocol: Protocol,
    pub http2: Http2,
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
    /// How many of all connections may be taken by exchanges that last, in percent; 100 for no bound.
    pub max_long_lived: usize,
    /// Connections to one server that a worker keeps for other requests.
    pub max_idle: usize,
    /// How long a request waits for one of `max_connections`.
    pub queue_timeout: Duration,
    /// Requests that wait for one at a time, to one server and over all workers; those beyond are refused.
    pub max_waiting: usize,
    /// Bytes of a response's status line and fields together.
    pub max_head: usize,
    /// Field lines of a response.
    pub max_fields: usize,
    /// Certificates (PEM) trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The name that certificates must be for; `None` means the host of the server's URL.
    pub tls_name: Option<String>,
    /// The name server that is asked for names; `None` means the system's.
    pub resolver: Option<SocketAddr>,
    /// How a server is chosen where there are several.
    pub balance: Balance,
    pub retries: Retries,
    pub ejection: Ejection,
    pub circuit: Circuit,
    pub health: Health,
}

impl Upstream {
    /// The defaults, for `servers`.
    pub fn in_front_of(servers: Vec<ServerUrl>) -> Self {
        Self {
            servers,
            protocol: Protocol::default(),
            http2: Http2::default(),
            host: HostPolicy::default(),
            connect_timeout: Duration::from_secs(2),
            tls_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(4),
            max_connections: 1024,
            max_long_lived: 75,
            max_idle: 64,
            queue_timeout: Duration::from_secs(5),
            max_waiting: 1024,
            max_head: 64 << 10,
            max_fields: 2048,
            ca_file: None,
            tls_name: None,
            resolver: None,
            balance: Balance::default(),
            retries: Retries::default(),
            ejection: Ejection::default(),
            circuit: Circuit::default(),
            health: Health::default(),
        }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut upstream = Self::in_front_of(Vec::new());
        let url = parsed("a URL such as \"http://127.0.0.1:5000\"");
        section.set("servers", &mut upstream.servers, some_list(url));
        section.set("protocol", &mut upstream.protocol, one_of(&PROTOCOLS));
        section.set("host", &mut upstream.host, one_of(&HOST_POLICIES));
        section.set("connect_timeout", &mut upstream.connect_timeout, timeout);
        section.set("tls_timeout", &mut upstream.tls_timeout, timeout);
        section.set("response_timeout", &mut upstream.response_timeout, timeout);
        section.set("body_timeout", &mut upstream.body_timeout, timeout);
        section.set("idle_timeout", &mut upstream.idle_timeout, timeout);
        section.set(
            "max_connections",
            &mut upstream.max_connections,
            count(1..=1_000_000),
        );
        let long_lived = &mut upstream.max_long_lived;
        section.set("max_long_lived", long_lived, count(1..=100));
        section.set("max_idle", &mut upstream.max_idle, count(0..=1_000_000));
        section.set("queue_timeout", &mut upstream.queue_timeout, timeout);
        section.set(
            "max_waiting",
            &mut upstream.max_waiting,
            count(0..=1_000_000),
        );
        // hyper's HTTP/1 buffer cannot be smaller than 8 KiB.
        section.set("max_head", &mut upstream.max_head, size(8 << 10..=16 << 20));
        // What a map of fields holds, with those that are added on the way.
        section.set("max_fields", &mut upstream.max_fields, count(8..=16_384));
        section.set("ca_file", &mut upstream.ca_file, |value| {
            Some(Some(ca_file(value)?))
        });
        section.set("tls_name", &mut upstream.tls_name, |value| {
            Some(Some(tls_name(value)?))
        });
        section.set("resolver", &mut upstream.resolver, |value| {
            let server = value.parsed("an address such as \"127.0.0.53\"", |text| {
                // Its port, where it is not 53.
                let alone = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 53));
                let server = text.parse().ok().or_else(alone);
                server.ok_or("is not an address, such as \"127.0.0.53\" or \"[::1]:53\"")
            });
            Some(Some(server?))
        });
        section.set("balance", &mut upstream.balance, one_of(&BALANCES));
        upstream.http2 = section.section("http2", Http2::read);
        upstream.retries = section.section("retries", Retries::read);
        upstream.ejection = section.section("ejection", Ejection::read);
        upstream.circuit = section.section("circuit", Circuit::read);
        upstream.health = section.section("health", Health::read);
        upstream
    }
}

const HOST_POLICIES: [(&str, HostPolicy); 2] = [
    ("client", HostPolicy::Client),
    ("upstream", HostPolicy::Upstream),
];

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("http1", Protocol::Http1),
    ("h2c", Protocol::H2c),
    ("h2", Protocol::H2),
];

/// Which HTTP the API is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge (RFC 9113 §3.3).
    H2c,
    /// HTTP/2 over TLS where the server chooses it (ALPN, RFC 7301), else HTTP/1.1.
    H2,
}

impl Protocol {
    /// Why `server` cannot be spoken to in it.
    pub fn misfit(self, server: &ServerUrl) -> Option<&'static str> {
        match (self, server.endpoint.is_tls()) {
            (Self::H2c, true) => Some("\"h2c\" is HTTP/2 without TLS; write \"h2\" for https"),
            (Self::H2, false) => {
                Some("\"h2\" is negotiated by TLS; write \"h2c\" where there is none")
            }
            _ => None,
        }
    }
}

/// `[upstream.http2]`: limits of connections that speak HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Requests in flight on one connection, if the server allows as many.
    pub max_concurrent_streams: usize,
    /// Response content in flight on one stream, in bytes.
    pub stream_window: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
            stream_window: 256 << 10,
        }
    }
}

impl Http2 {
    fn read(section: &mut Section<'_>) -> Self {
        let mut http2 = Self::default();
        let streams = &mut http2.max_concurrent_streams;
        section.set("max_concurrent_streams", streams, count(1..=65_536));
        // RFC 9113 §6.9.1: a window is at most 2^31 - 1.
        let window = size((1 << 14)..=(1 << 31) - 1);
        section.set("stream_window", &mut http2.stream_window, window);
        http2
    }
}

/// A file with at least one certificate; it is read again when connections are set up.
pub(super) fn ca_file(value: Value<'_>) -> Option<PathBuf> {
    let path = path(value)?;
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(path),
        Ok(_) => value.refuse_text("holds no certificate (PEM)"),
        Err(error) => value.refuse_text(format!("cannot be used: {error}")),
    }
}

fn tls_name(value: Value<'_>) -> Option<String> {
    let name = value.text("a host's name such as \"api.example.org\"")?;
    match ServerName::try_from(name.as_ref()) {
        Ok(_) => Some(name.into_owned()),
        Err(_) => value.refuse_text("is not a host's name, such as \"api.example.org\""),
    }
}

/// Which Host the API gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostPolicy {
    /// The one that the client sent.
    #[default]
    Client,
    /// The one of the server's URL; Location and Content-Location are rewritten.
    Upstream,
}
