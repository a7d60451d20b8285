//! Those who read the access log live, whether or not it is written anywhere: each with a filter of its own, and a bounded
//! queue of lines. Nobody waits for a reader: lines that find its queue full are left out and counted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use tokio::sync::Notify;

use super::format;
use super::record::Record;
use crate::semantics::selector::Selector;
use crate::telemetry::by_route::{NO_ROUTE, Outcome};

/// Readers at once.
pub const MAX_READERS: usize = 8;

/// Lines that may wait for one reader.
const MAX_LINES: usize = 1_000;

/// Their bytes; the line that goes beyond is the last.
const MAX_BYTES: usize = 1 << 20;

/// Which requests a reader wants to see: those that each part takes that is given.
#[derive(Debug, Default)]
pub struct Filter {
    /// The route's name for users, or [`NO_ROUTE`].
    pub route: Option<String>,
    pub results: Vec<Outcome>,
    pub statuses: Vec<Statuses>,
    pub methods: Vec<Method>,
    pub urls: Option<Selector>,
}

/// Status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statuses {
    One(StatusCode),
    /// Those with this first digit.
    Class(u16),
}

impl Filter {
    fn takes(&self, record: &Record<'_>) -> bool {
        let has_route = |name: &String| record.route.unwrap_or(NO_ROUTE) == name;
        let has_method =
            |method: &Method| (record.request.as_ref()).is_some_and(|line| line.method == method);
        let has_status = |set: &Statuses| match set {
            Statuses::One(one) => *one == record.status,
            Statuses::Class(class) => record.status.as_u16() / 100 == *class,
        };
        self.route.as_ref().is_none_or(has_route)
            && (self.results.is_empty() || self.results.contains(&record.result))
            && (self.statuses.is_empty() || self.statuses.iter().any(has_status))
            && (self.methods.is_empty() || self.methods.iter().any(has_method))
            && self
                .urls
                .as_ref()
                .is_none_or(|urls| record.url.is_some_and(|url| urls.covers(url)))
    }
}

/// All readers.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// How many there are: what a worker looks at for each request.
    count: AtomicUsize,
    readers: ArcSwap<Vec<Arc<Queue>>>,
    /// Held while `readers` is changed.
    changes: Mutex<()>,
}

#[derive(Debug)]
struct Queue {
    filter: Filter,
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    count: usize,
    lost: u64,
}

impl Queue {
    /// A worker that panicked has appended a complete line or nothing.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        (self.waiting.lock()).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    pub fn is_read(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Queues a line for those readers who want it; `line` is where it is formatted.
    pub fn offer(&self, record: &Record<'_>, line: &mut Vec<u8>) {
        line.clear();
        for reader in &**self.readers.load() {
            if !reader.filter.takes(record) {
                continue;
            }
            let mut waiting = reader.waiting();
            if waiting.count >= MAX_LINES || waiting.lines.len() >= MAX_BYTES {
                waiting.lost += 1;
                continue;
            }
            if line.is_empty() {
                format::json(line, record);
            }
            waiting.lines.extend_from_slice(line);
            waiting.count += 1;
            let is_first = waiting.count == 1;
            drop(waiting);
            if is_first {
                reader.arrived.notify_one();
            }
        }
    }

    /// One more reader; `None` where there are [`MAX_READERS`].
    pub fn read(self: &Arc<Self>, filter: Filter) -> Option<Reader> {
        let queue = Arc::new(Queue {
            filter,
            waiting: Mutex::default(),
            arrived: Notify::new(),
        });
        let is_added = self.change(|readers| {
            let has_room = readers.len() < MAX_READERS;
            if has_room {
                readers.push(queue.clone());
            }
            has_room
        });
        is_added.then(|| Reader {
            tail: self.clone(),
            queue,
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Arc<Queue>>) -> T) -> T {
        let _alone = (self.changes.lock()).unwrap_or_else(PoisonError::into_inner);
        let mut readers = self.readers.load().to_vec();
        let changed = change(&mut readers);
        self.count.store(readers.len(), Ordering::Relaxed);
        self.readers.store(Arc::new(readers));
        changed
    }
}

/// Lines for a reader, and how many were left out before them since it fell behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Each a JSON object with a line feed behind it.
    pub text: Vec<u8>,
    pub lost: u64,
}

/// One who reads the log live, until it is dropped.
#[derive(Debug)]
pub struct Reader {
    tail: Arc<Tail>,
    queue: Arc<Queue>,
}

