//! What a start finds: segments are loaded from the latest to the oldest, so that what is found first is what counts. The
//! latest is loaded by the writer, which goes on in it; the others by a thread of their own, while records are read and
//! written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use super::active::Active;
use super::epoch::Epoch;
use super::record::Kind;
use super::segment::{self, Content, Segment};
use super::shared::Shared;

/// What the writer goes on with.
pub struct Begun {
    /// The latest segment, where it has room.
    pub active: Option<Active>,
    /// The number of the next segment.
    pub next: u32,
    /// The others, which are yet to be loaded.
    pub older: Vec<Arc<Segment>>,
}

/// Finds the segments and loads the latest. Where the manifest does not name the epoch, there are none.
pub fn begin(shared: &Shared, epoch: &Epoch, is_known: bool) -> io::Result<Begun> {
    let mut found = find(shared)?;
    found.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
    let next = found.first().map_or(1, |(id, _)| id + 1);
    let mut segments = Vec::new();
    for (id, path) in found {
        match Segment::open(&*shared.files, &path, id, epoch) {
            Ok(Some(segment)) if is_known => segments.push(Arc::new(segment)),
            // Of another epoch or version, or what was there cannot be told.
            Ok(_) => {
                if let Err(error) = shared.files.remove(&path) {
                    shared.note_error(&error, "removing a segment of another epoch");
                }
            }
            Err(error) => shared.note_error(&error, "opening a segment"),
        }
    }
    for segment in &segments {
        shared.add_segment(Arc::clone(segment));
    }
    let loading = &shared.loading;
    loading
        .segments
        .store(segments.len() as u64, Ordering::Relaxed);
    let mut older = segments;
    let mut active = None;
    if !older.is_empty() {
        let latest = older.remove(0);
        if let Some(content) = load_segment(shared, epoch, &latest) {
            active = resume(shared, epoch, latest, content);
        }
        loading.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Begun {
        active,
        next,
        older,
    })
}

fn find(shared: &Shared) -> io::Result<Vec<(u32, PathBuf)>> {
    let files = shared.files.list(&shared.settings.path)?;
    let numbered = |path: PathBuf| segment::number(&path).map(|id| (id, path));
    Ok(files.into_iter().filter_map(numbered).collect())
}

/// Goes on in a segment that is less than three quarters full.
fn resume(
    shared: &Shared,
    epoch: &Epoch,
    segment: Arc<Segment>,
    content: Content,
) -> Option<Active> {
    let size = shared.settings.segment_size();
    if u64::from(content.end) > size / 4 * 3 {
        seal(shared, epoch, &segment, &content);
        return None;
    }
    match segment.reopen(&*shared.files, content.end, size) {
        Ok(()) => Some(Active::resume(segment, size, content)),
        Err(error) => {
            shared.note_error(&error, "going on in a segment");
            None
        }
    }
}

/// Writes the footer of a segment that has none, for the next start.
fn seal(shared: &Shared, epoch: &Epoch, segment: &Segment, content: &Content) {
    if content.is_sealed {
        return;
    }
    let sealed = segment.seal(&*shared.files, content.end, &content.written, epoch);
    if let Err(error) = sealed {
        shared.note_error(&error, "writing a footer");
    }
}

/// Loads segments, the latest first; on a thread of its own where there are any.
pub fn load(
    shared: &Arc<Shared>,
    epoch: &Arc<Epoch>,
    older: Vec<Arc<Segment>>,
) -> Option<JoinHandle<()>> {
    if older.is_empty() {
        finish(shared);
        return None;
    }
    let (for_thread, epoch) = (Arc::clone(shared), Arc::clone(epoch));
    let thread = thread::Builder::new().name("disk-load".to_owned());
    let spawned = thread.spawn(move || load_all(&for_thread, &epoch, older));
    match spawned {
        Ok(thread) => Some(thread),
        Err(error) => {
            tracing::warn!(%error, "what the disk tier has stored is not loaded: no thread can be started");
            finish(shared);
            None
        }
    }
}

fn load_all(shared: &Shared, epoch: &Epoch, older: Vec<Arc<Segment>>) {
    let is_current = || shared.epoch.load().generation() == epoch.generation();
    for segment in older {
        if shared.queue.is_stopped() || !is_current() {
            break;
        }
        if shared.index.len() as u64 >= shared.max_records() {
            // It, and all that follow, are older than what the index has room for.
            shared.drop_segment(&segment);
        } else if shared.segment(segment.id).is_some() {
            if let Some(content) = load_segment(shared, epoch, &segment) {
                seal(shared, epoch, &segment, &content);
            }
            if shared.segment(segment.id).is_none() {
                // It was evicted meanwhile.
                let id = segment.id;
                shared.index.retain(|entry| entry.place.segment != id);
            }
        }
        shared.loading.done.fetch_add(1, Ordering::Relaxed);
    }
    finish(shared);
}

fn finish(shared: &Shared) {
    shared.loading.complete();
    shared.index.loaded();
    shared.drop_expired();
    let (bytes, segments) = shared.disk_use();
    let (path, records) = (shared.settings.path.display(), shared.index.len());
    tracing::info!(%path, records, segments, bytes, "the disk tier has loaded its index");
}

/// Enters the records of a segment into the index; `None` when it cannot be read.
fn load_segment(shared: &Shared, epoch: &Epoch, segment: &Segment) -> Option<Content> {
    let content = match segment.content(&*shared.files, epoch) {
        Ok(content) => content,
        Err(error) => {
            shared.note_error(&error, "loading a segment");
            return None;
        }
    };
    let generation = epoch.generation();
    // What was written last counts. What has expired is entered too: it replaced what was written before.
    for written in content.written.iter().rev() {
        let mut shard = shared.index.lock(written.hash);
        match written.kind {
            Kind::Removal => shard.remove_earlier(generation, written.hash),
            Kind::Response => shard.insert(generation, written.entry(segment.id), 0),
        }
    }
    Some(content)
}
