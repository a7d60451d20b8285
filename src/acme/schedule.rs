//! When a certificate is issued, renewed and asked about. Times are in seconds since 1970; a `seed` spreads what would happen
//! at the same time elsewhere, and is the same each time for one certificate.

use std::time::Duration;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub not_before: i64,
    pub not_after: i64,
}

/// In which the authority suggests to renew (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub start: i64,
    pub end: i64,
}

/// What is known of a name beside its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Attempts that have failed since the last success.
    pub failures: u32,
    /// Before that there is no other attempt.
    pub retry_at: i64,
    pub window: Option<Window>,
    /// When the authority is asked for the window.
    pub ask_at: i64,
}

impl Known {
    /// After a certificate has been issued that is to be renewed at `due`. However wrong a clock is, and whatever the authority
    /// suggests, there are pauses.
    pub fn after_success(&self, now: i64, validity: Validity, due: i64) -> Self {
        let failures = if due <= now {
            self.failures.saturating_add(1)
        } else {
            0
        };
        let wait = match failures {
            0 => validity.not_after.saturating_sub(validity.not_before) / 20,
            failures => i64::try_from(pause(failures, 0).as_secs()).unwrap_or(DAY),
        };
        Self {
            failures,
            retry_at: now.saturating_add(wait),
            ..Self::default()
        }
    }
}

/// What is to be done for a name. The more urgent, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Issue,
    /// Ask the authority for its window.
    Ask,
    WaitUntil(i64),
}

/// What is to be done now for a name with this certificate.
pub(super) fn next(now: i64, certificate: Option<Validity>, known: &Known, seed: u64) -> Action {
    let due = match certificate {
        None => i64::MIN,
        Some(validity) => renewal(validity, known.window, seed),
    };
    let issue_at = due.max(known.retry_at);
    if issue_at <= now {
        return Action::Issue;
    }
    match certificate {
        Some(_) if known.ask_at <= now => Action::Ask,
        Some(_) => Action::WaitUntil(issue_at.min(known.ask_at)),
        None => Action::WaitUntil(issue_at),
    }
}

/// When a certificate is to be renewed: at a random time in the authority's window (RFC 9773 §4.2), else with about a third of
/// its lifetime left.
pub(super) fn renewal(validity: Validity, window: Option<Window>, seed: u64) -> i64 {
    let lifetime = validity
        .not_after
        .saturating_sub(validity.not_before)
        .max(0);
    // A tenth is left for failures, whatever the authority suggests.
    let latest = validity.not_after.saturating_sub(lifetime / 10);
    match window {
        // Others are not valid.
        Some(Window { start, end }) if start < end => {
            let after = share(end.saturating_sub(start), seed);
            start.saturating_add(after).min(latest)
        }
        _ => {
            let early = share(lifetime / 30, seed);
            validity.not_after.saturating_sub(lifetime / 3 + early)
        }
    }
}

