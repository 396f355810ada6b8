//! Stops a run before it drops more than it should: one expired certificate at a large provider would otherwise cost half a
//! campaign.
//!
//! Comes in: every end of a row that was to be sent, and the question whether another may be dropped. Goes out: yes or no. The
//! window is the last 1,000 of these ends, or, where that is more, as many as a hundredth of the rows read, so that one small
//! host doesn't stop a run of a million. In it the share of drops may not pass the limit, once it would hold more than 50. An
//! engine that takes a run up begins with what the store knows of its last ends: a crash lets go of no brake.
//!
//! *open* → *braked* with the first drop that is refused; never back: a person resumes the run, which gives it a new brake. What
//! that person has seen is confirmed.
//!
//! | confirmed | a drop for that reason |
//! |---|---|
//! | at its provider | is free, and counted no more, neither as a drop nor at all |
//! | everywhere | is free as long as its provider, by itself, stays below the limit: nobody who lets many small hosts pass means the next large one |
//! | not | counts |

use super::Via;
use crate::clock::Timestamp;
use crate::mail::{Kind, RunId, rows};
use crate::store::{Braked, DropCause, Error, Store};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex};

/// Drops that never stop a run: below, a share says nothing.
pub const FEW_DROPS: u64 = 50;
/// The window of a run that is not large.
const WINDOW: usize = 1000;
/// How many causes are named to whoever is to decide.
const NAMED: usize = 3;

/// One run's brake.
pub struct Brake {
    limit: f64,
    confirmed: Vec<DropCause>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last ends, but for drops that are confirmed everywhere.
    open: Window,
    /// The same with these.
    all: Window,
    braked: Option<Stop>,
    /// What else drops were refused for since.
    refused: BTreeSet<DropCause>,
}

/// The first drop that was refused.
#[derive(Clone)]
struct Stop {
    at: Timestamp,
    why: String,
    cause: DropCause,
}

/// The last ends of rows.
#[derive(Default)]
struct Window {
    /// The oldest first: what a row was dropped for, or nothing.
    ends: VecDeque<Option<Arc<DropCause>>>,
    /// What is among them.
    drops: BTreeMap<Arc<DropCause>, usize>,
}

impl Brake {
    /// A brake for shares above `limit`. What is confirmed is free.
    pub fn new(limit: f64, confirmed: Vec<DropCause>) -> Brake {
        Brake { limit, confirmed, state: Mutex::default() }
    }

    /// The same, as if it had seen the last ends of `run` that the store has, but for those up to `since`: what a person has let
    /// pass. Where a row was dropped the store does not say: reasons that are confirmed anywhere are passed over.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn having_seen(self, store: &Store, run: RunId, since: Option<Timestamp>, read: u64) -> Result<Brake, Error> {
        let most = window(read);
        let mut last = BinaryHeap::new();
        store.scan_outcomes(run, None, |row, outcome| {
            let dropped = outcome.kind == Kind::Dropped;
            let later = since.is_none_or(|since| outcome.at > since);
            let known = dropped && self.confirmed.iter().any(|cause| cause.reason == outcome.reason);
            if later && !known && (dropped || counts(outcome.kind)) {
                last.push(Reverse((outcome.at, row, dropped.then_some(outcome.reason))));
                if last.len() > most {
                    last.pop();
                }
            }
        })?;
        let mut state = self.state.lock().expect("no holder panics");
        for Reverse((.., reason)) in last.into_sorted_vec().into_iter().rev() {
            let earlier = |reason| Arc::new(DropCause { provider: 0, host: String::new(), reason });
            state.push(reason.map(earlier), false, most);
        }
        drop(state);
        Ok(self)
    }

    /// A row ended otherwise; `read` rows were read so far.
    pub(super) fn note(&self, read: u64) {
        self.state.lock().expect("no holder panics").push(None, false, window(read));
    }

    /// Whether a row may be dropped for `reason`. If so it counts as dropped.
    pub(super) fn allows(&self, via: Via<'_>, reason: &str, read: u64, now: Timestamp) -> bool {
        let cause = DropCause { provider: via.provider, host: via.host.to_owned(), reason: reason.to_owned() };
        let (mut state, most) = (self.state.lock().expect("no holder panics"), window(read));
        if state.braked.is_some() {
            state.refused.insert(cause);
            return false;
        }
        if self.is_confirmed(cause.provider, reason) {
            return true;
        }
        let everywhere = self.is_confirmed(0, reason);
        let (seen, alone) = if everywhere { (&state.all, Some(&cause)) } else { (&state.open, None) };
        if seen.jumps(seen.dropped(alone), self.limit, most) {
            let why = seen.why(alone, &cause, self.limit);
            tracing::error!(why, "open -> braked: nothing more is dropped, and the run stops");
            state.braked = Some(Stop { at: now, why, cause });
            return false;
        }
        state.push(Some(Arc::new(cause)), everywhere, most);
        true
    }

    /// Whether a person has seen that reason at that provider; 0 is everywhere.
    fn is_confirmed(&self, provider: u64, reason: &str) -> bool {
        self.confirmed.iter().any(|confirmed| confirmed.provider == provider && confirmed.reason == reason)
    }

    /// Why it has stopped the run, if it has: first the drop that was refused, then what most others were for.
    pub(super) fn braked(&self) -> Option<Braked> {
        let state = self.state.lock().expect("no holder panics");
        let Stop { at, why, cause } = state.braked.clone()?;
        let mut causes = vec![cause];
        let refused = state.refused.iter().filter(|cause| !self.is_confirmed(0, &cause.reason));
        let others = state.open.by_number().into_iter().map(|(_, cause)| cause).chain(refused);
        for other in others.filter(|cause| !is_earlier(cause)) {
            if !causes.contains(other) {
                causes.push(other.clone());
            }
        }
        Some(Braked { at, why, causes })
    }

    pub(super) fn is_braked(&self) -> bool {
        self.state.lock().expect("no holder panics").braked.is_some()
    }
}

