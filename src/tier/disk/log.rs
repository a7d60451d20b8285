//! The segments as one log: records are appended to its end, and the oldest segment is evicted at its beginning.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;

use super::active::Active;
use super::epoch::Epoch;
use super::index::Entry;
use super::queue::Op;
use super::record::{self, Header, Place};
use super::segment::{Segment, Written};
use super::shared::Shared;
use super::status::count;

/// Bytes of copies that are written at once, about.
const COPIES: usize = 1024 * 1024;

/// The end of the log, to which the writer alone appends.
pub struct Log {
    shared: Arc<Shared>,
    pub epoch: Arc<Epoch>,
    pub active: Option<Active>,
    /// What the buffer of the active segment holds, or what was to be appended when that failed.
    batch: VecDeque<Op>,
    /// The number of the next segment.
    pub next: u32,
}

impl Log {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            epoch: shared.epoch.load_full(),
            shared,
            active: None,
            batch: VecDeque::new(),
            next: 1,
        }
    }

    /// Appends a record or a removal; it is written with the batch.
    pub fn append(&mut self, op: Op) -> io::Result<()> {
        let header = match &op {
            Op::Put(put) => put.header.clone(),
            Op::Remove { hash, .. } => Header::removal(*hash),
            Op::Forget(_) => return Ok(()),
        };
        let has_room = |active: &Active| active.has_room(header.length());
        if !self.active.as_ref().is_some_and(has_room) {
            let rolled = self.write().and_then(|()| self.roll());
            if let Err(error) = rolled {
                self.batch.push_back(op);
                return Err(error);
            }
        }
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let (place, epoch) = (active.next(), &*self.epoch);
        let written = Written::new(&header, place.offset);
        active.append(written, |out| match &op {
            Op::Put(put) => record::write(&put.record, &header, place, epoch, out),
            _ => header.write(place, epoch, out),
        });
        self.batch.push_back(op);
        Ok(())
    }

    /// Writes the batch, and enters its records into the index.
    pub fn write(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let bytes = active.buffered_bytes() as u64;
        let written = active.write(&*self.shared.files)?;
        let segment = active.segment.id;
        let counters = &self.shared.counters;
        count(&counters.written_bytes, bytes);
        for (op, written) in mem::take(&mut self.batch).iter().zip(written) {
            self.enter(op, segment, &written);
            self.shared.queue.done(op);
        }
        Ok(())
    }

    fn enter(&self, op: &Op, segment: u32, written: &Written) {
        let mut shard = self.shared.index.lock(written.hash);
        match op {
            Op::Put(put) => {
                count(&self.shared.counters.written_records, 1);
                let entry = written.entry(segment);
                shard.insert(put.generation, entry, put.sequence);
            }
            Op::Remove { hash, sequence, .. } => {
                shard.removal_written(*hash, *sequence, || self.shared.loading.is_complete());
            }
            Op::Forget(_) => {}
        }
    }

    /// Gives up the active segment after an error. Gives what was to be appended.
    pub fn give_up(&mut self) -> VecDeque<Op> {
        // Else each attempt would leave a segment, and evict one for it.
        if let Some(active) = self.active.take()
            && active.is_empty()
        {
            self.shared.drop_segment(&active.segment);
        }
        mem::take(&mut self.batch)
    }

    /// Begins a new segment.
    pub fn roll(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        if let Some(active) = self.active.take() {
            let bytes = active.seal(&*shared.files, &self.epoch)?;
            count(&shared.counters.written_bytes, bytes);
        }
        let size = shared.settings.segment_size();
        while shared.disk_use().0 + size > shared.settings.size
            && let Some(oldest) = shared.oldest_segment()
        {
            shared.drop_segment(&oldest);
        }
        let folder = &shared.settings.path;
        let segment = Segment::create(&*shared.files, folder, self.next, size, &self.epoch)?;
        self.next += 1;
        let segment = Arc::new(segment);
        shared.add_segment(Arc::clone(&segment));
        self.active = Some(Active::new(segment, size));
        Ok(())
    }

    /// Evicts the oldest segments while there is no room for another one, or the index has too many records.
    pub fn evict(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let size = shared.settings.segment_size();
        // What may be copied, before a new segment must be begun for it.
        let mut budget = size / 4;
        if shared.index.len() as u64 > shared.max_records() {
            shared.drop_expired();
        }
        loop {
            let is_index_full = shared.index.len() as u64 > shared.max_records();
            let room = if self.active.is_some() { size } else { 0 };
            let is_disk_full = shared.disk_use().0 + room > shared.settings.size;
            if !is_index_full && !is_disk_full {
                return Ok(());
            }
            match shared.oldest_segment() {
                Some(oldest) => {
                    if !is_index_full {
                        self.copy_used(&oldest, &mut budget)?;
                    }
                    shared.drop_segment(&oldest);
                }
                // The index is full of the active segment's records alone.
                None if is_index_full && self.active.is_some() => self.roll()?,
                None => return Ok(()),
            }
        }
    }

    /// Copies records of a segment that have been used to the active one, those first that were used most.
    fn copy_used(&mut self, segment: &Segment, budget: &mut u64) -> io::Result<()> {
        let now = self.shared.now();
        let mut used = Vec::new();
        self.shared.index.retain(|entry| {
            if entry.place.segment == segment.id && entry.uses() > 0 && entry.is_of_use(now) {
                used.push(*entry);
            }
            true
        });
        used.sort_by_key(|entry| std::cmp::Reverse((entry.uses(), entry.place)));
        used.retain(|entry| {
            let fits = u64::from(entry.length()) <= *budget;
            *budget -= if fits { u64::from(entry.length()) } else { 0 };
            fits
        });
        // In the order of the file.
        used.sort_by_key(|entry| entry.place);
        let mut copies = Vec::new();
        for entry in used {
            let Some(active) = &mut self.active else {
                break;
            };
            if !active.has_room(entry.length().into()) {
                break;
            }
            let to = active.next();
            let Some(octets) = copy(&self.shared, &self.epoch, segment, &entry, to) else {
                continue;
            };
            let Some(header) = Header::read(&octets, to, &self.epoch) else {
                continue;
            };
            active.append(Written::new(&header, to.offset), |out| {
                out.extend_from_slice(&octets);
            });
            copies.push(entry);
            if active.buffered_bytes() >= COPIES {
                self.write_copies(&mut copies)?;
            }
        }
        self.write_copies(&mut copies)
    }

    fn write_copies(&mut self, copies: &mut Vec<Entry>) -> io::Result<()> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let bytes = active.buffered_bytes() as u64;
        let written = active.write(&*self.shared.files)?;
        let counters = &self.shared.counters;
        count(&counters.written_bytes, bytes);
        count(&counters.copied_bytes, bytes);
        for (from, to) in copies.drain(..).zip(written) {
            let mut shard = self.shared.index.lock(from.hash);
            shard.relocate(from.hash, from.place, to.entry(active.segment.id));
        }
        Ok(())
    }

    /// Begins a new epoch: all segments are removed.
    pub fn forget(&mut self, epoch: Arc<Epoch>) {
        self.active = None;
        self.epoch = epoch;
        for segment in self.shared.all_segments() {
            self.shared.drop_segment(&segment);
        }
    }

    /// Writes the footer, so that the next start is quick.
    pub fn finish(mut self) {
        let Some(active) = self.active.take() else {
            return;
        };
        if active.is_empty() {
            self.shared.remove_file(&active.segment);
        } else if let Err(error) = active.seal(&*self.shared.files, &self.epoch) {
            self.shared.note_error(&error, "writing a footer");
        }
    }
}

/// The octets of a record, made ready for another place; `None` where they cannot be read or are not what was written.
fn copy(
    shared: &Shared,
    epoch: &Epoch,
    segment: &Segment,
    entry: &Entry,
    to: Place,
) -> Option<Vec<u8>> {
    let mut octets = vec![0; entry.length() as usize];
    let read = (shared.files).read(&segment.file, &mut octets, entry.place.offset.into());
    match read {
        Ok(read) if read == octets.len() => {}
        Ok(_) => return None,
        Err(error) => {
            shared.note_error(&error, "reading a record to copy it");
            return None;
        }
    }
    let is_whole = record::relocate(&mut octets, entry.place, to, epoch);
    if !is_whole {
        count(&shared.counters.corrupt, 1);
    }
    is_whole.then_some(octets)
}
