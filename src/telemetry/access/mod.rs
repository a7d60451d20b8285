//! The access log: one line for each response. Workers append lines to a buffer in memory, and a thread writes them. Lines that
//! it cannot write in time are lost and counted; no worker waits for it.

mod date;
mod escape;
mod format;
mod record;
mod sink;
mod tail;
mod template;

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::escape::without_secrets;
pub use self::record::{Record, RequestLine, Upstream};
use self::sink::{Closed, Sink};
use self::tail::Tail;
pub use self::tail::{Filter, Lines, MAX_READERS, Reader, Statuses};
pub use super::by_route::NO_ROUTE;
use super::counters::Counters;
use crate::config::{self, AccessFormat, AccessToken};

/// The access log, shared by all workers. Dropping the last clone writes what is buffered.
#[derive(Clone, Debug)]
pub struct AccessLog {
    current: Arc<ArcSwap<Output>>,
    tail: Arc<Tail>,
}

/// One version of the log's settings.
#[derive(Debug)]
pub struct Output {
    config: config::Log,
    /// `None` when the log is off.
    sink: Option<Sink>,
}

impl Output {
    fn open(config: &config::Log) -> io::Result<Arc<Self>> {
        let is_on = config.access != AccessFormat::Off;
        let sink = is_on.then(|| Sink::open(&config.access_file)).transpose()?;
        Ok(Arc::new(Self {
            config: config.clone(),
            sink,
        }))
    }
}

impl AccessLog {
    /// Fails when the configured file cannot be opened for appending.
    pub fn open(config: &config::Log) -> io::Result<Self> {
        Ok(Self {
            current: Arc::new(ArcSwap::new(Output::open(config)?)),
            tail: Arc::default(),
        })
    }

    /// Opens what `config` names, if that is something else than now; nothing is written there before
    /// [`AccessLog::replace`].
    ///
    /// # Errors
    /// When the configured file cannot be opened for appending.
    pub fn prepare(&self, config: &config::Log) -> io::Result<Option<Arc<Output>>> {
        let now = &self.current.load().config;
        let is_same = now.access == config.access && now.access_file == config.access_file;
        (!is_same).then(|| Output::open(config)).transpose()
    }

    /// Has the next lines go to `output`, and writes what is buffered for the one before.
    pub fn replace(&self, output: Arc<Output>) {
        let before = self.current.swap(output);
        before.sink.iter().for_each(Sink::close);
    }

    /// Opens the file again before the next line is written, for log rotation that has moved it away. Where that fails, lines
    /// go on to the file opened before.
    pub fn reopen(&self) {
        self.current.load().sink.iter().for_each(Sink::reopen);
    }

    /// One who reads live what `filter` takes, also while the log is off; `None` where there are [`MAX_READERS`].
    pub fn read(&self, filter: Filter) -> Option<Reader> {
        self.tail.read(filter)
    }

    /// The writer of one worker, which counts lost lines in `counters`.
    pub fn writer(&self, counters: Arc<Counters>) -> AccessWriter {
        let output = self.current.load_full();
        AccessWriter {
            is_on: Cell::new(output.sink.is_some()),
            output: RefCell::new(output),
            log: self.clone(),
            line: RefCell::default(),
            hits: Cell::default(),
            counters,
        }
    }
}

/// Writes one worker's lines to the access log.
#[derive(Debug)]
pub struct AccessWriter {
    log: AccessLog,
    output: RefCell<Arc<Output>>,
    is_on: Cell<bool>,
    /// The buffer in which a line is formatted.
    line: RefCell<Vec<u8>>,
    /// Hits since the last one that has a line.
    hits: Cell<u32>,
    counters: Arc<Counters>,
}

impl AccessWriter {
    /// Whether lines are logged or read live; where not, a [`Record`] need not be made.
    pub fn is_on(&self) -> bool {
        self.is_on.get() || self.is_read()
    }

    /// Whether lines are logged.
    pub fn is_logged(&self) -> bool {
        self.is_on.get()
    }

    /// Whether anybody reads lines live: that is one relaxed load.
    pub fn is_read(&self) -> bool {
        self.log.tail.is_read()
    }

