//! Fills in flight, and the requests that wait for them: `Requested -> Streaming -> Settled`. Waiting is by waker, never by
//! polling.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::body::{Reader, SharedBody};
use super::head::{ContentDigest, Head};
use super::key::Key;
use super::outcome::Settled;
use super::stored::StoredResponse;
use super::sync::{AtomicBool, Mutex, MutexGuard};
use crate::clock::Monotonic;
use crate::error::Error;
use crate::ledger::invalidation::Strength;
use crate::semantics::trace_context::SpanContext;

/// What a fill asks upstream, as far as others must compare with it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The request's fields, for the selection of variants.
    pub headers: HeaderMap,
    /// For QUERY: its content.
    pub digest: Option<ContentDigest>,
    /// The span of who asks, for the links of others; `None` where it is not recorded.
    pub span: Option<SpanContext>,
}

/// One request upstream whose response may be stored, and followed by others.
#[derive(Debug)]
pub struct Fill {
    pub key: Key,
    pub ask: Ask,
    /// When it began.
    started: Monotonic,
    /// The number of the latest invalidation then.
    pub stamp: u64,
    /// Whether requests of others may wait for it.
    joinable: AtomicBool,
    invalidated: AtomicBool,
    softly_invalidated: AtomicBool,
    /// Cache groups that were invalidated since it began.
    invalidated_groups: Mutex<Vec<(Box<str>, Strength)>>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    stage: Stage,
    followers: usize,
    /// The fill's own task, which is woken when the last follower leaves.
    task: Option<Waker>,
    slots: Vec<Slot>,
}

/// What a fill keeps for one follower.
#[derive(Debug, Default)]
enum Slot {
    /// Nothing: it has left, or reads.
    #[default]
    Empty,
    /// The waker of its task, once it has one.
    Waiting(Option<Waker>),
    /// The body has begun. It is kept for the follower from the first byte on, however late that wakes.
    Body(Reader),
}

#[derive(Debug)]
enum Stage {
    Requested,
    Streaming(Arc<Stream>),
    Settled(Settled),
}

/// A response that is coming: its head, and its body as far as it has come.
#[derive(Debug)]
pub struct Stream {
    pub head: Arc<Head>,
    pub body: Arc<SharedBody>,
}

/// Of what use a fill is to others than the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nobody follows, and there is no response yet.
    Requested,
    /// Somebody waits for it or reads from it.
    Followed,
    /// Nobody reads the response, which may still be stored or not.
    Unread { storing: bool },
    /// Its response is there, or there is none.
    Settled,
}

