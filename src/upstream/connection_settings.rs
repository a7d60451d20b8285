//! The settings that a connection depends on, beside its server's URL. Where one has changed, the server's health from before
//! does not count any more: the change may have ended its failures.

use std::net::SocketAddr;

use crate::config::{Protocol, Upstream};

#[derive(Debug, PartialEq, Eq)]
pub(in crate::upstream) struct ConnectionSettings {
    protocol: Protocol,
    resolver: Option<SocketAddr>,
    tls_name: Option<String>,
    /// The content of `ca_file`, which may have been replaced under the same name.
    authorities: Option<Vec<u8>>,
}

impl ConnectionSettings {
    pub(in crate::upstream) fn of(upstream: &Upstream) -> Self {
        let ca_file = upstream.ca_file.as_ref();
        Self {
            protocol: upstream.protocol,
            resolver: upstream.resolver,
            tls_name: upstream.tls_name.clone(),
            // A file that cannot be read is an error where it is used.
            authorities: ca_file.and_then(|file| std::fs::read(file).ok()),
        }
    }
}
