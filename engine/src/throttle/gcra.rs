//! One pace, held exactly: the generic cell rate algorithm, as virtual scheduling.
//!
//! ATM Forum, Traffic Management Specification 4.0, and ITU-T I.371: each message moves the *theoretical arrival time* of the next
//! one by an interval; a message may come before that time by a tolerance, never earlier. Time is counted in integers of which
//! one message's interval is exactly so many, so nothing is rounded and nothing drifts.

use crate::clock::Timestamp;
use crate::shaping::Rate;

/// A message each interval, on average exactly; [`TOLERANCE`] of a rate's span may come at once.
#[derive(Clone, Debug)]
pub(super) struct Gcra {
    /// Ticks in a nanosecond.
    scale: u128,
    /// Ticks from message to message.
    interval: u128,
    /// How many ticks before its time a message may come.
    tolerance: u128,
    /// The theoretical arrival time of the next message, in ticks.
    due: u128,
    /// When a message last came while less than one was owed: what was taken before has had its slot.
    slack: Timestamp,
}

/// The tolerance, as a part of a rate's span: 17 ms of a second, which is what a busy shard's timers are late by; a second of a
/// minute. So over any second, or minute, there are never more messages than the rate allows, a sixtieth of it and one.
pub(super) const TOLERANCE: u32 = 60;

impl Gcra {
    /// `rate`, exactly: a tick is that part of a nanosecond of which an interval is a whole number.
    pub(super) fn of(rate: Rate) -> Gcra {
        let scale = u128::from(rate.count.max(1));
        let interval = rate.per.as_nanos();
        Gcra { scale, interval, tolerance: interval * scale / u128::from(TOLERANCE), due: 0, slack: Timestamp(0) }
    }

    /// So many messages a second, to the picosecond.
    pub(super) fn paced(a_second: f64) -> Gcra {
        let second = PICOS * NANOS;
        let mut gcra = Gcra { scale: PICOS, interval: 0, tolerance: 0, due: 0, slack: Timestamp(0) };
        gcra.tolerance = second / u128::from(TOLERANCE);
        gcra.pace(a_second);
        gcra
    }

    /// From here on so many messages a second, if this was made by [`Gcra::paced`].
    pub(super) fn pace(&mut self, a_second: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and saturates")]
        let picos = (1e12 / a_second.max(LEAST)) as u128;
        self.interval = picos.max(1);
    }

    /// The same debt under another rate.
    pub(super) fn under(&self, rate: Rate) -> Gcra {
        let mut other = Gcra::of(rate);
        other.due = self.due / self.scale * other.scale;
        // What was taken before can't be given back: its interval was another.
        other.slack = Timestamp(u64::try_from(self.due.div_ceil(self.scale * NANOS_IN_MILLI)).unwrap_or(u64::MAX));
        other
    }

    /// When a message may come; `now` if it may at once.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        if self.ticks(now) + self.tolerance >= self.due {
            return now;
        }
        let millis = (self.due - self.tolerance).div_ceil(self.scale * NANOS_IN_MILLI);
        Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// Whether a message that comes now was held back by this pace: it comes as soon as it may, or a moment later.
    pub(super) fn is_tight(&self, now: Timestamp) -> bool {
        self.due + (self.interval / 4).max(LATE * self.scale) >= self.ticks(now)
    }

    /// Whether nothing is owed.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        self.due <= self.ticks(now)
    }

    /// A message came.
    pub(super) fn take(&mut self, now: Timestamp) {
        let ticks = self.ticks(now);
        if self.due < ticks + self.interval {
            self.slack = now;
        }
        self.due = self.due.max(ticks) + self.interval;
    }

    /// The message that was taken at `taken` did not come after all. Had it never been taken, no message would have come
    /// later than it did only if since then one was always owed; else its slot has passed, and giving it to another would put
    /// two into one.
    pub(super) fn give_back(&mut self, taken: Timestamp, now: Timestamp) {
        if self.slack <= taken {
            self.due -= self.interval.min(self.due.saturating_sub(self.ticks(now)));
        }
    }

    fn ticks(&self, now: Timestamp) -> u128 {
        u128::from(now.0) * NANOS_IN_MILLI * self.scale
    }
}

