//! The pace after a refusal: back to just under what was refused, a long wait there, then a probe that grows ever faster.
//!
//! ```text
//!   pace                                            ╱  probe: cubic, for as long as nothing is refused
//!  level ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈╱┈
//!        ·──────────────────────────────────────────
//!       ╱   wait, at 99 % of the level
//!      ╱  return: cubic
//! ```
//!
//! The shape is CUBIC's (RFC 9438 section 4.1), with one change. TCP sees its limit move all the time and keeps probing around it;
//! a provider's is the same for days, and every probe that fails is a refusal in its log: so the curve is cut at the level, and
//! the time between its halves is as long as a probe is dear. With plain halving (and additive increase) the mean would be three
//! quarters of the limit.

use std::time::Duration;

/// One such curve.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Messages a second that were refused, or nearly.
    level: f64,
    /// The part of the level that it starts from.
    start: f64,
    /// How long it stays under the level.
    wait: Duration,
    /// How long it then takes to twice the level.
    doubles: Duration,
    /// A level that held before the limit fell: reached again, it is waited under as well.
    former: Option<f64>,
    /// How far along the curve we are.
    clock: Duration,
}

/// The part of the level that is sent at: with jitter on the way, what is spaced to the very limit passes it in one second of ten.
const UNDER: f64 = 0.99;
const RETURN: Duration = Duration::from_secs(5);
/// The probe is at twice the level after this time, at ten times after twice of it.
const DOUBLES: Duration = Duration::from_secs(40);
/// Where messages are few it takes longer; so long where it counts by the minute, or by the hour.
const SLOWLY_DOUBLES: Duration = Duration::from_secs(120);
const LONGEST_DOUBLES: Duration = Duration::from_secs(300);
/// A return is no shorter than this many messages, and doubling no shorter than [`DOUBLES_IN`]: a few messages say nothing.
const RETURNS_IN: f64 = 20.0;
const DOUBLES_IN: f64 = 60.0;

impl Curve {
    /// From `start` of `level`, which is a guess that is worth waiting `wait` for.
    pub(super) fn new(level: f64, start: f64, wait: Duration) -> Curve {
        let doubles =
            Duration::from_secs_f64(DOUBLES_IN / level.max(DOUBLES_IN / 1000.0)).clamp(DOUBLES, SLOWLY_DOUBLES);
        Curve { level, start, wait, doubles, former: None, clock: Duration::ZERO }
    }

    /// The same, with twice the level in half of the time.
    pub(super) fn doubling_sooner(mut self) -> Curve {
        self.doubles /= 2;
        self
    }

    /// The same, with twice the level no sooner than this.
    pub(super) fn doubling_in(mut self, time: Duration) -> Curve {
        self.doubles = self.doubles.max(time.min(LONGEST_DOUBLES));
        self
    }

    /// The same, for a limit that was at `former` before.
    pub(super) fn below(mut self, former: Option<f64>) -> Curve {
        self.former = former.filter(|former| *former > self.level);
        self
    }

    /// A level that held before this one, if this one is far lower.
    pub(super) fn former_of(&self, level: f64) -> Option<f64> {
        let held = self.former.map_or(self.level, |former| former.max(self.level));
        (level < held * FALLEN).then_some(held)
    }

    /// Messages a second that were refused, or nearly.
    pub(super) fn level(&self) -> f64 {
        self.level
    }

    /// Messages a second.
    pub(super) fn pace(&self) -> f64 {
        self.pace_before(Duration::ZERO)
    }

    /// The same, some time ago.
    pub(super) fn pace_before(&self, time: Duration) -> f64 {
        let (back, up) = (self.returning(), self.returning() + self.wait);
        let clock = self.clock.saturating_sub(time);
        let factor = if clock < back {
            let left = 1.0 - clock.as_secs_f64() / back.as_secs_f64();
            UNDER - (UNDER - self.start) * left.powi(3)
        } else if clock <= up {
            UNDER
        } else {
            UNDER * (1.0 + ((clock - up).as_secs_f64() / self.doubles.as_secs_f64()).powi(3))
        };
        self.level * factor
    }

    /// Messages a second that are known to be taken, or nearly: of a probe, what was clean for a minute.
    pub(super) fn known(&self) -> f64 {
        self.level.max(self.pace_before(PROVEN_IN))
    }

    /// Whether it is at its level for a moment only.
    pub(super) fn is_new(&self) -> bool {
        self.clock < self.returning() + DOUBLES
    }

    /// Whether more than the level is tried.
    pub(super) fn is_probing(&self) -> bool {
        self.clock > self.returning() + self.wait
    }

    /// Whether the wait is over `time` from now.
    pub(super) fn has_waited(&self, time: Duration) -> bool {
        self.clock + time >= self.returning() + self.wait
    }

    /// Time passed without a refusal. A probe only grows while its pace is what holds messages back: else nothing is probed.
    pub(super) fn pass(&mut self, time: Duration, is_bound: bool) {
        let up = self.returning() + self.wait;
        let probed = if is_bound {
            time.min(Duration::from_secs_f64(2.0 / self.pace().max(0.001)).max(STEP))
        } else {
            Duration::ZERO
        };
        self.clock = if self.clock >= up { self.clock + probed } else { (self.clock + time).min(up + probed) };
        if let Some(former) = self.former
            && self.pace() >= former * UNDER
        {
            *self = Curve::new(former, UNDER, LONG_WAIT);
        }
    }

    fn returning(&self) -> Duration {
        RETURN.max(Duration::from_secs_f64((RETURNS_IN / self.level).min(MOST_SECONDS)))
    }
}

/// What many who count count by.
const PROVEN_IN: Duration = Duration::from_secs(60);
/// A limit that is below this part of what it was has fallen; less is noise.
const FALLEN: f64 = 0.7;
/// The longest step of a probe.
const STEP: Duration = Duration::from_secs(1);
/// The wait under a level that held before.
const LONG_WAIT: Duration = Duration::from_secs(60);
/// Keeps the slowest paces from overflowing a duration.
const MOST_SECONDS: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut curve: Curve, seconds: u64, is_bound: bool) -> f64 {
        (0..seconds * 10).for_each(|_| curve.pass(Duration::from_millis(100), is_bound));
        curve.pace()
    }

    #[test]
    fn returns_waits_and_grows_ever_faster() {
        let curve = Curve::new(100.0, 0.5, Duration::from_secs(60));
        let pace = |seconds| after(curve.clone(), seconds, true);
        assert!((pace(0) - 50.0).abs() < 1.0 && pace(2) > 85.0);
        assert!((pace(5) - 99.0).abs() < 0.1 && (pace(65) - 99.0).abs() < 0.1);
        assert!(pace(72) < 101.0, "gently at first: {}", pace(72));
        assert!((pace(105) - 198.0).abs() < 5.0 && pace(152) > 1000.0);
        assert!((after(curve, 1000, false) - 99.0).abs() < 0.1, "nothing is probed where nothing waits");
    }

    #[test]
    fn waits_where_the_limit_was_before() {
        let curve = Curve::new(10.0, 0.9, Duration::from_secs(10)).below(Some(100.0));
        let highest = (0..140).map(|seconds| after(curve.clone(), seconds, true)).fold(0.0, f64::max);
        assert!((98.0..=104.0).contains(&highest), "{highest}");
    }

    #[test]
    fn an_hour_of_silence_is_no_hour_of_probing() {
        let mut curve = Curve::new(10.0, 0.9, Duration::from_secs(60));
        curve.pass(Duration::from_secs(3600), true);
        assert!(curve.pace() < 10.1);
    }
}
