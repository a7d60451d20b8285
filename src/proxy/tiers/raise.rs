//! A response that memory does not have is looked for in the second tiers, and stored in memory again: from there on it is
//! looked up like any other.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_local;

use super::Tiers;
use super::wanted::Wanted;
use crate::cache::store::Store;
use crate::clock::{self, Clock};
use crate::tier::disk::Disk;

/// The raising of one target.
struct Raise {
    tiers: Arc<Tiers>,
    disk: Arc<Disk>,
    store: Arc<Store>,
    clock: Clock,
    wanted: Wanted,
}

impl Tiers {
    /// Whether a tier may have a response for `target`; without waiting.
    pub fn may_have(&self, target: &str) -> bool {
        self.disk
            .load()
            .as_ref()
            .is_some_and(|disk| disk.may_have(target))
    }

    /// Brings what the tiers have of what is wanted into the store. Returns whether anything is stored for it now, and waits no longer
    /// than the tiers may take.
    pub async fn raise(
        self: &Arc<Self>,
        store: &Arc<Store>,
        clock: &Clock,
        wanted: Wanted,
    ) -> bool {
        let Some(disk) = self.disk.load_full() else {
            return false;
        };
        let key = wanted.key.clone();
        let hash = key.hash();
        let begin = |end| {
            let raise = Raise {
                tiers: self.clone(),
                disk: disk.clone(),
                store: store.clone(),
                clock: clock.clone(),
                wanted,
            };
            // It goes on when its client leaves: others wait for it.
            spawn_local(async move {
                raise.run().await;
                raise.tiers.raising.ended(hash);
                drop::<watch::Sender<()>>(end);
            });
        };
        let shared = pin!(self.raising.share(hash, begin));
        let _late = clock::within(self.longest(), shared).await;
        let stored = store.look_up(key.as_ref());
        stored.is_some_and(|stored| !stored.variants().is_empty())
    }
}

impl Raise {
    async fn run(&self) {
        let Wanted { key, route, .. } = &self.wanted;
        let records = self.disk.get(key.as_str()).await;
        let kept: Vec<_> = records
            .into_iter()
            .filter_map(|record| {
                let stamp = record.stamp;
                self.wanted
                    .kept(record, stamp, &self.store, self.clock.now())
            })
            .collect();
        if !kept.is_empty() {
            self.store.raise(key.as_ref(), kept, &route.cache.vary);
        }
    }
}
