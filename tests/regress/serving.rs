//! Stored responses as clients get them: conditions, credentials, stale and refreshed.

mod coded;
mod conditions;
mod failing;
mod refreshes;
