//! The URL of one server of the API.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::Uri;

use super::listen_addr::ListenAddr;

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
        // The parser drops a fragment silently.
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
