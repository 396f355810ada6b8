//! The first rows for each provider, which go ahead of the rest: what a list or our name is worth there is learned from them and
//! not from a thousand.
//!
//! Comes in: rows that want their turn, and what attempts came to. Goes out: whether a row may have its turn now. A canary is
//! *awaited* until as many rows as it has were answered; then the rest follow. Held before that, by [`super::Shares`], they
//! wait for a person: it passes a limit with [`LUCK`](super::window::LUCK) more bad answers than its share, whatever comes after. For 20 rows and 0.05
//! that is five, for 100 nine:
//!
//! | share of bad answers | 5 or more of 20 | 9 or more of 100 |
//! |---|---|---|
//! | 1 % | 1.4·10⁻⁶ | 8·10⁻⁷ |
//! | 2 % | 4·10⁻⁵ | 2·10⁻⁴ |
//! | 15 % | 0.17 | 0.97 |
//! | 50 % | 0.994 | 1 |
//!
//! | what an attempt came to | the row |
//! |---|---|
//! | delivered, bounced, blocked, or the mailbox takes nothing now | was answered |
//! | deferred otherwise: greylisted, no connection | has said nothing yet: it keeps its place until it is due again, and [`MARGIN`] longer |
//! | dropped, in doubt, expired, or not tried at all | makes room for another |

use super::window;
use crate::clock::Timestamp;
use crate::mail::Class;
use crate::smtp::{Fate, Verdict};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a row that is due may take to come back. One that went elsewhere meanwhile must not keep a million waiting.
const MARGIN: Duration = Duration::from_secs(60);

/// What goes ahead at one provider.
#[derive(Debug)]
pub struct Canary {
    /// The provider's name.
    provider: String,
    rows: u32,
    awaited: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// On their way.
    out: u32,
    answered: u32,
    /// When those that said nothing are due again, in the order in which they were tried.
    silent: VecDeque<Timestamp>,
    /// Whether a row had to wait.
    keeps_waiting: bool,
}

/// One row's place in a canary, until it is dropped.
#[derive(Debug)]
pub struct Flight(Arc<Canary>);

/// Whether a verdict says something of the list or of us: an answer, or that the mailbox is there, though it takes nothing now.
pub(super) fn says(verdict: &Verdict) -> bool {
    let full = matches!(verdict.class, Class::MailboxFull | Class::MailboxClosed);
    let is_there = verdict.fate == Fate::Deferred && verdict.code.is_some() && full;
    is_there || window::answer(verdict).is_some()
}

impl Canary {
    pub(super) fn new(provider: &str, rows: u32) -> Canary {
        Canary { provider: provider.to_owned(), rows, awaited: AtomicBool::new(rows > 0), state: Mutex::default() }
    }

