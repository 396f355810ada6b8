//! How a receiver counts.

use super::receiver::Limit;
use std::collections::VecDeque;

/// One limit at work; times are seconds.
pub struct Limiter {
    limit: Limit,
    /// Tokens, or messages in the window that is running.
    level: f64,
    since: f64,
    /// Of a sliding window.
    lately: VecDeque<f64>,
    shut_until: f64,
}

impl Limiter {
    pub fn new(limit: Limit) -> Limiter {
        let level = if let Limit::Bucket { burst, .. } = limit { burst } else { 0.0 };
        Limiter { limit, level, since: 0.0, lately: VecDeque::new(), shut_until: 0.0 }
    }

    /// Whether a session more is let in beside `open` others.
    pub fn admits(&mut self, open: usize, factor: f64, now: f64) -> bool {
        match self.limit {
            #[expect(clippy::cast_precision_loss, reason = "sessions")]
            Limit::Connections { most, .. } => (open as f64) < (most * factor).max(1.0),
            Limit::ConnectionRate { count, per_seconds } => self.counts(count * factor, per_seconds, now),
            _ => true,
        }
    }

    /// Whether a message is taken.
    pub fn takes(&mut self, factor: f64, now: f64) -> bool {
        let (takes, penalty) = match self.limit {
            Limit::Connections { .. } | Limit::ConnectionRate { .. } => return true,
            _ if now < self.shut_until => (false, self.penalty()),
            Limit::Bucket { rate, burst, penalty_seconds } => {
                (self.pours(rate * factor, burst * factor, now), penalty_seconds)
            }
            Limit::Window { count, per_seconds, penalty_seconds } => {
                (self.counts(count * factor, per_seconds, now), penalty_seconds)
            }
            Limit::Sliding { count, per_seconds, counts_refused, penalty_seconds } => {
                (self.slides(count * factor, per_seconds, counts_refused, now), penalty_seconds)
            }
        };
        if !takes {
            self.shut_until = self.shut_until.max(now + penalty);
        }
        takes
    }

    /// How long a session that was closed is counted.
    pub fn lingers(&self) -> f64 {
        if let Limit::Connections { lingers_ms, .. } = self.limit { lingers_ms / 1000.0 } else { 0.0 }
    }

    fn penalty(&self) -> f64 {
        match self.limit {
            Limit::Bucket { penalty_seconds, .. }
            | Limit::Window { penalty_seconds, .. }
            | Limit::Sliding { penalty_seconds, .. } => penalty_seconds,
            Limit::Connections { .. } | Limit::ConnectionRate { .. } => 0.0,
        }
    }

    fn pours(&mut self, rate: f64, burst: f64, now: f64) -> bool {
        self.level = (self.level + (now - self.since) * rate).min(burst.max(1.0));
        self.since = now;
        let takes = self.level >= 1.0;
        self.level -= if takes { 1.0 } else { 0.0 };
        takes
    }

    fn counts(&mut self, count: f64, per: f64, now: f64) -> bool {
        let window = (now / per).floor() * per;
        if window > self.since {
            (self.since, self.level) = (window, 0.0);
        }
        let takes = self.level + 1.0 <= count.max(1.0);
        self.level += if takes { 1.0 } else { 0.0 };
        takes
    }

    fn slides(&mut self, count: f64, per: f64, counts_refused: bool, now: f64) -> bool {
        while self.lately.front().is_some_and(|first| now - first >= per) {
            self.lately.pop_front();
        }
        #[expect(clippy::cast_precision_loss, reason = "messages")]
        let takes = (self.lately.len() as f64) + 1.0 <= count.max(1.0);
        if takes || counts_refused {
            self.lately.push_back(now);
        }
        takes
    }
}
