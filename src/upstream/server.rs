//! One server of the API: what all workers share about it.

use crate::config::ServerUrl;

/// A server of the API.
#[derive(Debug)]
pub struct Server {
    url: ServerUrl,
    authority: String,
}

impl Server {
    pub(super) fn new(url: &ServerUrl) -> Self {
        Self {
            authority: url.endpoint.authority(),
            url: url.clone(),
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.url.endpoint.is_tls() {
            "https"
        } else {
            "http"
        }
    }

    /// Host, and port unless it is the scheme's default: what Host says under `HostPolicy::Upstream`, and so what
    /// Location and Content-Location in this server's responses refer to.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before the path of each request: empty, or `/…` without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.url.base_path
    }
}
