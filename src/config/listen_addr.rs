//! An address that a listener is bound to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::readers::{parsed, some_list};
use super::value::Value;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// Port 0 means a free port.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether any free port will do: then two equal ones are two ports.
    pub fn is_free_port(&self) -> bool {
        matches!(self, Self::Tcp(addr) if addr.port() == 0)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `127.0.0.1:8080`, `[::]:8080`, `localhost:8080`, `:8080` (all IPv4 addresses), `unix:/path`.
impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match Path::new(path).is_absolute() {
                true => Ok(Self::Unix(path.into())),
                false => Err("is not an absolute path, such as \"unix:/run/bookend.sock\""),
            };
        }
        if text.parse::<IpAddr>().is_ok() {
            return Err("has no port; write it like \"127.0.0.1:8080\" or \"[::1]:8080\"");
        }
        if text.parse::<u16>().is_ok() {
            return Err(
                "is a port alone; write \"127.0.0.1:8080\", or \":8080\" for all addresses",
            );
        }
        let addr = match text.rsplit_once(':') {
            Some(("", port)) => port
                .parse()
                .map(|port| (Ipv4Addr::UNSPECIFIED, port).into()),
            Some(("localhost", port)) => {
                port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into())
            }
            _ => return text.parse().map(Self::Tcp).map_err(|_| NO_ADDRESS),
        };
        addr.map(Self::Tcp).map_err(|_| NO_ADDRESS)
    }
}

const NO_ADDRESS: &str =
    "is not an address; write \"127.0.0.1:8080\", \"[::]:8080\", \":8080\" or \"unix:/path\"";

/// Reads one from a string.
pub(super) fn listen_addr(value: Value<'_>) -> Option<ListenAddr> {
    parsed("an address such as \"127.0.0.1:8080\"")(value)
}

/// Reads one or several, each once.
pub(super) fn listen_addrs(value: Value<'_>) -> Option<Vec<ListenAddr>> {
    let addrs = some_list(listen_addr)(value)?;
    for (at, addr) in addrs.iter().enumerate() {
        if !addr.is_free_port() && addrs[..at].contains(addr) {
            return value.members()[at].refuse_text("is listed twice");
        }
    }
    Some(addrs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:8080", "[::]:8080"),
            ("[::1]:80", "[::1]:80"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("unix:/run/b.sock", "unix:/run/b.sock"),
        ] {
            let addr: ListenAddr = text.parse().expect(text);
            assert_eq!(addr.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "is not an address"),
            ("8080", "is a port alone"),
            ("127.0.0.1", "has no port"),
            ("::1", "has no port"),
            ("127.0.0.1:99999", "is not an address"),
            (":", "is not an address"),
            (":http", "is not an address"),
            ("example.org:80", "is not an address"),
            ("http://127.0.0.1:80", "is not an address"),
            ("unix:run/b.sock", "is not an absolute path"),
            ("unix:", "is not an absolute path"),
        ] {
            let fault = text.parse::<ListenAddr>().expect_err(text);
            assert!(fault.starts_with(reason), "{text:?}: {fault}");
        }
    }
}
