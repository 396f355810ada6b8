//! What really happened: the trace, what servers took, and who was connected. The truth that the engine's accounts are held
//! against.

use super::plan::Plan;
use crate::clock::{Clock, Day, Timestamp};
use crate::mail::RunId;
use crate::sandbox::Meter;
use crate::store::{Store, Tally};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// One seed's world at work.
pub(super) struct World {
    pub(super) plan: Plan,
    store: Arc<Store>,
    clock: SimulatedClock,
    began: Instant,
    facts: Mutex<Facts>,
}

/// A row: the number of its run, and its ordinal.
pub(super) type Name = (usize, u64);

#[derive(Default)]
pub(super) struct Facts {
    pub(super) trace: Vec<String>,
    /// What must not be.
    pub(super) wrong: Vec<String>,
    pub(super) taken: BTreeMap<Name, Taken>,
    /// Rows that a server refused for good.
    refused: BTreeSet<Name>,
    /// How often a recipient was put off.
    pub(super) greylisted: BTreeMap<Name, u64>,
    connected: BTreeMap<(usize, Option<IpAddr>), usize>,
    dialled: u64,
    /// Messages that a site took from an address of ours, by day.
    pub(super) daily: BTreeMap<(Day, usize, Option<IpAddr>), u32>,
    /// How the run stood at the end of each day.
    pub(super) evenings: Vec<(Tally, u64)>,
    /// How often something happened that is not to be missed.
    pub(super) reached: BTreeMap<&'static str, u64>,
    /// Sessions that a host has.
    pub(super) sessions: BTreeMap<(usize, usize), usize>,
    /// What hosts count messages by.
    pub(super) meters: BTreeMap<(usize, usize), Meter>,
}

/// How often a server took responsibility for a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) times: u64,
    /// How often it could say so.
    pub(super) told: u64,
    /// How often it could say so after it had said something twice.
    pub(super) muddled: u64,
}

/// One connection of ours, until it is dropped.
pub(super) struct Connected(Arc<World>, usize, Option<IpAddr>);

impl World {
    pub(super) fn new(plan: Plan, store: &Arc<Store>) -> Arc<World> {
        let (store, clock, facts) = (store.clone(), SimulatedClock::start(), Mutex::default());
        Arc::new(World { plan, store, clock, began: Instant::now(), facts })
    }

    /// The run of this number.
    pub(super) fn id(&self, run: usize) -> RunId {
        RunId(self.plan.seed * 4 + run as u64 + 1)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Since when the store has it that a row's message may be gone, and not what became of it.
    pub(super) fn started(&self, (run, ordinal): Name) -> Option<Timestamp> {
        let leases = self.store.leases(self.id(run)).expect("readable");
        leases.into_iter().find(|lease| lease.ordinal == ordinal)?.started
    }

    pub(super) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no holder panics")
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Writes a line of the trace.
    pub(super) fn say(&self, who: impl Display, what: impl Display) {
        let line = format!("{:>8} {who} {what}", self.elapsed().as_millis());
        self.facts().trace.push(line);
    }

    pub(super) fn wrong(&self, what: impl Display) {
        self.say("WRONG", &what);
        self.facts().wrong.push(what.to_string());
    }

    /// A server took a message: from now on it is its.
    pub(super) fn took(&self, who: &str, (site, from): (usize, Option<IpAddr>), name: Name) {
        self.say(who, format_args!("took {name:?}"));
        let today = self.plan.zone.day(self.now());
        let told = {
            let mut facts = self.facts();
            *facts.daily.entry((today, site, from)).or_default() += 1;
            let taken = facts.taken.entry(name).or_default();
            taken.times += 1;
            taken.told
        };
        if told > 0 {
            self.wrong(format_args!("{name:?} was sent again although its sender knew that it was taken"));
        }
    }

    /// And its sender knows.
    pub(super) fn told(&self, name: Name) {
        self.facts().taken.entry(name).or_default().told += 1;
    }

    /// And its sender may know.
    pub(super) fn muddled(&self, name: Name) {
        self.facts().taken.entry(name).or_default().muddled += 1;
    }

    /// A server refuses a row for good.
    pub(super) fn refused(&self, name: Name) {
        self.facts().refused.insert(name);
    }

    /// Whether one has.
    pub(super) fn was_refused(&self, name: Name) -> bool {
        self.facts().refused.contains(&name)
    }

    /// A connection to `site` begins to open. Limits hold from here on.
    pub(super) fn connect(self: &Arc<Self>, site: usize, from: Option<IpAddr>) -> (u64, Connected) {
        let limits = &self.plan.limits;
        let (number, there, all) = {
            let mut facts = self.facts();
            facts.dialled += 1;
            let there = facts.connected.entry((site, from)).or_default();
            *there += 1;
            let there = *there;
            (facts.dialled, there, facts.connected.values().sum::<usize>())
        };
        if there > limits.connections_per_provider {
            self.wrong(format_args!("{there} connections to site {site} from {from:?}"));
        }
        if all > limits.connections * self.plan.shards {
            self.wrong(format_args!("{all} connections"));
        }
        (number, Connected(self.clone(), site, from))
    }

    /// What servers have of a row.
    pub(super) fn taken(&self, name: Name) -> Taken {
        self.facts().taken.get(&name).copied().unwrap_or_default()
    }

    pub(super) fn reach(&self, what: &'static str, times: u64) {
        *self.facts().reached.entry(what).or_default() += times;
    }

    pub(super) fn connected(&self) -> usize {
        self.facts().connected.values().sum()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(count) = self.0.facts().connected.get_mut(&(self.1, self.2)) {
            *count -= 1;
        }
    }
}

/// The engine's clock: some moment in 2026, and then the simulation's time.
pub(super) struct SimulatedClock(Instant);

const EPOCH: Timestamp = Timestamp(1_790_000_000_000);

impl SimulatedClock {
    pub(super) fn start() -> SimulatedClock {
        SimulatedClock(Instant::now())
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        EPOCH.after(self.0.elapsed())
    }
}