/// What a follower's wait ends with.
#[derive(Debug)]
pub enum FollowerEvent {
    /// The head is here, and the body from its first byte.
    Streaming(Arc<Head>, Reader),
    /// A response was stored or freshened.
    Stored(Arc<StoredResponse>),
    /// The response is not for sharing.
    Unshared,
    /// The response was to the leader's own request, such as 412.
    LeaderOnly,
    /// The fill ended without any result.
    Abandoned,
    /// The upstream answered a validation with this server error.
    ServerError(StatusCode),
    Failed(Error),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fill {
    pub fn new(key: Key, ask: Ask, joinable: bool, started: Monotonic, stamp: u64) -> Arc<Self> {
        let progress = Progress {
            stage: Stage::Requested,
            followers: 0,
            task: None,
            slots: Vec::new(),
        };
        Arc::new(Self {
            key,
            ask,
            started,
            stamp,
            joinable: AtomicBool::new(joinable),
            invalidated: AtomicBool::new(false),
            softly_invalidated: AtomicBool::new(false),
            invalidated_groups: Mutex::default(),
            progress: Mutex::new(progress),
        })
    }

    /// When it began.
    pub fn started(&self) -> Monotonic {
        self.started
    }

    pub fn is_joinable(&self) -> bool {
        self.joinable.load(Ordering::Acquire)
    }

    /// Whether it has had no answer for `limit`.
    pub fn is_overdue(&self, now: Monotonic, limit: Duration) -> bool {
        now.since(self.started) >= limit && matches!(lock(&self.progress).stage, Stage::Requested)
    }

    /// An invalidation covers it, and nobody joins any more. Hard: the response must not be stored; soft: it is validated
    /// before its first use.
    pub fn invalidate(&self, how: Strength) {
        self.joinable.store(false, Ordering::Release);
        let which = match how {
            Strength::Soft => &self.softly_invalidated,
            Strength::Hard => &self.invalidated,
        };
        which.store(true, Ordering::Release);
    }

    pub fn is_invalidated(&self) -> bool {
        self.invalidated.load(Ordering::Acquire)
    }

    /// A cache group was invalidated: that counts if the response turns out to belong to it. Nobody joins any more, since
    /// the response may be one that is not to be used.
    pub fn invalidate_group(&self, group: &str, how: Strength) {
        self.joinable.store(false, Ordering::Release);
        lock(&self.invalidated_groups).push((group.into(), how));
    }

    /// The strongest invalidation since it began of a response in these groups, which are sorted.
    pub fn invalidation(&self, groups: &[Box<str>]) -> Option<Strength> {
        if self.is_invalidated() {
            return Some(Strength::Hard);
        }
        let own = self.softly_invalidated.load(Ordering::Acquire);
        let own = own.then_some(Strength::Soft);
        if groups.is_empty() {
            return own;
        }
        let invalidated_groups = lock(&self.invalidated_groups);
        let covering = invalidated_groups
            .iter()
            .filter(|(group, _)| groups.binary_search(group).is_ok());
        covering.map(|(_, how)| *how).max().max(own)
    }

    /// The head, once it has come.
    pub fn head(&self) -> Option<Arc<Head>> {
        match &lock(&self.progress).stage {
            Stage::Streaming(stream) => Some(stream.head.clone()),
            _ => None,
        }
    }

    /// Those who wait for it, or read from it.
    pub fn followers(&self) -> usize {
        lock(&self.progress).followers
    }

    /// Whether nobody waits for it or reads from it, its leader aside while the response has not begun. Wakes the task
    /// when that may have changed.
    pub fn poll_use(&self, cx: &mut Context<'_>) -> Use {
        let mut progress = lock(&self.progress);
        progress.task = Some(cx.waker().clone());
        match &progress.stage {
            Stage::Settled(_) => Use::Settled,
            _ if progress.followers > 0 => Use::Followed,
            Stage::Requested => Use::Requested,
            Stage::Streaming(stream) => {
                let body = stream.body.clone();
                drop(progress);
                match body.poll_use(cx) {
                    (true, _) => Use::Followed,
                    (false, storing) => Use::Unread { storing },
                }
            }
        }
    }

    /// Lets the followers see the head, and read the body while it comes.
    pub fn stream(&self, head: Arc<Head>, body: Arc<SharedBody>) {
        let mut progress = lock(&self.progress);
        let waiting = progress.take_waiting(|| body.reader().map_or(Slot::Empty, Slot::Body));
        progress.stage = Stage::Streaming(Arc::new(Stream { head, body }));
        drop(progress);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Tells the followers how it ended. Those who read a streaming body read on; a settled fill stays as it is.
    pub fn settle(&self, settled: Settled) {
        let mut progress = lock(&self.progress);
        if !matches!(progress.stage, Stage::Requested) {
            return;
        }
        progress.stage = Stage::Settled(settled);
        let waiting = progress.take_waiting(|| Slot::Waiting(None));
        drop(progress);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Joins those who wait; to be called under the lock of the key's shard, so that no invalidation comes between.
    pub fn follow(self: &Arc<Self>) -> Follower {
        let mut progress = lock(&self.progress);
        progress.followers += 1;
        let kept = match &progress.stage {
            Stage::Streaming(stream) => stream.body.reader().map_or(Slot::Empty, Slot::Body),
            Stage::Requested | Stage::Settled(_) => Slot::Waiting(None),
        };
        let slot = progress.slots.len();
        progress.slots.push(kept);
        Follower {
            fill: self.clone(),
            slot,
        }
    }
}

impl Progress {
    /// Takes the wakers of those who wait, and puts `next` in the slot of each.
    fn take_waiting(&mut self, next: impl Fn() -> Slot) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            if let Slot::Waiting(waker) = slot {
                wakers.extend(waker.take());
                *slot = next();
            }
        }
        wakers
    }
}

/// One who waits for a fill that another leads.
#[derive(Debug)]
pub struct Follower {
    fill: Arc<Fill>,
    slot: usize,
}

impl Follower {
    /// The span of who leads the fill; `None` where it is not recorded.
    pub fn leader_span(&self) -> Option<SpanContext> {
        self.fill.ask.span
    }

