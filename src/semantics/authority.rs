//! The target URI of a request (RFC 9110 §7.1, RFC 9112 §3.2 and §3.3), in the one form in which it is a key.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

use super::percent::is_unreserved;
use super::target::split_query;

/// The scheme of the client's connection to the gateway, or the scheme that a trusted proxy names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// `None` for any other scheme; schemes have no case.
    pub fn parse(scheme: &str) -> Option<Self> {
        if scheme.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if scheme.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A target URI that borrows from the request; needs no allocation where the authority has its normal form already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetView<'a> {
    pub scheme: Scheme,
    /// Lower case, without the scheme's default port; empty for an HTTP/1.0 request without Host.
    pub authority: Cow<'a, str>,
    /// Begins with `/`; or is `*`, for OPTIONS.
    pub path_and_query: Cow<'a, str>,
}

/// A target URI that owns its parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetUri {
    pub scheme: Scheme,
    pub authority: Box<str>,
    pub path_and_query: Box<str>,
}

/// Why a request has no valid target URI; answered with 400 (Bad Request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadTarget {
    NoHost,
    SeveralHosts,
    InvalidHost,
    /// Host and `:authority` name different servers (RFC 9113 §8.3.1).
    HostsDiffer,
    UserInfo,
    OtherScheme,
    /// An `https` URI over a connection that is not secured (RFC 9110 §7.4).
    NotSecured,
    /// A form of request target that the method does not allow.
    Form,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "the request has no Host field",
            Self::SeveralHosts => "the request has more than one Host field line",
            Self::InvalidHost => "the request's Host is not a host with an optional port",
            Self::HostsDiffer => "the request's Host differs from its :authority",
            Self::UserInfo => "the request target carries user information",
            Self::OtherScheme => "the request target's scheme is neither http nor https",
            Self::NotSecured => {
                "the request target is an https URI, but the connection is not secured"
            }
            Self::Form => "the request target has a form that its method does not allow",
        })
    }
}

impl std::error::Error for BadTarget {}

impl<'a> TargetView<'a> {
    /// The target URI of a request that came over `scheme`. Fails when the request has to be refused.
    pub fn from_request(
        method: &Method,
        uri: &'a Uri,
        headers: &'a HeaderMap,
        scheme: Scheme,
        version: Version,
    ) -> Result<Self, BadTarget> {
        match uri.scheme_str().map(Scheme::parse) {
            Some(None) => return Err(BadTarget::OtherScheme),
            Some(Some(Scheme::Https)) if scheme == Scheme::Http => {
                return Err(BadTarget::NotSecured);
            }
            Some(Some(_)) | None => {}
        }
        let host = host_field(headers, scheme, version)?;
        let authority = match uri.authority() {
            // RFC 9112 §3.2.2: the absolute form's host replaces the Host field.
            Some(authority) => {
                let target =
                    normal_authority(authority.as_str(), scheme).map_err(|bad| match authority
                        .as_str()
                        .contains('@')
                    {
                        true => BadTarget::UserInfo,
                        false => bad,
                    })?;
                let differ = host.as_ref().is_some_and(|host| *host != target);
                if version >= Version::HTTP_2 && differ {
                    return Err(BadTarget::HostsDiffer);
                }
                target
            }
            None => match host {
                Some(host) => host,
                None if version > Version::HTTP_10 => return Err(BadTarget::NoHost),
                // The server's default.
                None => Cow::Borrowed(""),
            },
        };
        if authority.is_empty() && version > Version::HTTP_10 {
            return Err(BadTarget::InvalidHost);
        }
        Ok(Self {
            scheme,
            authority,
            path_and_query: path_and_query(method, uri)?,
        })
    }

    /// Appends the URI's octets to `key`.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        write_key(self.scheme, &self.authority, &self.path_and_query, key);
    }

    /// The query, without its question mark; `None` without one.
    pub fn query(&self) -> Option<&str> {
        split_query(&self.path_and_query).1
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        split_query(&self.path_and_query).0
    }

    pub fn to_target(&self) -> TargetUri {
        TargetUri {
            scheme: self.scheme,
            authority: self.authority.as_ref().into(),
            path_and_query: self.path_and_query.as_ref().into(),
        }
    }
}

impl TargetUri {
    /// Appends the URI's octets to `key`, as [`TargetView::write_key`] does.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        write_key(self.scheme, &self.authority, &self.path_and_query, key);
    }

    pub fn view(&self) -> TargetView<'_> {
        TargetView {
            scheme: self.scheme,
            authority: Cow::Borrowed(&self.authority),
            path_and_query: Cow::Borrowed(&self.path_and_query),
        }
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        write!(f, "{scheme}://{}{}", self.authority, self.path_and_query)
    }
}

/// `scheme://authority/path?query`, which is unambiguous: an authority holds no slash.
fn write_key(scheme: Scheme, authority: &str, path_and_query: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(scheme.as_str().as_bytes());
    key.extend_from_slice(b"://");
    key.extend_from_slice(authority.as_bytes());
    key.extend_from_slice(path_and_query.as_bytes());
}

