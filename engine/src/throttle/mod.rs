//! How fast a provider is sent to from one source: what is allowed, and what its servers have taught us.
//!
//! A [`Throttle`] is arithmetic over the time it is given: no socket, no clock, no lock, nothing allocated for a message. The shard
//! that owns the provider asks it before each connection and each MAIL, and tells it what came of them; `perf/` asks the same of
//! models of receivers, by which its numbers were chosen.
//!
//! - **Rates** (`budget`): the configured ones, each held by itself and exactly. A second's and a minute's are paced (`gcra`), an hour's
//!   and a day's counted (`quota`).
//! - **Ceiling** (`ceiling`, `door`, `curve`, `meter`): the pace that was learned. A refusal for going too fast closes the door for a moment; one
//!   message asks whether it is open again; then the pace returns to just under what was taken, waits, and probes.
//! - **Window** (`window`): how many sessions may be open, by Postfix's cohorts, and by what was refused. Where cohort after cohort
//!   fails the provider is *dead* until a time, and returns with one probe.
//! - **Learned** (`learned`): what survives the process.
//!
//! Nothing configured and nothing learned is no limit at all: as many sessions as the terms have, and no wait.

mod budget;
mod ceiling;
mod curve;
mod door;
mod gcra;
mod learned;
mod meter;
mod quota;
mod window;

pub use learned::{Learned, Spent};

use crate::clock::Timestamp;
use crate::shaping::Terms;
use budget::Budget;
use ceiling::Ceiling;
use std::sync::Arc;
use window::Window;

/// A provider's pace from one source.
#[derive(Clone, Debug)]
pub struct Throttle {
    terms: Arc<Terms>,
    rates: Vec<Budget>,
    connections: Option<Budget>,
    ceiling: Ceiling,
    window: Window,
}

/// What a server refused to all of us, not to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A message: we go too fast.
    Rate,
    /// A session: there are too many.
    Connection,
}

/// Messages a second that nobody learns a bound above of.
const BOUNDLESS: f64 = 100_000.0;

impl Throttle {
    /// One that starts from what was learned, if anything was.
    pub fn new(terms: Arc<Terms>, learned: Option<Learned>, now: Timestamp) -> Throttle {
        let mut throttle = Throttle {
            rates: terms.rates.iter().map(|rate| Budget::of(*rate)).collect(),
            connections: terms.connection_rate.map(Budget::of),
            ceiling: Ceiling::new(now),
            window: Window::new(terms.first_window, terms.connections),
            terms,
        };
        if let Some(learned) = learned {
            throttle.restore(&learned, now);
        }
        throttle
    }

    fn restore(&mut self, learned: &Learned, now: Timestamp) {
        for rate in &mut self.rates {
            learned.spent.iter().for_each(|spent| rate.spend(spent, now));
        }
        if let Some(trust) = learned.trust(now) {
            self.ceiling.restore(learned.ceiling, trust, learned.holds(now));
            if let Some(sessions) = learned.window {
                self.window.restore(sessions, trust, now);
            }
        }
    }

    /// New terms, of rules that were read anew. What was spent stays spent.
    pub fn set_terms(&mut self, terms: Arc<Terms>, _now: Timestamp) {
        self.rates = terms.rates.iter().map(|rate| Budget::follow(*rate, &self.rates)).collect();
        self.connections = terms.connection_rate.map(|rate| Budget::follow(rate, self.connections.as_slice()));
        self.window.bound(terms.connections);
        self.terms = terms;
    }

    /// How many sessions may be open at `now`.
    pub fn window(&self, now: Timestamp) -> usize {
        self.window.size(now)
    }

    /// The earliest time at which there is a token for a connection, `now` if there is one.
    pub fn connects_at(&self, now: Timestamp) -> Timestamp {
        let configured = self.connections.as_ref().map_or(now, |connections| connections.ready_at(now));
        self.window.ready_at(now).max(configured)
    }

    /// Spends a token for a connection.
    ///
    /// # Errors
    /// There is none before this time.
    pub fn connect(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let next = self.connects_at(now);
        if next > now {
            return Err(next);
        }
        if let Some(connections) = &mut self.connections {
            connections.take(now);
        }
        Ok(())
    }

