//! When a deferred row is tried again.

use crate::clock::Timestamp;
use std::time::Duration;

/// The back-off: `first`, doubling to `longest`, each ±20 %.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// The wait after the first attempt.
    pub first: Duration,
    /// The longest wait, before jitter.
    pub longest: Duration,
}

impl Retry {
    /// The wait after `attempts` attempts. `luck` is any number that differs from row to row; it chooses the jitter, so
    /// that rows deferred together don't come back together.
    pub fn wait(&self, attempts: u32, luck: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let wait = self.first.saturating_mul(1 << doublings).min(self.longest.max(self.first));
        let jitter = 0.8 + 0.4 * share(luck);
        wait.mul_f64(jitter)
    }

    /// The furthest ahead that a row can be due: its own longest wait, begun when its provider was just suspended for as
    /// long. What is due later was deferred by a clock that was wrong.
    pub fn furthest(&self) -> Duration {
        let longest = self.longest.max(self.first).mul_f64(1.2);
        longest.saturating_mul(2)
    }

    /// A new time for such a row, within the first wait from now. `luck` spreads them, as in [`wait`](Retry::wait).
    pub fn soon(&self, now: Timestamp, luck: u64) -> Timestamp {
        now.after(self.first.mul_f64(share(luck)))
    }

    /// When to try again, or `None` once `lifetime` since the first attempt has run out. The last attempt falls on its end.
    pub fn next(
        &self,
        now: Timestamp,
        first: Timestamp,
        lifetime: Duration,
        attempts: u32,
        luck: u64,
    ) -> Option<Timestamp> {
        let end = first.after(lifetime);
        (now < end).then(|| now.after(self.wait(attempts, luck)).min(end))
    }
}

/// 0 to 1 in steps of a 65536th.
fn share(luck: u64) -> f64 {
    f64::from(u16::try_from(scatter(luck) >> 48).unwrap_or(0)) / 65535.0
}

/// The finaliser of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
fn scatter(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRY: Retry = Retry { first: Duration::from_secs(300), longest: Duration::from_secs(4200) };

    #[test]
    fn doubles_to_the_longest() {
        let about = |attempts| RETRY.wait(attempts, 1).as_secs_f64();
        for (attempts, seconds) in [(1, 300.0), (2, 600.0), (3, 1200.0), (4, 2400.0), (5, 4200.0), (400, 4200.0)] {
            let ratio = about(attempts) / seconds;
            assert!((0.8..=1.2).contains(&ratio), "{attempts}: {ratio}");
        }
    }

    #[test]
    fn rows_of_a_wrong_clock_are_spread_over_the_first_wait() {
        let now = Timestamp(1_000_000);
        let mut thirds = [0; 3];
        for ordinal in 1..=3000 {
            let due = RETRY.soon(now, ordinal);
            assert!(due >= now && due <= now.after(RETRY.first));
            assert_eq!(due, RETRY.soon(now, ordinal), "by its ordinal alone");
            thirds[(due.since(now).as_millis() * 3 / 300_001) as usize] += 1;
        }
        assert!(thirds.iter().all(|count| (900..1100).contains(count)), "{thirds:?}");
    }

    proptest! {
        #[test]
        fn no_wait_is_beyond_the_furthest(attempts in 0_u32..1000, luck: u64, first in 0_u64..10_000, longest in 0_u64..10_000) {
            let retry = Retry { first: Duration::from_secs(first), longest: Duration::from_secs(longest) };
            prop_assert!(retry.wait(attempts, luck) * 2 <= retry.furthest() + Duration::from_micros(1));
        }

        #[test]
        fn waits_are_bounded_and_never_pass_the_end(attempts in 0_u32..1000, luck: u64, age in 0_u64..200_000_000) {
            let (first, lifetime) = (Timestamp(1_000), Duration::from_secs(48 * 3600));
            let now = Timestamp(1_000 + age);
            let wait = RETRY.wait(attempts, luck);
            prop_assert!(wait >= RETRY.first.mul_f64(0.79) && wait <= RETRY.longest.mul_f64(1.21));
            match RETRY.next(now, first, lifetime, attempts, luck) {
                Some(due) => prop_assert!(due > now && due <= first.after(lifetime)),
                None => prop_assert!(now >= first.after(lifetime)),
            }
        }

        #[test]
        fn jitter_spreads(base: u64) {
            let waits: std::collections::HashSet<_> = (0..64).map(|i| RETRY.wait(1, base.wrapping_add(i))).collect();
            prop_assert!(waits.len() > 50);
        }
    }
}