    /// The head or the end of the fill, whichever comes first. Cancel safe.
    pub async fn event(&self) -> FollowerEvent {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<FollowerEvent> {
        let mut progress = lock(&self.fill.progress);
        let Progress { stage, slots, .. } = &mut *progress;
        let slot = &mut slots[self.slot];
        Poll::Ready(match stage {
            Stage::Requested => {
                *slot = Slot::Waiting(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            Stage::Streaming(stream) => match std::mem::take(slot) {
                Slot::Body(reader) => FollowerEvent::Streaming(stream.head.clone(), reader),
                Slot::Empty | Slot::Waiting(_) => FollowerEvent::Unshared,
            },
            Stage::Settled(Settled::Stored(stored)) => FollowerEvent::Stored(stored.clone()),
            Stage::Settled(Settled::Unshared) => FollowerEvent::Unshared,
            Stage::Settled(Settled::LeaderOnly) => FollowerEvent::LeaderOnly,
            Stage::Settled(Settled::Abandoned) => FollowerEvent::Abandoned,
            Stage::Settled(Settled::ServerError(status)) => FollowerEvent::ServerError(*status),
            Stage::Settled(Settled::Failed(error)) => FollowerEvent::Failed(error.share()),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut progress = lock(&self.fill.progress);
        progress.followers -= 1;
        let slot = std::mem::take(&mut progress.slots[self.slot]);
        let task = match progress.followers {
            0 => progress.task.take(),
            _ => None,
        };
        drop(progress);
        task.into_iter().for_each(Waker::wake);
        // A reader that leaves may wake the writer.
        drop(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::body::{Chunk, Window, Writer};
    use crate::cache::budget::Budget;
    use crate::cache::key::Keyer;
    use crate::cache::stored::tests::head;
    use crate::error::ErrorKind;

    fn fill() -> Arc<Fill> {
        let ask = Ask {
            headers: HeaderMap::new(),
            digest: None,
            span: None,
        };
        Fill::new(
            Keyer::default().key("http://a/").to_key(),
            ask,
            true,
            Monotonic::default(),
            0,
        )
    }

    fn poll(follower: &Follower) -> Poll<FollowerEvent> {
        follower.poll_event(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn followers_wait_until_the_fill_settles() {
        let fill = fill();
        let (one, two) = (fill.follow(), fill.follow());
        assert!(poll(&one).is_pending());
        assert_eq!(fill.followers(), 2);
        fill.settle(Settled::Failed(Error::upstream(
            ErrorKind::ConnectionRefused,
        )));
        for follower in [&one, &two] {
            let Poll::Ready(FollowerEvent::Failed(error)) = poll(follower) else {
                panic!("no news")
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        drop((one, two));
        assert_eq!(fill.followers(), 0);
    }

    #[test]
    fn who_waited_reads_from_the_first_byte_however_late_it_wakes() {
        let fill = fill();
        let (waiting, left) = (fill.follow(), fill.follow());
        assert!(poll(&waiting).is_pending() && poll(&left).is_pending());
        let (body, mut writer) = SharedBody::new(&Budget::new(1_000));
        fill.stream(Arc::new(head()), body);
        drop(left);
        let room = |writer: &mut Writer| writer.poll_room(&mut Context::from_waker(Waker::noop()));
        writer.push(&[b'x'; 100]).unwrap();
        writer.stop_storing(Window { each: 10, all: 10 });
        assert!(room(&mut writer).is_pending(), "it is waited for");
        let Poll::Ready(FollowerEvent::Streaming(_, mut reader)) = poll(&waiting) else {
            panic!("the first bytes are gone")
        };
        let read = reader.poll_chunk(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(Chunk::Data(read)))) = read else {
            panic!("{read:?}")
        };
        assert_eq!(read.len(), 100);
        assert!(room(&mut writer).is_ready(), "who has left holds up nobody");
        assert!(matches!(
            poll(&fill.follow()),
            Poll::Ready(FollowerEvent::Unshared)
        ));
    }

    #[test]
    fn a_settled_fill_does_not_change_its_mind() {
        let fill = fill();
        fill.settle(Settled::Unshared);
        fill.settle(Settled::Abandoned);
        assert!(matches!(
            poll(&fill.follow()),
            Poll::Ready(FollowerEvent::Unshared)
        ));
    }

    #[test]
    fn a_group_bars_only_its_members() {
        let fill = fill();
        fill.invalidate_group("books", Strength::Hard);
        fill.invalidate_group("authors", Strength::Soft);
        let of = |groups: &[&str]| {
            let groups: Vec<Box<str>> = groups.iter().map(|group| (*group).into()).collect();
            fill.invalidation(&groups)
        };
        assert_eq!(of(&["books", "other"]), Some(Strength::Hard));
        assert_eq!(of(&["authors", "books"]), Some(Strength::Hard));
        assert_eq!(of(&["authors"]), Some(Strength::Soft));
        assert_eq!((of(&["other"]), of(&[])), (None, None));
        assert!(!fill.is_joinable());
    }

    #[test]
    fn a_hard_invalidation_includes_a_soft_one() {
        let fill = fill();
        fill.invalidate(Strength::Soft);
        assert_eq!(fill.invalidation(&[]), Some(Strength::Soft));
        assert!(!fill.is_joinable() && !fill.is_invalidated());
        fill.invalidate(Strength::Hard);
        fill.invalidate(Strength::Soft);
        assert_eq!(fill.invalidation(&[]), Some(Strength::Hard));
    }
}