impl State {
    fn push(&mut self, end: Option<Arc<DropCause>>, everywhere: bool, most: usize) {
        if !everywhere {
            self.open.push(end.clone(), most);
        }
        self.all.push(end, most);
    }
}

impl Window {
    fn push(&mut self, end: Option<Arc<DropCause>>, most: usize) {
        if let Some(cause) = &end {
            *self.drops.entry(cause.clone()).or_default() += 1;
        }
        self.ends.push_back(end);
        while self.ends.len() > most {
            let Some(Some(cause)) = self.ends.pop_front() else { continue };
            let left = self.drops.remove(&cause).map_or(0, |count| count - 1);
            if left > 0 {
                self.drops.insert(cause, left);
            }
        }
    }

    /// Drops for all causes, or for one `alone`.
    fn dropped(&self, alone: Option<&DropCause>) -> usize {
        alone.map_or_else(|| self.drops.values().sum(), |cause| self.drops.get(cause).copied().unwrap_or(0))
    }

    /// Whether one drop more than so many would be too many.
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    fn jumps(&self, dropped: usize, limit: f64, most: usize) -> bool {
        let (drops, ends) = (dropped + 1, (self.ends.len() + 1).min(most));
        drops as u64 > FEW_DROPS && drops as f64 > limit * ends as f64
    }

    /// What rows were dropped for, and how many; most first.
    fn by_number(&self) -> Vec<(usize, &DropCause)> {
        let mut causes: Vec<_> = self.drops.iter().map(|(cause, count)| (*count, &**cause)).collect();
        causes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        causes
    }

    fn why(&self, alone: Option<&DropCause>, last: &DropCause, limit: f64) -> String {
        let mut causes = self.by_number();
        causes.retain(|(_, cause)| alone.is_none_or(|alone| alone == *cause));
        let name = |cause: &DropCause| match is_earlier(cause) {
            true => format!("{} earlier", cause.reason),
            false => format!("{} at {}", cause.reason, cause.host),
        };
        let mut named: Vec<_> =
            causes.iter().take(NAMED).map(|(count, cause)| format!("{count} for {}", name(cause))).collect();
        if causes.len() > NAMED {
            named.push(format!("and {} other causes", causes.len() - NAMED));
        }
        let (dropped, ends) = (self.dropped(alone), rows(self.ends.len() as u64));
        let (named, share, next) = (named.join(", "), limit * 100.0, name(last));
        format!(
            "{dropped} of the last {ends} were dropped ({named}); one more for {next} would pass drop_brake ({share} %)"
        )
    }
}