/// Nanoseconds by which a timer is late.
const LATE: u128 = 5_000_000;
const NANOS_IN_MILLI: u128 = 1_000_000;
const NANOS: u128 = 1_000_000_000;
const PICOS: u128 = 1000;
/// Messages a second: one in eleven days.
const LEAST: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn second(count: u32) -> Gcra {
        Gcra::of(Rate { count, per: Duration::from_secs(1) })
    }

    /// Takes whenever it may, looking each `step` milliseconds, for `millis`.
    fn run(gcra: &mut Gcra, step: u64, millis: u64) -> u64 {
        let mut taken = 0;
        for now in (0..millis).step_by(usize::try_from(step).expect("small")).map(Timestamp) {
            while gcra.ready_at(now) == now {
                gcra.take(now);
                taken += 1;
            }
        }
        taken
    }

    #[test]
    fn a_coarse_clock_costs_nothing_on_average() {
        for count in [1, 7, 20, 333, 1000, 7_001, 12_000] {
            let taken = run(&mut second(count), 1, 1_000_000);
            let exact = u64::from(count) * 1000;
            assert!((exact..=exact + 1 + u64::from(count) / 60).contains(&taken), "{count}: {taken}");
        }
        // A shard that looks each 10 ms, as a timer that is late would make it.
        let taken = run(&mut second(7_001), 10, 1_000_000);
        assert!(taken >= 7_001 * 999, "{taken}");
        let taken = run(&mut Gcra::paced(7_001.5), 1, 1_000_000);
        assert!(taken.abs_diff(7_001_500) < 150, "{taken}");
    }

    #[test]
    fn what_it_names_is_the_next_time() {
        let mut gcra = second(20);
        let mut now = Timestamp(5_000);
        for _ in 0..1000 {
            while gcra.ready_at(now) == now {
                gcra.take(now);
            }
            let next = gcra.ready_at(now);
            assert!(next > now && gcra.ready_at(Timestamp(next.0 - 1)) == next && gcra.ready_at(next) == next);
            now = next;
        }
        assert_eq!(now.0.div_ceil(1000), 55);
    }

    #[test]
    fn what_is_given_back_at_once_is_there_again() {
        let mut gcra = Gcra::of(Rate { count: 6, per: Duration::from_secs(60) });
        gcra.take(Timestamp(0));
        assert!(gcra.ready_at(Timestamp(1)) > Timestamp(1));
        gcra.give_back(Timestamp(0), Timestamp(1));
        assert_eq!(gcra.ready_at(Timestamp(1)), Timestamp(1));
    }

    proptest! {
        /// Over any span of the rate's length: what the rate allows, and one burst.
        #[test]
        fn no_span_has_more_than_the_rate_and_a_burst(
            count in 1_u32..200,
            minute: bool,
            steps in proptest::collection::vec((0_u64..400, 0_usize..10, 0_usize..6), 1..300),
        ) {
            let per = Duration::from_secs(if minute { 60 } else { 1 });
            let mut gcra = Gcra::of(Rate { count, per });
            let (mut now, mut sent) = (Timestamp(1_000_000), Vec::<Timestamp>::new());
            for (wait, many, back) in steps {
                now = now.after(Duration::from_millis(if minute { wait * 20 } else { wait }));
                for _ in 0..many * 30 {
                    if gcra.ready_at(now) > now { break }
                    gcra.take(now);
                    sent.push(now);
                }
                if back > 0 && back <= sent.len() {
                    let taken = sent.remove(sent.len() - back);
                    gcra.give_back(taken, now);
                }
            }
            let most = count as usize + 1 + count as usize / 60;
            for (at, from) in sent.iter().enumerate() {
                let within = sent[at..].iter().take_while(|to| to.since(*from) < per).count();
                prop_assert!(within <= most, "{within} of {count} from {from:?}");
            }
        }
    }
}
