//! Stops a run, or what of it goes to one provider, before too many of its rows meet refusals that cost us our name.
//!
//! Comes in: each answer of a server to a row, as it is settled. Goes out: what is stopped, from that answer on.
//!
//! What is counted is a [`Signal`]: mailboxes that are not there, and refusals for what we are or send. Complaints will be one
//! more, which bounce intake notes for rows long delivered. A window is the last [`WINDOW`] answers that say something of the list
//! or of us: deliveries, bounces, and blocks whether for now or for good. Greylisting and the like are no answer yet.
//!
//! A window passes a limit once more than [`FEW`](window::FEW) of its answers are of one signal, and more than that share of a whole window:
//! while it is not full, of as many as if it were. So a share of five in a hundred is 51 of at most 1,000. With a list of which
//! the share p is unknown, the number in a window is binomial:
//!
//! | p | 51 or more of 1,000 | what follows at a limit of 0.05 |
//! |---|---|---|
//! | 1 % | 2·10⁻²⁰ | never, however many windows are looked at |
//! | 2 % | 3·10⁻⁹ | at most three runs of a million rows in a thousand are stopped |
//! | 3 % | 2.4·10⁻⁴ | a large run may be: it holds many windows |
//! | 5 % | 0.46 | soon |
//! | 15 % | 1 | after 340 answers, give or take 44; after more than 600 in 6·10⁻⁷ of all runs |
//!
//! | scope | passed | what is stopped |
//! |---|---|---|
//! | the run | once the last answers to all its rows pass | the run: state *braked* |
//! | a provider | once the last answers of that provider pass, and those of the run don't | the run's rows there wait; the run ends as *braked* when all others have ended |
//!
//! A provider whose canary is out passes earlier: see [`super::canary`].
//!
//! *open* → *stopped*, never back: a person resumes the run, and what that person has seen is not looked at again.

use super::Via;
use super::canary::{self, Canary};
use super::window::{self, Limits, Signal, WINDOW, Window};
use crate::clock::Timestamp;
use crate::mail::{Kind, RunId};
use crate::smtp::{Fate, Verdict};
use crate::store::{Braked, DropCause, Error, HeldProvider, Store};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The brakes of one run.
pub struct Shares {
    limits: Limits,
    confirmed: Vec<DropCause>,
    state: Mutex<State>,
    /// Whether the run is stopped, for those who ask before each message.
    stopped: AtomicBool,
    /// Whether any provider is held.
    holds: AtomicBool,
}

#[derive(Default)]
struct State {
    of_run: Window,
    of_providers: BTreeMap<u64, OfProvider>,
    stopped: Option<Braked>,
    held: Vec<HeldProvider>,
}

/// What is known of a provider.
#[derive(Default)]
struct OfProvider {
    window: Window,
    /// What goes ahead of its other rows.
    canary: Option<Arc<Canary>>,
}

impl OfProvider {
    /// Why it passes `limit`, if it does.
    fn passes(&self, signal: Signal, limit: f64) -> Option<String> {
        match &self.canary {
            Some(canary) if canary.is_awaited() => self.window.passes_of_canary(signal, limit, canary.rows()),
            _ => self.window.passes(signal, limit),
        }
    }
}

impl Shares {
    /// Brakes at these limits, in a run of which these providers are held and this was confirmed.
    pub fn new(limits: Limits, held: Vec<HeldProvider>, confirmed: Vec<DropCause>) -> Shares {
        let holds = AtomicBool::new(!held.is_empty());
        let state = Mutex::new(State { held, ..State::default() });
        Shares { limits, confirmed, state, stopped: AtomicBool::new(false), holds }
    }

