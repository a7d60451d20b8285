//! Opens the second tiers, and mends them while the gateway runs.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ledger::calendar::Reading;
use crate::ledger::directory::{Directory, Unfit};
use crate::ledger::local::{self, Ledger, Opened, Outlives};
use crate::proxy::gateway::Gateway;
use crate::proxy::tiers::matchers;
use crate::tier::disk::{self, Disk, Settings, State, Status};

/// The time between two looks at the tiers.
const EACH: Duration = Duration::from_secs(1);

/// How long a shutdown waits for what is still to be written.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Bytes that may wait to be written, and the part of the byte budget that they may take: they are counted there for as long
/// as they wait.
const QUEUE: u64 = 32 << 20;
const QUEUE_PART: u64 = 32;

/// Bytes of a segment file.
const SEGMENT: u64 = 64 << 20;

const READERS: usize = 2;

const SET_BACK: &str = "the clock was set back, or it is not known that it was not: what the disk tier has is validated before it is used";

const GONE: &str = "its directory, or the file in it that is locked, was removed or replaced";

/// Why the tiers cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The directory of `[disk]` is not used.
    Directory(Unfit),
    /// No thread can be started.
    Thread(std::io::Error),
    Ledger(local::OpenError),
    Disk(disk::OpenError),
    /// The fleet of `[valkey]` cannot be joined.
    Fleet(std::io::Error),
}

impl OpenError {
    /// Whether it is another process that uses the directory.
    fn is_in_use(&self) -> bool {
        matches!(
            self,
            Self::Ledger(local::OpenError::InUse(_)) | Self::Disk(disk::OpenError::Locked(_))
        )
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(unfit) => write!(f, "the disk tier cannot be opened: {unfit}"),
            Self::Fleet(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "no thread can be started: {error}"),
            Self::Ledger(error) => write!(f, "the disk tier cannot be opened: {error}"),
            Self::Disk(error) => write!(f, "the disk tier cannot be opened: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) | Self::Fleet(error) => Some(error),
            Self::Directory(unfit) => unfit.source(),
            Self::Ledger(error) => error.source(),
            Self::Disk(error) => error.source(),
        }
    }
}

/// The disk tier of a gateway whose settings name one.
#[derive(Clone, Debug)]
pub struct DiskState {
    /// Bytes that it may take.
    pub size: u64,
    /// `None` while it is not open.
    pub status: Option<Status>,
    /// Why it is not open, where that is known.
    pub why_closed: Option<String>,
}

impl DiskState {
    /// Whether not all that it has can be found yet.
    pub fn is_loading(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| matches!(status.state, State::Loading { .. }))
    }
}

impl Gateway {
    /// What the disk tier does; `None` where the settings name none.
    pub fn disk(&self) -> Option<DiskState> {
        let size = self.settings().config.disk.as_ref()?.size;
        Some(DiskState {
            size,
            status: self.tiers.disk_status(),
            why_closed: self.tiers.why_disk_is_closed(),
        })
    }
}

/// Sees to the tiers while the gateway runs, on a thread of its own.
#[derive(Debug)]
pub struct Upkeep {
    gateway: Arc<Gateway>,
    /// `None` where there is no disk tier.
    disk: Option<DiskThread>,
}

