//! Histograms of times: fine ones with eight buckets per doubling, from which percentiles and native histograms are made, and
//! beside them the few fixed buckets of a classic histogram, exact as well.

use std::time::Duration;

use super::counter::Counter;

/// Fine buckets: eight per doubling, from about a microsecond on.
pub const BUCKETS: usize = 256;

/// The first bucket ends at 2 to the power of this, in seconds: at about a microsecond, which is as fine as the clock is. The
/// last one ends at about an hour, and has what took longer, too.
const SMALLEST: i32 = -20;

/// Buckets per doubling: the schema 3 of Prometheus' native histograms.
const PER_DOUBLING: i32 = 8;

/// Where the buckets of the classic histograms end, in microseconds.
pub const BOUNDS: [u64; 20] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The times that one worker has measured.
#[derive(Debug)]
pub struct Histogram {
    fine: Box<[Counter; BUCKETS]>,
    /// By [`BOUNDS`], each without those before it; the last one has what is beyond all bounds.
    classic: [Counter; BOUNDS.len() + 1],
    /// In microseconds.
    sum: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            fine: Box::new(std::array::from_fn(|_| Counter::default())),
            classic: std::array::from_fn(|_| Counter::default()),
            sum: Counter::default(),
        }
    }
}

impl Histogram {
    /// Only its own worker may call this.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.fine[bucket(micros)].inc();
        self.classic[BOUNDS.partition_point(|bound| *bound < micros)].inc();
        self.sum.add(micros);
    }
}

/// The fine bucket of a time: bucket `i` has those of more than 2^(([`SMALLEST`]·8 + i - 1)/8) seconds, up to
/// 2^(([`SMALLEST`]·8 + i)/8).
fn bucket(micros: u64) -> usize {
    let bits = (micros as f64 / 1e6).to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    let fraction = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let above = EIGHTHS.iter().filter(|eighth| fraction > **eighth).count();
    let index = (exponent - SMALLEST) * PER_DOUBLING + above as i32;
    index.clamp(0, BUCKETS as i32 - 1) as usize
}

/// 2^(n/8) for n from 0.
const EIGHTHS: [f64; 8] = [
    1.0,
    1.090_507_732_665_257_7,
    1.189_207_115_002_721,
    1.296_839_554_651_009_6,
    std::f64::consts::SQRT_2,
    1.542_210_825_407_940_7,
    1.681_792_830_507_429,
    1.834_008_086_409_342_4,
];

/// The index that Prometheus gives the fine bucket in a native histogram of schema 3.
pub fn native_index(bucket: usize) -> i32 {
    SMALLEST * PER_DOUBLING + bucket as i32
}

/// The times of several workers, or of a part of the time.
#[derive(Clone, Debug)]
pub struct Distribution {
    pub fine: Box<[u64; BUCKETS]>,
    pub classic: [u64; BOUNDS.len() + 1],
    /// In microseconds.
    pub sum: u64,
    pub count: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            fine: Box::new([0; BUCKETS]),
            classic: [0; BOUNDS.len() + 1],
            sum: 0,
            count: 0,
        }
    }
}

impl Distribution {
    /// Adds what a worker has measured. Its worker may be counting: the sum of all buckets, rather than another counter, is
    /// what agrees with them.
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, counter) in self.fine.iter_mut().zip(&*histogram.fine) {
            *sum += counter.value();
        }
        for (sum, counter) in self.classic.iter_mut().zip(&histogram.classic) {
            *sum += counter.value();
        }
        self.sum += histogram.sum.value();
        self.count = self.classic.iter().sum();
    }

    /// The times of one fine bucket, `count` of them, that were measured somewhere else.
    pub fn add_to_bucket(&mut self, bucket: usize, count: u64) {
        self.fine[bucket] += count;
        self.count += count;
    }

    /// The time in seconds that the part `quantile` of all times does not exceed, to about 5 %; `None` where there is none.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.fine.iter().sum();
        if total == 0 {
            return None;
        }
        let rank = (quantile * total as f64).clamp(0.0, total as f64);
        let mut below = 0.0;
        for (bucket, count) in self.fine.iter().enumerate() {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                // Within a bucket, times are taken to be spread evenly over its logarithm.
                let part = ((rank - below) / count).clamp(0.0, 1.0);
                let eighths = f64::from(native_index(bucket)) - 1.0 + part;
                return Some((eighths / f64::from(PER_DOUBLING)).exp2());
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a fine bucket ends, in seconds.
    fn end_of(bucket: usize) -> f64 {
        let at = SMALLEST * PER_DOUBLING + bucket as i32;
        let doublings = f64::from(at.div_euclid(PER_DOUBLING)).exp2();
        doublings * EIGHTHS[at.rem_euclid(PER_DOUBLING) as usize]
    }

    fn of(times: &[u64]) -> Distribution {
        let histogram = Histogram::default();
        for micros in times {
            histogram.record(Duration::from_micros(*micros));
        }
        let mut distribution = Distribution::default();
        distribution.add(&histogram);
        distribution
    }

    #[test]
    fn each_time_is_in_the_bucket_that_ends_behind_it() {
        let mut micros = 0;
        while micros < 3_000_000_000 {
            let (at, seconds) = (bucket(micros), micros as f64 / 1e6);
            assert!(seconds <= end_of(at), "{micros}");
            assert!(at == 0 || seconds > end_of(at - 1), "{micros}");
            micros += 1 + micros / 97;
        }
        // Half a second and the like end a bucket.
        assert_eq!(end_of(bucket(500_000)), 0.5);
        assert_eq!(end_of(bucket(8_000_000)), 8.0);
        assert_eq!(native_index(bucket(1_000_000)), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_classic_buckets_end_where_they_say() {
        for (at, bound) in BOUNDS.iter().enumerate() {
            let distribution = of(&[*bound, bound + 1]);
            assert_eq!(distribution.classic[at], 1, "{bound}");
            assert_eq!(distribution.classic[at + 1], 1, "{bound}");
        }
        let all = of(&[0, 30, 1_000_000, 90_000_000]);
        assert_eq!((all.count, all.sum), (4, 91_000_030));
    }

    #[test]
    fn quantiles_are_right_to_about_a_bucket() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let times: Vec<_> = (1..=10_000).collect();
        let all = of(&times);
        for quantile in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let (exact, found) = (quantile / 100.0, all.quantile(quantile).unwrap());
            assert!(
                (found / exact - 1.0).abs() < 0.05,
                "{quantile}: {found} for {exact}"
            );
        }
        // One time only: all quantiles are in its bucket.
        let one = of(&[777]);
        assert!((one.quantile(0.99).unwrap() / 777e-6 - 1.0).abs() < 0.09);
    }

    #[test]
    fn several_workers_are_one_distribution() {
        let (mut both, [a, b]) = (
            Distribution::default(),
            [Histogram::default(), Histogram::default()],
        );
        a.record(Duration::from_millis(1));
        b.record(Duration::from_millis(1));
        b.record(Duration::from_secs(1));
        both.add(&a);
        both.add(&b);
        assert_eq!((both.count, both.sum), (3, 1_002_000));
        assert_eq!(both.fine[bucket(1_000)], 2);
    }
}
