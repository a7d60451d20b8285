//! Limits on the rate of requests (RFC 6585 §4), shared by all workers: GCRA, which lets requests come evenly at a rate
//! and a burst of them after a pause.

mod client;
mod shares;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

pub use self::client::Client;
pub use self::shares::{Full, Share, Shares};
use self::table::Table;
use crate::clock::{Clock, Monotonic};
use crate::config::{Config, CountBy, RateLimit};
use crate::error::{Error, ErrorKind, Side};
use crate::semantics::rate_limit::{RATE_LIMIT, RATE_LIMIT_POLICY, policy, remaining};
use crate::semantics::time::DeltaSeconds;

/// From one tidying of a limit's table to the next.
const TIDY: u64 = 1_000;

/// All limits of a configuration.
#[derive(Debug)]
pub struct Limits {
    server: Option<Arc<Limit>>,
    /// By the names of their routes.
    routes: HashMap<String, Arc<Limit>>,
}

/// One limit, and what its clients have used of it.
struct Limit {
    config: RateLimit,
    /// As clients are told it.
    name: Box<str>,
    policy: HeaderValue,
    limiter: RateLimiter<u64, Table, Ticks, StateInformationMiddleware>,
    clock: Clock,
    /// Makes keys that no client can foresee, so that none can be made to meet.
    hasher: RandomState,
    /// In milliseconds of the clock.
    tidy_at: AtomicU64,
}

/// Our clock as governor reads it.
#[derive(Debug)]
struct Ticks(Clock);

/// The key under which requests are counted together.
#[derive(Hash)]
enum Key<'a> {
    Client(Client),
    /// Behind a Unix socket, and nobody says who it is.
    Unknown,
    Field(Vec<&'a [u8]>),
    All,
}

/// A request to count: its fields, and on demand its client and the routes that it may be meant for.
pub trait Subject {
    fn fields(&self) -> &HeaderMap;

    /// When it came.
    fn now(&self) -> Monotonic;

    /// `None` where nobody says who it is.
    fn client(&self) -> Option<Client>;

    /// The names of the routes that its path may be read as, each once.
    fn routes(&self) -> SmallVec<[&str; 2]>;
}

/// The limits' fields for a client's response.
#[derive(Debug, Default)]
pub struct Quotas(SmallVec<[(HeaderValue, HeaderValue); 2]>);

/// A request that is beyond a limit.
#[derive(Debug)]
pub struct Refusal {
    pub error: Error,
    pub quotas: Quotas,
    /// When the next one may come.
    pub retry_after: DeltaSeconds,
}

impl Limits {
    /// `None` where there is no limit. Those that `before` had already keep what was used of them.
    pub fn new(config: &Config, clock: &Clock, before: Option<&Self>) -> Option<Self> {
        let server = config.server.rate_limit.as_ref().map(|limit| {
            let before = before.and_then(|before| before.server.as_ref());
            Limit::kept_or_new("server", limit, clock, before)
        });
        let limited = config.routes.listed().iter().filter_map(|route| {
            let limit = route.rate_limit.as_ref()?;
            let name = route.name.as_str();
            let before = before.and_then(|before| before.routes.get(name));
            let limit = Limit::kept_or_new(name, limit, clock, before);
            Some((name.to_owned(), limit))
        });
        let routes: HashMap<_, _> = limited.collect();
        (server.is_some() || !routes.is_empty()).then_some(Self { server, routes })
    }

    /// Counts a request in all limits that are for it.
    ///
    /// # Errors
    /// A [`Refusal`] by the first that it is beyond.
    pub fn count(&self, subject: &impl Subject) -> Result<Quotas, Box<Refusal>> {
        let mut quotas = Quotas::default();
        if let Some(limit) = &self.server {
            limit.count(subject, &mut quotas)?;
        }
        if self.routes.is_empty() {
            return Ok(quotas);
        }
        // No spelling of a path leads past a limit: one that could mean several routes counts for all.
        for route in subject.routes() {
            if let Some(limit) = self.routes.get(route) {
                limit.count(subject, &mut quotas)?;
            }
        }
        Ok(quotas)
    }

    /// Clients that are remembered now.
    pub fn clients(&self) -> usize {
        let all = self.server.iter().chain(self.routes.values());
        all.map(|limit| limit.limiter.len()).sum()
    }
}

impl Limit {
    fn kept_or_new(
        name: &str,
        config: &RateLimit,
        clock: &Clock,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        match before {
            Some(before) if before.config == *config => before.clone(),
            _ => Arc::new(Self::new(name, config.clone(), clock.clone())),
        }
    }

    fn new(name: &str, config: RateLimit, clock: Clock) -> Self {
        // A limit of more than one in a nanosecond cannot be written.
        let interval = config.interval().max(Duration::from_nanos(1));
        let quota = Quota::with_period(interval)
            .unwrap_or_else(|| Quota::per_second(config.requests))
            .allow_burst(config.burst);
        Self {
            name: name.into(),
            policy: policy(name, config.requests.get(), config.per),
            limiter: RateLimiter::new(quota, Table::default(), Ticks(clock.clone())),
            tidy_at: AtomicU64::new(clock.now().mono.as_millis() + TIDY),
            clock,
            hasher: RandomState::new(),
            config,
        }
    }