/// Whether a row that ended so counts as one that was not dropped.
pub(super) fn counts(kind: Kind) -> bool {
    matches!(kind, Kind::Delivered | Kind::Bounced | Kind::Expired)
}

/// Whether it was an earlier engine's, which did not keep where.
fn is_earlier(cause: &DropCause) -> bool {
    cause.provider == 0
}

fn window(read: u64) -> usize {
    WINDOW.max(usize::try_from(read / 100).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Outcome;
    use crate::secret::DataKey;
    use proptest::prelude::*;

    const RUN: RunId = RunId(7);
    const NOW: Timestamp = Timestamp(7);

    fn via(provider: u64) -> Via<'static> {
        Via { provider, host: "mx.p.example", session: None }
    }

    fn dropped(brake: &Brake, provider: u64, reason: &str, rows: usize) -> usize {
        (0..rows).filter(|_| brake.allows(via(provider), reason, 1000, NOW)).count()
    }

    #[test]
    fn half_a_campaign_is_not_dropped_in_one_go() {
        let brake = Brake::new(0.1, Vec::new());
        (0..5000).for_each(|_| brake.note(10_000));
        assert_eq!(dropped(&brake, 1, "certificate_expired", 5000), 100);
        let braked = brake.braked().expect("it stops");
        assert!(braked.why.starts_with("100 of the last 1000 rows were dropped (100 for certificate_expired at mx.p"));
        assert_eq!(braked.causes.len(), 1);
    }

    #[test]
    fn a_few_drops_are_no_jump() {
        let brake = Brake::new(0.1, Vec::new());
        assert_eq!(dropped(&brake, 1, "no_starttls", 50), 50);
        assert!(!brake.is_braked());
        assert_eq!(dropped(&brake, 1, "no_starttls", 1), 0);
        assert!(brake.is_braked());
    }

    #[test]
    fn drops_of_long_ago_are_forgotten() {
        let brake = Brake::new(0.1, Vec::new());
        for _ in 0..100 {
            (0..1000).for_each(|_| brake.note(1000));
            assert_eq!(dropped(&brake, 1, "no_starttls", 90), 90);
        }
        assert!(!brake.is_braked());
    }

    #[test]
    fn a_small_host_does_not_stop_a_large_run() {
        let brake = Brake::new(0.1, Vec::new());
        (0..50_000).for_each(|_| brake.note(1_000_000));
        let allowed = (0..5000).filter(|_| brake.allows(via(1), "no_starttls", 1_000_000, NOW)).count();
        assert_eq!(allowed, 1000, "a tenth of a hundredth of a million");
    }

    #[test]
    fn what_was_confirmed_is_free_and_nothing_else() {
        let cause = |provider, reason: &str| DropCause { provider, host: String::new(), reason: reason.into() };
        let brake = Brake::new(0.1, vec![cause(1, "certificate_expired"), cause(0, "no_starttls")]);
        assert_eq!(dropped(&brake, 1, "certificate_expired", 5000), 5000);
        let small: usize = (100..1100).map(|provider| dropped(&brake, provider, "no_starttls", 5)).sum();
        assert_eq!(small, 5000);
        assert_eq!(dropped(&brake, 1, "lost_standing", 5000), 50);
        assert_eq!(dropped(&brake, 1, "certificate_expired", 1), 0, "once it has stopped the run, nothing is dropped");
    }

    #[test]
    fn a_large_host_is_asked_about_although_many_small_ones_were_let_pass() {
        let everywhere = DropCause { provider: 0, host: String::new(), reason: "certificate_expired".into() };
        let brake = Brake::new(0.1, vec![everywhere]);
        for provider in 2..100 {
            (0..90).for_each(|_| brake.note(1000));
            assert_eq!(dropped(&brake, provider, "certificate_expired", 20), 20, "of small hosts, as many as may be");
        }
        let allowed = dropped(&brake, 1, "certificate_expired", 5000);
        assert_eq!(allowed, 100, "a tenth of the window");
        let braked = brake.braked().expect("it stops");
        let why = "100 of the last 1000 rows were dropped (100 for certificate_expired at mx.p.example); one more";
        assert!(braked.why.starts_with(why), "{}", braked.why);
        let causes: Vec<_> = braked.causes.iter().map(|cause| cause.provider).collect();
        assert_eq!(causes, [1], "the others are confirmed already");
    }

    #[test]
    fn what_stopped_the_run_comes_first_and_then_what_most_rows_were_dropped_for() {
        let brake = Brake::new(0.1, Vec::new());
        for (provider, rows) in [(3, 5), (2, 40), (4, 5)] {
            dropped(&brake, provider, "no_starttls", rows);
        }
        assert_eq!(dropped(&brake, 9, "no_starttls", 2), 0);
        assert_eq!(dropped(&brake, 8, "no_starttls", 1), 0);
        let causes = brake.braked().expect("it stops").causes;
        assert_eq!(causes.iter().map(|cause| cause.provider).collect::<Vec<_>>(), [9, 2, 3, 4, 8]);
    }

    /// A store in which rows of a run ended so, one each millisecond.
    fn ended(kinds: &[(Kind, &str, usize)]) -> (Store, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), &crate::store::Settings::default()).expect("a store");
        let all = kinds.iter().flat_map(|(kind, reason, rows)| std::iter::repeat_n((*kind, *reason), *rows));
        let outcome = |(row, (kind, reason))| (row, Outcome::new(kind, Timestamp(row), 1, reason));
        let outcomes: Vec<_> = (1..).zip(all).map(outcome).collect();
        store.put_outcomes(RUN, &outcomes, &DataKey::new(&[1; 32])).expect("written");
        (store, folder)
    }

    #[test]
    fn the_next_engine_goes_on_where_the_last_one_was() {
        let allowed = |kinds: &[(Kind, &str, usize)], since: u64, confirmed| {
            let (store, _folder) = ended(kinds);
            let brake = Brake::new(0.1, confirmed).having_seen(&store, RUN, Some(Timestamp(since)), 1000);
            dropped(&brake.expect("readable"), 1, "no_starttls", 1000)
        };
        let drops = (Kind::Dropped, "no_starttls", 50);
        assert_eq!(allowed(&[drops], 0, Vec::new()), 0);
        assert_eq!(allowed(&[drops], 50, Vec::new()), 50, "a person has let these pass");
        assert_eq!(allowed(&[drops, (Kind::Delivered, "", 950)], 0, Vec::new()), 100, "fifty go as fifty come");
        assert_eq!(allowed(&[drops, (Kind::Delivered, "", 2000)], 0, Vec::new()), 100, "long ago");
        assert_eq!(
            allowed(&[(Kind::Invalid, "address", 5000), drops], 0, Vec::new()),
            0,
            "these were never to be sent"
        );
        let other = DropCause { provider: 7, host: "mx7.example".into(), reason: "no_starttls".into() };
        assert_eq!(allowed(&[drops], 0, vec![other]), 50, "it may have been there");
    }

    #[test]
    fn earlier_drops_are_named_and_not_confirmed() {
        let (store, _folder) = ended(&[(Kind::Dropped, "certificate_expired", 50)]);
        let brake = Brake::new(0.1, Vec::new()).having_seen(&store, RUN, None, 1000).expect("readable");
        assert_eq!(dropped(&brake, 4, "no_starttls", 1), 0);
        let braked = brake.braked().expect("it stops");
        assert!(
            braked.why.contains("(50 for certificate_expired earlier); one more for no_starttls at"),
            "{}",
            braked.why
        );
        assert_eq!(braked.causes.iter().map(|cause| cause.provider).collect::<Vec<_>>(), [4]);
    }

    proptest! {
        /// Whatever comes in whatever order: no more drops than the share of the window allows, or fifty.
        #[test]
        fn the_share_is_never_passed(ends in prop::collection::vec(any::<bool>(), 1..3000), limit in 0.0_f64..0.9) {
            let brake = Brake::new(limit, Vec::new());
            let mut done = Vec::new();
            for dropped in ends {
                if dropped {
                    if !brake.allows(via(1), "no_starttls", 0, NOW) {
                        break;
                    }
                } else {
                    brake.note(0);
                }
                done.push(dropped);
                let last = &done[done.len().saturating_sub(WINDOW)..];
                let drops = last.iter().filter(|dropped| **dropped).count();
                #[expect(clippy::cast_precision_loss, reason = "thousands")]
                let most = limit * last.len() as f64;
                prop_assert!(drops <= FEW_DROPS as usize || drops as f64 <= most || !dropped);
            }
        }
    }
}
