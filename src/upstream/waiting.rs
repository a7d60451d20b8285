//! Whether a request has been sent, as those see it who may call it off: the connection of its client, and whoever waits
//! for what comes of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use tokio::task::yield_now;

/// One request's way to a connection. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Rc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    stage: Cell<Stage>,
    /// Woken when the request begins to wait, and before it is sent after that.
    watcher: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Unsent,
    /// No connection is free.
    Queued,
    /// Handed to a connection, at least once.
    Sent,
}

impl Waiting {
    /// Whether any of it may have reached the API.
    pub fn is_sent(&self) -> bool {
        self.0.stage.get() == Stage::Sent
    }

    /// Whether it waits for a connection. If not, and that may still come, wakes the task when it does.
    pub fn is_queued(&self, cx: &Context<'_>) -> bool {
        let stage = self.0.stage.get();
        if stage != Stage::Sent {
            let mut watcher = self.0.watcher.borrow_mut();
            if !(watcher.as_ref()).is_some_and(|watcher| watcher.will_wake(cx.waker())) {
                *watcher = Some(cx.waker().clone());
            }
        }
        stage == Stage::Queued
    }

    /// Counts as waiting until what this returns is dropped.
    pub(super) fn queue(&self) -> Queued<'_> {
        if !self.is_sent() {
            self.0.stage.set(Stage::Queued);
            self.wake();
        }
        Queued(self)
    }

    pub(super) fn sent(&self) {
        self.0.stage.set(Stage::Sent);
        self.0.watcher.take();
    }

    fn wake(&self) {
        if let Some(watcher) = self.0.watcher.take() {
            watcher.wake();
        }
    }
}

pub(super) struct Queued<'a>(&'a Waiting);

impl Queued<'_> {
    /// The wait is over: once more, whoever watches can see that nobody wants the request any more.
    pub(super) async fn last_look(&self) {
        self.0.wake();
        yield_now().await;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.0.0.stage.get() == Stage::Queued {
            self.0.0.stage.set(Stage::Unsent);
        }
    }
}
