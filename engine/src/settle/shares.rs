//! Stops a run, or what of it goes to one provider, before too many of its rows meet refusals that cost us our name.
//!
//! Comes in: each answer of a server to a row, as it is settled. Goes out: what is stopped, from that answer on.
//!
//! What is counted is a [`Signal`]: mailboxes that are not there, and refusals for what we are or send. Complaints will be one
//! more, which bounce intake notes for rows long delivered. A window is the last [`WINDOW`] answers that say something of the list
//! or of us: deliveries, bounces, and blocks whether for now or for good. Greylisting and the like are no answer yet.
//!
//! A window passes a limit once more than [`FEW`] of its answers are of one signal, and more than that share of a whole window:
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
//! *open* → *stopped*, never back: a person resumes the run, and what that person has seen is not looked at again.

use super::Via;
use crate::clock::Timestamp;
use crate::mail::{Class, Kind, RunId};
use crate::smtp::{Fate, Verdict};
use crate::store::{Braked, DropCause, Error, HeldProvider, Store};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many answers a window holds.
pub const WINDOW: usize = 1000;
/// So many answers of one signal never stop anything: below, a share says nothing.
pub const FEW: usize = 50;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// A mailbox or domain that is not there: bought, old or misread lists have many.
    Unknown,
    /// Taken for spam, distrusted, or not authenticated.
    Blocked,
}

/// The shares above which it stops; none where it does not look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of unknown mailboxes.
    pub unknown: Option<f64>,
    /// Of blocks.
    pub blocked: Option<f64>,
}

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
    of_providers: BTreeMap<u64, Window>,
    stopped: Option<Braked>,
    held: Vec<HeldProvider>,
}

impl Signal {
    const ALL: [Signal; 2] = [Signal::Unknown, Signal::Blocked];

    /// What a refusal of this class counts as.
    pub fn of(class: Class) -> Option<Signal> {
        match class {
            _ if class.is_hard() => Some(Signal::Unknown),
            _ if class.is_block() => Some(Signal::Blocked),
            _ => None,
        }
    }

    /// The closed label of what a person confirms.
    fn reason(self, of_provider: bool) -> &'static str {
        match (self, of_provider) {
            (Signal::Unknown, false) => "unknown_of_run",
            (Signal::Unknown, true) => "unknown_of_provider",
            (Signal::Blocked, false) => "blocked_of_run",
            (Signal::Blocked, true) => "blocked_of_provider",
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Signal::Unknown => ("were for addresses that are not there", "[brakes] unknown"),
            Signal::Blocked => ("were refused for what we are or send", "[brakes] blocked"),
        }
    }
}

