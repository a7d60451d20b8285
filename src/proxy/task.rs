//! Work that must come to its end whoever leaves. As long as somebody waits for what it reports, it is polled by that task,
//! without a switch between the two; after that, it runs in a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;

use tokio::runtime::Handle;

use crate::proxy::worker::{TaskGuard, Worker, run_apart};

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Work that reports to whoever began it. Dropped before its end, it goes on by itself.
pub struct Task<T> {
    work: Option<(Work, TaskGuard)>,
    news: Reporter<T>,
}

/// Reports what a task has found.
pub struct Reporter<T>(Rc<Cell<Option<T>>>);

/// Knows whether somebody still waits for a task's report.
pub struct Listener<T>(Weak<Cell<Option<T>>>);

/// What `make` makes, on the heap. The place is taken first, so that a large future is made in it: `Box::pin` would copy all
/// of it from the stack, though most of what has not been polled is empty.
#[inline]
pub fn pinned<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}

impl<T> Listener<T> {
    /// Whether the task was dropped before its end.
    pub fn has_left(&self) -> bool {
        // The work's own reporter is the other one.
        self.0.strong_count() < 2
    }
}

impl<T> Reporter<T> {
    pub fn audience(&self) -> Listener<T> {
        Listener(Rc::downgrade(&self.0))
    }

    /// A report to nobody is dropped.
    pub fn tell(self, news: T) {
        self.0.set(Some(news));
    }
}

impl<T> Task<T> {
    /// Work of this worker, for which its drain waits. `begin` makes it, with what it reports by.
    pub fn new<W>(worker: &Rc<Worker>, begin: impl FnOnce(Reporter<T>) -> W) -> Self
    where
        W: Future<Output = ()> + 'static,
    {
        let news = Rc::new(Cell::new(None));
        let work = pinned(|| begin(Reporter(news.clone())));
        Self {
            work: Some((work, TaskGuard::begin(worker.clone()))),
            news: Reporter(news),
        }
    }

    /// The report, as soon as there is one; `None` when the work ended without. The rest of the work is left to itself.
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

impl<T> Drop for Task<T> {
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
