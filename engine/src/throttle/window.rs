//! How many sessions may be open.
//!
//! The anchor is Postfix's scheduler (SCHEDULER_README, "concurrency scheduling"): a *cohort* is as many successes, or failures, as
//! there are sessions in the window. What we keep of it, and what not:
//!
//! | | Postfix | here | because |
//! |---|---|---|---|
//! | success | + 1/N a message, used as a whole at the end of a cohort | the same: +1 a cohort | linear in time, never a jump |
//! | only while the window is in use | N < busy + initial | a success counts while all its sessions are busy | what is not used is not tested |
//! | a session more is refused | −1 at the beginning of a cohort of refusals | falls to what is open | that *is* the limit: it was refused one more |
//! | then | +1 after the next cohort: refused again, one time in N+1 | returns to the level that held, and waits there | their own figure is 16.5 % at best |
//! | trying for more | each cohort | after a minute and a hundred messages, by one; if that is clean by 2, 4, 8 | a limit seldom moves; when it did, it moved far |
//! | dead | after `failed_cohort_limit` cohorts | after [`DEAD_AFTER`] | |
//! | return from dead | with the initial window | with one | a site that has just come back is given one session to say no to |

use crate::clock::Timestamp;
use std::time::Duration;

/// The sessions that one provider is given.
#[derive(Clone, Debug)]
pub(super) struct Window {
    most: usize,
    size: usize,
    /// Successes of this cohort, and all since the last refusal.
    successes: usize,
    clean: u32,
    level: Option<Level>,
    /// The most that a whole cohort succeeded with.
    proven: usize,
    refused: Timestamp,
    /// No session is opened before this time.
    held: Timestamp,
    hold: Duration,
    /// Cohorts in a row of which nobody got through.
    failures: u32,
    dead: Timestamp,
}

/// A session more was refused.
#[derive(Clone, Copy, Debug)]
struct Level {
    /// So many were open.
    sessions: usize,
    since: Timestamp,
    /// How much more is tried next.
    step: usize,
    /// Where it was before it fell far.
    former: Option<usize>,
    /// Whether fewer were refused since, once.
    doubted: bool,
}

/// Sessions that are refused within this time were opened together.
const WAVE: Duration = Duration::from_secs(1);
/// After a refusal the next session waits; twice as long after each.
const HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(60);
const WAIT_MESSAGES: u32 = 100;
const DEAD_AFTER: u32 = 3;
const DEAD: Duration = Duration::from_secs(30);
const LONGEST_DEAD: Duration = Duration::from_secs(600);

impl Window {
    pub(super) fn new(first: usize, most: usize) -> Window {
        let most = most.max(1);
        Window {
            most,
            size: first.clamp(1, most),
            successes: 0,
            clean: 0,
            level: None,
            proven: 0,
            refused: Timestamp(0),
            held: Timestamp(0),
            hold: HOLD,
            failures: 0,
            dead: Timestamp(0),
        }
    }

    /// Goes on from `sessions`, trusted from 0 to 1.
    pub(super) fn restore(&mut self, sessions: usize, trust: f64, now: Timestamp) {
        let sessions = sessions.clamp(1, self.most);
        self.size = sessions;
        if sessions < self.most {
            let waited = WAIT.mul_f64(1.0 - trust);
            let since = Timestamp(now.0.saturating_sub(u64::try_from(waited.as_millis()).unwrap_or(0)));
            self.level = Some(Level { sessions, since, step: 1, former: None, doubted: false });
            self.clean = if trust > 0.0 { 0 } else { WAIT_MESSAGES };
        }
    }

    /// Another bound.
    pub(super) fn bound(&mut self, most: usize) {
        let was_full = self.size == self.most && self.level.is_none();
        self.most = most.max(1);
        self.size = if was_full { self.most } else { self.size.min(self.most) };
    }

    /// How many sessions may be open.
    pub(super) fn size(&self, now: Timestamp) -> usize {
        if now < self.dead { 0 } else { self.size }
    }

