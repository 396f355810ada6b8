//! A provider that has refused a message: closed until one message was accepted again.
//!
//! ```text
//!          refused              until its hold is over,            accepted
//!   open ───────────▶ closed ──────────────────────────▶ probing ───────────▶ open, under a new curve
//!                       ▲             one message            │
//!                       └────────────────────────────────────┘ refused: held twice as long
//! ```
//!
//! Answers to what was on a wire when it closed are of the same event: a wave is one refusal, not forty. A message that was never
//! answered is not waited for beyond [`UNANSWERED`].

use crate::clock::Timestamp;
use std::time::Duration;

/// Whether messages may be begun.
#[derive(Clone, Debug)]
pub(super) enum Door {
    Open,
    Closed(Closed),
}

/// What is known of the refusal.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) since: Timestamp,
    /// The last refusal.
    last: Timestamp,
    pub(super) until: Timestamp,
    hold: Duration,
    /// Whether that is only a moment: nothing made us wait longer.
    is_moment: bool,
    /// What was refused.
    pub(super) tried: Tried,
    refused: u32,
    /// What was begun before it closed and has no answer.
    tail: u32,
    /// When one message was begun to see whether it is still closed.
    probe: Option<Timestamp>,
    /// Probes that were refused.
    knocks: u32,
}

/// What was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tried {
    /// Messages a second; zero where there were too few to tell.
    pub(super) pace: f64,
    /// Whether more than the level was tried.
    pub(super) was_probe: bool,
    /// Whether the level had hardly been reached.
    pub(super) was_soon: bool,
}

/// The door of an hourly limit stays shut for an hour; it is knocked at each ten minutes.
const LONGEST_HOLD: Duration = Duration::from_secs(600);
/// An answer that takes longer is not waited for any more.
const UNANSWERED: Duration = Duration::from_secs(60);
/// While the answer to a probe is on its way, it is asked for this often.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The next probe of the pace waits for as long as ...
pub(super) const WAIT: Duration = Duration::from_secs(60);
/// ... a hundred times what the door was closed, and a hundred messages for each that was refused.
const WAIT_FOR_TIME: u32 = 100;
const WAIT_FOR_REFUSALS: f64 = 100.0;
/// But a limit that has risen is found within minutes, and within an hour where a hundred messages take longer.
const LONGEST_WAIT_FOR_TIME: Duration = Duration::from_secs(600);
const LONGEST_WAIT: f64 = 3600.0;

impl Closed {
    /// Closed for `hold`, while so many messages are on a wire.
    pub(super) fn new(tried: Tried, hold: Duration, is_moment: bool, in_flight: u32, now: Timestamp) -> Closed {
        Closed {
            since: now,
            last: now,
            until: now.after(hold),
            hold,
            is_moment,
            tried,
            refused: 1,
            tail: in_flight,
            probe: None,
            knocks: 0,
        }
    }

    /// Whether the first message after a moment was accepted.
    pub(super) fn is_brief(&self) -> bool {
        self.knocks == 0 && self.is_moment
    }

    /// How long it was shut, as far as we know.
    pub(super) fn shut(&self) -> Duration {
        self.probe.map_or(Duration::ZERO, |probe| probe.since(self.last))
    }

    /// When a message may be begun.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        match self.probe {
            Some(begun) if now.since(begun) < UNANSWERED => self.until.max(now.after(LOOK_AGAIN)),
            _ => self.until.max(now),
        }
    }

    /// A message was begun to see whether it is still closed.
    pub(super) fn probe(&mut self, now: Timestamp) {
        self.probe = Some(now);
    }

    /// A message that was begun before was accepted.
    pub(super) fn accepted(&mut self) {
        self.tail = self.tail.saturating_sub(1);
    }

    /// Of what is out there the oldest is lost first, and the probe is the youngest.
    pub(super) fn unanswered(&mut self) {
        if self.tail > 0 {
            self.tail -= 1;
        } else {
            self.probe = None;
        }
    }

    /// Whether an answer that comes now is the probe's: all that was begun before it has been answered, or never will be.
    pub(super) fn is_of_the_probe(&self, now: Timestamp) -> bool {
        self.probe.is_some() && (self.tail == 0 || now.since(self.since) > UNANSWERED)
    }

    /// A message was refused: the probe, or another of the wave.
    pub(super) fn refused(&mut self, now: Timestamp) {
        self.refused = self.refused.saturating_add(1);
        if self.is_of_the_probe(now) {
            self.probe = None;
            self.knocks += 1;
            self.hold = (self.hold * 2).min(LONGEST_HOLD);
        } else {
            self.tail = self.tail.saturating_sub(1);
        }
        self.last = now;
        self.until = self.until.max(now.after(self.hold));
    }

    /// How long to stay under `level` before more is tried again.
    pub(super) fn wait(&self, level: f64, now: Timestamp) -> Duration {
        let for_time = (now.since(self.since) * WAIT_FOR_TIME).min(LONGEST_WAIT_FOR_TIME);
        // What a first wave, or a fallen limit, cost is not what a probe would.
        let refused = if self.tried.was_probe { f64::from(self.refused) } else { 1.0 };
        let for_refusals = (refused * WAIT_FOR_REFUSALS / level).min(LONGEST_WAIT);
        WAIT.max(for_time).max(Duration::from_secs_f64(for_refusals))
    }
}