/// The Host field in normal form (RFC 9112 §3.2). HTTP/1.1 needs one whatever the form of the request target.
fn host_field(
    headers: &HeaderMap,
    scheme: Scheme,
    version: Version,
) -> Result<Option<Cow<'_, str>>, BadTarget> {
    let mut lines = headers.get_all(header::HOST).iter();
    let Some(host) = lines.next() else {
        return match version {
            Version::HTTP_11 => Err(BadTarget::NoHost),
            _ => Ok(None),
        };
    };
    if lines.next().is_some() {
        return Err(BadTarget::SeveralHosts);
    }
    let host = HeaderValue::to_str(host).map_err(|_| BadTarget::InvalidHost)?;
    normal_authority(host, scheme).map(Some)
}

/// The path and query of a request target that `method` allows.
pub fn path_and_query<'a>(method: &Method, uri: &'a Uri) -> Result<Cow<'a, str>, BadTarget> {
    // The authority form is for CONNECT alone (RFC 9112 §3.2.3), which is no request for a resource.
    let given = uri.path_and_query().ok_or(BadTarget::Form)?.as_str();
    match given.as_bytes().first() {
        _ if *method == Method::CONNECT => Err(BadTarget::Form),
        Some(b'/') => Ok(Cow::Borrowed(given)),
        Some(b'*') if given == "*" && *method == Method::OPTIONS => Ok(Cow::Borrowed(given)),
        // An absolute form may have a query and no path.
        Some(b'?') => Ok(Cow::Owned(format!("/{given}"))),
        _ => Err(BadTarget::Form),
    }
}

/// An authority in lower case and without the scheme's default port (RFC 9110 §4.2.3). Empty is valid here: whether
/// there has to be a host is for the caller.
pub fn normal_authority(given: &str, scheme: Scheme) -> Result<Cow<'_, str>, BadTarget> {
    if is_plainly_normal(given, scheme) {
        return Ok(Cow::Borrowed(given));
    }
    let (host, port) = split_port(given)?;
    if !is_host(host) || (host.is_empty() && !given.is_empty()) {
        return Err(BadTarget::InvalidHost);
    }
    let kept = match port {
        "" => host,
        port => {
            let valid = port.bytes().all(|byte| byte.is_ascii_digit());
            let number: u16 = port.parse().map_err(|_| BadTarget::InvalidHost)?;
            if !valid {
                return Err(BadTarget::InvalidHost);
            }
            if number == scheme.default_port() {
                host
            } else if port.starts_with('0') {
                return Ok(Cow::Owned(format!(
                    "{}:{number}",
                    host.to_ascii_lowercase()
                )));
            } else {
                given
            }
        }
    };
    if kept.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Ok(Cow::Owned(kept.to_ascii_lowercase()))
    } else {
        Ok(Cow::Borrowed(kept))
    }
}

/// Whether one pass shows that the authority is normal: a name or an IPv4 address in lower case, without a port or with one
/// that stays. Nearly every request has such a one; other authorities may be normal, too.
fn is_plainly_normal(given: &str, scheme: Scheme) -> bool {
    let octets = given.as_bytes();
    let is_plain = |octet: &u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    match octets.iter().position(|octet| !is_plain(octet)) {
        None => !octets.is_empty(),
        Some(host) if host > 0 && octets[host] == b':' => {
            let port = &given[host + 1..];
            let is_number = (b'1'..=b'9').contains(port.as_bytes().first().unwrap_or(&0))
                && port.bytes().all(|octet| octet.is_ascii_digit());
            is_number
                && port
                    .parse()
                    .is_ok_and(|port: u16| port != scheme.default_port())
        }
        Some(_) => false,
    }
}

/// The host of an authority, without its port.
pub fn host_of(authority: &str) -> &str {
    split_port(authority).map_or(authority, |(host, _)| host)
}

/// The host and the port, which is empty when it is missing or empty (RFC 3986 §6.2.3).
fn split_port(authority: &str) -> Result<(&str, &str), BadTarget> {
    let host_end = match authority.strip_prefix('[') {
        Some(literal) => literal.find(']').ok_or(BadTarget::InvalidHost)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if rest.is_empty() => Ok((host, "")),
        None => Err(BadTarget::InvalidHost),
    }
}

/// RFC 3986 §3.2.2: an IPv6 literal, or a reg-name (IPv4 addresses are among those).
fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let address = literal.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let mut octets = host.bytes();
    while let Some(octet) = octets.next() {
        let valid = match octet {
            b'%' => {
                let mut hex = || octets.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                hex() && hex()
            }
            _ => is_unreserved(octet) || SUB_DELIMS.contains(&octet),
        };
        if !valid {
            return false;
        }
    }
    true
}

/// RFC 3986 §2.2
const SUB_DELIMS: &[u8] = b"!$&'()*+,;=";

#[cfg(test)]
mod tests;
