//! Ids of traces and spans: random, and hard to guess.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};

use crate::semantics::trace_context::{SpanId, TraceId};

/// 64 random bits.
pub(super) fn random() -> u64 {
    thread_local! {
        static SEEDS: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
    }
    SEEDS.with(|(state, count)| {
        let n = count.get().wrapping_add(1);
        count.set(n);
        state.hash_one(n)
    })
}

pub(super) fn trace() -> TraceId {
    let (high, low) = (random(), random().max(1));
    let id = u128::from(high) << 64 | u128::from(low);
    TraceId(id.to_be_bytes())
}

pub(super) fn span() -> SpanId {
    SpanId(random().max(1).to_be_bytes())
}
