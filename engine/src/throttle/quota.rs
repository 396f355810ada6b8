//! So many in any hour, or day, and as soon as there is something to send.
//!
//! A pace would smear the messages of a day evenly over it, and a campaign that is over within the hour would get a twenty-fourth
//! of them. So a long rate is a count of what was sent, in buckets of a sixtieth of its span. The bucket that is being filled
//! and the sixty before it cover any span of that length which ends now: none has more than the rate, by not even one, and what was
//! sent counts for up to a sixtieth longer than it would have to.

use crate::clock::Timestamp;
use crate::shaping::Rate;

/// What was sent lately.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    most: u64,
    /// Milliseconds.
    bucket: u64,
    counts: [u32; BUCKETS],
    sum: u64,
    /// The number of the newest bucket: they are numbered from the epoch, so that the next process has the same.
    newest: u64,
}

const BUCKETS: usize = 61;
/// The same, for numbers of buckets.
const SPAN: u64 = 61;

impl Quota {
    pub(super) fn of(rate: Rate) -> Quota {
        let bucket = u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX).div_ceil(SPAN - 1).max(1);
        Quota { most: rate.count.into(), bucket, counts: [0; BUCKETS], sum: 0, newest: 0 }
    }

    /// The same messages under another count.
    pub(super) fn under(&self, rate: Rate) -> Quota {
        Quota { most: rate.count.into(), ..self.clone() }
    }

    /// When a message may go; `now` if it may at once.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        let mut left = self.sum;
        if left < self.most {
            return now;
        }
        for number in self.oldest()..=self.newest {
            left -= u64::from(self.counts[at(number)]);
            if left < self.most {
                return Timestamp((number + SPAN).saturating_mul(self.bucket)).max(now);
            }
        }
        Timestamp(u64::MAX)
    }

    /// Whether the next message was held back by this: when the last one went, it was spent.
    pub(super) fn is_tight(&self) -> bool {
        self.sum >= self.most
    }

    /// Whether nothing is counted.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        self.sum == 0 || now.0 / self.bucket >= self.newest.saturating_add(SPAN)
    }

    /// A message went.
    pub(super) fn take(&mut self, now: Timestamp) {
        self.roll(now);
        self.counts[at(self.newest)] += 1;
        self.sum += 1;
    }

    /// The message of that time did not go after all.
    pub(super) fn give_back(&mut self, taken: Timestamp, now: Timestamp) {
        self.roll(now);
        let number = taken.0 / self.bucket;
        let kept = number <= self.newest && self.newest - number < SPAN;
        if kept && self.counts[at(number)] > 0 {
            self.counts[at(number)] -= 1;
            self.sum -= 1;
        }
    }

    /// Buckets that hold something, by number.
    pub(super) fn spent(&self) -> impl Iterator<Item = (u64, u32)> {
        (self.oldest()..=self.newest).map(|number| (number, self.counts[at(number)])).filter(|(_, count)| *count > 0)
    }

    /// What an earlier process sent.
    pub(super) fn spend(&mut self, number: u64, count: u32, now: Timestamp) {
        self.roll(now);
        if number <= self.newest && self.newest - number < SPAN {
            let held = &mut self.counts[at(number)];
            self.sum += u64::from(held.saturating_add(count) - *held);
            *held = held.saturating_add(count);
        }
    }

    fn oldest(&self) -> u64 {
        (self.newest + 1).saturating_sub(SPAN)
    }

    /// Lets go of what is older than the span.
    fn roll(&mut self, now: Timestamp) {
        let number = now.0 / self.bucket;
        if number >= self.newest.saturating_add(SPAN) {
            (self.counts, self.sum, self.newest) = ([0; BUCKETS], 0, number);
        }
        while self.newest < number {
            self.newest += 1;
            self.sum -= u64::from(std::mem::take(&mut self.counts[at(self.newest)]));
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "below 61")]
fn at(number: u64) -> usize {
    (number % SPAN) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn all_of_it_may_go_at_once_and_then_nothing_for_its_span() {
        let mut quota = Quota::of(Rate { count: 500, per: HOUR });
        let now = Timestamp(90_000_000);
        for _ in 0..500 {
            assert_eq!(quota.ready_at(now), now);
            quota.take(now);
        }
        let next = quota.ready_at(now);
        assert!(next.since(now) >= HOUR && next.since(now) <= HOUR + HOUR / 60);
        assert!(quota.ready_at(Timestamp(next.0 - 1)) == next && quota.ready_at(next) == next);
    }

    #[test]
    fn the_next_process_knows_what_was_sent() {
        let rate = Rate { count: 10, per: HOUR };
        let (mut quota, mut next) = (Quota::of(rate), Quota::of(rate));
        (0..10).for_each(|minute| quota.take(Timestamp(60_000 * minute)));
        let now = Timestamp(3_000_000);
        quota.spent().for_each(|(number, count)| next.spend(number, count, now));
        assert_eq!(next.ready_at(now), quota.ready_at(now));
        assert!(next.ready_at(now) > now);
    }

    proptest! {
        #[test]
        fn no_span_has_more_than_the_rate(
            count in 1_u32..40,
            steps in proptest::collection::vec((0_u64..900_000, 0_usize..20, 0_usize..9), 1..200),
        ) {
            let mut quota = Quota::of(Rate { count, per: HOUR });
            let (mut now, mut sent) = (Timestamp(7_000_000), Vec::<Timestamp>::new());
            for (wait, many, back) in steps {
                now = now.after(Duration::from_millis(wait));
                for _ in 0..many {
                    if quota.ready_at(now) == now {
                        quota.take(now);
                        sent.push(now);
                    }
                }
                if back > 0 && back <= sent.len() {
                    let taken = sent.remove(sent.len() - back);
                    quota.give_back(taken, now);
                }
            }
            for (at, from) in sent.iter().enumerate() {
                let within = sent[at..].iter().take_while(|to| to.since(*from) < HOUR).count();
                prop_assert!(within <= count as usize);
            }
        }
    }
}
