//! What the system knows of this process, under the names that Prometheus' own clients use.

use std::fs;

use super::page::{Kind, Page};

/// Adds what can be found out; a system without `/proc` has nothing to tell.
pub(super) fn write(page: &mut Page) {
    if let Some(bytes) = status_bytes("RssAnon:") {
        page.single(
            "bookend_memory_anonymous_bytes",
            Kind::Gauge,
            "Memory in RAM that is no file's: all that is allocated, and what the allocator keeps for later.",
            bytes,
        );
    }
    if let Some(bytes) = status_bytes("VmHWM:") {
        page.single(
            "bookend_memory_peak_bytes",
            Kind::Gauge,
            "The most memory that has been in RAM.",
            bytes,
        );
    }
    if let Some(bytes) = status_bytes("VmRSS:") {
        page.single(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory that is in RAM.",
            bytes,
        );
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.single(
            "process_open_fds",
            Kind::Gauge,
            "File descriptors open now.",
            // Less the one that reads the folder.
            (open.count() as u64).saturating_sub(1),
        );
    }
    if let Ok((soft, _)) = rlimit::Resource::NOFILE.get() {
        page.single(
            "process_max_fds",
            Kind::Gauge,
            "File descriptors that may be open.",
            soft,
        );
    }
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}
