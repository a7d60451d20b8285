//! File descriptors, which the whole process shares: connections from clients and to the API, and all else.
//!
//! A client's idle connection is worth less than a request that is under way: where a connection to the API finds no
//! descriptor left, idle clients make room.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Monotonic;

/// Closes some idle connections of this thread.
type Evict = Box<dyn Fn()>;

thread_local! {
    static EVICT: RefCell<Option<Evict>> = const { RefCell::new(None) };
}

/// How often it was found that no descriptor is left.
static SHORTAGES: AtomicU64 = AtomicU64::new(0);

/// When that was told, in milliseconds, and how often it had been found by then.
static TOLD_AT: AtomicU64 = AtomicU64::new(0);
static TOLD: AtomicU64 = AtomicU64::new(0);

/// Milliseconds between two lines about it.
const TELL_EVERY: u64 = 5_000;

/// Has `evict` make room on this thread.
pub fn make_room_by(evict: impl Fn() + 'static) {
    EVICT.set(Some(Box::new(evict)));
}

/// Whether the operation failed for want of a descriptor: EMFILE is the process's limit, ENFILE the system's.
pub fn is_shortage(error: &io::Error) -> bool {
    shortage(error).is_some()
}

fn shortage(error: &io::Error) -> Option<&'static str> {
    // The numbers are the same on all of Unix.
    match error.raw_os_error()? {
        24 => Some("EMFILE"),
        23 => Some("ENFILE"),
        _ => None,
    }
}

/// How often it was found that none is left. Where that grows, each worker closes idle connections.
pub fn shortages() -> u64 {
    SHORTAGES.load(Ordering::Relaxed)
}

/// An operation found none left: idle connections of this thread are closed, those of others soon, and the log says what
/// to do.
pub fn make_room(error: &io::Error, now: Monotonic) {
    let Some(name) = shortage(error) else {
        return;
    };
    let relaxed = Ordering::Relaxed;
    let found = SHORTAGES.fetch_add(1, relaxed) + 1;
    // 0 means never.
    let (before, now) = (TOLD_AT.load(relaxed), now.as_millis().max(1));
    let is_due = before == 0 || now.saturating_sub(before) >= TELL_EVERY;
    let told_at = || TOLD_AT.compare_exchange(before, now, relaxed, relaxed);
    if is_due && told_at().is_ok() {
        let times = found - TOLD.swap(found, relaxed).min(found);
        tracing::error!(
            times,
            "no file descriptor is left ({name}): raise the limit of open files (ulimit -n, or LimitNOFILE= in the unit), or \
             lower max_connections in [server] or [upstream]"
        );
    }
    EVICT.with_borrow(|evict| evict.iter().for_each(|evict| evict()));
}

/// How many are open now; 0 where the system does not say.
pub fn open() -> u64 {
    let open = fs::read_dir("/proc/self/fd").map(Iterator::count);
    // Less the one that reads the folder.
    open.map_or(0, |open| (open as u64).saturating_sub(1))
}

/// The limit of open files; `None` where the system does not say.
pub fn limit() -> Option<u64> {
    rlimit::Resource::NOFILE.get().ok().map(|(soft, _)| soft)
}

/// How many clients' connections fit into `limit`, where so many descriptors are needed for other things: what is left is
/// for connections to the API.
pub fn for_clients(limit: u64, others: u64) -> usize {
    let free = limit.saturating_sub(others);
    usize::try_from(free - free / 4)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_descriptors_is_for_the_api() {
        let table = [
            (1_048_576, 60, 786_387),
            (1_024, 24, 750),
            (64, 24, 30),
            (24, 24, 1),
            (8, 24, 1),
        ];
        for (limit, others, clients) in table {
            assert_eq!(for_clients(limit, others), clients, "{limit}, {others}");
        }
    }

    #[test]
    fn a_shortage_is_told_by_its_number() {
        for (number, expected) in [
            (24, true),
            (23, true),
            (2, false),
            (98, false),
            (111, false),
        ] {
            assert_eq!(
                is_shortage(&io::Error::from_raw_os_error(number)),
                expected,
                "{number}"
            );
        }
        assert!(!is_shortage(&io::ErrorKind::Other.into()));
    }
}
