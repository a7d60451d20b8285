//! A fleet of gateways as numbers: which of them has which key, and until when. No gateway runs, and no time passes.
//!
//! Time goes in steps of one request each. A gateway keeps keys in the order of their last use, and forgets the last one when it has
//! no room; a key is fresh for its lifetime after it was fetched, whoever fetched it. A purge takes a key from all.

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub gateways: usize,
    pub keys: usize,
    /// The n-th key is asked for as often as n to the power of minus this.
    pub zipf: f64,
    /// Requests a second, of all gateways together.
    pub rate: f64,
    /// Seconds for which what is fetched is fresh.
    pub ttl: f64,
    /// Keys that a gateway has room for.
    pub room: usize,
    /// Purges a second, each of one key that is chosen as requests are.
    pub purges: f64,
    /// Whether gateways share what they fetch.
    pub is_shared: bool,
    /// Keys that the shared tier has room for.
    pub shared_room: usize,
    /// Seconds that are simulated before and while it is counted.
    pub warm: f64,
    pub counted: f64,
    pub seed: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    /// Answered from a gateway's own memory.
    pub hits: u64,
    /// Answered from the shared tier.
    pub shared: u64,
    /// Asked of the API.
    pub upstream: u64,
    pub purges: u64,
}

impl Fleet {
    /// The same arguments bring the same counts.
    pub fn run(&self) -> Counts {
        let mut random = Random(self.seed);
        let zipf = Zipf::new(self.keys, self.zipf);
        let mut gateways: Vec<_> = (0..self.gateways).map(|_| Memory::new(self.room)).collect();
        let mut shared = Memory::new(self.shared_room);
        let (mut counts, mut owed) = (Counts::default(), 0.0);
        let (warm, counted) = (self.warm * self.rate, self.counted * self.rate);
        let (warm, all) = (warm as u64, (warm + counted) as u64);
        // A purge raises it: what was fetched before is gone.
        let mut purged = Purged::default();
        for request in 0..all {
            let now = request as f64 / self.rate;
            if request == warm {
                counts = Counts::default();
            }
            owed += self.purges / self.rate;
            while owed >= 1.0 {
                owed -= 1.0;
                purged.purge(zipf.key(&mut random), now);
                counts.purges += 1;
            }
            let gateway = random.below(self.gateways as u64) as usize;
            let key = zipf.key(&mut random);
            let is_fresh = |fetched: f64| now < fetched + self.ttl && !purged.covers(key, fetched);
            counts.requests += 1;
            if gateways[gateway].get(key).is_some_and(is_fresh) {
                counts.hits += 1;
                continue;
            }
            let found = match self.is_shared {
                true => shared.get(key).filter(|fetched| is_fresh(*fetched)),
                false => None,
            };
            let fetched = match found {
                Some(fetched) => {
                    counts.shared += 1;
                    fetched
                }
                None => {
                    counts.upstream += 1;
                    if self.is_shared {
                        shared.put(key, now);
                    }
                    now
                }
            };
            gateways[gateway].put(key, fetched);
        }
        counts
    }
}

/// When each key was purged last.
#[derive(Debug, Default)]
struct Purged(std::collections::HashMap<u32, f64>);

impl Purged {
    fn purge(&mut self, key: u32, now: f64) {
        self.0.insert(key, now);
    }

    fn covers(&self, key: u32, fetched: f64) -> bool {
        self.0.get(&key).is_some_and(|purged| fetched < *purged)
    }
}

/// Keys, each with when it was fetched, of which the one that was used longest ago goes first.
#[derive(Debug)]
struct Memory {
    room: usize,
    /// Where a key is in `all`.
    at: hashbrown::HashMap<u32, u32>,
    all: Vec<Kept>,
    newest: u32,
    oldest: u32,
}

#[derive(Debug)]
struct Kept {
    key: u32,
    fetched: f64,
    newer: u32,
    older: u32,
}

const NONE: u32 = u32::MAX;

impl Memory {
    fn new(room: usize) -> Self {
        Self {
            room: room.max(1),
            at: hashbrown::HashMap::new(),
            all: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// When it was fetched; it counts as used now.
    fn get(&mut self, key: u32) -> Option<f64> {
        let at = *self.at.get(&key)?;
        self.take_out(at);
        self.put_first(at);
        Some(self.all[at as usize].fetched)
    }

    fn put(&mut self, key: u32, fetched: f64) {
        let at = match self.at.get(&key).copied() {
            Some(at) => {
                self.take_out(at);
                at
            }
            None if self.all.len() < self.room => {
                let kept = Kept {
                    key,
                    fetched,
                    newer: NONE,
                    older: NONE,
                };
                self.all.push(kept);
                self.all.len() as u32 - 1
            }
            None => {
                let at = self.oldest;
                self.take_out(at);
                self.at.remove(&self.all[at as usize].key);
                at
            }
        };
        let kept = &mut self.all[at as usize];
        (kept.key, kept.fetched) = (key, fetched);
        self.at.insert(key, at);
        self.put_first(at);
    }

    fn take_out(&mut self, at: u32) {
        let Kept { newer, older, .. } = self.all[at as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.all[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.all[older as usize].newer = newer,
        }
    }

    fn put_first(&mut self, at: u32) {
        let second = self.newest;
        let kept = &mut self.all[at as usize];
        (kept.newer, kept.older) = (NONE, second);
        match second {
            NONE => self.oldest = at,
            second => self.all[second as usize].newer = at,
        }
        self.newest = at;
    }
}

/// Keys by their popularity.
///
/// W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996: neither a
/// table nor a sum over all keys.
#[derive(Debug)]
struct Zipf {
    exponent: f64,
    first: f64,
    last: f64,
    shift: f64,
    keys: f64,
}

impl Zipf {
    fn new(keys: usize, exponent: f64) -> Self {
        let mut zipf = Self {
            exponent,
            first: 0.0,
            last: 0.0,
            shift: 0.0,
            keys: keys as f64,
        };
        zipf.first = zipf.integral(1.5) - 1.0;
        zipf.last = zipf.integral(zipf.keys + 0.5);
        zipf.shift = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    fn weight(&self, rank: f64) -> f64 {
        (-self.exponent * rank.ln()).exp()
    }

    /// Of [`weight`](Self::weight), up to a constant.
    fn integral(&self, x: f64) -> f64 {
        let (log, power) = (x.ln(), 1.0 - self.exponent);
        match (power * log).abs() > 1e-8 {
            true => ((power * log).exp_m1() / (power * log)) * log,
            false => log,
        }
    }

    fn inverse(&self, y: f64) -> f64 {
        let power = 1.0 - self.exponent;
        let scaled = (y * power).max(-1.0);
        match scaled.abs() > 1e-8 {
            true => (scaled.ln_1p() / scaled * y).exp(),
            false => y.exp(),
        }
    }

    /// From 0 on, the most popular first.
    fn key(&self, random: &mut Random) -> u32 {
        loop {
            let u = self.last + random.part() * (self.first - self.last);
            let x = self.inverse(u);
            let rank = x.round().clamp(1.0, self.keys);
            if rank - x <= self.shift || u >= self.integral(rank + 0.5) - self.weight(rank) {
                return rank as u32 - 1;
            }
        }
    }
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
