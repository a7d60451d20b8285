//! The metrics of a page and their samples.

use crate::telemetry::histogram::{BOUNDS, Distribution};

/// How a number moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Times, in seconds.
    Histogram,
}

#[derive(Debug)]
pub(super) struct Data {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Whole(u64),
    Fraction(f64),
    Times(Box<Distribution>),
}

impl Distribution {
    /// The classic buckets: where each ends, in seconds, and how many times are no longer than that.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let ends = BOUNDS.iter().map(|micros| *micros as f64 / 1e6);
        let mut below = 0;
        ends.chain([f64::INFINITY])
            .zip(&self.classic)
            .map(move |(end, count)| {
                below += count;
                (end, below)
            })
    }

    pub(super) fn sum_in_seconds(&self) -> f64 {
        self.sum as f64 / 1e6
    }
}
