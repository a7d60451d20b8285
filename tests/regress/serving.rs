//! Stored responses as clients get them: conditions, credentials, stale and refreshed.
