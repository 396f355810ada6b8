//! What one address may send one provider today.

use super::Warmup;
use crate::clock::{Day, Timestamp, Zone};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// What is kept of an allowance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The provider, as people know it.
    pub provider: String,
    /// The day.
    pub day: Day,
    /// Messages begun on it, and tickets that were out.
    pub messages: u32,
}

/// Where it is kept. Each call is a matter of microseconds; what it has been told is there after the death of the process.
pub trait Ledger: Send + Sync {
    /// What is kept of what `address` sent the provider of that number.
    ///
    /// # Errors
    /// It can't be read: that is not the same as nothing.
    fn get(&self, address: IpAddr, provider: u64) -> Result<Option<Taken>, LedgerError>;

    /// Keeps `taken` in the place of what was there.
    ///
    /// # Errors
    /// It can't be written.
    fn put(&self, address: IpAddr, provider: u64, taken: &Taken) -> Result<(), LedgerError>;
}

/// A ledger that can't be read or written; whoever keeps it has said why.
#[derive(Debug, thiserror::Error)]
#[error("the ledger of warm-ups")]
pub struct LedgerError(#[source] pub Box<dyn Error + Send + Sync>);

/// What an address may send a provider today.
pub struct Allowance {
    address: IpAddr,
    provider: u64,
    warmup: Warmup,
    zone: Zone,
    ledger: Arc<dyn Ledger>,
    taken: Mutex<Taken>,
}

/// The right to begin one message on one day. Dropped, it is given back; [`spend`](Ticket::spend) it when the message was begun.
#[must_use]
pub struct Ticket {
    of: Option<Arc<Allowance>>,
    day: Day,
}

impl Allowance {
    /// Goes on from what the ledger has. Where that can't be read nothing is allowed today.
    pub(super) fn new(
        (address, provider, name): (IpAddr, u64, String),
        warmup: Warmup,
        zone: Zone,
        ledger: Arc<dyn Ledger>,
        now: Timestamp,
    ) -> Allowance {
        let today = zone.day(now);
        let messages = match ledger.get(address, provider) {
            // The clock was ahead of today: what was sent then was sent.
            Ok(Some(kept)) if kept.day >= today => kept.messages,
            Ok(_) => 0,
            Err(_) => u32::MAX,
        };
        let taken = Mutex::new(Taken { provider: name, day: today, messages });
        Allowance { address, provider, warmup, zone, ledger, taken }
    }

    /// The right to begin one message; `Ok(None)` where none is needed any more: the warm-up is over.
    ///
    /// # Errors
    /// Today's are taken; more come at this time.
    pub fn take(self: &Arc<Self>, now: Timestamp) -> Result<Option<Ticket>, Timestamp> {
        match self.take_of(self.zone.day(now)) {
            Some(Some(day)) => Ok(Some(Ticket { of: Some(self.clone()), day })),
            Some(None) => Ok(None),
            None => Err(self.refills(now)),
        }
    }

    /// Whether [`take`](Allowance::take) would give one.
    pub fn has_room(&self, now: Timestamp) -> bool {
        let today = self.zone.day(now);
        let taken = self.taken.lock().expect("no holder panics");
        let messages = if taken.day < today { 0 } else { taken.messages };
        self.warmup.cap(today).is_none_or(|cap| messages < cap)
    }

    /// When the next day's tickets come.
    pub fn refills(&self, now: Timestamp) -> Timestamp {
        self.zone.begins(Day(self.zone.day(now).0.saturating_add(1)))
    }

    /// Takes one of `today`'s, and says of which day it counts; `Some(None)` where nobody counts any more.
    fn take_of(&self, today: Day) -> Option<Option<Day>> {
        let Some(cap) = self.warmup.cap(today) else { return Some(None) };
        let mut taken = self.taken.lock().expect("no holder panics");
        // A clock that was set back gives no second day.
        let before = if taken.day < today { 0 } else { taken.messages };
        if before >= cap {
            return None;
        }
        let next = Taken { day: taken.day.max(today), messages: before + 1, provider: taken.provider.clone() };
        // What is not in the ledger may not be sent.
        self.ledger.put(self.address, self.provider, &next).ok()?;
        *taken = next;
        Some(Some(taken.day))
    }

    fn give_back(&self, day: Day) {
        let mut taken = self.taken.lock().expect("no holder panics");
        if taken.day == day {
            taken.messages = taken.messages.saturating_sub(1);
            // If it is lost, a ticket that nobody used counts as used.
            self.ledger.put(self.address, self.provider, &taken).ok();
        }
    }
}

impl Ticket {
    /// The message was begun: it counts.
    pub fn spend(mut self) {
        self.of = None;
    }

    /// Whether it holds at `now`. One that was taken on an earlier day is exchanged for one of today, if there is one left.
    pub fn holds(&mut self, now: Timestamp) -> bool {
        let Some(of) = &self.of else { return true };
        let today = of.zone.day(now);
        if today <= self.day {
            return true;
        }
        match of.take_of(today) {
            Some(Some(day)) => self.day = day,
            Some(None) => {}
            None => return false,
        }
        true
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            of.give_back(self.day);
        }
    }
}
