//! Connections within the process, without listeners, sockets or threads.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};
use tokio::task::AbortHandle;

use super::client_connections::ClientConnections;
use super::connections::Connections;
use super::listen::Treatment;
use super::service::Service;
use super::socket::Socket;
use crate::clock::Clock;
use crate::config;
use crate::semantics::authority::Scheme;
use crate::telemetry::counters::Counters;

/// Bytes that either side of a connection may send before the other reads.
const BUFFER: usize = 64 << 10;

/// Serves connections that are streams in memory, with the limits and deadlines of a listener's. All of it runs in the
/// caller's runtime, so that tests can pause time. Dropping it leaves open connections without deadlines.
pub struct InMemory<S> {
    connections: Rc<Connections<S>>,
    ticking: AbortHandle,
}

impl<S: Service> InMemory<S> {
    /// Must be called where tasks can be spawned that are not `Send`: in a `LocalSet` or a `LocalRuntime`. Deadlines pass
    /// by `clock`.
    pub fn new(
        config: &config::Server,
        clock: Clock,
        counters: Arc<Counters>,
        service: Rc<S>,
    ) -> Self {
        let config = Arc::new(config.clone());
        let clients = ClientConnections::new(&config);
        let connections = Rc::new(Connections::new(service, &config, clock, counters, clients));
        let ticked = connections.clone();
        let ticking = tokio::task::spawn_local(async move {
            let mut ticks = ticked.ticks();
            loop {
                ticks.tick().await;
                ticked.tick();
            }
        });
        Self {
            connections,
            ticking: ticking.abort_handle(),
        }
    }

    /// Opens a connection from `addr`, `None` as behind a Unix socket, on which requests of `scheme` come. Returns the
    /// client's end.
    pub fn connect(&self, addr: Option<SocketAddr>, scheme: Scheme) -> DuplexStream {
        let (client, stream) = duplex(BUFFER);
        let socket = Socket::Memory { stream, scheme };
        let treatment = Treatment::default();
        if let Ok(admitted) = self.connections.admit(socket, addr, &treatment) {
            self.connections.open(admitted, None, &treatment);
        }
        client
    }

    /// Takes no further request on any connection. Completes when no connection is left, and nothing runs that outlives
    /// its connection.
    pub async fn drain(&self) {
        self.connections.shared.drain(false);
        self.connections.drained().await;
    }
}

impl<S> Drop for InMemory<S> {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}
