//! Which of many requests are recorded: a random share of them, without a random number for each.

use std::cell::Cell;

use super::ids;

/// Longest run of requests that are not recorded; a share that small is as good as none.
const MAX_RUN: f64 = (1_u64 << 52) as f64;

/// Whether the next request is recorded, where a `share` of them is, 0 to 1. `left` is how many are to be asked for until the next one
/// that is; 0 where that is not known yet.
pub(super) fn takes(share: f64, left: &Cell<u64>) -> bool {
    let mut next = left.get();
    if next == 0 {
        if share <= 0.0 {
            return false;
        }
        next = run(share, ids::random());
    }
    left.set(next - 1);
    next == 1
}

/// How many requests it takes until one is recorded, that one included: the run between successes of independent trials (a
/// geometric distribution), so that no rhythm of the clients' has one kind of request recorded alone.
fn run(share: f64, random: u64) -> u64 {
    if share >= 1.0 {
        return 1;
    }
    // Above 0, and at most 1.
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let run = uniform.ln() / (-share).ln_1p();
    1 + run.min(MAX_RUN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_recorded_as_the_share_says() {
        for share in [0.0, 0.01, 0.3, 1.0] {
            let left = Cell::new(0);
            let asked = 200_000;
            let taken = (0..asked).filter(|_| takes(share, &left)).count();
            let expected = share * f64::from(asked);
            // Six standard deviations.
            let off = 6.0 * (expected * (1.0 - share)).sqrt();
            let is_near = (taken as f64 - expected).abs() <= off;
            assert!(is_near, "{taken} of {asked} at {share}");
        }
    }

    #[test]
    fn a_run_is_bounded_and_never_empty() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!((1..=1 << 53).contains(&run(1e-300, random)));
            assert!(run(0.999, random) >= 1);
            assert_eq!(run(1.0, random), 1);
        }
        assert_eq!(run(0.5, u64::MAX), 1);
    }
}
