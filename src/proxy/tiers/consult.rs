//! What gateways of a fleet store for each other. A fill looks there before it asks the API, and one of all gateways fills a cold key.
//!
//! A response without `Vary` is stored in the first slot of its target. For one that has it, the first slot names the fields, and the
//! response is in the slot of its request's values of these.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::intent::{Intent, names_of, variant_of};
use super::shared::Shared;
use super::wanted::Wanted;
use crate::cache::collapse::Fill;
use crate::cache::store::Store;
use crate::clock::{Clock, timer_now};
use crate::semantics::target::target_of;
use crate::tier::fleet::{Begun, Found, Nonce, Place, Slot};

/// Between two questions whether another gateway has stored something: first and at most.
const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(40);

/// A fill waits for another gateway's for so long at most: that may be cut off from the API, or its response not be for sharing.
const LONGEST_FOLLOWED: Duration = Duration::from_secs(2);

/// The clocks of two gateways may differ by so much.
const SKEW: Duration = Duration::from_secs(5);

/// So many slots and responses are tried for one fill.
const TRIES: usize = 6;

/// How a fill may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Only to store: what it brings must be the API's answer to this very request.
    Not,
    /// Nobody waits for it, since its response may not be for others.
    Alone,
    /// It waits for others, and others for it.
    Together,
}

/// What a fill does next.
pub enum Consulted {
    /// The response that this fill has brought is in memory.
    Raised(Nonce),
    /// It asks the API, and may store what comes for the others.
    Ask(Intent),
}

/// How a fill consults what gateways store for each other.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub reads: Reads,
    /// The fill's own name.
    pub fill: Nonce,
    /// Another one's, whose response did not do.
    pub unfit: Option<Nonce>,
    /// How long it waits for the server, all in all; while it waits for another gateway's fill, for each answer. Such a wait is the fill's,
    /// and none for the server.
    pub longest: Duration,
}

impl Shared {
    /// What a fill of `wanted` finds; `None` where nothing is to be stored for the others either.
    pub async fn consult(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        (wanted, fill): (&Wanted, &Fill),
        how: How,
    ) -> Option<Consulted> {
        // A longer key has values of the request's fields or cookies.
        if target_of(wanted.key.as_str()) != wanted.key.as_str() {
            return None;
        }
        let stamp = self.fleet.stamp()?;
        let mut intent = Intent {
            shared: self.clone(),
            slot: Slot {
                epoch: stamp.epoch,
                target: wanted.key.as_str().into(),
                variant: Slot::FIRST,
            },
            fill: how.fill,
            stamp,
            renewing: None,
            is_asking: false,
            is_barred: false,
        };
        // The clock is read after the request came.
        if how.reads == Reads::Not || !self.fleet.may_read(clock.now().mono) {
            return Some(Consulted::Ask(intent));
        }
        let (mut unfit, mut pause) = (how.unfit, SOON);
        let (mut asked, mut tries) = (Duration::ZERO, 0);
        let mut followed: Option<Instant> = None;
        loop {
            let began = timer_now();
            let left = how.longest.saturating_sub(asked);
            let slot = intent.slot.clone();
            let begun = match how.reads {
                Reads::Together => {
                    intent.is_asking = true;
                    self.fleet.begin(slot, how.fill, unfit, left).await
                }
                Reads::Alone | Reads::Not => match self.fleet.peek(slot, left).await {
                    Some(found) if Some(found.fill) != unfit => Begun::Stored(found),
                    _ => Begun::Away,
                },
            };
            asked += began.elapsed();
            if !matches!(begun, Begun::Away) {
                intent.is_asking = false;
            }
            match begun {
                Begun::Stored(found) => {
                    tries += 1;
                    intent.is_barred = tries > TRIES;
                    if intent.is_barred {
                        return Some(Consulted::Ask(intent));
                    }
                    if let Some(names) = names_of(&found.record) {
                        let vary = &wanted.route.cache.vary;
                        intent.slot.variant = variant_of(&names, &fill.ask.headers, vary);
                        continue;
                    }
                    // While others were waited for, the lease of this gateway may have ended.
                    if !self.fleet.may_read(clock.now().mono) {
                        return Some(Consulted::Ask(intent));
                    }
                    let by = found.fill;
                    if self.raise((store, clock), (wanted, fill), found, stamp.epoch) {
                        self.counts.hits.add(1);
                        return Some(Consulted::Raised(by));
                    }
                    unfit = Some(by);
                }
                Begun::Lead => {
                    self.counts.misses.add(1);
                    intent.renew(unfit);
                    return Some(Consulted::Ask(intent));
                }
                Begun::Follow => {
                    let since = *followed.get_or_insert_with(|| {
                        self.counts.followed.add(1);
                        began
                    });
                    if since.elapsed() >= LONGEST_FOLLOWED {
                        intent.is_barred = true;
                        return Some(Consulted::Ask(intent));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LATER);
                    asked = Duration::ZERO;
                }
                Begun::HitForMiss => {
                    self.counts.passed.add(1);
                    intent.is_barred = true;
                    return Some(Consulted::Ask(intent));
                }
                // What it brings is stored all the same, where nobody else has the lease: those who have been told to wait for it get that.
                Begun::Away => {
                    self.counts.passed.add(1);
                    return Some(Consulted::Ask(intent));
                }
            }
        }
    }

    /// Stores what was found in memory, where nothing covers it and memory has nothing later.
    fn raise(
        &self,
        (store, clock): (&Arc<Store>, &Clock),
        (wanted, fill): (&Wanted, &Fill),
        found: Found,
        epoch: u64,
    ) -> bool {
        let mut now = clock.now();
        // The clocks of two gateways differ, and what has just come is as good as of now.
        let ahead = found.record.stored.since(now.wall);
        if ahead <= SKEW {
            now.wall = now.wall.max(found.record.stored);
        }
        let number = found.record.stamp;
        let Some(kept) = wanted.kept(found.record, store.sequence(), store, now) else {
            return false;
        };
        store.raise_shared(fill, kept, &wanted.route.cache.vary, |subject| {
            self.remembered.judge(Place { epoch, number }, subject)
        })
    }
}
