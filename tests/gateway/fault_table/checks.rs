//! An API that speaks HTTP/2, goes down and comes back, as its health checks see it.

use std::sync::Arc;

use super::http2_faults::FAULTS;
use super::http2_server::Server;
use super::row::{Kind, OTHER, Peer, Script};
use crate::common::{Gateway, await_that};

#[test]
fn an_api_over_http2_that_goes_down_is_left_out_by_its_checks_and_used_again() {
    let origin = Server::origin(Arc::new(Script::new(&FAULTS[0], Kind::Cold)));
    let gateway = Gateway::before(&origin)
        .workers(1)
        .upstream(Server::UPSTREAM)
        .upstream(
            r#"
            health.path = "/healthz"
            health.interval = "10ms"
            health.unhealthy = 2
            health.healthy = 2
            "#,
        )
        .start();
    gateway.get(OTHER).expect(200);
    for _ in 0..2 {
        origin.refuse(true);
        // The only server is never left out for the failures of requests.
        await_that("the checks have found it to be down", || {
            let answer = gateway.get(OTHER);
            let said = answer.field("proxy-status").unwrap_or_default();
            answer.status == 503 && said.contains("error=destination_unavailable")
        });
        origin.refuse(false);
        await_that("the checks have found it to be up", || {
            gateway.get(OTHER).status == 200
        });
        gateway.get(OTHER).expect(200);
    }
}
