//! How fast a provider is sent to from one source: what is allowed, and what its servers have taught us.
//!
//! A [`Throttle`] is arithmetic over the time it is given: no socket, no clock, no lock. The shard that owns the provider asks it
//! before each connection and each MAIL, and tells it what came of them; `perf/` asks the same of models of receivers.
//!
//! - **Window**: how many sessions may be open. Starts small, grows by one with each window of success, shrinks by a factor where a
//!   session more is refused; where cohort after cohort fails the provider is *dead* until a time, and returns with one probe.
//! - **Rate**: tokens, one a message, spent at MAIL. The ceiling is the configured one or what was learned: a refusal for
//!   going too fast lowers it and holds the whole provider for a moment, clean time raises it by steps.

use crate::clock::Timestamp;
use crate::shaping::Terms;
use std::sync::Arc;

/// A provider's pace from one source.
#[derive(Clone, Debug)]
pub struct Throttle {
    terms: Arc<Terms>,
}

/// What survives the process.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Learned {
    /// Sessions at once.
    pub window: f64,
    /// Messages a second, where there is a learned ceiling.
    pub ceiling: Option<f64>,
    /// Nothing before this time.
    pub held_until: Timestamp,
    /// When all this was so.
    pub at: Timestamp,
}

/// What a server refused to all of us, not to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A message: we go too fast.
    Rate,
    /// A session: there are too many.
    Connection,
}

impl Throttle {
    /// One that starts from what was learned, if anything was.
    pub fn new(terms: Arc<Terms>, _learned: Option<&Learned>, _now: Timestamp) -> Throttle {
        Throttle { terms }
    }

    /// New terms, of rules that were read anew.
    pub fn set_terms(&mut self, terms: Arc<Terms>, _now: Timestamp) {
        self.terms = terms;
    }

    /// How many sessions may be open at `now`.
    pub fn window(&self, _now: Timestamp) -> usize {
        self.terms.connections
    }

    /// Spends a token for a connection.
    ///
    /// # Errors
    /// There is none before this time.
    pub fn connect(&mut self, _now: Timestamp) -> Result<(), Timestamp> {
        Ok(())
    }

    /// Spends a token for a message, to be called when its MAIL is about to be written.
    ///
    /// # Errors
    /// There is none before this time.
    pub fn take(&mut self, _now: Timestamp) -> Result<(), Timestamp> {
        Ok(())
    }

    /// Gives back a token whose MAIL said nothing to the server's limits: it never left, or the session broke.
    pub fn give_back(&mut self, _taken: Timestamp, _now: Timestamp) {}

    /// A server answered a message that held no complaint about our pace; `busy` sessions had a message on the wire.
    pub fn accepted(&mut self, _busy: usize, _now: Timestamp) {}

    /// A server refused all of us; `open` sessions are left.
    pub fn refused(&mut self, _what: Refusal, _open: usize, _now: Timestamp) {}

    /// No session could be opened although none was open: the site does not answer, or wants nobody.
    pub fn failed(&mut self, _now: Timestamp) {}

    /// .
    pub fn unanswered(&mut self, _now: Timestamp) {}
    /// .
    pub fn ready_at(&mut self, now: Timestamp) -> Timestamp { now }
    /// .
    pub fn is_at_rest(&self, _now: Timestamp) -> bool { true }

    /// Messages a second that it is bounded by now, if it is.
    pub fn ceiling(&self) -> Option<f64> {
        None
    }

    /// Until when nothing may be sent.
    pub fn held_until(&self, now: Timestamp) -> Timestamp {
        now
    }

    /// What the next process should know; `None` where nothing was learned.
    pub fn learned(&self, _now: Timestamp) -> Option<Learned> {
        None
    }
}
