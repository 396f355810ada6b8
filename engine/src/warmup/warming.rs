//! Which addresses warm up, and what each may send whom.

use super::{Allowance, Ledger, Schedule};
use crate::clock::{Day, Timestamp, Zone};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// A schedule that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// Its first day.
    pub since: Day,
    /// What it allows.
    pub schedule: Arc<Schedule>,
}

impl Warmup {
    /// Which day of the schedule `today` is, from 1. A day before the first counts as that: an address that nobody knows is
    /// not trusted because a clock is wrong.
    pub fn number(&self, today: Day) -> u32 {
        today.after(self.since).map_or(1, |days| days.saturating_add(1))
    }

    /// How many messages a provider may get today; `None` is any number.
    pub fn cap(&self, today: Day) -> Option<u32> {
        self.schedule.cap(self.number(today))
    }
}

/// Warm-ups by the address that they are of, and when their days begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warmups {
    /// By address.
    pub of: BTreeMap<IpAddr, Warmup>,
    /// Where days begin.
    pub zone: Zone,
}

/// The allowances of an engine. Shared by all shards, and asked when a lane is made: each provider's are used by one shard.
pub struct Warming {
    warmups: Warmups,
    ledger: Arc<dyn Ledger>,
    known: Mutex<Known>,
}

/// Allowances by address and provider.
#[derive(Default)]
struct Known {
    /// When those that nobody has were last cleared away.
    day: Day,
    of: BTreeMap<(IpAddr, u64), Arc<Allowance>>,
}

impl Warming {
    /// Those of these warm-ups, kept there.
    pub fn new(warmups: Warmups, ledger: Arc<dyn Ledger>) -> Warming {
        Warming { warmups, ledger, known: Mutex::default() }
    }

    /// What `address` may send the provider of that number, which people know as `name`; `None` is anything, for good.
    pub fn allowance(&self, address: IpAddr, provider: u64, name: &str, now: Timestamp) -> Option<Arc<Allowance>> {
        let warmup = self.warmups.of.get(&address)?;
        let today = self.warmups.zone.day(now);
        warmup.cap(today)?;
        let mut known = self.known.lock().expect("no holder panics");
        if known.day != today {
            // Nobody has them, and nobody can get them while we hold the lock; the ledger has what they know.
            known.of.retain(|_, allowance| Arc::strong_count(allowance) > 1);
            known.day = today;
        }
        let make = || {
            let of = (address, provider, name.to_owned());
            Arc::new(Allowance::new(of, warmup.clone(), self.warmups.zone, self.ledger.clone(), now))
        };
        Some(known.of.entry((address, provider)).or_insert_with(make).clone())
    }
}
