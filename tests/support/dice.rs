//! Chance that can be repeated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A seeded source of numbers (xorshift64*). The seed is printed, and taken from `SEALPOST_SEED` where that is set.
pub struct Dice(u64);

impl Dice {
    pub fn new(scenario: &str) -> Dice {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
        let told = std::env::var("SEALPOST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = told.unwrap_or_else(|| u64::try_from(now() % (1 << 40)).expect("small"));
        println!("{scenario}: SEALPOST_SEED={seed}");
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        low + drawn % (high - low + 1)
    }

    /// So many moments of a run, as numbers of messages, in order.
    pub fn moments(&mut self, count: usize, last: u64) -> Vec<usize> {
        let mut moments: Vec<_> = (0..count).map(|_| self.between(1, last) as usize).collect();
        moments.sort_unstable();
        moments
    }

    /// Waits up to `most` milliseconds: moments must not all follow a reply.
    pub fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.between(0, most)));
    }
}
