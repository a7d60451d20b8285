//! HTTP/2 to servers that are scripted frame by frame.

mod content;
pub(super) mod frames;
mod sharing;

use super::*;
use crate::config::Protocol;

/// A worker that speaks HTTP/2 to `origin` by prior knowledge.
fn speaking(origin: &Origin, change: impl FnOnce(&mut Upstream)) -> Worker {
    worker(origin, |config| {
        config.protocol = Protocol::H2c;
        change(config);
    })
}
