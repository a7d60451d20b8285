//! The output of the access log: a bounded buffer that the workers fill, and a thread that writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::AccessTarget;

/// Bytes that may wait to be written; further lines are lost.
const ROOM: usize = 4 << 20;

/// How long the end of the program waits until all is written.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// How long the thread lets lines gather before it writes: so workers wake it once in that time, not once for each line.
const GATHER: Duration = Duration::from_millis(10);

/// The buffer and its thread.
#[derive(Debug)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// Lines that were lost, and that no worker has counted yet.
    lost: u64,
    reopen: bool,
    closed: bool,
    /// The thread has written what it could.
    ended: bool,
}

impl Sink {
    pub fn open(target: &AccessTarget) -> io::Result<Self> {
        let output = Output::open(target)?;
        let shared = Arc::<Shared>::default();
        let writing = shared.clone();
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writing.write_to(output))?;
        Ok(Self { shared })
    }

    /// Appends a line, if there is room. Returns how many lines were lost since the last call.
    pub fn append(&self, line: &[u8]) -> Result<u64, Closed> {
        let mut pending = self.shared.pending();
        if pending.closed {
            return Err(Closed);
        }
        let was_empty = pending.lines.is_empty();
        if pending.lines.len() + line.len() <= ROOM {
            pending.lines.extend_from_slice(line);
        } else {
            pending.lost += 1;
        }
        let lost = std::mem::take(&mut pending.lost);
        drop(pending);
        if was_empty {
            self.shared.wake.notify_one();
        }
        Ok(lost)
    }

    pub fn reopen(&self) {
        self.shared.pending().reopen = true;
        self.shared.wake.notify_one();
    }
}

/// The sink takes no more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Sink {
    /// Waits until all is written, for a bounded time: the reader of our output may have stopped reading.
    pub fn close(&self) {
        let mut pending = self.shared.pending();
        pending.closed = true;
        self.shared.wake.notify_all();
        let waited = self
            .shared
            .wake
            .wait_timeout_while(pending, FLUSH_WITHIN, |pending| !pending.ended);
        drop(waited);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// A worker that panicked has appended a complete line or nothing.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the thread until the sink is closed and all is written.
    fn write_to(&self, mut output: Output) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let (reopen, closed) = self.take(&mut lines);
            if reopen {
                output.reopen();
            }
            match output.write_all(&lines) {
                Ok(()) => failing = false,
                Err(error) => {
                    let lost = memchr::memchr_iter(b'\n', &lines).count();
                    self.pending().lost += lost as u64;
                    if !failing {
                        tracing::error!(%error, "cannot write the access log: lines are lost");
                    }
                    failing = true;
                }
            }
            if closed {
                self.pending().ended = true;
                self.wake.notify_all();
                return;
            }
        }
    }

    /// Waits for lines, lets more gather, and takes them. Returns whether to reopen the file, and whether the sink is closed.
    fn take(&self, lines: &mut Vec<u8>) -> (bool, bool) {
        lines.clear();
        let mut pending = self.pending();
        while pending.lines.is_empty() && !pending.reopen && !pending.closed {
            pending = self
                .wake
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if !pending.closed {
            let gathered = self.wake.wait_timeout_while(pending, GATHER, |pending| {
                !pending.closed && pending.lines.len() < ROOM / 2
            });
            pending = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(lines, &mut pending.lines);
        (std::mem::take(&mut pending.reopen), pending.closed)
    }
}

/// The file or stream that the thread writes to.
#[derive(Debug)]
enum Output {
    Stdout,
    File { path: PathBuf, file: File },
}

impl Output {
    fn open(target: &AccessTarget) -> io::Result<Self> {
        match target {
            AccessTarget::Stdout => Ok(Self::Stdout),
            AccessTarget::File(path) => Ok(Self::File {
                file: append_to(path)?,
                path: path.clone(),
            }),
        }
    }

    fn reopen(&mut self) {
        if let Self::File { path, file } = self {
            match append_to(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "cannot reopen the access log: lines still go to the file opened before");
                }
            }
        }
    }

    fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = stdout().lock();
                stdout.write_all(lines)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(lines),
        }
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
