//! Supervision of the workers: the reports they send to their server, and its record of which run and which have ended.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;

use super::error::Error;

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that was in flight has been answered.
    Drained,
    /// The drain deadline passed first, and connections were aborted.
    Aborted {
        /// How many were still open.
        connections: usize,
    },
}

/// A report from a worker to its server.
#[derive(Debug)]
pub(super) enum Report {
    /// It can accept connections.
    Ready,
    /// It has ended on command, with this many connections still open.
    Ended { left: usize },
    /// It could not start.
    Failed { source: io::Error },
    /// It panicked.
    Died { index: usize },
}

/// Sends the reports of one worker; the last one even when the worker panics.
#[derive(Debug)]
pub(super) struct Reporter {
    index: usize,
    reports: mpsc::UnboundedSender<Report>,
    has_ended: bool,
}

impl Reporter {
    pub fn new(index: usize, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self {
            index,
            reports,
            has_ended: false,
        }
    }

    pub fn ready(&self) {
        self.send(Report::Ready);
    }

    /// The worker ends with `report`.
    pub fn end(mut self, report: Report) {
        self.has_ended = true;
        self.send(report);
    }

    fn send(&self, report: Report) {
        // Fails when the server has ended without waiting for this worker.
        let _ = self.reports.send(report);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if !self.has_ended {
            self.send(Report::Died { index: self.index });
        }
    }
}

/// Waits for the workers of a server, and knows what became of them.
pub(super) struct Supervisor {
    /// Workers that have not ended.
    running: usize,
    /// Connections that were cut off.
    left: usize,
    /// Why the first worker ended that was not told to.
    failure: Option<Error>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Supervisor {
    pub fn new(workers: usize, reports: mpsc::UnboundedReceiver<Report>) -> Self {
        Self {
            running: workers,
            left: 0,
            failure: None,
            reports,
        }
    }

    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub fn all_have_ended(&self) -> bool {
        self.running == 0
    }

    /// Waits until each worker can accept connections, or one has failed.
    pub async fn all_ready(&mut self) {
        let mut ready = 0;
        while ready < self.running && self.failure.is_none() {
            if self.next().await {
                ready += 1;
            }
        }
    }

    /// Waits until a worker has ended.
    pub async fn any_ends(&mut self) {
        let running = self.running;
        while self.running == running {
            self.next().await;
        }
    }

    /// Waits until all workers have ended; false when `limit` passes first.
    pub async fn all_end(&mut self, limit: Duration) -> bool {
        let mut limit = pin!(tokio::time::sleep(limit));
        while self.running > 0 {
            tokio::select! {
                _ = self.next() => {}
                () = &mut limit => return false,
            }
        }
        true
    }

    /// Waits for the next report. Returns whether it says that a worker is ready.
    async fn next(&mut self) -> bool {
        match self.reports.recv().await {
            Some(Report::Ready) => return true,
            Some(Report::Ended { left }) => {
                self.running -= 1;
                self.left += left;
            }
            Some(Report::Failed { source }) => {
                self.running -= 1;
                self.failure.get_or_insert(Error::Start(source));
            }
            Some(Report::Died { index }) => {
                self.running -= 1;
                self.failure.get_or_insert(Error::WorkerDied { index });
            }
            None => self.running = 0,
        }
        false
    }

    /// How the server ended.
    pub fn outcome(self) -> Result<Outcome, Error> {
        match self.failure {
            Some(error) => Err(error),
            None if self.left == 0 && self.running == 0 => Ok(Outcome::Drained),
            None => Ok(Outcome::Aborted {
                connections: self.left,
            }),
        }
    }
}
