//! Who is at the other end of a client's connection.

use std::net::SocketAddr;

use crate::semantics::authority::Scheme;

/// A client, as its connection shows it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `None` over a Unix socket.
    pub addr: Option<SocketAddr>,
    /// How the connection is secured.
    pub scheme: Scheme,
    /// Whether its X-Forwarded-* and Forwarded fields are believed.
    pub trusted: bool,
}
