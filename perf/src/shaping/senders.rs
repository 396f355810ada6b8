//! Who sends: three ways to choose a pace.

use engine::clock::Timestamp;
use engine::shaping::Terms;
use engine::throttle::{Learned, Refusal, Throttle};
use std::sync::Arc;
use std::time::Duration;

/// Says how many sessions and how fast, and hears what came of it.
pub trait Sender {
    fn sessions(&mut self, now: Timestamp) -> usize;
    fn connect(&mut self, now: Timestamp) -> Result<(), Timestamp>;
    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp>;
    /// A message was answered and the answer said nothing of our pace.
    fn answered(&mut self, busy: usize, now: Timestamp);
    /// A message was refused for our pace.
    fn too_fast(&mut self, busy: usize, open: usize, now: Timestamp);
    /// A session was refused; `open` are left.
    fn refused(&mut self, open: usize, now: Timestamp);
    /// What the next process is told.
    fn learned(&self, _now: Timestamp) -> Option<Learned> {
        None
    }
}

/// So many connections, so many messages a second, whatever is answered.
pub struct Fixed {
    connections: usize,
    interval_ms: u64,
    next: Timestamp,
    again: Timestamp,
}

/// What a session that was refused waits for.
const AGAIN: Duration = Duration::from_secs(1);

impl Fixed {
    pub fn new(connections: usize, a_second: u64) -> Fixed {
        Fixed { connections, interval_ms: 1000 / a_second, next: Timestamp(0), again: Timestamp(0) }
    }
}

impl Sender for Fixed {
    fn sessions(&mut self, _now: Timestamp) -> usize {
        self.connections
    }

    fn connect(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if now < self.again { Err(self.again) } else { Ok(()) }
    }

    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if now < self.next {
            return Err(self.next);
        }
        self.next = Timestamp(self.next.0.max(now.0.saturating_sub(20)) + self.interval_ms);
        Ok(())
    }

    fn answered(&mut self, _busy: usize, _now: Timestamp) {}

    fn too_fast(&mut self, _busy: usize, _open: usize, _now: Timestamp) {}

    fn refused(&mut self, _open: usize, now: Timestamp) {
        self.again = now.after(AGAIN);
    }
}

/// Postfix's concurrency feedback, by the pseudocode of its SCHEDULER_README: a message that is deferred is no failure, a session
/// that is refused costs a message its attempt.
pub struct Postfix {
    limit: usize,
    per_delivery: bool,
    concurrency: usize,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
    dead_until: Timestamp,
}

const INITIAL: usize = 5;
const COHORT_LIMIT: f64 = 1.0;
/// `minimal_backoff_time`.
const BACK_OFF: Duration = Duration::from_secs(300);

impl Postfix {
    /// Its defaults but for `limit`, whose default is 20; `per_delivery` is its default feedback, 1, else 1/concurrency.
    pub fn new(limit: usize, per_delivery: bool) -> Postfix {
        Postfix {
            limit,
            per_delivery,
            concurrency: INITIAL.min(limit),
            success: 0.0,
            failure: 0.0,
            failed_cohorts: 0.0,
            dead_until: Timestamp(0),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sessions")]
    fn feedback(&self) -> f64 {
        if self.per_delivery { 1.0 } else { 1.0 / self.concurrency as f64 }
    }
}

impl Sender for Postfix {
    fn sessions(&mut self, now: Timestamp) -> usize {
        if self.concurrency == 0 && now >= self.dead_until {
            (self.concurrency, self.failed_cohorts) = (INITIAL.min(self.limit), 0.0);
        }
        self.concurrency
    }

    fn connect(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if now < self.dead_until { Err(self.dead_until) } else { Ok(()) }
    }

    fn take(&mut self, _now: Timestamp) -> Result<(), Timestamp> {
        Ok(())
    }

    fn answered(&mut self, busy: usize, _now: Timestamp) {
        self.failed_cohorts = 0.0;
        if self.concurrency == 0 || self.concurrency >= busy + INITIAL {
            return;
        }
        // A hair more than 1/N, N times, is one.
        self.success += self.feedback() + 1e-9;
        while self.success >= 1.0 {
            self.concurrency += 1;
            self.failure = 0.0;
            self.success -= 1.0;
        }
        self.concurrency = self.concurrency.min(self.limit);
    }

    fn too_fast(&mut self, busy: usize, _open: usize, now: Timestamp) {
        self.answered(busy, now);
    }

    #[expect(clippy::cast_precision_loss, reason = "sessions")]
    fn refused(&mut self, _open: usize, now: Timestamp) {
        if self.concurrency == 0 {
            return;
        }
        self.failed_cohorts += 1.0 / self.concurrency as f64;
        if self.failed_cohorts > COHORT_LIMIT {
            self.concurrency = 0;
            self.dead_until = now.after(BACK_OFF);
            return;
        }
        self.failure -= self.feedback();
        while self.failure < 0.0 {
            self.concurrency -= 1;
            self.failure += 1.0;
            self.success = 0.0;
        }
        self.concurrency = self.concurrency.max(1);
    }
}

/// Ours: what the engine itself goes by.
pub struct Ours(Throttle);

impl Ours {
    pub fn new(connections: usize, learned: Option<Learned>, now: Timestamp) -> Ours {
        let terms = Terms {
            connections,
            first_window: connections,
            messages_per_connection: 100,
            rates: Vec::new(),
            connection_rate: None,
        };
        Ours(Throttle::new(Arc::new(terms), learned, now))
    }
}

impl Sender for Ours {
    fn sessions(&mut self, now: Timestamp) -> usize {
        self.0.window(now)
    }

    fn connect(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.0.connect(now)
    }

    fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.0.take(now)
    }

    fn answered(&mut self, busy: usize, now: Timestamp) {
        self.0.accepted(busy, now);
    }

    fn too_fast(&mut self, _busy: usize, open: usize, now: Timestamp) {
        self.0.refused(Refusal::Rate, open, now);
    }

    fn refused(&mut self, open: usize, now: Timestamp) {
        if open == 0 { self.0.failed(now) } else { self.0.refused(Refusal::Connection, open, now) }
    }

    fn learned(&self, now: Timestamp) -> Option<Learned> {
        self.0.learned(now)
    }
}
