//! What a server knows of its workers: which run, which have ended, and how.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::Error;
use super::worker::Report;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything in flight was answered.
    Drained,
    /// The drain deadline passed first, and something was cut off.
    Cut {
        /// Connections that were still open.
        connections: usize,
    },
}

/// What is known of the workers.
pub(super) struct Supervisor {
    working: usize,
    /// Connections that were cut off.
    left: usize,
    died: Option<Error>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Supervisor {
    pub fn new(workers: usize, reports: mpsc::UnboundedReceiver<Report>) -> Self {
        Self {
            working: workers,
            left: 0,
            died: None,
            reports,
        }
    }

    pub fn has_died(&self) -> bool {
        self.died.is_some()
    }

    pub fn all_have_ended(&self) -> bool {
        self.working == 0
    }

    /// Waits until each worker accepts, or one has died.
    pub async fn all_ready(&mut self) {
        let mut ready = 0;
        while ready < self.working && self.died.is_none() {
            if self.next().await {
                ready += 1;
            }
        }
    }

    /// Waits until a worker has ended of itself.
    pub async fn any_ends(&mut self) {
        let working = self.working;
        while self.working == working {
            self.next().await;
        }
    }

    /// Waits until all workers have ended; false when `limit` passes first.
    pub async fn all_end(&mut self, limit: Duration) -> bool {
        let mut limit = pin!(tokio::time::sleep(limit));
        while self.working > 0 {
            tokio::select! {
                _ = self.next() => {}
                () = &mut limit => return false,
            }
        }
        true
    }

    /// Takes the next report; whether it says that a worker is ready.
    async fn next(&mut self) -> bool {
        match self.reports.recv().await {
            Some(Report::Ready) => return true,
            Some(Report::Ended { left }) => {
                self.working -= 1;
                self.left += left;
            }
            Some(Report::Failed { source }) => {
                self.working -= 1;
                self.died.get_or_insert(Error::Start(source));
            }
            Some(Report::Died { index }) => {
                self.working -= 1;
                self.died.get_or_insert(Error::WorkerDied { index });
            }
            None => self.working = 0,
        }
        false
    }

    pub fn outcome(self) -> Result<Outcome, Error> {
        match self.died {
            Some(error) => Err(error),
            None if self.left == 0 && self.working == 0 => Ok(Outcome::Drained),
            None => Ok(Outcome::Cut {
                connections: self.left,
            }),
        }
    }
}