    fn count(&self, subject: &impl Subject, quotas: &mut Quotas) -> Result<(), Box<Refusal>> {
        let key = self.hasher.hash_one(self.key(subject));
        let decision = self.limiter.check_key(&key);
        self.tidy(subject.now());
        let (left, reset) = match &decision {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let used = self.config.burst.get().saturating_sub(left);
                (left, self.config.interval().saturating_mul(used))
            }
            Err(until) => {
                let now = self.clock.now().mono.since(Monotonic::default());
                (0, until.wait_time_from(now))
            }
        };
        let reset = whole_seconds(reset);
        if self.config.send_fields {
            let rest = remaining(&self.name, left, reset);
            quotas.0.push((self.policy.clone(), rest));
        }
        match decision {
            Ok(_) => Ok(()),
            Err(_) => {
                let (requests, per) = (self.config.requests, self.config.per);
                Err(Box::new(Refusal {
                    error: Error::new(ErrorKind::RateLimited, Side::Internal)
                        .detail(format!("more than {requests} requests in {per} s")),
                    quotas: std::mem::take(quotas),
                    // A client that waits no time comes too early.
                    retry_after: reset.max(DeltaSeconds::new(1)),
                }))
            }
        }
    }

    fn key<'a>(&self, subject: &'a impl Subject) -> Key<'a> {
        match &self.config.by {
            CountBy::All => Key::All,
            CountBy::Client => client_key(subject),
            CountBy::Field(name) => {
                let lines = subject.fields().get_all(name).iter();
                let lines: Vec<_> = lines.map(HeaderValue::as_bytes).collect();
                match lines.is_empty() {
                    true => client_key(subject),
                    false => Key::Field(lines),
                }
            }
        }
    }

    /// Forgets some of those who have asked for nothing lately, now and then.
    fn tidy(&self, now: Monotonic) {
        let (now, due) = (now.as_millis(), self.tidy_at.load(Ordering::Relaxed));
        let relaxed = Ordering::Relaxed;
        if now >= due
            && self
                .tidy_at
                .compare_exchange(due, now + TIDY, relaxed, relaxed)
                .is_ok()
        {
            self.limiter.retain_recent();
        }
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl governor::clock::Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().mono.since(Monotonic::default())
    }
}

impl Quotas {
    /// `None` when there is no limit to report.
    pub fn some(self) -> Option<Box<Self>> {
        (!self.0.is_empty()).then(|| Box::new(self))
    }

    /// Adds them to a response, after those of an API that has limits itself.
    pub fn add_to(&self, fields: &mut HeaderMap) {
        for (policy, remaining) in &self.0 {
            fields.append(RATE_LIMIT_POLICY, policy.clone());
            fields.append(RATE_LIMIT, remaining.clone());
        }
    }
}

fn client_key(subject: &impl Subject) -> Key<'static> {
    subject.client().map_or(Key::Unknown, Key::Client)
}

/// Rounded up: who waits for so long has waited long enough.
pub(super) fn whole_seconds(time: Duration) -> DeltaSeconds {
    let begun = u64::from(time.subsec_nanos() > 0);
    DeltaSeconds::new(time.as_secs().saturating_add(begun))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::time::Timestamp;

    fn config(limits: &str) -> Config {
        let text = format!("upstream.servers = \"http://a\"\n{limits}");
        Config::parse(&text, "test", &|_| None).expect("a valid file")
    }

    #[test]
    fn a_reload_keeps_what_was_used_of_limits_that_stay_as_they_are() {
        let (clock, _) = Clock::manual(Timestamp::from_secs(1));
        let limits = |text: &str, before| Limits::new(&config(text), &clock, before);
        let before = limits(
            "server.rate_limit = { requests = 1, per = '1s' }\n\
             [[route]]\nmatch = '/a'\nrate_limit = { requests = 1, per = '1s' }",
            None,
        )
        .expect("limits");
        let after = limits(
            "server.rate_limit = { requests = 2, per = '1s' }\n\
             [[route]]\nmatch = '/a'\nrate_limit = { requests = 1, per = '1s' }",
            Some(&before),
        )
        .expect("limits");
        let server = |limits: &Limits| limits.server.clone().expect("a limit");
        assert!(!Arc::ptr_eq(&server(&before), &server(&after)));
        assert!(Arc::ptr_eq(&before.routes["/a"], &after.routes["/a"]));
        assert!(limits("", Some(&before)).is_none());
    }

    #[test]
    fn times_are_told_in_whole_seconds_that_are_enough() {
        for (millis, secs) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            let time = Duration::from_millis(millis);
            assert_eq!(whole_seconds(time), DeltaSeconds::new(secs), "{time:?}");
        }
        assert_eq!(whole_seconds(Duration::MAX), DeltaSeconds::MAX);
    }
}
