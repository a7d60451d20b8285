//! The limits of the admin API's own server.

use std::time::Duration;

use crate::config::{self, ListenAddr};

/// The limits of the admin API, which has few clients with small requests.
pub(super) fn limits(listen: ListenAddr) -> config::Server {
    config::Server {
        listen: vec![listen],
        workers: 1,
        drain_timeout: Duration::from_secs(2),
        head_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        body_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        max_connections: 64,
        max_head: 16 << 10,
        ..config::Server::default()
    }
}
