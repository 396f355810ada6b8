//! Stops a run before it drops more than it should: one expired certificate at a large provider would otherwise cost half a
//! campaign.
//!
//! Comes in: every end of a row that was to be sent, and the question whether another may be dropped. Goes out: yes or no. The
//! window is the last 1,000 of these ends, or, where that is more, as many as a hundredth of the rows read, so that one small
//! host doesn't stop a run of a million. In it the share of drops may not pass the limit, once it would hold more than 50.
//!
//! *open* → *braked* with the first drop that is refused; never back: a person resumes the run, which gives it a new brake. What
//! that person has seen is confirmed: the same reason at the same provider is counted no more, neither as a drop nor at all.

use super::Via;
use crate::clock::Timestamp;
use crate::mail::rows;
use crate::store::{Braked, DropCause};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// The last ends, the oldest first: what a row was dropped for, or nothing.
    window: VecDeque<Option<Arc<DropCause>>>,
    /// What is in the window.
    drops: BTreeMap<Arc<DropCause>, usize>,
    braked: Option<(Timestamp, String)>,
    /// What drops were refused for since.
    refused: BTreeSet<DropCause>,
}

impl Brake {
    /// A brake for shares above `limit`. What is confirmed is free.
    pub fn new(limit: f64, confirmed: Vec<DropCause>) -> Brake {
        Brake { limit, confirmed, state: Mutex::default() }
    }

    /// A row ended otherwise; `read` rows were read so far.
    pub(super) fn note(&self, read: u64) {
        self.state.lock().expect("no holder panics").push(None, window(read));
    }

    /// Whether a row may be dropped for `reason`. If so it counts as dropped.
    pub(super) fn allows(&self, via: Via<'_>, reason: &str, read: u64, now: Timestamp) -> bool {
        let cause = DropCause { provider: via.provider, host: via.host.to_owned(), reason: reason.to_owned() };
        let mut state = self.state.lock().expect("no holder panics");
        if state.braked.is_none() && self.confirmed.iter().any(|confirmed| covers(confirmed, &cause)) {
            return true;
        }
        if state.braked.is_none() && !state.jumps(self.limit, window(read)) {
            state.push(Some(Arc::new(cause)), window(read));
            return true;
        }
        if state.braked.is_none() {
            let why = state.why(&cause, self.limit);
            tracing::error!(why, "open -> braked: nothing more is dropped, and the run stops");
            state.braked = Some((now, why));
        }
        state.refused.insert(cause);
        false
    }

    /// Why it has stopped the run, if it has.
    pub(super) fn braked(&self) -> Option<Braked> {
        let state = self.state.lock().expect("no holder panics");
        let (at, why) = state.braked.clone()?;
        let seen = state.drops.keys().map(|cause| DropCause::clone(cause));
        let causes: BTreeSet<_> = seen.chain(state.refused.iter().cloned()).collect();
        Some(Braked { at, why, causes: causes.into_iter().collect() })
    }

    pub(super) fn is_braked(&self) -> bool {
        self.state.lock().expect("no holder panics").braked.is_some()
    }
}

impl State {
    fn push(&mut self, end: Option<Arc<DropCause>>, most: usize) {
        if let Some(cause) = &end {
            *self.drops.entry(cause.clone()).or_default() += 1;
        }
        self.window.push_back(end);
        while self.window.len() > most {
            let Some(Some(cause)) = self.window.pop_front() else { continue };
            let left = self.drops.remove(&cause).map_or(0, |count| count - 1);
            if left > 0 {
                self.drops.insert(cause, left);
            }
        }
    }

    fn dropped(&self) -> usize {
        self.drops.values().sum()
    }

    /// Whether one drop more would be too many.
    #[expect(clippy::cast_precision_loss, reason = "a share of thousands")]
    fn jumps(&self, limit: f64, most: usize) -> bool {
        let (drops, ends) = (self.dropped() + 1, (self.window.len() + 1).min(most));
        drops as u64 > FEW_DROPS && drops as f64 > limit * ends as f64
    }

    fn why(&self, last: &DropCause, limit: f64) -> String {
        let mut causes: Vec<_> = self.drops.iter().map(|(cause, count)| (*count, &**cause)).collect();
        causes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let name = |cause: &DropCause| format!("{} at {}", cause.reason, cause.host);
        let mut named: Vec<_> =
            causes.iter().take(NAMED).map(|(count, cause)| format!("{count} for {}", name(cause))).collect();
        if causes.len() > NAMED {
            named.push(format!("and {} other causes", causes.len() - NAMED));
        }
        let (dropped, ends) = (self.dropped(), rows(self.window.len() as u64));
        let (named, share, next) = (named.join(", "), limit * 100.0, name(last));
        format!(
            "{dropped} of the last {ends} were dropped ({named}); one more for {next} would pass drop_brake ({share} %)"
        )
    }
}

/// Whether a person has said that rows may be dropped for `cause`.
fn covers(confirmed: &DropCause, cause: &DropCause) -> bool {
    confirmed.reason == cause.reason && (confirmed.provider == cause.provider || confirmed.provider == 0)
}

fn window(read: u64) -> usize {
    WINDOW.max(usize::try_from(read / 100).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert_eq!(dropped(&brake, 9, "no_starttls", 5000), 5000);
        assert_eq!(dropped(&brake, 1, "lost_standing", 5000), 50);
        assert_eq!(dropped(&brake, 1, "certificate_expired", 1), 0, "once it has stopped the run, nothing is dropped");
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
