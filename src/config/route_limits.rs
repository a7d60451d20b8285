//! Limits of a route that stand in the place of those of `[server]` and of its upstream.

use std::time::Duration;

use super::readers::{count, or_off, size, timeout};
use super::section::Section;

/// What a route limits by itself; `None` means as its server or upstream does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// From the end of a request to the end of the response's head.
    pub response_timeout: Option<Duration>,
    /// Bytes of a request's content; the inner `None` leaves the limit to the API.
    pub max_body: Option<Option<u64>>,
    /// On how many other servers a request is tried.
    pub max_retries: Option<usize>,
}

impl RouteLimits {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut limits = Self::default();
        section.set("response_timeout", &mut limits.response_timeout, |value| {
            timeout(value).map(Some)
        });
        section.set("max_body", &mut limits.max_body, |value| {
            or_off(size(0..=u64::MAX))(value).map(Some)
        });
        section.section("retries", |section| {
            section.set("max", &mut limits.max_retries, |value| {
                count(0..=16)(value).map(Some)
            });
        });
        limits
    }
}
