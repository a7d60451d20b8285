//! `[cache]`: where responses live, and how much of them.

use std::time::Duration;

use super::readers::{YEAR, count, duration, one_of, size, timeout};
use super::section::Section;

/// The store's bounds. What `[cache]` says about freshness and the like becomes the default route's policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// Bytes for stored responses (heads, keys and index included) and bodies in flight together.
    pub memory: u64,
    /// Whether memory comes in huge pages.
    pub huge_pages: HugePages,
    /// Variants of one URI; the least recently used leaves first.
    pub max_variants: usize,
    /// Bytes of a body in flight that will not be stored, between its fastest and its slowest reader.
    pub window: u64,
    /// Bytes of all those bodies together; beyond it each has 64 KiB.
    pub windows: u64,
    /// How long others may wait for a reader of such a body, in addition to a sixteenth of the time that it has taken so far.
    pub reader_timeout: Duration,
    /// How long requests like one whose response proved uncacheable do not wait for one another.
    pub uncacheable_ttl: Duration,
    /// How long a fill goes on after its last reader has left.
    pub fill_timeout: Duration,
    /// Such fills at once, over all workers; an eighth of them for one client.
    pub max_unattended_fills: usize,
    /// How long a request waits for another's fill before it looks again.
    pub follower_timeout: Duration,
    /// How long requests join a fill that has no answer; the next one leads a fill of its own.
    pub leader_timeout: Duration,
    /// Requests that wait for one fill, or read from it.
    pub max_followers: usize,
    /// Validations behind stale responses, of one worker at once (RFC 5861 §3).
    pub max_background_fills: usize,
}

/// Whether memory comes in pages of 2 MiB, where the system has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// From a [`Cache::memory`] of 1 GiB on.
    Auto,
    On,
    Off,
}

const HUGE_PAGES: [(&str, HugePages); 3] = [
    ("auto", HugePages::Auto),
    ("on", HugePages::On),
    ("off", HugePages::Off),
];

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            huge_pages: HugePages::Auto,
            max_variants: 32,
            window: 1 << 20,
            windows: 64 << 20,
            reader_timeout: Duration::from_millis(100),
            uncacheable_ttl: Duration::from_secs(10),
            fill_timeout: Duration::from_secs(30),
            max_unattended_fills: 64,
            follower_timeout: Duration::from_secs(10),
            leader_timeout: Duration::from_secs(10),
            max_followers: 16_384,
            max_background_fills: 128,
        }
    }
}

impl Cache {
    /// Whether memory is to come in huge pages.
    pub fn uses_huge_pages(&self) -> bool {
        match self.huge_pages {
            HugePages::Auto => self.memory >= 1 << 30,
            HugePages::On => true,
            HugePages::Off => false,
        }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut cache = Self::default();
        section.set("memory", &mut cache.memory, size(64 << 10..=1 << 50));
        section.set("huge_pages", &mut cache.huge_pages, one_of(&HUGE_PAGES));
        section.set("max_variants", &mut cache.max_variants, count(1..=4096));
        section.set("window", &mut cache.window, size(64 << 10..=1 << 30));
        section.set("windows", &mut cache.windows, size(64 << 10..=1 << 50));
        section.set("reader_timeout", &mut cache.reader_timeout, timeout);
        let ttl = &mut cache.uncacheable_ttl;
        section.set("uncacheable_ttl", ttl, duration(Duration::ZERO..=YEAR));
        section.set("fill_timeout", &mut cache.fill_timeout, timeout);
        let fills = &mut cache.max_unattended_fills;
        section.set("max_unattended_fills", fills, count(0..=1 << 20));
        section.set("follower_timeout", &mut cache.follower_timeout, timeout);
        section.set("leader_timeout", &mut cache.leader_timeout, timeout);
        section.set(
            "max_followers",
            &mut cache.max_followers,
            count(0..=1 << 24),
        );
        let fills = &mut cache.max_background_fills;
        section.set("max_background_fills", fills, count(0..=1 << 20));
        cache
    }
}