    /// The same, as if it had seen the last answers to rows of `run` that have ended, but for those up to `since`: a crash lets
    /// go of no brake. Of which provider they were the store does not say.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn having_seen(self, store: &Store, run: RunId, since: Option<Timestamp>) -> Result<Shares, Error> {
        let mut last = BinaryHeap::new();
        store.scan_outcomes(run, None, |row, outcome| {
            let later = since.is_none_or(|since| outcome.at > since);
            let answered = outcome.code.is_some() && matches!(outcome.kind, Kind::Delivered | Kind::Bounced);
            if later && answered {
                last.push(Reverse((outcome.at, row, outcome.class.and_then(Signal::of))));
                if last.len() > WINDOW {
                    last.pop();
                }
            }
        })?;
        let mut state = self.state.lock().expect("no holder panics");
        for Reverse((.., signal)) in last.into_sorted_vec().into_iter().rev() {
            state.of_run.push(signal);
        }
        drop(state);
        Ok(self)
    }

    /// The rows that go ahead of all others for this provider, where the campaign wants that.
    pub(super) fn canary(&self, provider: u64, name: &str) -> Option<Arc<Canary>> {
        let rows = self.limits.canary?;
        let mut state = self.state.lock().expect("no holder panics");
        let canary = &mut state.of_providers.entry(provider).or_default().canary;
        Some(canary.get_or_insert_with(|| Arc::new(Canary::new(name, rows))).clone())
    }

    /// The canaries that rows wait for, and how far each is.
    pub(super) fn canaries(&self) -> Vec<String> {
        if self.limits.canary.is_none() {
            return Vec::new();
        }
        let state = self.state.lock().expect("no holder panics");
        state.of_providers.values().filter_map(|of| of.canary.as_ref()?.standing()).collect()
    }

    /// An attempt at a row came to this verdict; it had been `tried` before.
    pub(super) fn note(&self, verdict: &Verdict, tried: bool, via: Via<'_>, now: Timestamp) {
        if let Some(signal) = window::answer(verdict) {
            self.count(signal, via, now);
        }
        if let Some(canary) = self.awaited(via) {
            canary.note(canary::says(verdict), tried);
        }
    }

    /// A row that was tried came to this verdict, and is due again then.
    pub(super) fn comes_back(&self, verdict: &Verdict, due: Timestamp, via: Via<'_>) {
        if verdict.fate == Fate::Deferred && !canary::says(verdict) {
            self.awaited(via).iter().for_each(|canary| canary.comes_back(due));
        }
    }

    fn awaited(&self, via: Via<'_>) -> Option<Arc<Canary>> {
        self.canary(via.provider, via.host).filter(|canary| canary.is_awaited())
    }

    fn count(&self, signal: Option<Signal>, via: Via<'_>, now: Timestamp) {
        let mut state = self.state.lock().expect("no holder panics");
        state.of_run.push(signal);
        state.of_providers.entry(via.provider).or_default().window.push(signal);
        let Some(signal) = signal.filter(|_| state.stopped.is_none()) else { return };
        let Some(limit) = self.limits.of(signal) else { return };
        let cause = |provider, host: &str| DropCause {
            provider,
            host: host.to_owned(),
            reason: signal.reason(provider != 0).to_owned(),
        };
        if let Some(why) = state.of_run.passes(signal, limit).filter(|_| !self.is_confirmed(&cause(0, ""))) {
            tracing::error!(why, "open -> braked: the run stops");
            let held: Vec<_> = state.held.iter().map(|held| held.cause.clone()).collect();
            let causes = std::iter::once(cause(0, "")).chain(held).collect();
            state.stopped = Some(Braked { at: now, why, causes });
            self.stopped.store(true, Ordering::SeqCst);
            return;
        }
        let held = state.held.iter().any(|held| held.cause.provider == via.provider);
        let of_provider = cause(via.provider, via.host);
        // Who has seen it of the run has seen it of its providers.
        if held || self.is_confirmed(&of_provider) || self.is_confirmed(&cause(0, "")) {
            return;
        }
        if let Some(why) = state.of_providers.get(&via.provider).and_then(|of| of.passes(signal, limit)) {
            tracing::error!(provider = via.host, why, "open -> held: the run's rows there wait");
            state.held.push(HeldProvider { at: now, why: format!("at {}: {why}", via.host), cause: of_provider });
            self.holds.store(true, Ordering::SeqCst);
        }
    }

    /// Whether a person has seen that, there or everywhere.
    fn is_confirmed(&self, cause: &DropCause) -> bool {
        let same = |seen: &&DropCause| seen.reason == cause.reason && [0, cause.provider].contains(&seen.provider);
        self.confirmed.iter().any(|seen| same(&seen))
    }

    /// Whether the run is stopped.
    pub(super) fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether rows for this provider wait for a person.
    pub(super) fn holds(&self, provider: u64) -> bool {
        let held = || self.held().iter().any(|held| held.cause.provider == provider);
        self.holds.load(Ordering::SeqCst) && held()
    }

    /// The providers at which rows wait, and why.
    pub(super) fn held(&self) -> Vec<HeldProvider> {
        if !self.holds.load(Ordering::SeqCst) {
            return Vec::new();
        }
        self.state.lock().expect("no holder panics").held.clone()
    }

    /// Why the run waits for a person; a run of which rows are `left` waits for its held providers, too.
    pub(super) fn braked(&self, left: bool) -> Option<Braked> {
        let state = self.state.lock().expect("no holder panics");
        let held = || {
            let at = state.held.iter().map(|held| held.at).max().filter(|_| left)?;
            let why: Vec<_> = state.held.iter().map(|held| held.why.clone()).collect();
            let causes = state.held.iter().map(|held| held.cause.clone()).collect();
            Some(Braked { at, why: why.join("; "), causes })
        };
        state.stopped.clone().or_else(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Class;
    use rand_like::Dice;

    /// Small numbers of good luck, the same for the same seed (Vigna's SplitMix64).
    mod rand_like {
        pub(super) struct Dice(pub u64);

        impl Dice {
            pub(super) fn below(&mut self, bound: u64) -> u64 {
                self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut next = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                next = (next ^ (next >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                (next ^ (next >> 31)) % bound
            }
        }
    }

    const LIMITS: Limits = Limits { unknown: Some(0.05), blocked: Some(0.05), canary: None };
    const NOW: Timestamp = Timestamp(7);

    fn via(provider: u64) -> Via<'static> {
        Via { provider, host: "mx.p.example", session: None }
    }

    fn delivered() -> Verdict {
        let mut verdict = crate::smtp::of_address("x", true);
        verdict.fate = Fate::Delivered;
        verdict
    }

    fn shares() -> Shares {
        Shares::new(LIMITS, Vec::new(), Vec::new())
    }

    /// So many answers, of which that share is of this signal, until it stops.
    fn answered(shares: &Shares, dice: &mut Dice, answers: u64, of: Signal, per_mille: u64, provider: u64) -> u64 {
        let stops = |_: &u64| {
            let signal = (dice.below(1000) < per_mille).then_some(of);
            shares.count(signal, via(provider), NOW);
            shares.has_stopped()
        };
        (0..answers).find(stops).map_or(answers, |last| last + 1)
    }

    #[test]
    fn fifteen_in_a_hundred_unknown_stop_a_run_before_a_hundredth_of_its_rows() {
        for seed in 0..50 {
            let shares = shares();
            let tried = answered(&shares, &mut Dice(seed), 100_000, Signal::Unknown, 150, 1);
            assert!((51..700).contains(&tried), "seed {seed}: {tried}");
            let why = shares.braked(true).expect("it stops").why;
            assert!(why.starts_with("51 of the last ") && why.ends_with("passes [brakes] unknown (5 %)"), "{why}");
        }
    }

    #[test]
    fn one_in_a_hundred_unknown_never_stops_a_run() {
        for seed in 0..50 {
            let shares = shares();
            answered(&shares, &mut Dice(seed), 100_000, Signal::Unknown, 10, 1);
            assert!(!shares.has_stopped() && shares.held().is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn a_canary_is_held_by_three_more_than_its_share() {
        for (rows, held_by) in [(20, 5), (100, 9), (1000, 54)] {
            let shares = Shares::new(Limits { canary: Some(rows), ..LIMITS }, Vec::new(), Vec::new());
            let canary = shares.canary(1, "p").expect("it has one");
            let mut bad = delivered();
            (bad.fate, bad.class, bad.code) = (Fate::Bounced, Class::MailboxUnknown, Some(550));
            let tried = (1..).find(|_| {
                shares.note(&bad, false, via(1), NOW);
                // Fifty-one are enough for the run.
                shares.holds(1) || shares.has_stopped()
            });
            assert_eq!(tried, Some(held_by.min(51)), "{rows} rows");
            assert!(canary.is_awaited() && shares.braked(true).is_some());
        }
    }

    #[test]
    fn a_provider_whose_canary_came_back_well_is_held_as_ever() {
        let shares = Shares::new(Limits { canary: Some(20), ..LIMITS }, Vec::new(), Vec::new());
        let canary = shares.canary(1, "p").expect("it has one");
        (0..20).for_each(|_| shares.note(&delivered(), false, via(1), NOW));
        assert!(!canary.is_awaited());
        let answered = answered(&shares, &mut Dice(1), 100, Signal::Unknown, 1000, 1);
        assert_eq!(answered, 51);
    }

    #[test]
    fn one_bad_provider_in_a_good_run_is_held_by_itself() {
        let (shares, mut dice) = (shares(), Dice(1));
        for _ in 0..2000 {
            answered(&shares, &mut dice, 19, Signal::Blocked, 0, 1);
            answered(&shares, &mut dice, 1, Signal::Blocked, 500, 2);
        }
        assert!(!shares.has_stopped(), "one in forty of all");
        assert_eq!((shares.holds(1), shares.holds(2)), (false, true));
        let braked = shares.braked(true).expect("rows are left");
        assert!(braked.why.starts_with("at mx.p.example: 51 of the last "), "{}", braked.why);
        assert!(shares.braked(false).is_none(), "all other rows were all rows");
        let again = Shares::new(LIMITS, Vec::new(), braked.causes);
        answered(&again, &mut dice, 60, Signal::Blocked, 1000, 2);
        assert!(again.has_stopped(), "what was seen at one provider was not seen of the run");
    }

    #[test]
    fn what_a_person_has_seen_stops_it_no_more() {
        let first = shares();
        answered(&first, &mut Dice(1), 100, Signal::Unknown, 1000, 1);
        let seen = first.braked(true).expect("it stops").causes;
        let next = Shares::new(LIMITS, Vec::new(), seen);
        answered(&next, &mut Dice(1), 400, Signal::Unknown, 1000, 1);
        assert!(!next.has_stopped() && next.held().is_empty());
        answered(&next, &mut Dice(1), 100, Signal::Blocked, 1000, 1);
        assert!(next.has_stopped(), "that was something else");
    }

    #[test]
    fn what_says_nothing_of_the_list_or_of_us_is_not_counted() {
        let shares = shares();
        let mut verdict = crate::smtp::of_address("connection_lost", true);
        for class in [Class::Greylist, Class::Unknown, Class::MailboxUnknown, Class::Rate] {
            (verdict.class, verdict.code) = (class, Some(450));
            (0..1000).for_each(|_| shares.note(&verdict, false, via(1), NOW));
        }
        assert!(!shares.has_stopped());
        verdict.class = Class::Reputation;
        (0..51).for_each(|_| shares.note(&verdict, false, via(1), NOW));
        assert!(shares.has_stopped(), "51 of the first 51");
    }

    #[test]
    fn without_limits_nothing_stops() {
        let shares = Shares::new(Limits { unknown: None, blocked: None, canary: None }, Vec::new(), Vec::new());
        answered(&shares, &mut Dice(1), 1000, Signal::Unknown, 1000, 1);
        answered(&shares, &mut Dice(1), 1000, Signal::Blocked, 1000, 1);
        assert!(!shares.has_stopped() && shares.held().is_empty());
    }
}