    /// When one may be opened, as far as refusals go.
    pub(super) fn ready_at(&self, now: Timestamp) -> Timestamp {
        self.held.max(self.dead).max(now)
    }

    /// Whether nothing was learned that does not outlive the process.
    pub(super) fn is_at_rest(&self, now: Timestamp) -> bool {
        self.failures == 0 && self.ready_at(now) == now
    }

    /// Until when nobody may be connected to.
    pub(super) fn dead_until(&self) -> Timestamp {
        self.dead
    }

    /// The sessions that the next process may begin with, if that is not what it would begin with anyway.
    pub(super) fn known(&self, first: usize) -> Option<usize> {
        let known = self.level.map_or(self.size, |level| level.sessions);
        (self.level.is_some() || known > first.min(self.most)).then_some(known)
    }

    /// A message was answered while `busy` sessions had one.
    pub(super) fn accepted(&mut self, busy: usize, now: Timestamp) {
        self.failures = 0;
        self.clean = self.clean.saturating_add(1);
        // The session that was just answered may be counted or not.
        if busy + 1 < self.size {
            return;
        }
        self.successes += 1;
        if self.successes >= self.size {
            self.successes = 0;
            self.proven = self.proven.max(self.size);
            self.grow(now);
        }
    }

    /// A session was refused while `open` others were not.
    pub(super) fn refused(&mut self, open: usize, now: Timestamp) {
        if open == 0 {
            return self.failed(now);
        }
        let is_wave = now.since(self.refused) < WAVE && self.refused > Timestamp(0);
        self.hold = match self.clean {
            0 if is_wave => self.hold,
            0 if self.refused > Timestamp(0) => (self.hold * 2).min(LONGEST_HOLD),
            _ => HOLD,
        };
        (self.refused, self.held) = (now, now.after(self.hold));
        (self.clean, self.successes) = (0, 0);
        self.level = Some(self.level_of(open, is_wave, now));
        self.size = open.min(self.most);
    }

    /// Nobody got through.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        (self.size, self.successes, self.clean) = (1, 0, 0);
        if self.failures >= DEAD_AFTER {
            let doublings = (self.failures - DEAD_AFTER).min(16);
            self.dead = now.after((DEAD * (1 << doublings)).min(LONGEST_DEAD));
        }
    }

    /// One refusal of a session that was closed and opened anew says that the server still counts the old one, so it is tried
    /// again where it held; a second one is believed.
    fn level_of(&self, open: usize, is_wave: bool, now: Timestamp) -> Level {
        let Some(level) = self.level else {
            return Level { sessions: open, since: now, step: 1, former: self.former_of(open), doubted: false };
        };
        if open < level.sessions && !is_wave && !level.doubted {
            return Level { since: now, doubted: true, ..level };
        }
        let former = level.former.or_else(|| self.former_of(open));
        Level { sessions: open, since: now, step: 1, former, doubted: false }
    }

    fn former_of(&self, open: usize) -> Option<usize> {
        (open * 10 < self.proven * 7).then_some(self.proven)
    }

    /// A whole cohort succeeded.
    fn grow(&mut self, now: Timestamp) {
        let Some(level) = &mut self.level else {
            self.size = (self.size + 1).min(self.most);
            return;
        };
        if self.size < level.sessions {
            self.size = (self.size + 1).min(self.most);
            return;
        }
        level.doubted = false;
        if level.former.is_some_and(|former| self.size >= former) {
            *level = Level { sessions: self.size, since: now, step: 1, former: None, doubted: false };
        } else if self.size > level.sessions {
            level.step *= 2;
            level.sessions = self.size;
        }
        let has_waited = level.step > 1 || (now.since(level.since) >= WAIT && self.clean >= WAIT_MESSAGES);
        if has_waited {
            self.size = (self.size + level.step).min(level.former.unwrap_or(self.most)).min(self.most).max(self.size);
        }
        if level.sessions >= self.most {
            self.level = None;
        }
    }
}
