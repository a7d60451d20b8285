//! What of the configuration a connection depends on, beside its server's URL. Where that has changed, nothing that was
//! learnt of a server before can be relied on: it may be what was mended.

use std::net::SocketAddr;

use crate::config::{Protocol, Upstream};

#[derive(Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Reach {
    protocol: Protocol,
    resolver: Option<SocketAddr>,
    tls_name: Option<String>,
    /// The content of `ca_file`, which may have been replaced under the same name.
    authorities: Option<Vec<u8>>,
}

impl Reach {
    pub(in crate::upstream) fn of(upstream: &Upstream) -> Self {
        let ca_file = upstream.ca_file.as_ref();
        Self {
            protocol: upstream.protocol,
            resolver: upstream.resolver,
            tls_name: upstream.tls_name.clone(),
            // One that cannot be read is refused where it is used.
            authorities: ca_file.and_then(|file| std::fs::read(file).ok()),
        }
    }
}