impl Reader {
    /// The lines that wait, as soon as there are any. May be cancelled without loss.
    pub async fn next(&self) -> Lines {
        loop {
            {
                let mut waiting = self.queue.waiting();
                if waiting.count > 0 || waiting.lost > 0 {
                    let Waiting { lines, lost, .. } = std::mem::take(&mut *waiting);
                    return Lines { text: lines, lost };
                }
            }
            self.queue.arrived.notified().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tail
            .change(|readers| readers.retain(|queue| !Arc::ptr_eq(queue, &self.queue)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Version;

    use super::*;
    use crate::semantics::authority::Scheme;
    use crate::semantics::time::Timestamp;
    use crate::telemetry::access::RequestLine;

    fn record<'a>(route: Option<&'a str>, url: &'a str, status: u16) -> Record<'a> {
        Record {
            time: Timestamp::from_secs(1_700_000_000),
            peer: None,
            client: None,
            user: None,
            request: Some(RequestLine {
                method: &Method::GET,
                target: "/",
                version: Version::HTTP_11,
            }),
            scheme: Scheme::Http,
            host: None,
            url: Some(url),
            route,
            request_id: None,
            status: StatusCode::from_u16(status).unwrap(),
            bytes: 0,
            duration: Duration::ZERO,
            result: Outcome::Miss,
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

    #[test]
    fn a_filter_takes_what_each_of_its_parts_takes() {
        let book = record(Some("/books/{id}"), "http://h/books/1", 404);
        let refused = record(None, "http://h/", 400);
        let filter = Filter::default;
        let one = |status| Statuses::One(StatusCode::from_u16(status).unwrap());
        let prefix = |path| Selector::prefix(path).ok();
        let route = |name: &str| Some(name.to_owned());
        #[rustfmt::skip]
        let table = [
            (filter(), true, true),
            (Filter { route: route("/books/{id}"), ..filter() }, true, false),
            (Filter { route: route(NO_ROUTE), ..filter() }, false, true),
            (Filter { results: vec![Outcome::Hit, Outcome::Miss], ..filter() }, true, true),
            (Filter { results: vec![Outcome::Hit], ..filter() }, false, false),
            (Filter { statuses: vec![one(500), one(404)], ..filter() }, true, false),
            (Filter { statuses: vec![Statuses::Class(4)], ..filter() }, true, true),
            (Filter { statuses: vec![Statuses::Class(5)], ..filter() }, false, false),
            (Filter { methods: vec![Method::GET], ..filter() }, true, true),
            (Filter { methods: vec![Method::PUT], ..filter() }, false, false),
            (Filter { urls: prefix("/books"), ..filter() }, true, false),
            (Filter { urls: prefix("http://other"), ..filter() }, false, false),
            (Filter { urls: prefix("/books"), results: vec![Outcome::Hit], ..filter() }, false, false),
        ];
        for (filter, takes_book, takes_refused) in table {
            let taken = (filter.takes(&book), filter.takes(&refused));
            assert_eq!(taken, (takes_book, takes_refused), "{filter:?}");
        }
    }

    #[test]
    fn lines_beyond_what_a_reader_may_have_waiting_are_left_out_and_counted() {
        let tail = Arc::new(Tail::default());
        assert!(!tail.is_read());
        let slow = tail.read(Filter::default()).unwrap();
        assert!(tail.is_read());
        let mut line = Vec::new();
        for _ in 0..MAX_LINES + 3 {
            tail.offer(&record(None, "http://h/", 200), &mut line);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let read = || runtime.as_ref().unwrap().block_on(slow.next());
        let lines = read();
        assert_eq!(
            lines.text.iter().filter(|octet| **octet == b'\n').count(),
            MAX_LINES
        );
        assert_eq!(lines.lost, 3);
        tail.offer(&record(None, "http://h/", 200), &mut line);
        assert_eq!(read().lost, 0);
        drop(slow);
        assert!(!tail.is_read());
    }

    #[test]
    fn there_are_not_more_readers_than_may_be() {
        let tail = Arc::new(Tail::default());
        let read = || tail.read(Filter::default());
        let mut readers: Vec<_> = (0..MAX_READERS).map(|_| read().unwrap()).collect();
        assert!(read().is_none());
        drop(readers.pop());
        assert!(read().is_some());
    }
}