    /// The earliest time at which there is a token for a message, `now` if there is one; spends nothing. While an answer is
    /// awaited on which it depends, that is when to ask again.
    pub fn ready_at(&self, now: Timestamp) -> Timestamp {
        let configured = self.rates.iter().map(|rate| rate.ready_at(now)).max();
        self.ceiling.ready_at(now).max(self.window.dead_until()).max(configured.unwrap_or(now))
    }

    /// Spends a token for a message, to be called when its MAIL is about to be written. Each that is spent ends in one call of
    /// [`accepted`](Throttle::accepted), of [`refused`](Throttle::refused) with [`Refusal::Rate`], of
    /// [`unanswered`](Throttle::unanswered), or of [`give_back`](Throttle::give_back).
    ///
    /// # Errors
    /// There is none before this time.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let next = self.ready_at(now);
        if next > now {
            return Err(next);
        }
        let was_held_back = self.rates.iter().any(|rate| rate.is_tight(now));
        self.ceiling.take(was_held_back, now);
        self.rates.iter_mut().for_each(|rate| rate.take(now));
        Ok(())
    }

    /// Gives back the token of `taken`, for which there was no message after all: the server has seen nothing of it.
    pub fn give_back(&mut self, taken: Timestamp, now: Timestamp) {
        self.rates.iter_mut().for_each(|rate| rate.give_back(taken, now));
        self.ceiling.give_back(taken, now);
    }

    /// Nobody will say what became of a message whose MAIL was written: the session broke, or another went before it. Its token
    /// stays spent.
    pub fn unanswered(&mut self, _now: Timestamp) {
        self.ceiling.unanswered();
    }

    /// A server answered a message that held no complaint about our pace; `busy` sessions had a message on the wire.
    pub fn accepted(&mut self, busy: usize, now: Timestamp) {
        self.ceiling.accepted(self.configured(), now);
        self.window.accepted(busy, now);
    }

    /// A server refused all of us; `open` sessions are left, those that are being opened among them.
    pub fn refused(&mut self, what: Refusal, open: usize, now: Timestamp) {
        match what {
            Refusal::Rate => self.ceiling.refused(now),
            Refusal::Connection => self.window.refused(open, now),
        }
    }

    /// No session could be opened although none was open: the site does not answer, or wants nobody. Sessions that fail together
    /// are one failure.
    pub fn failed(&mut self, now: Timestamp) {
        self.window.failed(now);
    }

    /// Messages a second that it is bounded by now, by what is configured and what was learned; `None` where it is not. What an hour
    /// or a day allows is no pace, and not in it.
    pub fn ceiling(&self) -> Option<f64> {
        let least = self.ceiling.pace().unwrap_or(BOUNDLESS).min(self.configured());
        (least < BOUNDLESS).then_some(least)
    }

    /// Until when nothing may be sent.
    pub fn held_until(&self, now: Timestamp) -> Timestamp {
        self.ceiling.held_until().max(self.window.dead_until()).max(now)
    }

    /// Whether a new one, made from what was [`learned`](Throttle::learned), would know no less.
    pub fn is_at_rest(&self, now: Timestamp) -> bool {
        let mut paces = self.rates.iter().filter(|rate| !rate.is_kept()).chain(&self.connections);
        paces.all(|rate| rate.is_at_rest(now)) && self.ceiling.is_at_rest(now) && self.window.is_at_rest(now)
    }

    /// What the next process should know; `None` where nothing was learned. Where no server said anything since, it is the same.
    pub fn learned(&self, now: Timestamp) -> Option<Learned> {
        let (ceiling, window) = (self.ceiling.known(), self.window.known(self.terms.first_window));
        let held_until = self.ceiling.held_until().max(self.window.dead_until());
        let spent: Vec<_> = self.rates.iter().flat_map(Budget::spent).collect();
        let knows = ceiling.is_some() || window.is_some() || held_until > now || !spent.is_empty();
        knows.then(|| Learned { window, ceiling, held_until, at: self.ceiling.heard(), spent })
    }

    /// Messages a second that are allowed.
    fn configured(&self) -> f64 {
        self.rates.iter().filter_map(Budget::pace).fold(BOUNDLESS, f64::min)
    }
}

#[cfg(test)]
mod tests;
