//! A configured rate, and how it is held: a second's and a minute's as a pace, an hour's and a day's as a quota.

use super::gcra::Gcra;
use super::learned::Spent;
use super::quota::Quota;
use crate::clock::Timestamp;
use crate::shaping::Rate;
use std::time::Duration;

/// What is left of a rate.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    rate: Rate,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    Pace(Gcra),
    Quota(Box<Quota>),
}

/// Rates over a span this long are spread over it.
const LONGEST_PACE: Duration = Duration::from_secs(60);

impl Budget {
    /// `rate`, of which nothing is spent.
    pub(super) fn of(rate: Rate) -> Budget {
        let held =
            if rate.per <= LONGEST_PACE { Held::Pace(Gcra::of(rate)) } else { Held::Quota(Box::new(Quota::of(rate))) };
        Budget { rate, held }
    }

    /// `rate`, of which what was spent of the one with the same span is spent.
    pub(super) fn follow(rate: Rate, before: &[Budget]) -> Budget {
        let Some(old) = before.iter().find(|budget| budget.rate.per == rate.per) else { return Budget::of(rate) };
        if old.rate == rate {
            return old.clone();
        }
        let held = match &old.held {
            Held::Pace(gcra) => Held::Pace(gcra.under(rate)),
            Held::Quota(quota) => Held::Quota(Box::new(quota.under(rate))),
        };
        Budget { rate, held }
    }

    /// Messages a second, where it is a pace.
    pub(super) fn pace(&self) -> Option<f64> {
        matches!(self.held, Held::Pace(_)).then(|| f64::from(self.rate.count) / self.rate.per.as_secs_f64())
    }

    /// When there is something left; `now` if there is.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        match &self.held {
            Held::Pace(gcra) => gcra.ready_at(now),
            Held::Quota(quota) => quota.ready_at(now),
        }
    }

    /// Whether one that is spent now had to wait for it.
    pub(super) fn is_tight(&self, now: Timestamp) -> bool {
        match &self.held {
            Held::Pace(gcra) => gcra.is_tight(now),
            Held::Quota(quota) => quota.is_tight(),
        }
    }

    /// Whether nothing of it is spent.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        match &self.held {
            Held::Pace(gcra) => gcra.is_at_rest(now),
            Held::Quota(quota) => quota.is_at_rest(now),
        }
    }

    /// Whether the next process is told what is spent of it.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.held, Held::Quota(_))
    }

    /// One is spent.
    pub(super) fn take(&mut self, now: Timestamp) {
        match &mut self.held {
            Held::Pace(gcra) => gcra.take(now),
            Held::Quota(quota) => quota.take(now),
        }
    }

    /// The one that was spent at `taken` was not.
    pub(super) fn give_back(&mut self, taken: Timestamp, now: Timestamp) {
        match &mut self.held {
            Held::Pace(gcra) => gcra.give_back(taken, now),
            Held::Quota(quota) => quota.give_back(taken, now),
        }
    }

    /// What the next process must count; a pace is forgotten within a minute, and so is not kept.
    pub(super) fn spent(&self) -> impl Iterator<Item = Spent> {
        let quota = match &self.held {
            Held::Pace(_) => None,
            Held::Quota(quota) => Some(quota),
        };
        let seconds = self.rate.per.as_secs();
        quota.into_iter().flat_map(|quota| quota.spent()).map(move |(bucket, count)| Spent { seconds, bucket, count })
    }

    /// What an earlier process spent.
    pub(super) fn spend(&mut self, spent: &Spent, now: Timestamp) {
        if let Held::Quota(quota) = &mut self.held
            && self.rate.per.as_secs() == spent.seconds
        {
            quota.spend(spent.bucket, spent.count, now);
        }
    }
}
