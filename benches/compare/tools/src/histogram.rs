//! Latencies in logarithmic buckets, exact to under one per cent.

/// Buckets for each doubling.
const FINE: u64 = 128;

/// Counts of durations in nanoseconds.
#[derive(Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub fn record(&mut self, nanos: u64) {
        let at = index(nanos);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// The duration that `share` of all do not exceed, in nanoseconds; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return upper(at).min(self.max);
            }
        }
        0
    }

    pub fn max(&self) -> u64 {
        self.max
    }
}

fn index(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let doublings = u64::from(nanos.ilog2() - FINE.ilog2());
    (FINE * doublings + (nanos >> doublings)) as usize
}

fn upper(at: usize) -> u64 {
    let at = at as u64;
    if at < FINE {
        return at;
    }
    let doublings = at / FINE - 1;
    ((at - FINE * doublings + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for nanos in (0..100_000).chain([1 << 40, u64::MAX >> 8]) {
            let bound = upper(index(nanos));
            assert!(bound >= nanos, "{nanos}");
            assert!(bound - nanos <= nanos / 100, "{nanos}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|n| histogram.record(n));
        assert_eq!(histogram.quantile(0.5), 50);
        assert_eq!(histogram.quantile(0.99), 99);
        assert_eq!(histogram.quantile(1.0), 100);
    }
}
