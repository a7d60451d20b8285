//! `[upstream]`: the API behind the gateway.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use super::ListenAddr;
use super::balance::{BALANCES, Balance, Circuit, Ejection, Health, Retries};
use super::value::{count, one_of, parsed, path, size, some_list, timeout};
use super::walk::{Section, Value};

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
            Some(Some(name_server(value)?))
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
fn ca_file(value: Value<'_>) -> Option<PathBuf> {
    let path = path(value)?;
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(&path).and_then(Iterator::collect);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(path),
        Ok(_) => value.refuse_text("holds no certificate (PEM)"),
        Err(error) => value.refuse_text(format!("cannot be used: {error}")),
    }
}

/// An address, and its port where it is not 53.
fn name_server(value: Value<'_>) -> Option<SocketAddr> {
    let text = value.text("an address such as \"127.0.0.53\"")?;
    let alone = || Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, 53));
    match text.parse().ok().or_else(alone) {
        Some(server) => Some(server),
        None => value.refuse_text("is not an address, such as \"127.0.0.53\" or \"[::1]:53\""),
    }
}

fn tls_name(value: Value<'_>) -> Option<String> {
    let name = value.text("a host's name such as \"api.example.org\"")?;
    match ServerName::try_from(name.as_ref()) {
        Ok(_) => Some(name.into_owned()),
        Err(_) => value.refuse_text("is not a host's name, such as \"api.example.org\""),
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

    /// Whether connections to it certainly reach what listens there.
    pub fn is_at(&self, listen: &ListenAddr) -> bool {
        match (self, listen) {
            (Self::Unix(path), ListenAddr::Unix(listen)) => path == listen,
            (Self::Http { host, port } | Self::Https { host, port }, ListenAddr::Tcp(addr)) => {
                *port == addr.port() && *port != 0 && leads_to(host, addr.ip())
            }
            _ => false,
        }
    }
}

/// Whether connections to `host` certainly reach a listener at the address `listen` of this machine.
fn leads_to(host: &str, listen: IpAddr) -> bool {
    let reaches = |host: IpAddr| {
        let is_taken =
            host.is_ipv4() == listen.is_ipv4() || listen == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        // Connections to an unspecified address go to this machine's loopback address.
        let is_here = host.is_loopback() || host.is_unspecified();
        host == listen
            || (is_taken && is_here && listen.is_unspecified())
            || (is_taken && host.is_unspecified() && listen.is_loopback())
    };
    if host.eq_ignore_ascii_case("localhost") {
        return reaches(Ipv4Addr::LOCALHOST.into()) || reaches(Ipv6Addr::LOCALHOST.into());
    }
    let host = host.trim_matches(['[', ']']).parse();
    host.is_ok_and(reaches)
}

/// `http://host:port/base`, `https://…`, `unix:/path` or `unix:/path:/base`.
impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (path, base) = rest.split_once(':').unwrap_or((rest, ""));
            if !Path::new(path).is_absolute() {
                return Err("is not an absolute path, such as \"unix:/run/api.sock\"");
            }
            return Ok(Self {
                endpoint: Endpoint::Unix(path.into()),
                base_path: base_path(base)?,
            });
        }
        if !text.contains("://") {
            return Err("is not a URL; write \"http://\" or \"https://\" before the host");
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| "is not a URL, such as \"http://127.0.0.1:5000\"")?;
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("has a user's name, which a server's URL cannot have");
        }
        // The parser drops a fragment without a word.
        if uri.query().is_some() || text.contains('#') {
            return Err("has a query or fragment, which a server's URL cannot have");
        }
        let port_is_valid = authority.port_u16().is_some_and(|port| port != 0);
        if authority.as_str().len() != authority.host().len() && !port_is_valid {
            return Err("has a port that is not from 1 to 65535");
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16();
        let endpoint = match uri.scheme_str() {
            Some("http") => Endpoint::Http {
                host,
                port: port.unwrap_or(80),
            },
            Some("https") => Endpoint::Https {
                host,
                port: port.unwrap_or(443),
            },
            _ => return Err("is not a URL with http, https or unix"),
        };
        let base_path = base_path(uri.path())?;
        Ok(Self {
            endpoint,
            base_path,
        })
    }
}

/// `path` without the slash at its end.
fn base_path(path: &str) -> Result<String, &'static str> {
    let base = path.trim_end_matches('/');
    let valid = |path: &str| path.starts_with('/') && path.parse::<Uri>().is_ok();
    match base.is_empty() || (valid(base) && !base.contains(['?', '#'])) {
        true => Ok(base.to_owned()),
        false => Err("has a base path that is not one, such as \"/v1\""),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        for (text, shown, base_path, authority) in [
            (
                "http://127.0.0.1:5000",
                "http://127.0.0.1:5000",
                "",
                "127.0.0.1:5000",
            ),
            (
                "http://127.0.0.1:5000/",
                "http://127.0.0.1:5000",
                "",
                "127.0.0.1:5000",
            ),
            (
                "HTTP://API.example/v1/",
                "http://api.example/v1",
                "/v1",
                "api.example",
            ),
            (
                "http://api.example:80",
                "http://api.example",
                "",
                "api.example",
            ),
            (
                "https://api.example:443/a/b",
                "https://api.example/a/b",
                "/a/b",
                "api.example",
            ),
            (
                "https://api.example:80",
                "https://api.example:80",
                "",
                "api.example:80",
            ),
            ("http://[::1]:5000", "http://[::1]:5000", "", "[::1]:5000"),
            ("unix:/run/api.sock", "unix:/run/api.sock", "", "localhost"),
            (
                "unix:/run/api.sock:/v1/",
                "unix:/run/api.sock:/v1",
                "/v1",
                "localhost",
            ),
        ] {
            let url: ServerUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), shown, "{text}");
            assert_eq!(url.base_path, base_path, "{text}");
            assert_eq!(url.endpoint.authority(), authority, "{text}");
            assert_eq!(url.to_string().parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is not a URL; write"),
            ("localhost:5000", "is not a URL; write"),
            ("http://", "is not a URL"),
            ("http://a b/", "is not a URL"),
            ("ftp://a/", "is not a URL with http"),
            ("http://a:0", "has a port"),
            ("http://a:70000", "has a port"),
            ("http://a:", "has a port"),
            ("http://user:word@a/", "has a user's name"),
            ("http://a/?q", "has a query"),
            ("http://a/#f", "has a query"),
            ("unix:api.sock", "is not an absolute path"),
            ("unix:/api.sock:v1", "has a base path"),
            ("unix:/api.sock:/v1?x", "has a base path"),
        ] {
            let fault = text.parse::<ServerUrl>().expect_err(text);
            assert!(fault.starts_with(reason), "{text:?}: {fault}");
        }
    }
}
