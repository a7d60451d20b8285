//! One worker's part of an API: a pool for each server, the choice among them, the budget for retries.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;

use super::balance::Balancer;
use super::budget::Budget;
use super::health::checker;
use super::pool::{Http2Connections, Pool};
use super::server::Server;
use super::shared::UpstreamShared;
use crate::clock::Clock;
use crate::telemetry::counters::UpstreamCounters;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) shared: Arc<UpstreamShared>,
    /// One a server, in the same order.
    pub(super) pools: Box<[Rc<Pool>]>,
    pub(super) balancer: Balancer,
    pub(super) budget: Budget,
    checks_started: Cell<bool>,
    pub(super) clock: Clock,
    pub(super) counters: Arc<UpstreamCounters>,
}

impl Worker {
    /// The pools of servers that were there `before` are kept, with their connections.
    pub(super) fn new(
        shared: Arc<UpstreamShared>,
        clock: Clock,
        counters: Arc<UpstreamCounters>,
        before: Option<&Self>,
    ) -> Self {
        let pool = |server: &Arc<Server>| {
            let pools = before.map_or(&[][..], |before| &before.pools);
            let known = pools.iter().find(|pool| Arc::ptr_eq(pool.server(), server));
            if let Some(pool) = known {
                pool.set_limits(&shared.limits, shared.http2);
                return pool.clone();
            }
            Pool::new(
                server.clone(),
                shared.limits.clone(),
                Http2Connections::new(shared.protocol, shared.http2),
                clock.clone(),
                counters.clone(),
            )
        };
        Self {
            pools: shared.servers().iter().map(pool).collect(),
            balancer: Balancer::new(shared.balance, RandomState::new().hash_one(0)),
            budget: Budget::new(&shared.retries, clock.now().mono),
            checks_started: Cell::new(false),
            shared,
            clock,
            counters,
        }
    }

    /// Starts the health checks of each server, where they are configured and no worker has started them.
    pub(super) fn start_checks(&self) {
        if !self.checks_started.replace(true) {
            for server in self.shared.servers() {
                checker::start(server, &self.clock);
            }
        }
    }
}
