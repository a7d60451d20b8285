//! How long each phase of a connection may last. A coarse tick of the worker compares every connection with its deadlines:
//! no timer is made, moved or dropped on the path of a request.

use std::time::Duration;

use crate::config;
use crate::error::ErrorKind;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been read yet.
    Accepted,
    /// Some bytes of a request's head have been read.
    Head,
    /// Between two requests.
    Idle,
    /// At least one request is being answered, or the rest of its content is still to come.
    Busy,
    /// The connection speaks another protocol.
    Tunnel,
    /// Our last byte is sent; waiting for the client to close (RFC 9112 §9.6).
    Lingering,
}

/// The inputs of a connection's deadlines. Times are milliseconds of the worker's coarse clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub phase: Phase,
    /// When the phase began.
    pub since: u64,
    /// Since when content of a request has been asked for in vain.
    pub awaiting_content: Option<u64>,
    /// Since when the client has taken no byte of what is ready for it.
    pub write_blocked: Option<u64>,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timeout {
    Head,
    Idle,
    Content,
    Write,
    Tunnel,
    Linger,
}

impl Timeout {
    /// The error that it is; `None` where the client has had its whole response.
    pub fn kind(self) -> Option<ErrorKind> {
        match self {
            Self::Head => Some(ErrorKind::RequestTimeout),
            Self::Content => Some(ErrorKind::RequestBodyTimeout),
            Self::Write => Some(ErrorKind::ClientWriteTimeout),
            Self::Tunnel => Some(ErrorKind::TunnelTimeout),
            Self::Idle | Self::Linger => None,
        }
    }
}

/// The deadlines of all connections of a server, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    head: u64,
    idle: u64,
    content: u64,
    write: u64,
    tunnel: u64,
    linger: u64,
    tick: u64,
}

/// How long the client has to close after our last byte: enough for a retransmission or two.
const LINGER: Duration = Duration::from_secs(2);

/// Milliseconds that an accepted connection has for its first request while the worker drains: it may have been sent
/// already.
const DRAIN_GRACE: u64 = 1_000;

impl Deadlines {
    pub fn new(config: &config::Server) -> Self {
        let shortest = [
            config.head_timeout,
            config.idle_timeout,
            config.body_timeout,
            config.write_timeout,
            config.tunnel_timeout,
        ]
        .into_iter()
        .fold(LINGER, Duration::min);
        Self {
            head: millis(config.head_timeout),
            idle: millis(config.idle_timeout),
            content: millis(config.body_timeout),
            write: millis(config.write_timeout),
            tunnel: millis(config.tunnel_timeout),
            linger: millis(LINGER),
            tick: (millis(shortest) / 4).clamp(5, 500),
        }
    }

    /// The time between two ticks.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick)
    }

    /// The deadline that has passed at `now`, if any. Never early, and at most two ticks late: the times in `timing` are
    /// those of the tick before. A connection ends when two ticks in a row find the same deadline passed.
    pub fn overdue(&self, timing: &Timing, now: u64, draining: bool) -> Option<Timeout> {
        let past =
            |since: u64, limit: u64| now.saturating_sub(since) >= limit.saturating_add(self.tick);
        if timing.phase != Phase::Tunnel
            && timing
                .write_blocked
                .is_some_and(|since| past(since, self.write))
        {
            return Some(Timeout::Write);
        }
        let (limit, overdue) = match timing.phase {
            Phase::Accepted if draining => (self.head.min(DRAIN_GRACE), Timeout::Idle),
            Phase::Accepted => (self.head, Timeout::Idle),
            Phase::Head => (self.head, Timeout::Head),
            Phase::Idle => (self.idle, Timeout::Idle),
            Phase::Tunnel => (self.tunnel, Timeout::Tunnel),
            Phase::Lingering => (self.linger, Timeout::Linger),
            Phase::Busy => {
                let since = timing.awaiting_content?;
                return past(since, self.content).then_some(Timeout::Content);
            }
        };
        past(timing.since, limit).then_some(overdue)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadlines() -> Deadlines {
        Deadlines::new(&config::Server {
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(20),
            tunnel_timeout: Duration::from_secs(600),
            ..config::Server::default()
        })
    }

    #[test]
    fn each_state_has_its_deadline_and_none_is_early() {
        let at = |phase, awaiting_content, write_blocked| Timing {
            phase,
            since: 1_000,
            awaiting_content,
            write_blocked,
        };
        // (timing, draining, seconds that it may last, what passes then)
        let table = [
            (at(Phase::Accepted, None, None), false, 10, Timeout::Idle),
            (at(Phase::Accepted, None, None), true, 1, Timeout::Idle),
            (at(Phase::Head, None, None), false, 10, Timeout::Head),
            (at(Phase::Head, None, None), true, 10, Timeout::Head),
            (at(Phase::Idle, None, None), false, 75, Timeout::Idle),
            (at(Phase::Lingering, None, None), false, 2, Timeout::Linger),
            (at(Phase::Tunnel, None, None), false, 600, Timeout::Tunnel),
            // Only silence in both directions counts.
            (
                at(Phase::Tunnel, Some(1_000), Some(1_000)),
                true,
                600,
                Timeout::Tunnel,
            ),
            (
                at(Phase::Busy, Some(1_000), None),
                false,
                30,
                Timeout::Content,
            ),
            (
                at(Phase::Busy, None, Some(1_000)),
                false,
                20,
                Timeout::Write,
            ),
            (
                at(Phase::Busy, Some(1_000), Some(1_000)),
                false,
                20,
                Timeout::Write,
            ),
            (
                at(Phase::Idle, None, Some(1_000)),
                false,
                20,
                Timeout::Write,
            ),
        ];
        let deadlines = deadlines();
        for (timing, draining, secs, expected) in table {
            let end = 1_000 + secs * 1_000;
            assert_eq!(
                deadlines.overdue(&timing, end, draining),
                None,
                "early: {timing:?}"
            );
            assert_eq!(
                deadlines.overdue(&timing, end + 2 * deadlines.tick, draining),
                Some(expected),
                "late: {timing:?}"
            );
        }
    }

    #[test]
    fn a_request_being_answered_has_no_deadline_of_its_own() {
        let busy = Timing {
            phase: Phase::Busy,
            since: 0,
            awaiting_content: None,
            write_blocked: None,
        };
        assert_eq!(deadlines().overdue(&busy, u64::MAX, true), None);
    }

    #[test]
    fn the_tick_follows_the_shortest_deadline_within_bounds() {
        for (idle, tick) in [(75_000, 500), (400, 100), (1, 5)] {
            let deadlines = Deadlines::new(&config::Server {
                idle_timeout: Duration::from_millis(idle),
                ..config::Server::default()
            });
            assert_eq!(deadlines.tick(), Duration::from_millis(tick), "{idle}");
        }
    }
}
