//! A worker's state for one configuration, until it changes.

use std::sync::Arc;

use crate::proxy::gateway::{Gateway, Settings};
use crate::proxy::response::prepared::PreparedFields;
use crate::telemetry::counters::Counters;
use crate::upstream::Upstreams;

/// The settings in force, and what was made of them.
#[derive(Debug)]
pub struct Epoch {
    pub settings: Arc<Settings>,
    pub upstreams: Upstreams,
    pub prepared: PreparedFields,
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
        Self {
            settings,
            upstreams,
            prepared: PreparedFields::new(counters.clone()),
        }
    }
}