    /// Whether lines name the id of a request.
    pub fn names_request_id(&self) -> bool {
        self.is_read()
            || match &self.output.borrow().config.access {
                AccessFormat::Json => true,
                AccessFormat::Template(template) => template.names(AccessToken::RequestId),
                AccessFormat::Off | AccessFormat::Combined => false,
            }
    }

    /// Whether this hit has a line, where one in `each` has: the first one, and then each so many later.
    pub fn takes_hit(&self, each: u32) -> bool {
        let before = self.hits.get();
        let next = before + 1;
        self.hits.set(if next < each { next } else { 0 });
        before == 0
    }

    /// Takes over what [`AccessLog::replace`] has put in force.
    pub fn renew(&self) {
        let output = self.log.current.load_full();
        self.is_on.set(output.sink.is_some());
        self.output.replace(output);
    }

    /// Formats one line and appends it to the buffer, where `is_logged`, and queues it for those who read live.
    pub fn log(&self, record: &Record<'_>, is_logged: bool) {
        if self.is_read() {
            (self.log.tail).offer(record, &mut self.line.borrow_mut());
        }
        if is_logged && self.append(record) == Err(Closed) {
            // It was replaced while the request was answered.
            self.renew();
            let _ = self.append(record);
        }
    }

    fn append(&self, record: &Record<'_>) -> Result<(), Closed> {
        let output = self.output.borrow();
        let Some(sink) = &output.sink else {
            return Ok(());
        };
        let mut line = self.line.borrow_mut();
        line.clear();
        match &output.config.access {
            AccessFormat::Off => return Ok(()),
            AccessFormat::Json => format::json(&mut line, record),
            AccessFormat::Combined => format::combined(&mut line, record),
            AccessFormat::Template(template) => template::write(&mut line, record, template),
        }
        let lost = sink.append(&line)?;
        if lost > 0 {
            self.counters.access_log_lost.add(lost);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use http::{Method, StatusCode, Version};

    use super::*;
    use crate::config::AccessTarget;
    use crate::semantics::authority::Scheme;
    use crate::semantics::time::Timestamp;
    use crate::telemetry::by_route::Outcome;

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
            scheme: Scheme::Http,
            host: None,
            url: None,
            route: None,
            request_id: None,
            status: StatusCode::OK,
            bytes: 5,
            duration: Duration::ZERO,
            result: Outcome::Hit,
            reason: None,
            cache: None,
            failure: None,
            detail: None,
            tls: None,
            upstream: None,
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
                        writer.log(&record(), true);
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
        writer.log(&record(), true);
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
            writer.log(&record(), true);
            if counters.access_log_lost.value() > 0 {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("no loss was counted");
    }

    #[test]
    fn a_log_that_is_off_takes_nothing() {
        let off = config::Log {
            access: AccessFormat::Off,
            ..config::Log::default()
        };
        let log = AccessLog::open(&off).unwrap();
        let writer = log.writer(Arc::default());
        assert!(!writer.is_on());
        writer.log(&record(), true);
    }
    #[test]
    fn a_log_that_is_replaced_has_all_its_lines_and_the_next_one_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let log = AccessLog::open(&config(&first)).unwrap();
        let (busy, idle) = (log.writer(Arc::default()), log.writer(Arc::default()));
        assert!(log.prepare(&config(&first)).unwrap().is_none());
        assert!(log.prepare(&config(folder.path())).is_err());
        busy.log(&record(), true);
        let next = log.prepare(&config(&second)).unwrap();
        busy.log(&record(), true);
        log.replace(next.unwrap());
        assert_eq!(fs::read_to_string(&first).unwrap().lines().count(), 2);
        // Whether or not they know of it.
        busy.log(&record(), true);
        idle.renew();
        idle.log(&record(), true);
        let off = config::Log {
            access: AccessFormat::Off,
            ..config(&second)
        };
        log.replace(log.prepare(&off).unwrap().unwrap());
        assert_eq!(fs::read_to_string(&second).unwrap().lines().count(), 2);
        busy.log(&record(), true);
        assert!(!busy.is_on());
        idle.renew();
        assert!(!idle.is_on());
        log.replace(log.prepare(&config(&first)).unwrap().unwrap());
        busy.renew();
        busy.log(&record(), true);
        drop((log, busy, idle));
        assert_eq!(fs::read_to_string(&first).unwrap().lines().count(), 3);
    }
}
