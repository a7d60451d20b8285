//! `GET /purges`: the log of purges, once or as a stream that goes on as purges are made.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::purge::{flag, from_query, once};
use super::stream::Source;
use crate::ledger::invalidation::Strength;
use crate::ledger::log::{Follower, Purge};
use crate::proxy::PurgePreview;

const USAGE: &str =
    "GET /purges?limit=20 lists the latest 20; with follow=true, it goes on with those to come";

/// Which purges are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// So many of the latest ones at most.
    pub most: usize,
    /// And those to come, as a stream.
    pub is_followed: bool,
}

/// # Errors
/// A sentence that says which parameter is wrong, and how.
pub(super) fn listing(request: &Request<Bytes>) -> Result<Listing, String> {
    let (mut most, mut is_followed) = (None, None);
    for (what, value) in from_query(request, &["limit", "follow"], USAGE)? {
        match what.as_str() {
            "limit" => {
                let limit = value.parse();
                let limit = limit.map_err(|_| format!("limit={value} is not a number; {USAGE}"))?;
                once(&mut most, &what, limit)?;
            }
            _ => once(&mut is_followed, &what, flag(&what, &value)?)?,
        }
    }
    Ok(Listing {
        most: most.unwrap_or(100),
        is_followed: is_followed.unwrap_or(false),
    })
}

/// A purge as the API tells of it.
pub(super) fn describe(purge: &Purge) -> Value {
    json!({
        "sequence": purge.applied.sequence,
        "at": purge.at.rfc3339().to_string(),
        "covers": purge.covers,
        "soft": purge.strength == Strength::Soft,
        "purged": purge.applied.resources,
        "bytes": purge.applied.bytes,
        "actor": purge.actor,
        "reason": purge.reason,
    })
}

/// What a purge would do.
pub(super) fn describe_preview(preview: &PurgePreview) -> Value {
    let largest = preview.largest.iter();
    let largest = largest.map(|(bytes, key)| json!({ "key": key, "bytes": bytes }));
    let top = preview.top.iter();
    let top = top.map(|(rate, key)| json!({ "key": key, "requests_a_second": whole(*rate) }));
    json!({
        "dry_run": true,
        "would_purge": preview.applied.resources,
        "bytes": preview.applied.bytes,
        "requests_a_second": whole(preview.millihits),
        "largest": largest.collect::<Vec<_>>(),
        "top": top.collect::<Vec<_>>(),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "rates are far below the integers that an f64 has all of"
)]
fn whole(thousandths: u64) -> f64 {
    thousandths as f64 / 1_000.0
}

/// A JSON object a line for each purge.
impl Source for Follower {
    async fn next(&mut self) -> Bytes {
        let (purges, lost) = Self::next(self).await;
        let lost = (lost > 0).then(|| json!({ "lost": lost }));
        let objects = lost.into_iter().chain(purges.iter().map(describe));
        let lines = objects.map(|object| format!("{object}\n"));
        lines.collect::<String>().into()
    }
}
