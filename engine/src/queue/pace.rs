//! How fast a lane gets rid of its rows.

use crate::clock::Timestamp;
use std::time::Duration;

/// Rows settled a second, smoothed over the last few windows.
#[derive(Debug)]
pub(super) struct Pace {
    since: Timestamp,
    settled: u32,
    rate: Option<f64>,
}

/// Long enough to see the slowest sites move at all.
const WINDOW: Duration = Duration::from_secs(1);

impl Pace {
    pub(super) fn new(now: Timestamp) -> Pace {
        Pace { since: now, settled: 0, rate: None }
    }

    /// A row was settled.
    pub(super) fn settled(&mut self) {
        self.settled += 1;
    }

    /// How many rows the lane settles in `span`; `None` until it was watched for a while.
    pub(super) fn rows_in(&mut self, span: Duration, now: Timestamp) -> Option<usize> {
        let watched = now.since(self.since);
        if watched >= WINDOW {
            let measured = f64::from(std::mem::take(&mut self.settled)) / watched.as_secs_f64();
            self.rate = Some(self.rate.map_or(measured, |before| (before + measured) / 2.0));
            self.since = now;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count of rows")]
        self.rate.map(|rate| (rate * span.as_secs_f64()).min(1e9) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_unknown_at_first_and_then_follows_what_happens() {
        let mut pace = Pace::new(Timestamp(0));
        let ten = Duration::from_secs(10);
        (0..500).for_each(|_| pace.settled());
        assert_eq!(pace.rows_in(ten, Timestamp(500)), None);
        assert_eq!(pace.rows_in(ten, Timestamp(1000)), Some(5000));
        assert_eq!(pace.rows_in(ten, Timestamp(1500)), Some(5000), "the window is not full yet");
        assert_eq!(pace.rows_in(ten, Timestamp(2000)), Some(2500), "nothing moved");
    }
}
