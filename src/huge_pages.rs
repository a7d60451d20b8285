//! Pages of 2 MiB instead of 4 KiB, where the system has them ("transparent huge pages").
//!
//! One of them is resident whole for the sake of its first octet, which makes a small gateway twice as large. Where
//! gigabytes are stored that does not count, and nearly each access to them would have to look for its small page first
//! (`docs/benchmarks.md` has what both were seen to cost).

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether they were refused from without: by `MIMALLOC_ALLOW_THP=0`, or by who started this process.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Uses none from here on. To be called before anything is allocated that is large.
pub fn avoid() {
    REFUSED.store(system::are_refused(), Ordering::Relaxed);
    system::refuse(true);
}

/// Uses them from here on, unless they were refused from without.
pub fn allow() {
    if !REFUSED.load(Ordering::Relaxed) {
        system::refuse(false);
    }
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

    pub(super) fn are_refused() -> bool {
        transparent_huge_pages_are_disabled().unwrap_or(true)
    }

    pub(super) fn refuse(refused: bool) {
        // A kernel without them has none to refuse.
        let _ = disable_transparent_huge_pages(refused);
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn are_refused() -> bool {
        true
    }

    pub(super) fn refuse(_: bool) {}
}
