//! `[cache]`: where responses live, and how much of them.

use std::time::Duration;

use super::value::{YEAR, count, duration, size, timeout};
use super::walk::Section;

/// The store's bounds. What `[cache]` says about freshness and the like becomes the default route's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// Bytes for stored responses (heads, keys and index included) and bodies in flight together.
    pub memory: u64,
    /// Variants of one URI; the least recently used leaves first.
    pub max_variants: usize,
    /// Bytes of a body in flight that will not be stored, between its fastest and its slowest reader.
    pub window: usize,
    /// How long a response that proved uncacheable keeps its followers from waiting in line.
    pub uncacheable_ttl: Duration,
    /// How long a fill goes on that nobody reads any more.
    pub fill_timeout: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            max_variants: 32,
            window: 1 << 20,
            uncacheable_ttl: Duration::from_secs(10),
            fill_timeout: Duration::from_secs(30),
        }
    }
}

impl Cache {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut cache = Self::default();
        section.set("memory", &mut cache.memory, size(64 << 10..=1 << 50));
        section.set("max_variants", &mut cache.max_variants, count(1..=4096));
        section.set("window", &mut cache.window, size(64 << 10..=1 << 30));
        let ttl = &mut cache.uncacheable_ttl;
        section.set("uncacheable_ttl", ttl, duration(Duration::ZERO..=YEAR));
        section.set("fill_timeout", &mut cache.fill_timeout, timeout);
        cache
    }
}
