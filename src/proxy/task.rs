//! Work that must come to its end whoever leaves. As long as somebody waits for what it finds, it goes on within that
//! task, without a switch between the two; after that, in a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

use tokio::runtime::Handle;

use crate::proxy::worker::{Running, Worker, run_apart};

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Work in whose news somebody is interested. Dropped before its end, it goes on by itself.
pub struct Errand<T> {
    work: Option<(Work, Running)>,
    news: Messenger<T>,
}

/// Brings the news of an errand to whoever waits for it.
pub struct Messenger<T>(Rc<Cell<Option<T>>>);

/// Knows whether somebody still waits for the news of an errand.
pub struct Audience<T>(Weak<Cell<Option<T>>>);

impl<T> Audience<T> {
    /// Whether the errand was dropped before its end.
    pub fn has_left(&self) -> bool {
        // The work's own messenger is the other one.
        self.0.strong_count() < 2
    }
}

impl<T> Messenger<T> {
    pub fn audience(&self) -> Audience<T> {
        Audience(Rc::downgrade(&self.0))
    }

    /// News for somebody who is gone is dropped.
    pub fn tell(self, news: T) {
        self.0.set(Some(news));
    }
}

impl<T> Errand<T> {
    /// Work of this worker, for which its drain waits. `begin` makes it, with the one that tells its news.
    pub fn new<W>(worker: &Rc<Worker>, begin: impl FnOnce(Messenger<T>) -> W) -> Self
    where
        W: Future<Output = ()> + 'static,
    {
        let news = Rc::new(Cell::new(None));
        let work = Box::pin(begin(Messenger(news.clone())));
        Self {
            work: Some((work, Running::begin(worker.clone()))),
            news: Messenger(news),
        }
    }

    /// The news, as soon as there is any; `None` when the work ended without. The rest of the work is left to itself.
    pub async fn news(mut self) -> Option<T> {
        poll_fn(|cx| {
            if let Some((work, _)) = &mut self.work
                && work.as_mut().poll(cx).is_ready()
            {
                self.work = None;
            }
            match self.news.0.take() {
                None if self.work.is_some() => Poll::Pending,
                news => Poll::Ready(news),
            }
        })
        .await
    }
}

impl<T> Drop for Errand<T> {
    fn drop(&mut self) {
        // Work that panicked has no rest, and without a runtime all is over anyway.
        if let Some((work, running)) = self.work.take()
            && !std::thread::panicking()
            && Handle::try_current().is_ok()
        {
            run_apart(work, running);
        }
    }
}
