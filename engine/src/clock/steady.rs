//! The engine's clock: it follows the wall clock, and never in a jump.
//!
//! It starts at the wall's time and goes by the time since boot, which nobody can set and which counts suspension. Where the
//! wall clock says otherwise it is slewed towards it: at most twice as fast as time, at least half as fast, never backwards.
//! So a wall clock that leaps three days ahead neither expires what is deferred nor sends all of it at once, and one that
//! is set back stops nothing; small differences mend by the same rule before anybody sees them.

use super::{Apart, Clock, SystemClock, Timestamp};
use std::sync::Mutex;
use std::time::Duration;

/// What the clock is made of.
pub trait Sources: Send + Sync {
    /// What the wall clock shows; it may be set to anything at any moment.
    fn wall(&self) -> Timestamp;

    /// Time since some moment in the past, suspension included; it never goes backwards.
    fn elapsed(&self) -> Duration;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSources;

impl Sources for SystemSources {
    fn wall(&self) -> Timestamp {
        SystemClock.now()
    }

    fn elapsed(&self) -> Duration {
        let time = rustix::time::clock_gettime(STEADY);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// Counts suspension, so that rows are due when the machine wakes up.
#[cfg(target_os = "linux")]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// A clock that never jumps. Clones don't exist: share it.
#[derive(Debug)]
pub struct SteadyClock<S = SystemSources> {
    sources: S,
    last: Mutex<Reading>,
}

/// The last reading, in nanoseconds: a millisecond is coarse where one is halved.
#[derive(Clone, Copy, Debug)]
struct Reading {
    elapsed: u64,
    /// Since the epoch; to the year 2554.
    time: u64,
}

/// From this difference on people should know.
const NOTICED: Duration = Duration::from_secs(60);
const MILLI: u64 = 1_000_000;

impl SteadyClock {
    /// The machine's clock, from the wall's time now.
    pub fn start() -> SteadyClock {
        SteadyClock::of(SystemSources)
    }
}

impl<S: Sources> SteadyClock<S> {
    /// A clock of these sources, from the wall's time now.
    pub fn of(sources: S) -> SteadyClock<S> {
        let last = Reading { elapsed: nanos(sources.elapsed()), time: sources.wall().0.saturating_mul(MILLI) };
        SteadyClock { sources, last: Mutex::new(last) }
    }
}

impl<S: Sources> Clock for SteadyClock<S> {
    fn now(&self) -> Timestamp {
        // Read under the lock: two readings out of order would look like time running backwards.
        let mut last = self.last.lock().expect("no holder panics");
        *last = last.next(nanos(self.sources.elapsed()), self.sources.wall().0.saturating_mul(MILLI));
        Timestamp(last.time / MILLI)
    }

    fn apart(&self) -> Option<Apart> {
        let (now, wall) = (self.now(), self.sources.wall());
        let (ahead, behind) = (wall.since(now), now.since(wall));
        if ahead > NOTICED {
            return Some(Apart::Ahead(ahead));
        }
        (behind > NOTICED).then_some(Apart::Behind(behind))
    }
}

impl Reading {
    /// The reading at `elapsed`, while the wall clock shows `wall`.
    fn next(self, elapsed: u64, wall: u64) -> Reading {
        let step = elapsed.saturating_sub(self.elapsed);
        let natural = self.time.saturating_add(step);
        let time = if wall >= natural {
            natural.saturating_add(step.min(wall - natural))
        } else {
            natural - (step / 2).min(natural - wall)
        };
        Reading { elapsed: elapsed.max(self.elapsed), time }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Wall and elapsed time in milliseconds, set by hand.
    #[derive(Default)]
    struct Hand {
        wall: AtomicU64,
        elapsed: AtomicU64,
    }

    impl Sources for &Hand {
        fn wall(&self) -> Timestamp {
            Timestamp(self.wall.load(Ordering::SeqCst))
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.elapsed.load(Ordering::SeqCst))
        }
    }

    impl Hand {
        fn at(wall: u64) -> Hand {
            Hand { wall: wall.into(), elapsed: 5.into() }
        }

        /// Time goes on.
        fn pass(&self, millis: u64) {
            self.wall.fetch_add(millis, Ordering::SeqCst);
            self.elapsed.fetch_add(millis, Ordering::SeqCst);
        }

        fn set(&self, wall: u64) {
            self.wall.store(wall, Ordering::SeqCst);
        }
    }

    const DAY: u64 = 24 * 3600 * 1000;
    const T0: u64 = 20_000 * DAY;

    #[test]
    fn it_goes_with_the_wall_while_nobody_sets_it() {
        let hand = Hand::at(T0);
        let clock = SteadyClock::of(&hand);
        for millis in [0, 1, 1000, DAY] {
            hand.pass(millis);
            assert_eq!((clock.now().0, clock.apart()), (hand.wall.load(Ordering::SeqCst), None));
        }
    }

    #[test]
    fn three_days_ahead_are_caught_up_at_twice_the_speed() {
        let hand = Hand::at(T0);
        let clock = SteadyClock::of(&hand);
        hand.set(T0 + 3 * DAY);
        assert_eq!(clock.now(), Timestamp(T0), "not at once");
        assert_eq!(clock.apart(), Some(Apart::Ahead(Duration::from_secs(3 * 24 * 3600))));
        hand.pass(DAY);
        assert_eq!(clock.now(), Timestamp(T0 + 2 * DAY));
        hand.pass(2 * DAY);
        assert_eq!((clock.now(), clock.apart()), (Timestamp(T0 + 6 * DAY), None));
        hand.pass(DAY);
        assert_eq!(clock.now(), Timestamp(T0 + 7 * DAY), "and then it goes on as time does");
    }

    #[test]
    fn set_back_it_goes_at_half_the_speed_until_the_wall_is_there() {
        let hand = Hand::at(T0);
        let clock = SteadyClock::of(&hand);
        hand.set(T0 - DAY);
        assert_eq!(clock.now(), Timestamp(T0));
        assert_eq!(clock.apart(), Some(Apart::Behind(Duration::from_secs(24 * 3600))));
        hand.pass(DAY);
        assert_eq!(clock.now(), Timestamp(T0 + DAY / 2));
        hand.pass(DAY);
        assert_eq!((clock.now(), clock.apart()), (Timestamp(T0 + DAY), None));
    }

    #[test]
    fn a_wall_before_the_epoch_or_at_the_end_of_time_breaks_nothing() {
        let hand = Hand::at(0);
        let clock = SteadyClock::of(&hand);
        hand.set(u64::MAX);
        hand.pass(0);
        assert_eq!(clock.now(), Timestamp(0));
        hand.elapsed.fetch_add(1000, Ordering::SeqCst);
        assert_eq!(clock.now(), Timestamp(2000));
        hand.elapsed.store(0, Ordering::SeqCst);
        assert_eq!(clock.now(), Timestamp(2000), "a source that goes backwards stops it, no more");
    }

    #[test]
    fn the_machines_own_sources_agree_with_each_other() {
        let clock = SteadyClock::start();
        let (first, wall) = (clock.now(), SystemClock.now());
        assert!(first.since(wall).max(wall.since(first)) < Duration::from_secs(2), "{first:?} {wall:?}");
        assert!(clock.now() >= first);
    }

    proptest! {
        /// Whatever the wall does: never backwards, at most twice and at least half as fast as time.
        #[test]
        fn its_speed_is_bounded(steps in proptest::collection::vec((0_u64..DAY, 0_u64..40_000 * DAY), 1..50)) {
            let hand = Hand::at(T0);
            let clock = SteadyClock::of(&hand);
            let mut before = clock.now().0;
            for (passed, wall) in steps {
                hand.pass(passed);
                hand.set(wall);
                let now = clock.now().0;
                // A millisecond is lost to rounding at either end.
                prop_assert!(now >= before && now - before <= 2 * passed + 1 && now - before + 1 >= passed / 2);
                before = now;
            }
        }

        /// However it was set once: in at most twice the difference both agree, and stay so, however often it is read.
        #[test]
        fn it_converges(wall in T0 / 2..2 * T0, readings in 1_u64..50) {
            let hand = Hand::at(T0);
            let clock = SteadyClock::of(&hand);
            hand.set(wall);
            let whole = 2 * wall.abs_diff(T0) + readings;
            for _ in 0..readings {
                hand.pass(whole.div_ceil(readings));
                clock.now();
            }
            prop_assert_eq!(clock.now().0, hand.wall.load(Ordering::SeqCst));
            hand.pass(12_345);
            prop_assert_eq!(clock.now().0, hand.wall.load(Ordering::SeqCst));
        }
    }
}
