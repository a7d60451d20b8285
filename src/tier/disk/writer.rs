//! The thread that writes: it takes what is queued and appends it to the log. After an error the tier is off, until it has
//! been tried again with success.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::log::Log;
use super::manifest;
use super::queue::Op;
use super::recovery;
use super::shared::Shared;
use super::status::count;

/// Bytes that are written at once, about.
const BATCH: u64 = 1024 * 1024;

/// How long the writer sleeps while nothing comes.
const IDLE: Duration = Duration::from_secs(60);

pub struct Writer {
    shared: Arc<Shared>,
    log: Log,
    /// The manifest names the epoch.
    is_known: bool,
    /// Segments that are there have been found; nothing may be written before.
    has_begun: bool,
    loader: Option<JoinHandle<()>>,
}

impl Writer {
    /// `is_known` tells whether the manifest names the epoch.
    pub fn new(shared: Arc<Shared>, is_known: bool) -> Self {
        Self {
            log: Log::new(Arc::clone(&shared)),
            shared,
            is_known,
            has_begun: false,
            loader: None,
        }
    }

    /// Goes on until the queue is stopped.
    pub fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let path = shared.settings.path.display();
        let mut wait = shared.retry.first;
        let mut taken = VecDeque::new();
        loop {
            let Err(error) = self.step(&mut taken) else {
                wait = shared.retry.first;
                if shared.turn_on() {
                    tracing::info!(%path, "the disk tier stores again");
                }
                match shared.queue.take(BATCH, IDLE) {
                    Some(next) => taken = next,
                    None => break,
                }
                continue;
            };
            count(&shared.counters.errors, 1);
            if shared.turn_off(error.to_string()) {
                let retry_seconds = wait.as_secs();
                tracing::warn!(%error, %path, retry_seconds, "the disk tier stores nothing, for writing has failed");
            }
            self.give_up(mem::take(&mut taken));
            if shared.queue.stopped_within(wait) {
                break;
            }
            wait = (wait * 2).min(shared.retry.longest);
            taken = (shared.queue.take(BATCH, Duration::ZERO)).unwrap_or_default();
        }
        self.log.finish();
        if let Some(loader) = self.loader {
            // It ends by itself, for the queue has been stopped.
            let _ = loader.join();
        }
    }

    /// What was to be written is given up, except for removals; what was stored of its targets is, too.
    fn give_up(&mut self, mut taken: VecDeque<Op>) {
        let mut ops = self.log.give_up();
        ops.append(&mut taken);
        let given_up = self.shared.queue.give_up(ops);
        for (hash, sequence) in &given_up {
            self.shared.index.lock(*hash).remove_all(*hash, *sequence);
        }
        count(&self.shared.counters.dropped, given_up.len() as u64);
    }

    /// Writes what was taken; what is left in `taken` after an error has not been looked at.
    fn step(&mut self, taken: &mut VecDeque<Op>) -> io::Result<()> {
        if !self.has_begun {
            self.begin()?;
        }
        while let Some(op) = taken.pop_front() {
            let generation = self.log.epoch.generation();
            match op {
                Op::Forget(epoch) => {
                    self.log.write()?;
                    self.log.forget(epoch);
                    self.is_known = false;
                }
                Op::Put(ref put) if put.generation != generation => self.shared.queue.done(&op),
                Op::Remove { generation: of, .. } if of != generation => {
                    self.shared.queue.done(&op);
                }
                Op::Put(_) | Op::Remove { .. } => self.log.append(op)?,
            }
        }
        if !self.is_known {
            let epoch = self.log.epoch.octets();
            manifest::write(&*self.shared.files, &self.shared.manifest, epoch)?;
            self.is_known = true;
        }
        // Whether a file can be made and written again is seen by doing it.
        if self.shared.is_off() && self.log.active.is_none() {
            self.log.roll()?;
        }
        self.log.write()?;
        self.log.evict()
    }

    fn begin(&mut self) -> io::Result<()> {
        let begun = recovery::begin(&self.shared, &self.log.epoch, self.is_known)?;
        self.log.next = begun.next;
        self.log.active = begun.active;
        self.has_begun = true;
        self.loader = recovery::load(&self.shared, &self.log.epoch, begun.older);
        Ok(())
    }
}