impl Limits {
    fn of(&self, signal: Signal) -> Option<f64> {
        match signal {
            Signal::Unknown => self.unknown,
            Signal::Blocked => self.blocked,
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

    /// A server answered a row.
    pub(super) fn note(&self, verdict: &Verdict, via: Via<'_>, now: Timestamp) {
        let signal = Signal::of(verdict.class);
        let counts = match verdict.fate {
            Fate::Delivered => return self.count(None, via, now),
            Fate::Bounced => verdict.code.is_some(),
            Fate::Deferred => verdict.code.is_some() && signal == Some(Signal::Blocked),
            Fate::Dropped | Fate::InDoubt => false,
        };
        if counts {
            self.count(signal, via, now);
        }
    }

    fn count(&self, signal: Option<Signal>, via: Via<'_>, now: Timestamp) {
        let mut state = self.state.lock().expect("no holder panics");
        state.of_run.push(signal);
        state.of_providers.entry(via.provider).or_default().push(signal);
        let Some(signal) = signal.filter(|_| state.stopped.is_none()) else { return };
        let passed = |window: &Window| self.limits.of(signal).and_then(|limit| window.passes(signal, limit));
        let cause = |provider, host: &str| DropCause {
            provider,
            host: host.to_owned(),
            reason: signal.reason(provider != 0).to_owned(),
        };
        if let Some(why) = passed(&state.of_run).filter(|_| !self.is_confirmed(&cause(0, ""))) {
            tracing::error!(why, "open -> braked: the run stops");
            let held: Vec<_> = state.held.iter().map(|held| held.cause.clone()).collect();
            let causes = std::iter::once(cause(0, "")).chain(held).collect();
            state.stopped = Some(Braked { at: now, why, causes });
            self.stopped.store(true, Ordering::SeqCst);
            return;
        }
        let held = state.held.iter().any(|held| held.cause.provider == via.provider);
        let of_provider = cause(via.provider, via.host);
        if held || self.is_confirmed(&of_provider) {
            return;
        }
        if let Some(why) = state.of_providers.get(&via.provider).and_then(passed) {
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

/// The last answers: which of all that came were bad. A million small sites cost no more than that they are there.
#[derive(Default)]
struct Window {
    came: u64,
    /// The oldest first.
    bad: VecDeque<(u64, Signal)>,
    counts: [usize; Signal::ALL.len()],
}

impl Window {
    fn push(&mut self, answer: Option<Signal>) {
        self.came += 1;
        if let Some(signal) = answer {
            self.bad.push_back((self.came, signal));
            self.counts[signal as usize] += 1;
        }
        while let Some((_, signal)) = self.bad.pop_front_if(|(number, _)| *number + WINDOW as u64 <= self.came) {
            self.counts[signal as usize] -= 1;
        }
    }

    /// Why it passes `limit`, if it does.
    #[expect(clippy::cast_precision_loss, reason = "a share of a thousand")]
    fn passes(&self, signal: Signal, limit: f64) -> Option<String> {
        let count = self.counts[signal as usize];
        let (what, limited_by) = signal.words();
        (count > FEW && count as f64 > limit * WINDOW as f64).then(|| {
            format!(
                "{count} of the last {} answers {what}, which passes {limited_by} ({} %)",
                self.came.min(WINDOW as u64),
                limit * 100.0
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    const LIMITS: Limits = Limits { unknown: Some(0.05), blocked: Some(0.05) };
    const NOW: Timestamp = Timestamp(7);

    fn via(provider: u64) -> Via<'static> {
        Via { provider, host: "mx.p.example", session: None }
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
        answered(&next, &mut Dice(1), 40, Signal::Unknown, 1000, 1);
        assert!(!next.has_stopped());
        answered(&next, &mut Dice(1), 100, Signal::Blocked, 1000, 1);
        assert!(next.has_stopped(), "that was something else");
    }

    #[test]
    fn what_says_nothing_of_the_list_or_of_us_is_not_counted() {
        let shares = shares();
        let mut verdict = crate::smtp::of_address("connection_lost", true);
        for class in [Class::Greylist, Class::Unknown, Class::MailboxUnknown, Class::Rate] {
            (verdict.class, verdict.code) = (class, Some(450));
            (0..1000).for_each(|_| shares.note(&verdict, via(1), NOW));
        }
        assert!(!shares.has_stopped());
        verdict.class = Class::Reputation;
        (0..51).for_each(|_| shares.note(&verdict, via(1), NOW));
        assert!(shares.has_stopped(), "51 of the first 51");
    }

    proptest::proptest! {
        #[test]
        fn a_window_is_the_last_answers(
            answers in proptest::collection::vec(proptest::sample::select(vec![
                None, None, None, Some(Signal::Unknown), Some(Signal::Blocked),
            ]), 0..3000),
        ) {
            let mut window = Window::default();
            answers.iter().for_each(|answer| window.push(*answer));
            let last = &answers[answers.len().saturating_sub(WINDOW)..];
            let counts = Signal::ALL.map(|signal| last.iter().filter(|answer| **answer == Some(signal)).count());
            proptest::prop_assert_eq!(window.counts, counts);
        }
    }

    #[test]
    fn without_limits_nothing_stops() {
        let shares = Shares::new(Limits { unknown: None, blocked: None }, Vec::new(), Vec::new());
        answered(&shares, &mut Dice(1), 1000, Signal::Unknown, 1000, 1);
        answered(&shares, &mut Dice(1), 1000, Signal::Blocked, 1000, 1);
        assert!(!shares.has_stopped() && shares.held().is_empty());
    }
}
