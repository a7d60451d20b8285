//! The URL of one server.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::secret::Secret;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A name or an address; an IPv6 address without brackets.
    Tcp {
        host: String,
        port: u16,
    },
    Unix(PathBuf),
}

/// The user and the password with which the gateway logs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    /// `None`: the server's default user.
    pub user: Option<String>,
    pub password: Option<Password>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    Given(Secret),
    /// The content of a file without the end of its line, read for each connection.
    File(PathBuf),
}

/// A URL, read.
pub(super) struct Url {
    pub(super) is_tls: bool,
    pub(super) login: Login,
    pub(super) address: Address,
    pub(super) database: u32,
}

impl Url {
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        (self.is_tls, &self.login, self.database) == (other.is_tls, &other.login, other.database)
    }

    /// The error quotes nothing of `text`: wherever a password is misplaced, it is not shown.
    pub(super) fn read(text: &str, default_port: u16) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::unix(path.strip_prefix("//").unwrap_or(path));
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("is not a URL; write \"redis://\" or \"rediss://\" before the host")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            "redis+sentinel" | "redis-sentinel" => {
                return Err(
                    "is of a Sentinel: write \"redis://\", and the name of the primary beside it",
                );
            }
            _ => {
                return Err(
                    "is not a URL with redis, rediss (with TLS), valkey, valkeys or unix before \"://\"",
                );
            }
        };
        if rest.contains(['?', '#']) {
            return Err(
                "has a query or fragment, which it cannot have; in a password, write %3F for ? and %23 for #",
            );
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, host_and_port) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let (host, port) = host_and_port_of(host_and_port)?;
        let database = match path.trim_end_matches('/') {
            "" => 0,
            path if path.bytes().all(|octet| octet.is_ascii_digit()) => path
                .parse()
                .map_err(|_| "has a database whose number is too high")?,
            _ => {
                return Err(
                    "has a path that is not the number of a database, such as \"/1\"; in a password, write %2F for /",
                );
            }
        };
        Ok(Self {
            is_tls,
            login: userinfo.map_or_else(|| Ok(Login::default()), login_of)?,
            address: Address::Tcp {
                host,
                port: port.unwrap_or(default_port),
            },
            database,
        })
    }

    fn unix(path: &str) -> Result<Self, &'static str> {
        if path.contains(['?', '#']) {
            return Err("has a query or fragment, which it cannot have");
        }
        if !Path::new(path).is_absolute() {
            return Err("is not an absolute path, such as \"unix:///run/valkey.sock\"");
        }
        Ok(Self {
            is_tls: false,
            login: Login::default(),
            address: Address::Unix(path.into()),
            database: 0,
        })
    }
}

fn host_and_port_of(text: &str) -> Result<(String, Option<u16>), &'static str> {
    const HOST: &str = "has no host after \"://\", such as \"redis://valkey.example.org:6379\"; an @ or / in a password is written %40 or %2F";
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or(HOST)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| HOST)?;
            (host, rest)
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_allowed = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
            if host.is_empty() || !host.bytes().all(is_allowed) {
                return Err(HOST);
            }
            (host, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return Err(HOST),
        Some(port) => Some(
            (port.parse().ok())
                .filter(|port| *port != 0 && rest[1..].bytes().all(|octet| octet.is_ascii_digit()))
                .ok_or(
                    "has a port that is not from 1 to 65535; a / in a password is written %2F",
                )?,
        ),
    };
    Ok((host.to_ascii_lowercase(), port))
}

fn login_of(userinfo: &str) -> Result<Login, &'static str> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    if password.is_empty() {
        return Err(
            "has a user without a password; write \"redis://user:password@host\", or \"redis://:password@host\" for the default user",
        );
    }
    let user = decoded(user)?;
    Ok(Login {
        user: Some(user).filter(|user| !user.is_empty()),
        password: Some(Password::Given(Secret::new(decoded(password)?))),
    })
}

/// RFC 3986 §2.1
fn decoded(text: &str) -> Result<String, &'static str> {
    const ENCODED: &str = "has a percent sign in its user or password without the two hexadecimal digits of UTF-8 after it; a % itself is written %25";
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [octet, after @ ..] = rest {
        rest = match (octet, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |octet: &u8| char::from(*octet).to_digit(16);
                let (high, low) = digit(high).zip(digit(low)).ok_or(ENCODED)?;
                octets.push((high << 4 | low) as u8);
                after
            }
            (b'%', _) => return Err(ENCODED),
            _ => {
                octets.push(*octet);
                after
            }
        };
    }
    String::from_utf8(octets).map_err(|_| ENCODED)
}

/// Like the host and port of a URL.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
