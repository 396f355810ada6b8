//! How many messages a second were taken lately.

use crate::clock::Timestamp;
use std::time::Duration;

/// A count over the last two spans, each of at least [`SPAN`] and [`FEW`] messages: recent for fast providers, steady for slow ones.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    since: Timestamp,
    count: u32,
    before: Option<(Timestamp, u32)>,
}

const SPAN: Duration = Duration::from_secs(2);
const FEW: u32 = 20;

impl Meter {
    pub(super) fn new(now: Timestamp) -> Meter {
        Meter { since: now, count: 0, before: None }
    }

    pub(super) fn count(&mut self, now: Timestamp) {
        self.count += 1;
        if self.count >= FEW && now.since(self.since) >= SPAN {
            self.before = Some((self.since, self.count));
            (self.since, self.count) = (now, 0);
        }
    }

    /// Nothing was wanted for so long.
    pub(super) fn pass_over(&mut self, idle: Duration) {
        self.since = self.since.after(idle);
        if let Some((since, _)) = &mut self.before {
            *since = since.after(idle);
        }
    }

    /// Messages a second.
    pub(super) fn rate(&self, now: Timestamp) -> f64 {
        let (since, before) = self.before.unwrap_or((self.since, 0));
        f64::from(before + self.count) / now.since(since).as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_was_taken_lately() {
        let mut meter = Meter::new(Timestamp(0));
        (0..1000).for_each(|n| meter.count(Timestamp(n * 10)));
        assert!((meter.rate(Timestamp(10_000)) - 100.0).abs() < 1.0);
        (0..100).for_each(|n| meter.count(Timestamp(10_000 + n * 100)));
        assert!((meter.rate(Timestamp(20_000)) - 10.0).abs() < 0.5);
        meter.pass_over(Duration::from_secs(100));
        assert!((meter.rate(Timestamp(120_000)) - 10.0).abs() < 0.5, "an idle time is no slow time");
    }
}
