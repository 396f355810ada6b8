//! The pace that a provider taught us: none at all until it refuses a message for going too fast. See `door` for what happens then;
//! here it is decided where to go on.
//!
//! What was accepted from one opening to the next, over that time, *is* the limit of a token bucket (empty at both ends), and of a
//! fixed or sliding window (as many openings as windows). Of a limit without a burst it says less than the pace that was refused, and
//! of one that punishes refusals it says too little, since the time for which it was shut is no one's measure. So it
//! depends on what was tried, and on whether the first message after a moment was accepted:
//!
//! | refused | opened after a moment | shut for longer |
//! |---|---|---|
//! | a probe above the level | 99 % of its pace | two thirds of the way from the level to 87 % of its pace |
//! | at the level, just reached | what was accepted, at least 93 % of the pace | 80 % of the pace; the second time in a row what was accepted |
//! | at the level, long held | 99 % of the pace | the same |
//! | after few messages | what was accepted | what was accepted |
//!
//! It is never above 99 % of what was refused, nor below what was accepted unless that is. After a probe it goes on at nine tenths of that; a
//! refusal at the level is a surprise, the limit may have fallen, and it goes on at half.
//!
//! How long the next probe waits is what this one cost (`door`), less where the level is a guess: where few messages tell of it, or it
//! is far below what was refused. How quickly a probe grows is how far back the provider seems to count: who is shut for
//! half a minute counts by the minute, and a pace that is clean for ten seconds says nothing about it.

use super::curve::Curve;
use super::door::{Closed, Door, Tried, WAIT};
use super::gcra::Gcra;
use super::meter::Meter;
use crate::clock::Timestamp;
use std::time::Duration;

/// What a provider taught us of its rate.
#[derive(Clone, Debug)]
pub(super) struct Ceiling {
    curve: Option<Curve>,
    /// Spaces messages by the curve.
    gcra: Gcra,
    door: Door,
    /// Nothing before this time: what the process before was told.
    held: Timestamp,
    /// How long it stays closed before the first knock.
    hold: Duration,
    /// How far back the provider seems to count: the longest that it was shut lately.
    memory: Duration,
    /// Refusals below the level, in a row.
    surprises: u32,
    /// When it was last opened, and what it took since.
    opened: Timestamp,
    taken: u32,
    meter: Meter,
    /// Messages begun that have no answer.
    in_flight: u32,
    /// When a message was last begun.
    begun: Timestamp,
    /// Whether one waited for this pace since the curve last moved, and when that was.
    is_bound: bool,
    moved: Timestamp,
    /// When a server last said something.
    heard: Timestamp,
}

/// Quiet for a moment; long enough for whoever counts by the second to begin a new one before long.
const HOLD: Duration = Duration::from_millis(500);
/// Where it was shut for longer, the first knock comes as late as this part of it, so that those who punish knocks hear fewer.
const KNOCKS_AFTER: f64 = 0.75;
/// What is left of that memory after each refusal that says nothing of it.
const FORGETS: f64 = 0.9;
const LONGEST_FIRST_HOLD: Duration = Duration::from_secs(30);
/// Where no message was begun for so long and none had to wait, there was nothing to send.
const IDLE: Duration = Duration::from_secs(2);
/// A refusal after so many messages is a lone one.
const MANY: u32 = 100;
/// A level of which so many messages tell is known; one that is known no better than [`GUESSED`] is left quickly.
const KNOWN: f64 = 50.0;
const GUESSED: f64 = 0.3;
/// Slower paces are held like this one.
const SLOWEST: f64 = 0.1;
/// Where it goes on, as part of the level.
const GENTLY: f64 = 0.9;
const HALF: f64 = 0.5;
/// The table above.
const UNDER: f64 = 0.99;
const SURPRISE_UNDER: f64 = 0.93;
const DEAR_UNDER: f64 = 0.87;
const DEAR_SURPRISE_UNDER: f64 = 0.8;

