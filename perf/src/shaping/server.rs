//! A receiver at work.

use super::limiter::Limiter;
use super::receiver::Receiver;

/// A row on its way.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// When this receiver saw it first, in seconds.
    pub seen: Option<f64>,
    /// Nobody has its address.
    pub is_unknown: bool,
}

/// What it says to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    /// 550 5.1.1
    Unknown,
    /// 451 4.7.1, come again.
    Greylisted,
    /// 450 4.7.x, too fast.
    TooFast,
}

/// The receiver, its counters and its opinion of us.
pub struct Server<'a> {
    receiver: &'a Receiver,
    limiters: Vec<Limiter>,
    /// When sessions that were closed stop to count.
    lingering: Vec<f64>,
    pub open: usize,
    standing: f64,
    healed: f64,
}

impl<'a> Server<'a> {
    pub fn new(receiver: &'a Receiver) -> Server<'a> {
        let limiters = receiver.limit.iter().cloned().map(Limiter::new).collect();
        Server { receiver, limiters, lingering: Vec::new(), open: 0, standing: 1.0, healed: 0.0 }
    }

    /// Whether a session is let in.
    pub fn connect(&mut self, now: f64) -> bool {
        self.lingering.retain(|until| *until > now);
        let counted = self.open + self.lingering.len();
        let factor = self.receiver.factor(now);
        let admits = self.limiters.iter_mut().all(|limiter| limiter.admits(counted, factor, now));
        self.open += usize::from(admits);
        admits
    }

    /// A session was closed.
    pub fn close(&mut self, now: f64) {
        self.open -= 1;
        let lingers = self.limiters.iter().map(Limiter::lingers).fold(0.0, f64::max);
        if lingers > 0.0 {
            self.lingering.push(now + lingers);
        }
    }

    /// What it says to a row.
    pub fn mail(&mut self, row: &mut Row, now: f64) -> Answer {
        let factor = self.receiver.factor(now) * self.standing(now);
        if !self.limiters.iter_mut().all(|limiter| limiter.takes(factor, now)) {
            return Answer::TooFast;
        }
        if row.is_unknown {
            if let Some(reputation) = self.receiver.reputation {
                self.standing = (self.standing - reputation.harm).max(reputation.least);
            }
            return Answer::Unknown;
        }
        let seen = *row.seen.get_or_insert(now);
        let waits = self.receiver.greylist_seconds.is_some_and(|seconds| now - seen < seconds);
        if waits { Answer::Greylisted } else { Answer::Accepted }
    }

    /// What its limits are multiplied by for what it thinks of us.
    pub fn standing(&mut self, now: f64) -> f64 {
        if let Some(reputation) = self.receiver.reputation {
            self.standing = (self.standing + (now - self.healed) * reputation.heals).min(1.0);
            self.healed = now;
        }
        self.standing
    }
}
