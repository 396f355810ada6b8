//! What sources that warm up have sent, kept in the store.

use crate::clock::Day;
use crate::store::{Error, Store};
use crate::warmup::{Ledger, LedgerError, Taken};
use std::net::IpAddr;
use std::sync::Arc;

/// Family `allowance` of the store, as the ledger of warm-ups.
pub(super) struct StoreLedger(Arc<Store>);

impl StoreLedger {
    /// The same, without what is about days before `today`: nobody asks for it again.
    ///
    /// # Errors
    /// The store can't be read or written.
    pub(super) fn since(today: Day, store: Arc<Store>) -> Result<StoreLedger, Error> {
        store.forget_allowances(|record| decode(record).is_some_and(|taken| taken.day < today))?;
        Ok(StoreLedger(store))
    }
}

impl Ledger for StoreLedger {
    fn get(&self, address: IpAddr, provider: u64) -> Result<Option<Taken>, LedgerError> {
        let found = self.0.allowance(address, provider).map_err(cause)?;
        let damaged = || LedgerError(Box::new(Damaged));
        found.map(|record| decode(&record).ok_or_else(damaged)).transpose()
    }

    fn put(&self, address: IpAddr, provider: u64, taken: &Taken) -> Result<(), LedgerError> {
        let record = serde_json::to_vec(taken).expect("plain values");
        self.0.put_allowance(address, provider, &record).map_err(cause)
    }
}

/// A record that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("what a source has sent today is damaged")]
struct Damaged;

/// What addresses of ours have sent `today` while they warm up, by provider; the most first.
///
/// # Errors
/// The store can't be read.
pub fn sent_today(store: &Store, today: Day) -> Result<Vec<(IpAddr, Taken)>, Error> {
    let mut sent = Vec::new();
    store.scan_allowances(|address, _, record| {
        let taken = decode(record).filter(|taken| taken.day == today && taken.messages > 0);
        sent.extend(taken.map(|taken| (address, taken)));
    })?;
    sent.sort_by(|(_, a), (_, b)| b.messages.cmp(&a.messages).then_with(|| a.provider.cmp(&b.provider)));
    Ok(sent)
}

/// What a record says; `None` if it is damaged.
fn decode(record: &[u8]) -> Option<Taken> {
    serde_json::from_slice(record).ok()
}

fn cause(error: Error) -> LedgerError {
    LedgerError(Box::new(error))
}