    /// How many rows go ahead.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether the rest wait for it.
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst)
    }

    /// Whether a row that was never tried may have its turn.
    pub fn has_room(&self, now: Timestamp) -> bool {
        if !self.is_awaited() {
            return true;
        }
        let mut state = self.state.lock().expect("no holder panics");
        state.silent.retain(|due| now <= due.after(MARGIN));
        let ahead = u64::from(state.out) + u64::from(state.answered) + state.silent.len() as u64;
        let room = ahead < u64::from(self.rows);
        if !room && !std::mem::replace(&mut state.keeps_waiting, true) {
            tracing::info!(provider = self.provider, rows = self.rows, "the canary is out; the other rows wait for it");
        }
        room
    }

    /// Where rows wait for it, and how far it is.
    pub(super) fn standing(&self) -> Option<String> {
        let state = self.state.lock().expect("no holder panics");
        let waits = state.keeps_waiting && self.is_awaited();
        waits.then(|| format!("{}: {} of {} answered", self.provider, state.answered, self.rows))
    }

    /// A row has its turn. `None`: nobody waits for it.
    pub fn fly(self: &Arc<Self>) -> Option<Flight> {
        if !self.is_awaited() {
            return None;
        }
        self.state.lock().expect("no holder panics").out += 1;
        Some(Flight(self.clone()))
    }

    /// A row said nothing, and is due again then.
    pub(super) fn comes_back(&self, due: Timestamp) {
        self.state.lock().expect("no holder panics").silent.push_back(due);
    }

    /// An attempt at a row, which had been `tried` before, came to a verdict that `says` something or does not.
    pub(super) fn note(&self, says: bool, tried: bool) {
        let mut state = self.state.lock().expect("no holder panics");
        if tried {
            state.silent.pop_front();
        }
        if says {
            state.answered += 1;
            if state.answered == self.rows {
                if state.keeps_waiting {
                    tracing::info!(provider = self.provider, rows = self.rows, "awaited -> answered: the rest follow");
                }
                self.awaited.store(false, Ordering::SeqCst);
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().expect("no holder panics");
        state.out = state.out.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::of_address;

    const NOW: Timestamp = Timestamp(1_000_000);
    const DUE: Duration = Duration::from_secs(900);

    fn verdict(fate: Fate, class: Class) -> Verdict {
        let mut verdict = of_address("x", true);
        (verdict.fate, verdict.class, verdict.code) = (fate, class, Some(450));
        verdict
    }

    /// What an attempt came to, and whether the row was tried before.
    fn came_back(canary: &Canary, flight: Option<Flight>, fate: Fate, class: Class, tried: bool) {
        let verdict = verdict(fate, class);
        canary.note(says(&verdict), tried);
        if fate == Fate::Deferred && !says(&verdict) {
            canary.comes_back(NOW.after(DUE));
        }
        drop(flight);
    }

    #[test]
    fn as_many_rows_as_it_has_are_out_and_the_rest_follow_when_all_were_answered() {
        let canary = Arc::new(Canary::new("p", 3));
        let mut flights: Vec<_> = (0..3).map(|_| canary.fly()).collect();
        assert!(canary.standing().is_none() && !canary.has_room(NOW));
        assert_eq!(canary.standing().as_deref(), Some("p: 0 of 3 answered"));
        flights.pop();
        assert!(canary.has_room(NOW), "one came back untried");
        flights.push(canary.fly());
        let fates =
            [(Fate::Delivered, Class::Unknown), (Fate::Bounced, Class::Content), (Fate::Deferred, Class::MailboxFull)];
        for (flight, (fate, class)) in flights.into_iter().zip(fates) {
            assert!(canary.is_awaited() && !canary.has_room(NOW));
            came_back(&canary, flight, fate, class, false);
        }
        assert!(!canary.is_awaited() && canary.has_room(NOW) && canary.fly().is_none());
        assert!(canary.standing().is_none());
    }

    #[test]
    fn a_row_that_said_nothing_keeps_its_place_until_it_is_due_and_a_minute_longer() {
        let canary = Arc::new(Canary::new("p", 1));
        came_back(&canary, canary.fly(), Fate::Deferred, Class::Greylist, false);
        let late = NOW.after(DUE).after(MARGIN);
        assert!(!canary.has_room(NOW) && !canary.has_room(late));
        came_back(&canary, canary.fly(), Fate::Deferred, Class::Infrastructure, true);
        assert!(!canary.has_room(late));
        assert!(canary.has_room(late.after(Duration::from_millis(1))));
        came_back(&canary, canary.fly(), Fate::Delivered, Class::Unknown, true);
        assert!(!canary.is_awaited());
    }

    #[test]
    fn a_row_that_was_dropped_or_is_in_doubt_makes_room() {
        let canary = Arc::new(Canary::new("p", 1));
        for fate in [Fate::Dropped, Fate::InDoubt] {
            came_back(&canary, canary.fly(), fate, Class::Tls, false);
            assert!(canary.is_awaited() && canary.has_room(NOW));
        }
    }
}
