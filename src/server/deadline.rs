//! How long each state of a connection may last. One coarse tick a worker compares every connection with this rule:
//! no timer is made, moved or dropped on the path of a request.

use std::time::Duration;

use crate::config;
use crate::error::ErrorKind;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has come yet.
    Fresh,
    /// Some bytes of a head have come.
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

/// A connection's state as far as deadlines go. Times are milliseconds of the worker's coarse clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
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
pub(super) enum Overdue {
    Head,
    Idle,
    Content,
    Write,
    Tunnel,
    Linger,
}

impl Overdue {
    /// The failure that it is; `None` where the client had all that it was to have.
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

/// How long we wait for the client to close after our last byte. Enough for a retransmission or two.
const LINGER: Duration = Duration::from_secs(2);

/// How long a connection without a request may still bring one while we drain: it may have been under way.
const LAST_CALL: u64 = 1_000;

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

    /// The time between two looks at all connections.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick)
    }

    /// The deadline that has passed at `now`, if any. Never early, and at most two ticks late: the times in
    /// `situation` are those of the tick before. A connection ends if the next tick finds the same.
    pub fn overdue(&self, situation: &Situation, now: u64, draining: bool) -> Option<Overdue> {
        let past =
            |since: u64, limit: u64| now.saturating_sub(since) >= limit.saturating_add(self.tick);
        if situation.phase != Phase::Tunnel
            && situation
                .write_blocked
                .is_some_and(|since| past(since, self.write))
        {
            return Some(Overdue::Write);
        }
        let (limit, overdue) = match situation.phase {
            Phase::Fresh if draining => (self.head.min(LAST_CALL), Overdue::Idle),
            Phase::Fresh => (self.head, Overdue::Idle),
            Phase::Head => (self.head, Overdue::Head),
            Phase::Idle => (self.idle, Overdue::Idle),
            Phase::Tunnel => (self.tunnel, Overdue::Tunnel),
            Phase::Lingering => (self.linger, Overdue::Linger),
            Phase::Busy => {
                let since = situation.awaiting_content?;
                return past(since, self.content).then_some(Overdue::Content);
            }
        };
        past(situation.since, limit).then_some(overdue)
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
        let at = |phase, awaiting_content, write_blocked| Situation {
            phase,
            since: 1_000,
            awaiting_content,
            write_blocked,
        };
        // (situation, draining, seconds that it may last, what passes then)
        let table = [
            (at(Phase::Fresh, None, None), false, 10, Overdue::Idle),
            (at(Phase::Fresh, None, None), true, 1, Overdue::Idle),
            (at(Phase::Head, None, None), false, 10, Overdue::Head),
            (at(Phase::Head, None, None), true, 10, Overdue::Head),
            (at(Phase::Idle, None, None), false, 75, Overdue::Idle),
            (at(Phase::Lingering, None, None), false, 2, Overdue::Linger),
            (at(Phase::Tunnel, None, None), false, 600, Overdue::Tunnel),
            // Only silence in both directions counts.
            (
                at(Phase::Tunnel, Some(1_000), Some(1_000)),
                true,
                600,
                Overdue::Tunnel,
            ),
            (
                at(Phase::Busy, Some(1_000), None),
                false,
                30,
                Overdue::Content,
            ),
            (
                at(Phase::Busy, None, Some(1_000)),
                false,
                20,
                Overdue::Write,
            ),
            (
                at(Phase::Busy, Some(1_000), Some(1_000)),
                false,
                20,
                Overdue::Write,
            ),
            (
                at(Phase::Idle, None, Some(1_000)),
                false,
                20,
                Overdue::Write,
            ),
        ];
        let deadlines = deadlines();
        for (situation, draining, secs, expected) in table {
            let end = 1_000 + secs * 1_000;
            assert_eq!(
                deadlines.overdue(&situation, end, draining),
                None,
                "early: {situation:?}"
            );
            assert_eq!(
                deadlines.overdue(&situation, end + 2 * deadlines.tick, draining),
                Some(expected),
                "late: {situation:?}"
            );
        }
    }

    #[test]
    fn a_request_being_answered_has_no_deadline_of_its_own() {
        let busy = Situation {
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
