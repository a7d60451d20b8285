//! What a request wants of the tiers, and how what they have of it is used.

use std::sync::Arc;

use crate::cache::key::Key;
use crate::cache::record;
use crate::cache::store::{Kept, Store};
use crate::clock::Now;
use crate::config::RoutePolicy;
use crate::proxy::tagged::tags_of;
use crate::tier::Record;

/// What a request wants of the tiers.
#[derive(Debug)]
pub struct Wanted {
    pub key: Key,
    pub route: Arc<RoutePolicy>,
    /// Of the request's target.
    pub path_and_query: String,
    /// The version of the settings.
    pub epoch: u64,
}

impl Wanted {
    /// The response of a record, by the settings in force, with this number as its stamp in memory; `None` where it cannot be used.
    pub(super) fn kept(&self, record: Record, stamp: u64, store: &Store, now: Now) -> Option<Kept> {
        let Self {
            key,
            route,
            path_and_query,
            epoch,
        } = self;
        let unpacked = record::unpack(&record.head, now, &route.cache, *epoch)?;
        let mut draft = unpacked.draft;
        // Those that it was stored with, too: a purge by one of them was acknowledged, whatever the settings say of it now.
        let tags = tags_of(route, path_and_query, &draft.headers, &draft.tags).ok()?;
        let mut all: Vec<_> = draft.groups.into_iter().chain(tags).collect();
        all.sort_unstable();
        all.dedup();
        draft.groups = all.into();
        draft.stamp = stamp;
        // What else is known of the API was lost with the process: what was fetched for one page is not for others then.
        if unpacked.api_does_cors || draft.variant.origin().is_some() {
            store.cors().note(key.as_str());
        }
        Some(Kept {
            head: draft.packed(),
            stamp,
            body: record.body,
        })
    }
}
