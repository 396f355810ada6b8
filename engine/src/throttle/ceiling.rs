//! The pace that a provider taught us: none at all until it refuses a message for going too fast.
//!
//! ```text
//!          refused              until its hold is over,            accepted
//!   open ───────────▶ closed ──────────────────────────▶ probing ───────────▶ open, under a new curve
//!                       ▲             one message            │
//!                       └────────────────────────────────────┘ refused: held twice as long
//! ```
//!
//! - Answers to what was on a wire when the door closed are of the same event: a wave is one refusal, not forty.
//! - What was accepted from one opening to the next, over that time, *is* the limit of a token bucket (empty at both ends) and of
//!   a fixed or sliding window (as many openings as windows). It is wrong in one case, a probe: it was quicker than the
//!   average at its end, and a limit without a burst is there. So a lone refusal, after many messages and with the next one
//!   accepted, makes 98 % of the pace that was refused the new level; anything else makes it what was accepted.
//! - How long the next probe waits is what this one cost: with time closed at most a fiftieth of the time open, refusals at
//!   most a hundredth of messages. A level of which few messages tell is tried sooner.
//! - A refusal below the level is a surprise: the limit may have fallen, and it goes on at half. Else at nine tenths.

use super::curve::Curve;
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

#[derive(Clone, Debug)]
enum Door {
    Open,
    Closed(Closed),
}

#[derive(Clone, Debug)]
struct Closed {
    since: Timestamp,
    until: Timestamp,
    hold: Duration,
    /// The pace that was refused.
    pace: f64,
    /// Whether more than the level had been tried.
    was_probe: bool,
    refused: u32,
    /// What was begun before it closed and has no answer.
    tail: u32,
    probe: Option<Timestamp>,
    /// Probes that were refused.
    knocks: u32,
}

/// Quiet for a moment; long enough for whoever counts by the second to begin a new one before long.
const HOLD: Duration = Duration::from_millis(500);
/// The door of an hourly limit stays shut for an hour; it is knocked at each ten minutes.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// An answer that takes longer is not waited for any more.
const UNANSWERED: Duration = Duration::from_secs(60);
/// While the answer to a probe is on its way, it is asked for this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Where no message was begun for so long and none had to wait, there was nothing to send.
const IDLE: Duration = Duration::from_secs(2);
/// A refusal after so many messages is a lone one.
const MANY: u32 = 100;
/// A level of which so many messages tell is known.
const KNOWN: f64 = 50.0;
const LONE_UNDER: f64 = 0.98;
const WAIT: Duration = Duration::from_secs(60);
const WAIT_FOR_TIME: u32 = 50;
const LONGEST_WAIT_FOR_TIME: Duration = Duration::from_secs(600);
const WAIT_FOR_REFUSALS: f64 = 100.0;
const LONGEST_WAIT: f64 = 3600.0;

impl Ceiling {
    pub(super) fn new(now: Timestamp) -> Ceiling {
        Ceiling {
            curve: None,
            gcra: Gcra::paced(1.0),
            door: Door::Open,
            held: Timestamp(0),
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
            self.follow(Curve::new(level, 0.9, WAIT.mul_f64(trust)));
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
            closed.probe = Some(now);
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
            Door::Closed(closed) => closed.tail = closed.tail.saturating_sub(1),
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
        let lately = self.meter.rate(now);
        self.door = Door::Closed(Closed {
            since: now,
            until: now.after(HOLD),
            hold: HOLD,
            pace: self.curve.as_ref().map_or(lately, |curve| curve.pace().min(lately)),
            was_probe: self.curve.as_ref().is_some_and(Curve::is_probing),
            refused: 1,
            tail: self.in_flight,
            probe: None,
            knocks: 0,
        });
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
        let average = f64::from(self.taken) / now.since(self.opened).as_secs_f64().max(0.001);
        let is_lone = closed.knocks == 0 && self.taken > MANY && closed.pace > 0.0;
        let under = closed.pace * LONE_UNDER;
        let level = if is_lone || under == 0.0 { under.max(average) } else { average.min(under) };
        let is_surprise = self.curve.is_some() && !closed.was_probe;
        let start = if is_lone && !is_surprise { 0.9 } else { 0.5 };
        let known = (f64::from(self.taken) / KNOWN).min(1.0);
        let former = self.curve.as_ref().and_then(|curve| curve.former_of(level));
        let wait = closed.wait(level, now).mul_f64(known);
        self.follow(Curve::new(level, start, wait).below(former));
        (self.opened, self.taken, self.meter) = (now, 0, Meter::new(now));
        (self.moved, self.is_bound) = (now, false);
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
        if self.curve.is_none() {
            self.gcra = Gcra::paced(curve.pace());
        }
        self.gcra.pace(curve.pace());
        self.curve = Some(curve);
    }
}

impl Closed {
    fn ready_at(&self, now: Timestamp) -> Timestamp {
        match self.probe {
            Some(begun) if now.since(begun) < UNANSWERED => self.until.max(now.after(LOOK_AGAIN)),
            _ => self.until.max(now),
        }
    }

    /// Of what is out there the oldest is lost first, and the probe is the youngest.
    fn unanswered(&mut self) {
        if self.tail > 0 {
            self.tail -= 1;
        } else {
            self.probe = None;
        }
    }

    /// Whether an answer that comes now is the probe's: all that was begun before it has been answered, or never will be.
    fn is_of_the_probe(&self, now: Timestamp) -> bool {
        self.probe.is_some() && (self.tail == 0 || now.since(self.since) > UNANSWERED)
    }

    fn refused(&mut self, now: Timestamp) {
        self.refused = self.refused.saturating_add(1);
        if self.is_of_the_probe(now) {
            self.probe = None;
            self.knocks += 1;
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
        } else {
            self.tail = self.tail.saturating_sub(1);
        }
        self.until = self.until.max(now.after(self.hold));
    }

    /// How long to stay under `level` before more is tried again.
    fn wait(&self, level: f64, now: Timestamp) -> Duration {
        let for_time = (now.since(self.since) * WAIT_FOR_TIME).min(LONGEST_WAIT_FOR_TIME);
        // What a first wave, or a fallen limit, cost is not what a probe would.
        let refused = if self.was_probe { f64::from(self.refused) } else { 1.0 };
        let for_refusals = (refused * WAIT_FOR_REFUSALS / level).min(LONGEST_WAIT);
        WAIT.max(for_time).max(Duration::from_secs_f64(for_refusals))
    }
}
