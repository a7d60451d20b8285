//! What the disk tier tells of itself, as metrics and in `GET /status`.

use serde_json::{Value, json};

use super::page::{Kind, Page};
use crate::proxy::DiskState;
use crate::tier::disk::{State, Status};

/// Adds the disk tier's metrics, where there is one.
pub(super) fn write(page: &mut Page, disk: Option<&DiskState>) {
    let Some(disk) = disk else {
        return;
    };
    let is_off = disk.status.as_ref().is_none_or(is_off);
    let help =
        "Whether nothing is written to the disk tier, since writing has failed or it is not open.";
    page.single("bookend_disk_off", Kind::Gauge, help, is_off.into());
    let help = "Bytes that the disk tier may take (`size` in [disk]).";
    page.single("bookend_disk_limit_bytes", Kind::Gauge, help, disk.size);
    let Some(status) = &disk.status else {
        return;
    };
    let counts = &status.counts;
    let left = match status.state {
        State::Loading {
            segments_done,
            segments,
        } => segments.saturating_sub(segments_done),
        State::Serving | State::Off { .. } => 0,
    };
    #[rustfmt::skip]
    let gauges = [
        ("bookend_disk_loading", "Files of the disk tier that are still to be loaded after the start.", left),
        ("bookend_disk_responses", "Responses in the disk tier.", status.records),
        ("bookend_disk_bytes", "Bytes of the disk tier's files.", status.bytes),
        ("bookend_disk_index_bytes", "Bytes of memory of the disk tier's index; of those that `index_memory` sets apart.", status.index_bytes),
        ("bookend_disk_queued_bytes", "Bytes that wait to be written to the disk tier.", status.queued_bytes),
    ];
    for (name, help, value) in gauges {
        page.single(name, Kind::Gauge, help, value);
    }
    let help = "Look-ups in the disk tier, by what they found.";
    page.family("bookend_disk_reads_total", Kind::Counter, help)
        .sample(&[("result", "hit")], counts.hits)
        .sample(&[("result", "miss")], counts.misses)
        .sample(&[("result", "refused")], counts.reads_refused);
    #[rustfmt::skip]
    let counters = [
        ("bookend_disk_stored_total", "Responses written to the disk tier.", counts.written_records),
        ("bookend_disk_written_bytes_total", "Bytes written to the disk tier.", counts.written_bytes),
        ("bookend_disk_copied_bytes_total", "Bytes of responses that were written again since they were used, when their file was evicted.", counts.copied_bytes),
        ("bookend_disk_dropped_total", "Responses that were not written to the disk tier: too many waited, or it was off.", counts.dropped),
        ("bookend_disk_evictions_total", "Responses that left the disk tier to make room.", counts.evicted),
        ("bookend_disk_corrupt_total", "Responses in the disk tier that were not what had been written.", counts.corrupt),
        ("bookend_disk_errors_total", "Operations on the disk tier's files that failed.", counts.errors),
    ];
    for (name, help, value) in counters {
        page.single(name, Kind::Counter, help, value);
    }
}

fn is_off(status: &Status) -> bool {
    matches!(status.state, State::Off { .. })
}

/// The disk tier in `GET /status`; null where there is none.
pub(super) fn describe(disk: Option<&DiskState>) -> Value {
    let Some(disk) = disk else {
        return Value::Null;
    };
    let Some(status) = &disk.status else {
        return json!({
            "state": "waiting",
            "why": disk.why_closed.as_deref().unwrap_or("it is not open: another process uses its directory, or [disk] came with a reload"),
            "limit": disk.size,
        });
    };
    let (state, why) = match &status.state {
        State::Loading { .. } => ("loading", None),
        State::Serving => ("serving", None),
        State::Off { reason } => ("off", Some(reason)),
    };
    json!({
        "state": state,
        "why": why,
        "limit": disk.size,
        "responses": status.records,
        "bytes": status.bytes,
        "queued_bytes": status.queued_bytes,
        "hits": status.counts.hits,
        "misses": status.counts.misses,
        "dropped": status.counts.dropped,
        "corrupt": status.counts.corrupt,
    })
}
