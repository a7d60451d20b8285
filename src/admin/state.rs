//! The members of `GET /status` that no worker counts: memory, what is stored, upstream servers, the configuration.

use serde_json::{Value, json};

use super::disk;
use super::fleet;
use super::reload::Reloads;
use crate::proxy::{DiskState, Memory, ServerState, SharedCounts};
use crate::semantics::time::Timestamp;
use crate::tier::fleet::Status;

pub(super) fn describe(
    memory: Memory,
    disk: Option<&DiskState>,
    (fleet, shared): (Option<&Status>, Option<&SharedCounts>),
    servers: &[ServerState],
    reloads: Reloads,
    started: u64,
) -> Value {
    json!({
        "started": date(started),
        "memory": {
            "used_bytes": memory.used,
            "limit_bytes": memory.limit,
            "in_flight_bytes": memory.in_flight,
        },
        "stored": { "resources": memory.resources, "bytes": memory.stored },
        "disk": disk::describe(disk),
        "fleet": fleet::describe(fleet, shared),
        "evictions": { "total": memory.evicted },
        "upstreams": servers.iter().map(server).collect::<Vec<_>>(),
        "config": {
            "read": date(reloads.loaded),
            "reloads": reloads.succeeded,
            "failed_reloads": reloads.failed,
        },
    })
}

fn date(seconds: u64) -> String {
    Timestamp::from_secs(seconds).rfc3339().to_string()
}

fn server(server: &ServerState) -> Value {
    let failed: u64 = server.failures.iter().map(|(_, count)| count).sum();
    json!({
        "upstream": server.upstream,
        "server": server.url,
        "up": server.fit,
        "in_flight": server.load,
        "waiting": server.waiting,
        "connections": server.connections,
        "failed": failed,
    })
}