/// The part of `span` that `seed` chooses.
fn share(span: i64, seed: u64) -> i64 {
    let part = (i128::from(span) * i128::from(seed)) >> 64;
    i64::try_from(part).unwrap_or(span)
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// How long to wait after so many failures in a row: a minute, then twice as long each time, to six hours, and up to a quarter
/// longer.
pub(super) fn pause(failures: u32, seed: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = (MINUTE << doublings).min(6 * HOUR);
    let spread = share(pause / 4, seed);
    Duration::from_secs((pause + spread).unsigned_abs())
}

/// When an authority that said `again` is asked again, in seconds from now: less than a minute counts as a minute, more than a
/// day as a day (RFC 9773 §4.3.2).
pub(super) fn ask_again(again: Duration) -> i64 {
    let secs = i64::try_from(again.as_secs()).unwrap_or(DAY);
    secs.clamp(MINUTE, DAY)
}

/// The same after a failure: six hours (RFC 9773 §4.3.3), or less where the certificate does not last.
pub(super) fn ask_again_after_failure(validity: Validity) -> i64 {
    let lifetime = validity.not_after.saturating_sub(validity.not_before);
    (lifetime / 10).clamp(MINUTE, 6 * HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER: Validity = Validity {
        not_before: 0,
        not_after: 90 * DAY,
    };
    /// Seeds that choose the least, the middle and the greatest part.
    const SEEDS: [u64; 3] = [0, 1 << 63, u64::MAX];

    #[test]
    fn without_a_window_a_third_of_the_lifetime_is_left() {
        assert_eq!(
            SEEDS.map(|seed| renewal(QUARTER, None, seed) / HOUR),
            [60 * 24, 1404, 1368]
        );
        let short = Validity {
            not_before: 1000,
            not_after: 1000 + 160 * HOUR,
        };
        let due = SEEDS.map(|seed| renewal(short, None, seed) - 1000);
        assert_eq!(due.map(|at| at / HOUR), [106, 104, 101]);
        // One whose times are the wrong way round has to be renewed at once.
        let wrong = Validity {
            not_before: 10,
            not_after: 5,
        };
        assert_eq!(renewal(wrong, None, 0), 5);
    }

    #[test]
    fn in_a_window_the_time_is_anyone_s_and_never_too_late() {
        let window = |start, end| Some(Window { start, end });
        #[rustfmt::skip]
        let table = [
            (window(50 * DAY, 60 * DAY), [50 * DAY, 55 * DAY, 60 * DAY - 1]),
            // At once: all is in the past.
            (window(-5 * DAY, -3 * DAY), [-5 * DAY, -4 * DAY, -3 * DAY - 1]),
            (window(80 * DAY, 100 * DAY), [80 * DAY, 81 * DAY, 81 * DAY]),
        ];
        for (window, expected) in table {
            assert_eq!(
                SEEDS.map(|seed| renewal(QUARTER, window, seed)),
                expected,
                "{window:?}"
            );
        }
        for wrong in [window(5, 5), window(50 * DAY, 40 * DAY)] {
            assert_eq!(renewal(QUARTER, wrong, 7), renewal(QUARTER, None, 7));
        }
        let widest = window(i64::MIN, i64::MAX);
        assert!(renewal(QUARTER, widest, u64::MAX) <= 81 * DAY);
    }

    #[test]
    fn failures_are_tried_again_after_a_minute_and_then_ever_later() {
        let mut minutes: Vec<_> = (1..=11).map(|n| pause(n, 0).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]);
        minutes = [1, u32::MAX].map(|n| pause(n, u64::MAX).as_secs()).into();
        assert_eq!(minutes, [74, 26_999]);
        assert_eq!(pause(0, 0), pause(1, 0));
    }

    #[test]
    fn the_authority_is_not_asked_too_often_nor_too_rarely() {
        for (said, seconds) in [
            (0, 60),
            (59, 60),
            (3600, 3600),
            (90_000, 86_400),
            (u64::MAX, 86_400),
        ] {
            assert_eq!(ask_again(Duration::from_secs(said)), seconds, "{said}");
        }
        assert_eq!(ask_again_after_failure(QUARTER), 6 * HOUR);
        let short = Validity {
            not_before: 0,
            not_after: 20 * HOUR,
        };
        assert_eq!(ask_again_after_failure(short), 2 * HOUR);
    }

    #[test]
    fn certificates_are_not_issued_one_after_another() {
        let now = 10 * DAY;
        let mut known = Known::default().after_success(now, QUARTER, 60 * DAY);
        assert_eq!((known.failures, known.retry_at - now), (0, 9 * DAY / 2));
        // The authority wants it replaced at once, which it is after a pause.
        known.window = Some(Window { start: 0, end: 1 });
        known.ask_at = i64::MAX;
        assert_eq!(
            next(now, Some(QUARTER), &known, 0),
            Action::WaitUntil(known.retry_at)
        );
        // A wrong clock makes all of them look too old.
        for minutes in [1, 2, 4] {
            known = known.after_success(100 * DAY, QUARTER, 60 * DAY);
            assert_eq!(known.retry_at, 100 * DAY + 60 * minutes);
        }
        assert_eq!(known.after_success(now, QUARTER, 60 * DAY).failures, 0);
    }

    #[test]
    fn what_is_to_be_done() {
        let fresh = Known::default();
        let asked = Known {
            ask_at: 20 * DAY,
            ..fresh
        };
        let failed = Known {
            failures: 1,
            retry_at: 70 * DAY,
            ask_at: i64::MAX,
            ..fresh
        };
        let early = Known {
            window: Some(Window { start: 1, end: 3 }),
            ..asked
        };
        let of = Some(QUARTER);
        use Action::{Ask, Issue, WaitUntil};
        #[rustfmt::skip]
        let table = [
            (0, None, fresh, Issue),
            (0, None, Known { retry_at: 60, ..fresh }, WaitUntil(60)),
            (60, None, Known { retry_at: 60, ..fresh }, Issue),
            (1, of, fresh, Ask),
            (1, of, asked, WaitUntil(20 * DAY)),
            (20 * DAY, of, asked, Ask),
            (20 * DAY, of, Known { ask_at: 70 * DAY, ..asked }, WaitUntil(60 * DAY)),
            (60 * DAY, of, fresh, Issue),
            (61 * DAY, of, failed, WaitUntil(70 * DAY)),
            (70 * DAY, of, failed, Issue),
            (100 * DAY, of, fresh, Issue),
            // The authority wants it replaced at once, as after a mistake of its own.
            (4, of, early, Issue),
        ];
        for (now, certificate, known, expected) in table {
            let seed = 0;
            assert_eq!(
                next(now, certificate, &known, seed),
                expected,
                "{now} {known:?}"
            );
        }
        // A missing certificate goes before a question, and that before what can wait.
        assert!(Issue < Ask && Ask < WaitUntil(i64::MIN));
    }
}
