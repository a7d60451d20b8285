//! The names that OpenTelemetry's semantic conventions have for what HTTP requests are (version 1.37: stable ones alone).

use http::{Method, StatusCode, Version};

use super::recorder::OpenSpan;
use super::span::Value;
use crate::config::Endpoint;

pub const CLIENT_ADDRESS: &str = "client.address";
pub const HTTP_METHOD: &str = "http.request.method";
pub const HTTP_METHOD_ORIGINAL: &str = "http.request.method_original";
pub const HTTP_RESEND_COUNT: &str = "http.request.resend_count";
pub const HTTP_RESPONSE_SIZE: &str = "http.response.body.size";
pub const HTTP_ROUTE: &str = "http.route";
pub const HTTP_STATUS: &str = "http.response.status_code";
pub const PEER_ADDRESS: &str = "network.peer.address";
pub const PEER_PORT: &str = "network.peer.port";
pub const PROTOCOL_VERSION: &str = "network.protocol.version";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";
pub const URL_FULL: &str = "url.full";
pub const URL_PATH: &str = "url.path";
pub const URL_QUERY: &str = "url.query";
pub const URL_SCHEME: &str = "url.scheme";
pub const USER_AGENT: &str = "user_agent.original";

/// A method that the conventions know; others are `_OTHER`.
pub fn method_token(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 10] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE",
    ];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}

impl OpenSpan {
    pub fn set_method(&mut self, method: &Method) {
        match method_token(method) {
            Some(token) => self.set(HTTP_METHOD, token),
            None => {
                self.set(HTTP_METHOD, "_OTHER");
                self.set(HTTP_METHOD_ORIGINAL, Value::text(method.as_str()));
            }
        }
    }

    pub fn set_status(&mut self, status: StatusCode) {
        self.set(HTTP_STATUS, i64::from(status.as_u16()));
    }

    pub fn set_version(&mut self, version: Version) {
        let version = match version {
            Version::HTTP_09 => "0.9",
            Version::HTTP_10 => "1.0",
            Version::HTTP_2 => "2",
            Version::HTTP_3 => "3",
            _ => "1.1",
        };
        self.set(PROTOCOL_VERSION, version);
    }

    /// Where the server is that is asked.
    pub fn set_server(&mut self, endpoint: &Endpoint) {
        match endpoint {
            Endpoint::Http { host, port } | Endpoint::Https { host, port } => {
                self.set(SERVER_ADDRESS, Value::text(host.trim_matches(['[', ']'])));
                self.set(SERVER_PORT, i64::from(*port));
            }
            Endpoint::Unix(path) => {
                self.set(SERVER_ADDRESS, Value::text(&path.to_string_lossy()));
            }
        }
    }

    /// It failed by its status.
    pub fn fail_by_status(&mut self, status: StatusCode) {
        self.fail(Value::text(status.as_str()), None);
    }
}
