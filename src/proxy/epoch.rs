//! A worker's state for one configuration, until it changes.

use std::cell::Cell;
use std::sync::Arc;

use crate::config::RoutePolicy;
use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::response::prepared::PreparedFields;
use crate::telemetry::by_route::RouteCounters;
use crate::telemetry::counters::Counters;
use crate::upstream::Upstreams;

/// The settings in force, and what was made of them.
#[derive(Debug)]
pub struct Epoch {
    pub settings: Arc<Settings>,
    pub upstreams: Upstreams,
    pub prepared: PreparedFields,
    /// This worker's counters of each route, by its index.
    routes: Box<[Arc<RouteCounters>]>,
    /// Requests that are not recorded until the next one that is; 0 where that is not known yet.
    pub unrecorded: Cell<u64>,
}

impl Epoch {
    pub(super) fn new(gateway: &Gateway, counters: &Arc<Counters>, before: Option<&Self>) -> Self {
        let settings = gateway.settings();
        let upstreams = Upstreams::new(
            &settings.upstreams,
            &gateway.clock,
            counters,
            before.map(|before| &before.upstreams),
        );
        upstreams.start();
        let known = &settings.config.routes;
        let routes = [known.default_route()].into_iter().chain(known.listed());
        let routes = routes.map(|route| {
            let upstream = route.destination.upstream();
            let upstream = upstream.and_then(|at| settings.upstreams.get(at)?.name());
            counters.routes.of(&route.name, upstream)
        });
        Self {
            routes: routes.collect(),
            settings,
            upstreams,
            prepared: PreparedFields::new(counters.clone()),
            unrecorded: Cell::new(0),
        }
    }

    /// This worker's counters of a route of these settings.
    pub(super) fn counters_of(&self, route: &RoutePolicy) -> Option<&RouteCounters> {
        self.routes.get(route.index).map(|counters| &**counters)
    }

    /// The settings in force without connections to any API: for requests that are only explained.
    pub(super) fn of_settings(gateway: &Gateway) -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            settings: gateway.settings(),
            upstreams: Upstreams::new(&[], &gateway.clock, &counters, None),
            prepared: PreparedFields::new(counters),
            routes: Box::default(),
            unrecorded: Cell::new(0),
        }
    }
}