/// The thread that sees to the disk tier, until `stopping` says so.
#[derive(Debug)]
struct DiskThread {
    stopping: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Gateway {
    /// Opens the second tiers that the settings name. `waits`: another process uses them and is about to end; they are opened
    /// when it has, and until then the gateway does without. Returns `None` where the settings name none.
    ///
    /// # Errors
    /// When they cannot be opened.
    pub fn open_tiers(self: &Arc<Self>, waits: bool) -> Result<Option<Upkeep>, OpenError> {
        let settings = self.settings();
        let has_fleet = settings.config.valkey.is_some();
        if settings.config.disk.is_none() {
            if has_fleet {
                self.join_fleet().map_err(OpenError::Fleet)?;
            }
            let (gateway, disk) = (self.clone(), None);
            return Ok(has_fleet.then_some(Upkeep { gateway, disk }));
        }
        match self.open_disk(waits) {
            Err(error) if waits && error.is_in_use() => {
                tracing::info!("the disk tier is opened when the other process has left it");
            }
            opened => opened?,
        }
        if has_fleet {
            // Only now: what the fleet has invalidated while this gateway was not there must come to the ledger of the disk tier.
            self.join_fleet().map_err(OpenError::Fleet)?;
        }
        let stopping = Arc::<(Mutex<bool>, Condvar)>::default();
        let (gateway, until) = (self.clone(), stopping.clone());
        let thread = thread::Builder::new()
            .name("tiers".to_owned())
            .spawn(move || gateway.keep_tiers_open(&until));
        let thread = thread.map_err(OpenError::Thread)?;
        Ok(Some(Upkeep {
            gateway: self.clone(),
            disk: Some(DiskThread { stopping, thread }),
        }))
    }

    /// How long requests wait for the second tiers before they ask the API, for tests.
    #[doc(hidden)]
    pub fn wait_for_tiers(&self, longest: Duration) {
        self.tiers.wait_at_most(longest);
    }

    /// `late`: the gateway has served without it, and others may have served what it holds.
    fn open_disk(&self, late: bool) -> Result<(), OpenError> {
        let settings = self.settings();
        let Some(disk) = &settings.config.disk else {
            return Ok(());
        };
        let path = &disk.path;
        let directory = Directory::make(path).map_err(OpenError::Directory)?;
        let matchers = matchers(&settings.config);
        let outlives = match disk.sync {
            true => Outlives::Machine,
            false => Outlives::Process,
        };
        let opened = Ledger::open(Arc::new(directory), matchers, outlives, disk.faults.clone());
        let (ledger, found) = opened.map_err(OpenError::Ledger)?;
        let now = self.reading();
        let is_set_back = found != Opened::Fresh && ledger.is_set_back(now);
        if late || is_set_back {
            ledger.distrust(self.store.sequence());
            ledger.sync();
        }
        ledger.note_time(now, true);
        let tier = Disk::open(
            Settings {
                path: path.clone(),
                size: disk.size,
                segment: SEGMENT,
                queue: QUEUE.min(settings.config.cache.memory / QUEUE_PART),
                index_memory: disk.index_memory,
                readers: READERS,
                faults: disk.faults.clone(),
            },
            ledger.epoch(),
            self.clock.clone(),
        );
        let tier = tier.map_err(OpenError::Disk)?;
        tell(&found, path, ledger.sequence());
        if is_set_back {
            tracing::info!("{SET_BACK}");
        }
        self.store.number_by(Arc::new(ledger));
        self.tiers.open(tier);
        Ok(())
    }

    fn reading(&self) -> Reading {
        let (wall, uptime) = self.clock.with_uptime();
        let uptime = uptime.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
        let wall = wall.as_millis();
        Reading { wall, uptime }
    }

    /// What is on disk is not relied on any more where the clock was set back. `is_last`: nobody looks again.
    fn heed_clock(&self, ledger: &Ledger, is_last: bool) {
        let now = self.reading();
        if ledger.is_set_back(now) {
            self.store.distrust_kept();
            tracing::info!("{SET_BACK}");
        }
        ledger.note_time(now, is_last);
    }

    fn keep_tiers_open(&self, (stopping, stopped): &(Mutex<bool>, Condvar)) {
        let mut epoch = self.store.ledger().map(|ledger| ledger.epoch());
        let mut told = None;
        loop {
            let stopping = stopping.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = stopped.wait_timeout_while(stopping, EACH, |stopping| !*stopping);
            let (stopping, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if *stopping {
                return;
            }
            drop(stopping);
            let Some(ledger) = self.store.ledger() else {
                match self.open_disk(true) {
                    Ok(()) => {
                        epoch = self.store.ledger().map(|ledger| ledger.epoch());
                        told = None;
                    }
                    Err(error) => {
                        let why = error.to_string();
                        // Of another process, the start has told.
                        if !error.is_in_use() && told.as_ref() != Some(&why) {
                            tracing::warn!(%error, "the disk tier is tried again each second");
                            told = Some(why.clone());
                        }
                        self.tiers.do_without_disk(why);
                    }
                }
                continue;
            };
            if !ledger.is_in_place() {
                // In this order: what is not in the ledger must not be missing in a directory that comes back.
                ledger.abandon();
                self.store.number_alone();
                self.tiers.do_without_disk(GONE.to_owned());
                tracing::warn!(
                    why = GONE,
                    "the disk tier is not used; it is tried again each second"
                );
                continue;
            }
            self.heed_clock(&ledger, false);
            // The ledger has logged a failure itself.
            let mended = ledger.mend();
            if mended.is_ok() && epoch != Some(ledger.epoch()) {
                epoch = Some(ledger.epoch());
                self.tiers.forget(ledger.epoch());
            }
        }
    }
}

fn tell(found: &Opened, path: &std::path::Path, sequence: u64) {
    let path = path.display();
    match found {
        Opened::Fresh => tracing::info!(%path, "the disk tier is new"),
        Opened::Replayed {
            count, rebooted, ..
        } => {
            let invalidations = count;
            match rebooted {
                false => tracing::info!(%path, invalidations, sequence, "the disk tier goes on"),
                true => tracing::info!(
                    %path,
                    invalidations,
                    "the disk tier goes on after a crash of the machine: each response is validated before it is used"
                ),
            }
        }
        Opened::Damaged { why } => tracing::warn!(
            %path, why,
            "the ledger of the disk tier cannot be used: what is stored there is not used any more"
        ),
    }
}

impl Upkeep {
    /// Writes what is still to be written, and ends.
    pub fn stop(self) {
        // It answers nothing from its store any more.
        self.gateway.leave_fleet();
        let Some(DiskThread { stopping, thread }) = self.disk else {
            return;
        };
        let (stopping, stopped) = &*stopping;
        *stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        stopped.notify_all();
        let _ = thread.join();
        if !self.gateway.tiers.close(LAST_WRITES) {
            tracing::warn!("not all that was stored could be written to the disk tier");
        }
        if let Some(ledger) = self.gateway.store.ledger() {
            self.gateway.heed_clock(&ledger, true);
            ledger.close();
        }
    }
}
