//! `[admin]`: the listener for health, metrics, purge and explain.

use std::net::Ipv4Addr;

use super::secret::Secret;
use super::server::ListenAddr;

/// The ops desk.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    pub listen: ListenAddr,
    /// The bearer token that changing and explaining requests must carry; `None` means that everyone who can
    /// connect may.
    pub token: Option<Secret>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 9090).into()),
            token: None,
        }
    }
}
