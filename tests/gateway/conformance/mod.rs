//! HTTP's rules seen from outside: a scripted origin, the real gateway, tables by topic. Each case names the section that
//! it is about.

mod conditions;
mod expectations;
mod fields;
mod freshness;
mod http2;
mod immutable;
mod invalidation;
mod keys;
mod methods;
mod model;
mod neighbour_standards;
mod one_users_response;
mod own_tags;
mod parsing;
mod parts;
mod passing;
mod query_and_interim;
mod ranges;
mod requests;
mod reuse;
mod stale;
mod statuses;
mod storing;
mod tags;
mod validation;
mod variants;
mod vary;
mod wire;

use std::time::Duration;

use crate::common::bench::{self, with};
use crate::common::{Gateway, Origin, reply};

/// A gateway whose clock stands still, before an origin that always answers 200 with these fields.
fn before(lines: &[(&str, &str)]) -> (Origin, Gateway) {
    let origin = Origin::answering(with(reply(200), lines).body("1984"));
    let gateway = Gateway::before(&origin).manual_clock().start();
    (origin, gateway)
}

/// Whether a response with this status and these fields answers a second request `after` seconds later.
fn is_reused(status: u16, lines: &[(&str, &str)], after: u64) -> bool {
    let origin = Origin::answering(with(reply(status), lines).body("1984"));
    let gateway = Gateway::before(&origin).manual_clock().start();
    gateway.get("/a").expect(status);
    gateway.advance(secs(after));
    gateway.get("/a").expect(status).is_hit()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
