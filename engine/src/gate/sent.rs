//! Once per key over runs: keys are reserved in the store before their rows go anywhere.
//!
//! A reservation is never taken back. Whether it still holds is what became of its row: delivered and in doubt hold for the
//! retention, a row that waits holds while its run is open, any other ending lets go.

use super::{Claim, Keys};
use crate::clock::Timestamp;
use crate::mail::{Kind, RunId};
use crate::secret::{IndexKey, SentKey};
use crate::store::{Error, Reservation, Store};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The keys that the state directory knows of a campaign.
pub struct Sent {
    store: Arc<Store>,
    index: IndexKey,
    campaign: String,
    run: RunId,
    kept: Duration,
    again: bool,
    /// Whether a run is open; asked of the store once a batch, since one may be cancelled while another is read.
    open: HashMap<RunId, bool>,
}

/// Whether a key can be had.
enum Standing {
    /// The row has it already.
    Ours,
    Free,
    /// It can be had because `--again` says so, although the row was delivered before.
    Overridden,
    Held(Claim),
}

impl Sent {
    /// Keys for `run` of `campaign`. A reservation holds for `kept`; `again` overrides those of other runs.
    pub fn new(store: Arc<Store>, index: IndexKey, campaign: &str, run: RunId, kept: Duration, again: bool) -> Sent {
        Sent { store, index, campaign: campaign.to_owned(), run, kept, again, open: HashMap::new() }
    }

    fn standing(&mut self, ordinal: u64, found: &Reservation, now: Timestamp) -> Result<Standing, Error> {
        if found.run == self.run {
            return Ok(if found.ordinal == ordinal { Standing::Ours } else { Standing::Held(Claim::Taken) });
        }
        if now.since(found.at) > self.kept || !(found.kept || self.holds(found)?) {
            return Ok(Standing::Free);
        }
        Ok(if self.again { Standing::Overridden } else { Standing::Held(Claim::Sent) })
    }

    /// Whether another run's reservation still holds.
    fn holds(&mut self, found: &Reservation) -> Result<bool, Error> {
        match self.store.outcome_kind(found.run, found.ordinal)? {
            Some(kind) => Ok(matches!(kind, Kind::Delivered | Kind::InDoubt)),
            None => self.is_open(found.run),
        }
    }

    fn is_open(&mut self, run: RunId) -> Result<bool, Error> {
        if let Some(open) = self.open.get(&run) {
            return Ok(*open);
        }
        let open = self.store.manifest(run)?.is_some_and(|manifest| manifest.finished.is_none());
        self.open.insert(run, open);
        Ok(open)
    }
}

impl Keys for Sent {
    fn claim(&mut self, rows: &[(u64, &str)], now: Timestamp) -> Result<Vec<Claim>, Error> {
        let keys: Vec<_> = rows.iter().map(|(_, key)| self.index.sent(&self.campaign, key)).collect();
        // Two runs of a campaign may read the same key at once: one of them must see that the other has it.
        let store = self.store.clone();
        let _one = store.claiming();
        self.open.clear();
        let found = self.store.reservations(&keys)?;
        // The batch may hold a key twice.
        let mut here: HashSet<SentKey> = HashSet::with_capacity(rows.len());
        let (mut claims, mut reserved) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for (((ordinal, _), key), found) in rows.iter().zip(keys).zip(found) {
            if here.contains(&key) {
                claims.push(Claim::Taken);
                continue;
            }
            let standing = match &found {
                Some(found) => self.standing(*ordinal, found, now)?,
                None => Standing::Free,
            };
            claims.push(match standing {
                Standing::Held(claim) => claim,
                Standing::Ours => Claim::New,
                Standing::Free | Standing::Overridden => {
                    let kept = matches!(standing, Standing::Overridden);
                    here.insert(key);
                    reserved.push((key, Reservation { run: self.run, ordinal: *ordinal, at: now, kept }));
                    Claim::New
                }
            });
        }
        self.store.reserve(&reserved)?;
        Ok(claims)
    }
}
