//! Who moves the bytes of an HTTP/1.1 connection: as a rule, whoever waits for its response, within its own task, so
//! that an exchange costs no switch between tasks. Where content may have to move while nobody waits, a task does.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, spawn_local};

use crate::upstream::request_body::RequestBody;
use crate::upstream::wire::{OnBroken, Wire};

type Conversation = http1::Connection<TokioIo<Wire>, RequestBody>;

/// How often one poll goes from the connection to its user and back before others have their turn.
const ROUNDS: usize = 32;

/// Drives a connection. Dropping it closes the socket, unless a task drives: see [`Driver::abort`].
pub(in crate::upstream) struct Driver {
    /// Empty when the connection has ended, or went to a task for good.
    conversation: Rc<RefCell<Option<Conversation>>>,
    relay: Arc<Relay>,
    /// `relay` as what hyper and the socket wake.
    waker: Waker,
    task: Option<AbortHandle>,
}

impl Driver {
    pub(in crate::upstream) fn new(conversation: Conversation) -> Self {
        let relay = Arc::new(Relay::default());
        Self {
            conversation: Rc::new(RefCell::new(Some(conversation))),
            waker: relay.clone().into(),
            relay,
            task: None,
        }
    }

    /// Moves the connection as far as it goes, until `wanted`, which waits for something of it, is ready.
    pub(in crate::upstream) fn poll_until<T>(
        &self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.task.is_some() {
            return wanted(cx);
        }
        let attendance = self.relay.attend(cx.waker());
        let inner = &mut Context::from_waker(&self.waker);
        for round in 0..ROUNDS {
            if let Poll::Ready(found) = wanted(inner) {
                if round > 0 {
                    // It has rung for what was found.
                    self.relay.hush();
                }
                return Poll::Ready(found);
            }
            self.relay.hush();
            if poll_conversation(&self.conversation, inner).is_ready() {
                return wanted(cx);
            }
            if attendance.leave() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands the connection to a task: content goes on its way whether or not anybody waits for the response.
    pub(in crate::upstream) fn work_apart(&mut self) {
        let conversation = self.conversation.clone();
        let task = poll_fn(move |cx| poll_conversation(&conversation, cx));
        self.task = Some(spawn_local(task).abort_handle());
    }

    /// Hands the connection to a task for good: it may go over into another protocol.
    pub(in crate::upstream) fn work_towards_upgrade(&mut self) {
        if let Some(conversation) = self.conversation.take() {
            self.task = Some(spawn_local(conversation.with_upgrades()).abort_handle());
        }
    }

    /// The exchange is over: nobody is woken any more by what happens on the socket.
    pub(in crate::upstream) fn rest(&mut self) {
        if self.conversation.borrow().is_none() {
            return;
        }
        if let Some(task) = self.task.take() {
            task.abort();
            self.look();
        }
        self.relay.forget();
    }

    /// The socket of a conversation at rest; `None` where something of it is still in hyper's buffers, or on its way to
    /// the peer.
    pub(in crate::upstream) fn dissolve(&mut self) -> Option<Wire> {
        if self.task.is_some() {
            return None;
        }
        let conversation = self.conversation.borrow_mut().take()?;
        let parts = conversation.into_parts();
        let mut wire = parts.io.into_inner();
        wire.on_broken(OnBroken::Fail);
        (parts.read_buf.is_empty() && wire.is_flushed()).then_some(wire)
    }

    /// Takes note of what has happened on the socket meanwhile: its end above all.
    pub(in crate::upstream) fn look(&self) {
        if self.task.is_none() {
            let inner = &mut Context::from_waker(&self.waker);
            self.relay.hush();
            let _ = poll_conversation(&self.conversation, inner);
        }
    }

    /// Whether something has happened since the last look.
    pub(in crate::upstream) fn has_news(&self) -> bool {
        self.task.is_none() && self.relay.has_rung()
    }

    /// Closes the socket, whatever is on its way. Without this, a task would first finish sending the request.
    pub(in crate::upstream) fn abort(&mut self) {
        self.conversation.take();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Ready when the connection has ended. It is dropped then: whoever waits for something of it learns so.
fn poll_conversation(
    conversation: &RefCell<Option<Conversation>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut slot = conversation.borrow_mut();
    let ended = match slot.as_mut() {
        // How it ended is told to whoever waits for a response.
        Some(conversation) => Pin::new(conversation).poll(cx).map(drop),
        None => Poll::Ready(()),
    };
    if ended.is_ready() {
        let conversation = slot.take();
        // What it drops may ask after the connection.
        drop(slot);
        drop(conversation);
    }
    ended
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

/// What the parts of a connection wake. While its user attends to it, that is noted only; or else it wakes the user's
/// task. It stays the same from one exchange to the next, so that nothing has to register anew.
#[derive(Debug, Default)]
struct Relay {
    rung: AtomicBool,
    attended: AtomicBool,
    user: Mutex<Option<Waker>>,
}

impl Relay {
    fn attend(&self, user: &Waker) -> Attendance<'_> {
        let mut slot = self.user();
        match &mut *slot {
            Some(known) => known.clone_from(user),
            None => *slot = Some(user.clone()),
        }
        drop(slot);
        self.attended.store(true, Ordering::SeqCst);
        Attendance(self)
    }

    fn hush(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    fn has_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    fn forget(&self) {
        let user = self.user().take();
        drop(user);
    }

    fn user(&self) -> MutexGuard<'_, Option<Waker>> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.attended.load(Ordering::SeqCst) {
            let user = self.user().clone();
            if let Some(user) = user {
                user.wake();
            }
        }
    }
}

/// A user at a connection, until it is dropped.
struct Attendance<'a>(&'a Relay);

impl Attendance<'_> {
    /// Ends it, unless something has rung: from here on that wakes the user.
    fn leave(&self) -> bool {
        self.0.attended.store(false, Ordering::SeqCst);
        let quiet = !self.0.has_rung();
        self.0.attended.store(!quiet, Ordering::SeqCst);
        quiet
    }
}

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        self.0.attended.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn task() -> (Arc<Task>, Waker) {
        let task = Arc::new(Task::default());
        (task.clone(), task.into())
    }

    fn woken(task: &Task) -> usize {
        task.0.load(Ordering::SeqCst)
    }

    #[test]
    fn what_rings_while_its_user_attends_keeps_him_there_and_wakes_nobody() {
        let relay = Arc::new(Relay::default());
        let (task, waker) = task();
        let attendance = relay.attend(&waker);
        relay.wake_by_ref();
        assert!(!attendance.leave(), "there is something to see to");
        relay.wake_by_ref();
        relay.hush();
        assert!(attendance.leave());
        assert_eq!(woken(&task), 0);
    }

    #[test]
    fn what_rings_afterwards_wakes_the_latest_user() {
        let relay = Arc::new(Relay::default());
        let ((first, one), (second, two)) = (task(), task());
        drop(relay.attend(&one));
        relay.wake_by_ref();
        relay.hush();
        assert!(relay.attend(&two).leave());
        relay.wake_by_ref();
        assert_eq!((woken(&first), woken(&second)), (1, 1));
    }

    #[test]
    fn at_rest_it_is_noted_only() {
        let relay = Arc::new(Relay::default());
        let (task, waker) = task();
        assert!(relay.attend(&waker).leave());
        relay.forget();
        relay.wake_by_ref();
        assert!(relay.has_rung());
        assert_eq!(woken(&task), 0);
    }
}
