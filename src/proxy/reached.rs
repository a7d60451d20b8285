//! Tells when the gateway has started which servers of its APIs can be connected to: a wrong address or a firewall shows at once, and
//! not with the first request.

use std::time::Duration;

use crate::error::Error;
use crate::proxy::gateway::Gateway;
use crate::upstream::Server;

impl Gateway {
    /// Tries to connect to each server of each API, one API after the other, and logs a line for each. Nothing waits for it; what can be
    /// connected to now may fail later, and the other way round. To be awaited within a `LocalSet`, or a runtime of that kind.
    pub async fn tell_reachable_upstreams(&self) {
        let settings = self.settings();
        for upstream in settings.upstreams.iter() {
            let name = upstream.name();
            let told = |server: &Server, reached: Result<Duration, Error>| {
                let server = server.url();
                match reached {
                    Ok(within) => {
                        tracing::info!(upstream = name, %server, ?within, "upstream reachable");
                    }
                    Err(error) => {
                        tracing::warn!(upstream = name, %server, %error, "upstream not reachable yet");
                    }
                }
            };
            upstream.reach_servers(&self.clock, told).await;
        }
    }
}
