//! A member that runs on a thread of its own.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::keys::Namespace;
use super::ledger::Ledger;
use super::member::{Member, Settings};
use crate::clock::{self, Clock, Monotonic};
use crate::config::Valkey;
use crate::ledger::invalidation::Invalidation;
use crate::ledger::protocol::server::{GatewayId, Limits};
use crate::ledger::protocol::timing::Timing;
use crate::tier::fleet::{
    Announced, AnnouncedId, Begun, Brought, Fleet, Found, Lease, Memory, Nonce, Place, Released,
    Slot, Status, Use, Work,
};

/// So long it tells the others at most that it has left.
const LEAVING: Duration = Duration::from_millis(200);

/// A member of the fleet, and the thread on which it takes part.
pub struct Joined<M> {
    member: Arc<Member<M>>,
    stopping: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<M> fmt::Debug for Joined<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Joined")
    }
}

/// Entries of the log, and matchers of the ledger, that the server keeps.
const LIMITS: Limits = Limits {
    log: 65_536,
    ledger: 1_000_000,
};

/// Has a gateway take part in the fleet from now on. Its server need not be reachable.
///
/// # Errors
/// When no thread can be started.
pub fn join<M: Memory>(
    valkey: &Valkey,
    clock: Clock,
    memory: M,
    lease: Arc<Lease>,
) -> io::Result<Arc<Joined<M>>> {
    let namespace = Namespace::new(&valkey.namespace);
    let settings = Settings {
        servers: valkey.servers.clone(),
        ledger: Ledger {
            namespace: namespace.ok_or(io::ErrorKind::InvalidInput)?,
            limits: LIMITS,
        },
        timing: Timing {
            lease: valkey.lease.as_millis() as u64,
            deaf: valkey.deaf.as_millis() as u64,
            replaced: valkey.replaced.as_millis() as u64,
            ..Timing::default()
        },
        // As unpredictable as the keys of a map: no two processes have the same.
        id: RandomState::new().hash_one("a gateway"),
        replicas: valkey.replicas,
    };
    start(settings, clock, memory, lease)
}

fn start<M: Memory>(
    settings: Settings,
    clock: Clock,
    memory: M,
    lease: Arc<Lease>,
) -> io::Result<Arc<Joined<M>>> {
    let member = Arc::new(Member::new(settings, clock, memory, lease));
    let (stopping, mut stopped) = watch::channel(false);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let runs = member.clone();
    let run = move || {
        runtime.block_on(async {
            let until_left = async {
                let _ = stopped.wait_for(|stopping| *stopping).await;
                let _late = clock::within(LEAVING, std::pin::pin!(runs.leave())).await;
            };
            tokio::select! {
                () = runs.run() => {}
                () = until_left => {}
            }
        });
    };
    let thread = thread::Builder::new()
        .name("bookend-fleet".to_owned())
        .spawn(run)?;
    Ok(Arc::new(Joined {
        member,
        stopping,
        thread: Mutex::new(Some(thread)),
    }))
}

impl<M: Memory> Fleet for Joined<M> {
    fn may_use(&self, now: Monotonic) -> Use {
        self.member.may_use(now)
    }

    fn announce(&self, invalidation: &Invalidation) -> Announced {
        self.member.announce(invalidation)
    }

    fn waits_for(&self, announced: AnnouncedId) -> Vec<GatewayId> {
        self.member.waits_for(announced)
    }

    fn answers(&self, receipt: Place) -> bool {
        self.member.answers(receipt)
    }

    fn status(&self) -> Status {
        self.member.status()
    }

    fn stamp(&self) -> Option<Place> {
        self.member.stamp()
    }

    fn may_read(&self, now: Monotonic) -> bool {
        self.member.may_read(now)
    }

    fn begin(
        &self,
        slot: Slot,
        fill: Nonce,
        unfit: Option<Nonce>,
        limit: Duration,
    ) -> Work<'_, Begun> {
        Box::pin(self.member.begin_fill(slot, fill, unfit, limit))
    }

    fn peek(&self, slot: Slot, limit: Duration) -> Work<'_, Option<Found>> {
        Box::pin(self.member.peek(slot, limit))
    }

    fn commit(&self, slot: Slot, fill: Nonce, brought: Brought) -> Work<'_, bool> {
        Box::pin(self.member.commit_fill(slot, fill, brought))
    }

    fn release(&self, slot: Slot, fill: Nonce, how: Released) -> Work<'_, ()> {
        Box::pin(self.member.release_fill(slot, fill, how))
    }

    fn leave(&self) {
        self.stopping.send_replace(true);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}
