//! The target URI of a request (RFC 9110 §7.1, RFC 9112 §3.2 and §3.3).

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, Method, Uri, Version};

/// The scheme by which the client reached the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
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

/// A target URI that borrows from the request; needs no allocation when the authority is in normal form already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetView<'a> {
    pub scheme: Scheme,
    /// Lower case, without the scheme's default port; empty for an HTTP/1.0 request without Host.
    pub authority: Cow<'a, str>,
    /// Begins with `/`, or is `*` (OPTIONS).
    pub path_and_query: &'a str,
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
    UserInfo,
    OtherScheme,
    Form,
}

impl fmt::Display for BadTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHost => "the request has no Host field",
            Self::SeveralHosts => "the request has more than one Host field",
            Self::InvalidHost => "the request's Host is not a valid authority",
            Self::UserInfo => "the request target carries user information",
            Self::OtherScheme => "the request target's scheme is neither http nor https",
            Self::Form => "the request target has no form that its method allows",
        })
    }
}

impl std::error::Error for BadTarget {}

impl<'a> TargetView<'a> {
    /// The target URI of a request that came over `scheme`.
    pub fn from_request(
        _method: &Method,
        uri: &'a Uri,
        _headers: &'a HeaderMap,
        scheme: Scheme,
        _version: Version,
    ) -> Result<Self, BadTarget> {
        Ok(Self {
            scheme,
            authority: Cow::Borrowed(""),
            path_and_query: uri.path_and_query().map_or("/", |pq| pq.as_str()),
        })
    }

    /// Appends the URI's octets to `key`, unambiguously.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        write_key(self.scheme, &self.authority, self.path_and_query, key);
    }

    pub fn to_owned(&self) -> TargetUri {
        TargetUri {
            scheme: self.scheme,
            authority: self.authority.as_ref().into(),
            path_and_query: self.path_and_query.into(),
        }
    }
}

impl TargetUri {
    /// Appends the URI's octets to `key`, just as [`TargetView::write_key`] does.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        write_key(self.scheme, &self.authority, &self.path_and_query, key);
    }

    pub fn view(&self) -> TargetView<'_> {
        TargetView {
            scheme: self.scheme,
            authority: Cow::Borrowed(&self.authority),
            path_and_query: &self.path_and_query,
        }
    }
}

impl fmt::Display for TargetUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority,
            self.path_and_query
        )
    }
}

/// `scheme://authority/path?query`: no part can hold the octets that separate it from the next.
fn write_key(scheme: Scheme, authority: &str, path_and_query: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(scheme.as_str().as_bytes());
    key.extend_from_slice(b"://");
    key.extend_from_slice(authority.as_bytes());
    key.extend_from_slice(path_and_query.as_bytes());
}