impl Ceiling {
    pub(super) fn new(now: Timestamp) -> Ceiling {
        Ceiling {
            curve: None,
            gcra: Gcra::paced(1.0),
            door: Door::Open,
            held: Timestamp(0),
            hold: HOLD,
            memory: Duration::ZERO,
            surprises: 0,
            opened: now,
            taken: 0,
            meter: Meter::new(now),
            in_flight: 0,
            begun: now,
            is_bound: false,
            moved: now,
            heard: now,
        }
    }

    /// Goes on from `level` messages a second, trusted from 0 to 1.
    pub(super) fn restore(&mut self, level: Option<f64>, trust: f64, held: Timestamp) {
        self.held = held;
        if let Some(level) = level.filter(|level| level.is_finite() && *level > 0.0) {
            self.follow(Curve::new(level, GENTLY, WAIT.mul_f64(trust)));
        }
    }

    /// When a message may be begun; `now` if it may at once.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        let door = match &self.door {
            Door::Closed(closed) => closed.ready_at(now),
            Door::Open => now,
        };
        let pace = if self.curve.is_some() { self.gcra.ready_at(now) } else { now };
        door.max(pace).max(self.held)
    }

    /// A message is begun; `was_held_back` if it waited for a rate that is configured.
    pub(super) fn take(&mut self, was_held_back: bool, now: Timestamp) {
        let is_tight = self.curve.is_some() && self.gcra.is_tight(now);
        let gap = now.since(self.begun);
        if gap > IDLE && !is_tight && !was_held_back && matches!(self.door, Door::Open) {
            self.opened = self.opened.after(gap);
            self.meter.pass_over(gap);
        }
        self.begun = now;
        self.is_bound |= is_tight;
        self.in_flight += 1;
        if let Door::Closed(closed) = &mut self.door {
            closed.probe(now);
        }
        if self.curve.is_some() {
            self.gcra.take(now);
        }
    }

    /// One that was begun at `taken` was not after all.
    pub(super) fn give_back(&mut self, taken: Timestamp, now: Timestamp) {
        if self.curve.is_some() {
            self.gcra.give_back(taken, now);
        }
        self.unanswered();
    }

    /// Nobody will answer one that was begun.
    pub(super) fn unanswered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Door::Closed(closed) = &mut self.door {
            closed.unanswered();
        }
    }

    /// A message was answered without a word about our pace.
    pub(super) fn accepted(&mut self, most: f64, now: Timestamp) {
        self.heard = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.taken = self.taken.saturating_add(1);
        self.meter.count(now);
        match &mut self.door {
            Door::Closed(closed) if closed.is_of_the_probe(now) => self.open(now),
            Door::Closed(closed) => closed.accepted(),
            Door::Open => self.pass(most, now),
        }
    }

    /// A message was refused for our pace.
    pub(super) fn refused(&mut self, now: Timestamp) {
        self.heard = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Door::Closed(closed) = &mut self.door {
            return closed.refused(now);
        }
        let tried = self.tried(now);
        let moment = self.moment(tried.pace);
        let hold = self.hold.max(moment);
        self.door = Door::Closed(Closed::new(tried, hold, hold == moment, self.in_flight, now));
    }

    /// What was sent when a message was refused.
    fn tried(&self, now: Timestamp) -> Tried {
        let lately = self.meter.rate(now);
        let Some(curve) = &self.curve else { return Tried { pace: lately, was_probe: false, was_soon: false } };
        let was_soon = curve.is_new() && !curve.is_probing();
        // On the way back what was taken lately says where we were.
        let pace = if self.meter.is_sure() && !was_soon { curve.pace().min(lately) } else { curve.pace() };
        Tried { pace, was_probe: curve.is_probing(), was_soon }
    }

    /// Messages a second that it is bounded by.
    pub(super) fn pace(&self) -> Option<f64> {
        self.curve.as_ref().map(Curve::pace)
    }

    /// Messages a second that the next process may begin with.
    pub(super) fn known(&self) -> Option<f64> {
        self.curve.as_ref().map(Curve::known)
    }

    /// Until when nothing may be sent.
    pub(super) fn held_until(&self) -> Timestamp {
        match &self.door {
            Door::Closed(closed) => closed.until.max(self.held),
            Door::Open => self.held,
        }
    }

    /// When a server last said something.
    pub(super) fn heard(&self) -> Timestamp {
        self.heard
    }

    /// Whether nothing is on a wire, nothing held, and no wait unfinished.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        let has_waited = self.curve.as_ref().is_none_or(|curve| curve.has_waited(now.since(self.moved)));
        self.in_flight == 0 && matches!(self.door, Door::Open) && self.held <= now && has_waited
    }

    /// The probe was accepted: what did it all say?
    fn open(&mut self, now: Timestamp) {
        let Door::Closed(closed) = std::mem::replace(&mut self.door, Door::Open) else { return };
        let (level, tried) = (self.level(&closed, now), closed.tried);
        let is_surprise = self.curve.is_some() && !tried.was_probe;
        self.surprises = if is_surprise { self.surprises.saturating_add(1) } else { 0 };
        self.memory = now.since(closed.since).max(self.memory.mul_f64(FORGETS));
        self.hold = closed.shut().mul_f64(KNOCKS_AFTER).clamp(HOLD, LONGEST_FIRST_HOLD);
        let start = if tried.was_probe && self.is_lone(&closed) { GENTLY } else { HALF };
        let known = (f64::from(self.taken) / KNOWN).min(1.0) * (level / tried.pace.max(level)).powi(3);
        let former = self.curve.as_ref().and_then(|curve| curve.former_of(level));
        let curve = Curve::new(level, start, closed.wait(level, now).mul_f64(known)).below(former);
        self.follow(if known < GUESSED { curve.doubling_sooner() } else { curve }.doubling_in(self.memory * 2));
        self.gcra.take(now);
        (self.opened, self.taken, self.meter) = (now, 0, Meter::new(now));
        (self.moved, self.is_bound) = (now, false);
    }

    /// Whether it is one refusal after many messages.
    fn is_lone(&self, closed: &Closed) -> bool {
        closed.is_brief() && self.taken > MANY
    }

    /// What the limit seems to be: the table above.
    fn level(&self, closed: &Closed, now: Timestamp) -> f64 {
        let Tried { pace, was_probe, was_soon } = closed.tried;
        let accepted = f64::from(self.taken) / now.since(self.opened).as_secs_f64().max(0.001);
        if pace == 0.0 {
            return accepted;
        }
        let least = match &self.curve {
            _ if self.is_lone(closed) && was_soon => pace * SURPRISE_UNDER,
            _ if self.is_lone(closed) => pace * UNDER,
            _ if closed.is_brief() => self.meter.rate(now),
            Some(curve) if was_probe => toward(curve.level(), pace * DEAR_UNDER),
            Some(_) if self.surprises == 0 => pace * DEAR_SURPRISE_UNDER,
            _ => 0.0,
        };
        accepted.max(least).min(pace * UNDER)
    }

    /// How long the door is closed at least: a bucket that fills slowly has nothing for the next one sooner.
    fn moment(&self, pace: f64) -> Duration {
        let is_known = self.curve.is_some() || self.meter.is_sure();
        if is_known { HOLD.max(Duration::from_secs_f64(2.0 / pace.max(SLOWEST))) } else { HOLD }
    }

    /// Time went by without a refusal. A curve that has passed all that is allowed anyway has nothing to say any more.
    fn pass(&mut self, most: f64, now: Timestamp) {
        let Some(curve) = &mut self.curve else { return };
        curve.pass(now.since(self.moved), self.is_bound);
        (self.moved, self.is_bound) = (now, false);
        let pace = curve.pace();
        if pace >= most {
            self.curve = None;
        } else {
            self.gcra.pace(pace);
        }
    }

    fn follow(&mut self, curve: Curve) {
        self.gcra = Gcra::paced(curve.pace());
        self.curve = Some(curve);
    }
}

/// Two thirds of the way from `low` to `high`, as factors go; no lower.
fn toward(low: f64, high: f64) -> f64 {
    (low * high * high).cbrt().max(low)
}
