//! Who waits for company: messages gather until eight can be signed together.

use crypto_mb::LANES;
use std::time::{Duration, Instant};

/// The longest that a message waits while no other is on its way.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(2);

/// Messages that wait, and how many are on their way here. Whoever gets a batch out of it signs it.
///
/// A batch leaves when it is full, or when its first has waited for [`LONGEST_WAIT`] and nobody is on his way. Under load
/// somebody always is, and so batches are full; where nobody is, the machine has nothing better to do.
pub(super) struct Gathering<T> {
    waiting: Vec<T>,
    /// Since when the first of them waits.
    since: Option<Instant>,
    coming: usize,
}

impl<T> Gathering<T> {
    pub(super) fn new() -> Gathering<T> {
        Gathering { waiting: Vec::with_capacity(LANES), since: None, coming: 0 }
    }

    /// One more is on its way; it will be brought or missed.
    pub(super) fn expect(&mut self) {
        self.coming += 1;
    }

    /// One that was expected is here. What this returns is to be signed, if it is not empty.
    pub(super) fn bring(&mut self, one: T, now: Instant) -> Vec<T> {
        self.coming -= 1;
        self.since.get_or_insert(now);
        self.waiting.push(one);
        if self.waiting.len() == LANES { self.take() } else { self.due(now) }
    }

    /// One that was expected will not come.
    pub(super) fn miss(&mut self, now: Instant) -> Vec<T> {
        self.coming -= 1;
        self.due(now)
    }

    /// Those who have waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Vec<T> {
        match self.deadline() {
            Some(deadline) if deadline <= now => self.take(),
            _ => Vec::new(),
        }
    }

    /// When somebody must ask what is [`due`](Gathering::due), if nobody comes before that.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.filter(|_| self.coming == 0).map(|since| since + LONGEST_WAIT)
    }

    /// All who wait, whether or not it is time.
    pub(super) fn take(&mut self) -> Vec<T> {
        self.since = None;
        std::mem::replace(&mut self.waiting, Vec::with_capacity(LANES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Vec<u32> = Vec::new();

    fn expecting(count: usize) -> (Gathering<u32>, Instant) {
        let mut gathering = Gathering::new();
        (0..count).for_each(|_| gathering.expect());
        (gathering, Instant::now())
    }

    #[test]
    fn the_eighth_completes_a_batch_however_soon() {
        let (mut gathering, now) = expecting(9);
        for one in 1..8 {
            assert_eq!(gathering.bring(one, now), AT_ONCE);
        }
        assert_eq!(gathering.bring(8, now), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(gathering.bring(9, now), AT_ONCE);
        assert_eq!(gathering.due(now + LONGEST_WAIT), [9]);
        assert_eq!(gathering.deadline(), None);
    }

    #[test]
    fn nobody_waits_past_the_bound_when_nobody_comes() {
        let (mut gathering, now) = expecting(1);
        assert_eq!(gathering.deadline(), None, "nothing waits");
        assert_eq!(gathering.bring(1, now), AT_ONCE);
        assert_eq!(gathering.deadline(), Some(now + LONGEST_WAIT));
        assert_eq!(gathering.due(now + LONGEST_WAIT - Duration::from_nanos(1)), AT_ONCE);
        assert_eq!(gathering.due(now + LONGEST_WAIT), [1]);
    }

    /// Rows that trickle in must not keep the first from leaving: its time counts, not theirs.
    #[test]
    fn who_comes_later_does_not_prolong_the_wait() {
        let (mut gathering, now) = expecting(0);
        let after = |micros| now + Duration::from_micros(micros);
        for (one, micros) in [(1, 0), (2, 700), (3, 1400)] {
            gathering.expect();
            assert_eq!(gathering.bring(one, after(micros)), AT_ONCE);
        }
        assert_eq!(gathering.deadline(), Some(after(2000)));
        gathering.expect();
        assert_eq!(gathering.bring(4, after(2100)), [1, 2, 3, 4], "the last to come finds that it is time");
    }

    #[test]
    fn those_on_their_way_are_waited_for_and_no_longer() {
        let (mut gathering, now) = expecting(3);
        assert_eq!(gathering.bring(1, now), AT_ONCE);
        let late = now + LONGEST_WAIT * 2;
        assert_eq!((gathering.deadline(), gathering.due(late)), (None, AT_ONCE));
        assert_eq!(gathering.miss(late), AT_ONCE, "one more is coming");
        assert_eq!(gathering.miss(late), [1], "the last of them did not come");
    }
}
