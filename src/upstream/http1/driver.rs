//! Drives a connection of hyper's. As a rule the task that waits for the response does, so that an exchange costs no
//! switch between tasks. Where content may have to be sent while nothing waits for the response, a task of its own does.

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
use crate::upstream::wire::{AfterWriteError, Wire};

type HyperConnection = http1::Connection<TokioIo<Wire>, RequestBody>;

/// How often one poll goes from the connection to its user and back before other tasks have their turn.
const ROUNDS: usize = 32;

/// Dropping it closes the socket, unless a task drives it: see [`Driver::abort`].
pub(in crate::upstream) struct Driver {
    /// `None` when the connection has ended, or a task has it for good.
    connection: Rc<RefCell<Option<HyperConnection>>>,
    relay: Arc<Relay>,
    /// Wakes `relay`: hyper and the socket get this one.
    waker: Waker,
    task: Option<AbortHandle>,
}

impl Driver {
    pub(in crate::upstream) fn new(connection: HyperConnection) -> Self {
        let relay = Arc::new(Relay::default());
        Self {
            connection: Rc::new(RefCell::new(Some(connection))),
            waker: relay.clone().into(),
            relay,
            task: None,
        }
    }

    /// Drives the connection as far as it goes, until `wanted`, which waits for a part of the exchange, is ready.
    pub(in crate::upstream) fn poll_until<T>(
        &self,
        cx: &mut Context<'_>,
        mut wanted: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.task.is_some() {
            return wanted(cx);
        }
        let polling = self.relay.begin_polling(cx.waker());
        let inner = &mut Context::from_waker(&self.waker);
        for round in 0..ROUNDS {
            if let Poll::Ready(found) = wanted(inner) {
                if round > 0 {
                    // The wake-up was for this result.
                    self.relay.clear_woken();
                }
                return Poll::Ready(found);
            }
            self.relay.clear_woken();
            if poll_connection(&self.connection, inner).is_ready() {
                return wanted(cx);
            }
            if polling.end() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands the connection to a task: content is sent whether or not the response is waited for.
    pub(in crate::upstream) fn spawn(&mut self) {
        let connection = self.connection.clone();
        let task = poll_fn(move |cx| poll_connection(&connection, cx));
        self.task = Some(spawn_local(task).abort_handle());
    }

    /// Hands the connection to a task for good: it may switch protocols.
    pub(in crate::upstream) fn spawn_for_upgrade(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.task = Some(spawn_local(connection.with_upgrades()).abort_handle());
        }
    }

    /// The exchange is over: events of the socket wake no task any more.
    pub(super) fn detach(&mut self) {
        if self.connection.borrow().is_none() {
            return;
        }
        if let Some(task) = self.task.take() {
            task.abort();
            self.poll_once();
        }
        self.relay.clear_user();
    }

    /// The socket, after the exchange; `None` where data are left in hyper's buffers, or have not been flushed.
    pub(in crate::upstream) fn take_wire(&mut self) -> Option<Wire> {
        if self.task.is_some() {
            return None;
        }
        let connection = self.connection.borrow_mut().take()?;
        let parts = connection.into_parts();
        let mut wire = parts.io.into_inner();
        wire.after_write_error(AfterWriteError::Fail);
        (parts.read_buf.is_empty() && wire.is_flushed()).then_some(wire)
    }

    /// Lets the connection read its socket: above all, it finds the end there.
    pub(in crate::upstream) fn poll_once(&self) {
        if self.task.is_none() {
            let inner = &mut Context::from_waker(&self.waker);
            self.relay.clear_woken();
            let _ = poll_connection(&self.connection, inner);
        }
    }

    /// Whether anything has happened since the last poll.
    pub(in crate::upstream) fn is_woken(&self) -> bool {
        self.task.is_none() && self.relay.is_woken()
    }

    /// Closes the socket at once. Without this, a task would first finish sending the request.
    pub(in crate::upstream) fn abort(&mut self) {
        self.connection.take();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Ready when the connection has ended. It is dropped then, and tasks that wait for a part of it get an error.
fn poll_connection(
    connection: &RefCell<Option<HyperConnection>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let mut slot = connection.borrow_mut();
    let ended = match slot.as_mut() {
        // The task that waits for the response gets the error.
        Some(connection) => Pin::new(connection).poll(cx).map(drop),
        None => Poll::Ready(()),
    };
    if ended.is_ready() {
        let connection = slot.take();
        // Dropping it may borrow the slot.
        drop(slot);
        drop(connection);
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

/// Receives the wake-ups of a connection. While the user polls the connection, they are only noted; else they wake the
/// user's task. It stays the same from one exchange to the next, so that no waker has to be registered again.
#[derive(Debug, Default)]
struct Relay {
    is_woken: AtomicBool,
    is_polling: AtomicBool,
    user: Mutex<Option<Waker>>,
}

impl Relay {
    fn begin_polling(&self, user: &Waker) -> Polling<'_> {
        let mut slot = self.user();
        match &mut *slot {
            Some(known) => known.clone_from(user),
            None => *slot = Some(user.clone()),
        }
        drop(slot);
        self.is_polling.store(true, Ordering::SeqCst);
        Polling(self)
    }

    fn clear_woken(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
    }

    fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::SeqCst)
    }

    fn clear_user(&self) {
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
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            let user = self.user().clone();
            if let Some(user) = user {
                user.wake();
            }
        }
    }
}

/// A user polls the connection, until this is dropped.
struct Polling<'a>(&'a Relay);

impl Polling<'_> {
    /// Ends it, unless a wake-up has come meanwhile: from here on, wake-ups wake the user.
    fn end(&self) -> bool {
        self.0.is_polling.store(false, Ordering::SeqCst);
        let quiet = !self.0.is_woken();
        self.0.is_polling.store(!quiet, Ordering::SeqCst);
        quiet
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.is_polling.store(false, Ordering::SeqCst);
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
    fn a_wake_up_while_the_user_polls_makes_it_poll_again() {
        let relay = Arc::new(Relay::default());
        let (task, waker) = task();
        let polling = relay.begin_polling(&waker);
        relay.wake_by_ref();
        assert!(!polling.end(), "it has to poll again");
        relay.wake_by_ref();
        relay.clear_woken();
        assert!(polling.end());
        assert_eq!(woken(&task), 0);
    }

    #[test]
    fn a_wake_up_afterwards_wakes_the_latest_user() {
        let relay = Arc::new(Relay::default());
        let ((first, one), (second, two)) = (task(), task());
        drop(relay.begin_polling(&one));
        relay.wake_by_ref();
        relay.clear_woken();
        assert!(relay.begin_polling(&two).end());
        relay.wake_by_ref();
        assert_eq!((woken(&first), woken(&second)), (1, 1));
    }

    #[test]
    fn without_a_user_a_wake_up_is_noted_only() {
        let relay = Arc::new(Relay::default());
        let (task, waker) = task();
        assert!(relay.begin_polling(&waker).end());
        relay.clear_user();
        relay.wake_by_ref();
        assert!(relay.is_woken());
        assert_eq!(woken(&task), 0);
    }
}
