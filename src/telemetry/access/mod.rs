//! The access log: one line for each response. Workers append lines to a buffer in memory, and a thread writes them. Lines that
//! it cannot write in time are lost and counted; no worker waits for it.

mod date;
mod escape;
mod format;
mod record;
mod sink;

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

pub use self::record::{Record, RequestLine};
use self::sink::Sink;
use super::counters::Counters;
use crate::config::{self, AccessFormat};

/// The access log, shared by all workers. Dropping the last clone writes what is buffered.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// `None` when the log is off.
    open: Option<(AccessFormat, Arc<Sink>)>,
}

impl AccessLog {
    pub const OFF: Self = Self { open: None };

    /// Fails when the configured file cannot be opened for appending.
    pub fn open(config: &config::Log) -> io::Result<Self> {
        if config.access == AccessFormat::Off {
            return Ok(Self::OFF);
        }
        let sink = Sink::open(&config.access_file)?;
        Ok(Self {
            open: Some((config.access, Arc::new(sink))),
        })
    }

    /// Opens the file again before the next line is written, for log rotation that has moved it away. Where that fails, lines
    /// go on to the file opened before.
    pub fn reopen(&self) {
        if let Some((_, sink)) = &self.open {
            sink.reopen();
        }
    }

    /// The writer of one worker, which counts lost lines in `counters`.
    pub fn writer(&self, counters: Arc<Counters>) -> AccessWriter {
        AccessWriter {
            log: self.clone(),
            line: RefCell::default(),
            counters,
        }
    }
}

/// Writes one worker's lines to the access log.
#[derive(Debug)]
pub struct AccessWriter {
    log: AccessLog,
    /// The buffer in which a line is formatted.
    line: RefCell<Vec<u8>>,
    counters: Arc<Counters>,
}

impl AccessWriter {
    /// Whether lines are logged; where not, a [`Record`] need not be made.
    pub fn is_on(&self) -> bool {
        self.log.open.is_some()
    }

    /// Formats one line and appends it to the buffer.
    pub fn log(&self, record: &Record<'_>) {
        let Some((format, sink)) = &self.log.open else {
            return;
        };
        let mut line = self.line.borrow_mut();
        line.clear();
        match format {
            AccessFormat::Off => return,
            AccessFormat::Json => format::json(&mut line, record),
            AccessFormat::Combined => format::combined(&mut line, record),
        }
        let lost = sink.append(&line);
        if lost > 0 {
            self.counters.access_log_lost.add(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use http::{Method, StatusCode, Version};

    use super::*;
    use crate::config::AccessTarget;
    use crate::semantics::time::Timestamp;

    fn record() -> Record<'static> {
        Record {
            time: Timestamp::from_secs(1_700_000_000),
            peer: "192.0.2.1:5000".parse().ok(),
            client: None,
            user: None,
            request: Some(RequestLine {
                method: &Method::GET,
                target: "/books",
                version: Version::HTTP_11,
            }),
            host: None,
            status: StatusCode::OK,
            bytes: 5,
            duration: Duration::ZERO,
            cache: None,
            failure: None,
            detail: None,
            user_agent: None,
            referer: None,
        }
    }

    fn config(file: &std::path::Path) -> config::Log {
        config::Log {
            access: AccessFormat::Json,
            access_file: AccessTarget::File(file.to_owned()),
            ..config::Log::default()
        }
    }

    #[test]
    fn lines_of_all_workers_are_whole_and_written_at_the_latest_when_the_log_closes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let log = AccessLog::open(&config(&file)).unwrap();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let log = log.clone();
                std::thread::spawn(move || {
                    let writer = log.writer(Arc::default());
                    for _ in 0..500 {
                        writer.log(&record());
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        drop(log);
        let written = fs::read_to_string(&file).unwrap();
        assert_eq!(written.lines().count(), 2_000);
        for line in written.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["target"], "/books");
        }
    }

    #[test]
    fn lines_are_appended_and_a_moved_file_is_left_when_the_log_is_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let (file, moved) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "before\n").unwrap();
        let log = AccessLog::open(&config(&file)).unwrap();
        let writer = log.writer(Arc::default());
        fs::rename(&file, &moved).unwrap();
        log.reopen();
        writer.log(&record());
        drop((log, writer));
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\n");
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_counted() {
        let log = AccessLog::open(&config("/dev/full".as_ref())).unwrap();
        let counters = Arc::<Counters>::default();
        let writer = log.writer(counters.clone());
        // Each line counts those that the thread could not write before it.
        for _ in 0..20_000 {
            writer.log(&record());
            if counters.access_log_lost.value() > 0 {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("no loss was counted");
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let writer = AccessLog::OFF.writer(Arc::default());
        assert!(!writer.is_on());
        writer.log(&record());
    }
}
