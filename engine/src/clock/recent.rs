//! How fast a count has grown lately. A mean over the whole night hides that nothing moves any more.

use super::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// Samples of a count over the last half minute, one a second.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    samples: VecDeque<(Timestamp, u64)>,
}

/// Long enough to even out batches, short enough to show that something stands still.
const WINDOW: Duration = Duration::from_secs(30);
const EVERY: Duration = Duration::from_secs(1);
/// In less time a handful of messages would make a rate.
const SHORTEST: Duration = Duration::from_millis(100);

impl Recent {
    /// Remembers that the count was `count` at `now`; more than one sample a second is not kept.
    pub fn note(&mut self, now: Timestamp, count: u64) {
        if self.samples.back().is_some_and(|(last, _)| now.since(*last) < EVERY) {
            return;
        }
        self.samples.push_back((now, count));
        // One that is older stays, so that the window is always covered.
        while self.samples.get(1).is_some_and(|(second, _)| now.since(*second) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// What was added a second, over the window or as much of it as there was.
    pub fn per_second(&self, now: Timestamp, count: u64) -> f64 {
        let Some((first, before)) = self.samples.front() else { return 0.0 };
        let span = now.since(*first).max(SHORTEST).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
        let added = count.saturating_sub(*before) as f64;
        added / span
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A count every tenth of a second, over `seconds`.
    fn watched(recent: &mut Recent, seconds: std::ops::Range<u64>, mut count: u64, per_second: u64) -> u64 {
        for tenth in seconds.start * 10..seconds.end * 10 {
            recent.note(Timestamp(tenth * 100), count);
            count += per_second / 10;
        }
        count
    }

    #[test]
    fn a_stall_shows_within_the_window_and_a_fast_hour_does_not_hide_it() {
        let mut recent = Recent::default();
        assert_eq!(recent.per_second(Timestamp(0), 9), 0.0);
        let count = watched(&mut recent, 0..3600, 0, 100);
        let rate = recent.per_second(Timestamp(3_600_000), count);
        assert!((99.0..=101.0).contains(&rate), "{rate}");
        watched(&mut recent, 3600..3615, count, 0);
        let rate = recent.per_second(Timestamp(3_615_000), count);
        assert!((48.0..=53.0).contains(&rate), "half of the window: {rate}");
        watched(&mut recent, 3615..3640, count, 0);
        assert_eq!(recent.per_second(Timestamp(3_640_000), count), 0.0);
        assert!(recent.samples.len() < 35, "{}", recent.samples.len());
    }

    #[test]
    fn a_run_that_has_just_begun_goes_by_what_there_is() {
        let mut recent = Recent::default();
        recent.note(Timestamp(1_000), 0);
        assert_eq!(recent.per_second(Timestamp(3_000), 20), 10.0);
        assert!(recent.per_second(Timestamp(1_000), 1) <= 10.0, "not one in no time");
    }
}
