//! Metrics of this process from the system, under the names that Prometheus' own clients use.

use std::fs;

use super::page::{Kind, Page};
use crate::clock;

/// Adds what the system tells; one without `/proc` tells nothing.
pub(super) fn write(page: &mut Page) {
    if let Some(bytes) = status_bytes("RssAnon:") {
        page.single(
            "bookend_memory_anonymous_bytes",
            Kind::Gauge,
            "Resident memory not backed by a file: what is allocated, and what the allocator keeps.",
            bytes,
        );
    }
    if let Some(bytes) = status_bytes("VmHWM:") {
        page.single(
            "bookend_memory_peak_bytes",
            Kind::Gauge,
            "Resident memory at its highest.",
            bytes,
        );
    }
    if let Some(bytes) = resident() {
        page.single(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory.",
            bytes,
        );
    }
    if let Some(time) = clock::processor_time() {
        let help = "Time that the process has run on a processor, for itself and in the system.";
        page.family("process_cpu_seconds_total", Kind::Counter, help)
            .fraction(&[], time.as_secs_f64());
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.single(
            "process_open_fds",
            Kind::Gauge,
            "File descriptors open now.",
            // Without the one that reads the folder.
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

/// Resident memory, in bytes.
pub(super) fn resident() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}
