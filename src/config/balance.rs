//! The keys of `[upstream]` about several servers: balancing, ejection, health checks and retries.

use std::time::Duration;

use http::uri::PathAndQuery;

use super::readers::{count, duration, timeout};
use super::section::Section;

/// How one of several servers is chosen for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after another.
    #[default]
    RoundRobin,
    /// Of two taken at random, the one with fewer requests in flight.
    LeastRequests,
    /// The same server for the same key, as long as it is there.
    Hash,
}

pub(super) const BALANCES: [(&str, Balance); 3] = [
    ("round-robin", Balance::RoundRobin),
    ("least-requests", Balance::LeastRequests),
    ("hash", Balance::Hash),
];

/// `[upstream.retries]`: requests that may be sent again are tried on other servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// On how many other servers.
    pub max: usize,
    /// Retries in percent of requests: beyond, failures are passed on, so that retries never make an overload worse.
    pub budget: u32,
    /// Retries a second and worker that are allowed whatever the budget says.
    pub min_per_second: u32,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            max: 2,
            budget: 20,
            min_per_second: 10,
        }
    }
}

impl Retries {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut retries = Self::default();
        section.set("max", &mut retries.max, count(0..=16));
        section.set("budget", &mut retries.budget, count(0..=100));
        let floor = &mut retries.min_per_second;
        section.set("min_per_second", floor, count(0..=1_000_000));
        retries
    }
}

/// `[upstream.ejection]`: a server that fails several times in a row is left out for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Ejection {
    /// Failures in a row that eject a server; 0 never does.
    pub failures: u32,
    /// How long the first ejection lasts; each further one in a row lasts twice as long.
    pub time: Duration,
    /// The longest that any ejection lasts, and any `Retry-After` of a server's is heeded.
    pub max_time: Duration,
    /// Slow start: how long a server gets less than its share after an ejection.
    pub slow_start: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 5,
            time: Duration::from_secs(5),
            max_time: Duration::from_secs(60),
            slow_start: Duration::from_secs(10),
        }
    }
}

impl Ejection {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        let mut ejection = Self::default();
        section.set("failures", &mut ejection.failures, count(0..=1_000_000));
        section.set("time", &mut ejection.time, timeout);
        section.set("max_time", &mut ejection.max_time, timeout);
        let slow = &mut ejection.slow_start;
        section.set("slow_start", slow, duration(Duration::ZERO..=HOUR));
        ejection
    }
}

/// `[upstream.circuit]`: where there is no other server, one that is silent several times in a row is asked by one request
/// at a time, and the others are not kept waiting.
#[derive(Clone, Debug, PartialEq)]
pub struct Circuit {
    /// Times in a row that it could not be reached, or did not answer in time; 0 turns this off.
    pub failures: u32,
    /// From there to the first trial; each further one that meets a deadline doubles it.
    pub time: Duration,
    /// The longest between two trials.
    pub max_time: Duration,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            failures: 5,
            time: Duration::from_millis(250),
            max_time: Duration::from_secs(2),
        }
    }
}

impl Circuit {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut circuit = Self::default();
        section.set("failures", &mut circuit.failures, count(0..=1_000_000));
        section.set("time", &mut circuit.time, timeout);
        section.set("max_time", &mut circuit.max_time, timeout);
        circuit
    }
}

/// `[upstream.health]`: each server is asked by itself whether it is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What is asked for, under the server's base path; an answer below 400 means well. `None` turns the checks off.
    pub path: Option<String>,
    /// From one check to the next.
    pub interval: Duration,
    /// For a whole check.
    pub timeout: Duration,
    /// Checks in a row that must fail before a server is left out.
    pub unhealthy: u32,
    /// Checks in a row that must succeed before it is back.
    pub healthy: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy: 3,
            healthy: 2,
        }
    }
}

impl Health {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let mut health = Self::default();
        section.set("path", &mut health.path, |value| {
            let path = value.parsed("a path such as \"/healthz\"", |path| {
                let is_path = path.starts_with('/') && path.parse::<PathAndQuery>().is_ok();
                let path = is_path.then(|| path.to_owned());
                path.ok_or("is not a path, such as \"/healthz\"")
            });
            Some(Some(path?))
        });
        section.set("interval", &mut health.interval, timeout);
        section.set("timeout", &mut health.timeout, timeout);
        section.set("unhealthy", &mut health.unhealthy, count(1..=1_000));
        section.set("healthy", &mut health.healthy, count(1..=1_000));
        health
    }
}
