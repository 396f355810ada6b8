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
//! | deferred otherwise: greylisted, no connection | has said nothing yet: it keeps its place until it is tried again, at most for [`PATIENCE`] |
//! | dropped, in doubt, or not tried at all | makes room for another |

use crate::clock::Timestamp;
use crate::mail::Class;
use crate::smtp::{Fate, Verdict};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a row that said nothing keeps its place: greylisting takes minutes. A row that never says a thing must not keep a
/// million waiting.
const PATIENCE: Duration = Duration::from_secs(3600);

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
    /// When those that said nothing were tried, the longest ago first.
    silent: VecDeque<Timestamp>,
    /// Whether a row had to wait.
    keeps_waiting: bool,
}

/// One row's place in a canary, until it is dropped.
#[derive(Debug)]
pub struct Flight(Arc<Canary>);

/// Whether a server said that the mailbox is there, though it takes nothing now.
pub(super) fn is_there(verdict: &Verdict) -> bool {
    let full = matches!(verdict.class, Class::MailboxFull | Class::MailboxClosed);
    verdict.fate == Fate::Deferred && verdict.code.is_some() && full
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
        while state.silent.pop_front_if(|tried| now.since(*tried) > PATIENCE).is_some() {}
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

    /// An attempt at a row, which had been `tried` before, came to this verdict, which `says` something or does not.
    pub(super) fn note(&self, says: bool, verdict: &Verdict, tried: bool, now: Timestamp) {
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
        } else if verdict.fate == Fate::Deferred {
            state.silent.push_back(now);
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

    fn verdict(fate: Fate, class: Class) -> Verdict {
        let mut verdict = of_address("x", true);
        (verdict.fate, verdict.class, verdict.code) = (fate, class, Some(450));
        verdict
    }

    /// What an attempt came to, and whether the row was tried before.
    fn came_back(canary: &Canary, flight: Option<Flight>, fate: Fate, class: Class, tried: bool) {
        let verdict = verdict(fate, class);
        let says = super::super::window::answer(&verdict).is_some() || is_there(&verdict);
        canary.note(says, &verdict, tried, NOW);
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
    fn a_row_that_said_nothing_keeps_its_place_until_it_is_tried_again_or_for_an_hour() {
        let canary = Arc::new(Canary::new("p", 1));
        came_back(&canary, canary.fly(), Fate::Deferred, Class::Greylist, false);
        assert!(!canary.has_room(NOW) && !canary.has_room(NOW.after(PATIENCE)));
        came_back(&canary, canary.fly(), Fate::Deferred, Class::Infrastructure, true);
        assert!(!canary.has_room(NOW.after(PATIENCE)));
        assert!(canary.has_room(NOW.after(PATIENCE + Duration::from_millis(1))));
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
