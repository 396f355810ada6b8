//! What was learned of how fast providers may be sent to: family `provider`.

use super::batch::Batch;
use super::codec::VERSION;
use super::db::family;
use super::{Error, Family, Store};
use crate::mail::RunId;
use rocksdb::IteratorMode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an engine has learned of a provider from one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaceRecord {
    /// The provider's name, for people.
    pub name: String,
    /// What its throttle says, in its own words; it holds nothing of a row.
    pub learned: Value,
}

impl Store {
    /// What was learned of the provider of that number from `source`.
    ///
    /// # Errors
    /// The store can't be read, or the record is damaged.
    pub fn pace(&self, provider: u64, source: &str) -> Result<Option<PaceRecord>, Error> {
        let value = self.read(Family::Provider, &key(provider, source))?;
        value.map(|value| decode(&value).ok_or_else(|| self.seen(damaged()))).transpose()
    }

    /// Replaces it. Not synced: what is lost with the power is learned again.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_pace(&self, provider: u64, source: &str, record: &PaceRecord) -> Result<(), Error> {
        let json = serde_json::to_vec(record).expect("plain values");
        let value = [&[VERSION], json.as_slice()].concat();
        self.write(&Batch::of(Family::Provider, key(provider, source), value), false)
    }

    /// All of them, with their sources.
    ///
    /// # Errors
    /// As [`pace`](Store::pace).
    pub fn scan_paces(&self, mut each: impl FnMut(&str, PaceRecord)) -> Result<(), Error> {
        let db = self.db()?;
        for entry in db.iterator_cf(family(&db, Family::Provider), IteratorMode::Start) {
            let (key, value) = entry.map_err(|cause| self.seen(Error::reading(Family::Provider, &[], cause)))?;
            let source = key.get(8..).and_then(|source| std::str::from_utf8(source).ok());
            let (source, record) = source.zip(decode(&value)).ok_or_else(|| self.seen(damaged()))?;
            each(source, record);
        }
        Ok(())
    }

    /// Removes those that are `stale`.
    ///
    /// # Errors
    /// As [`put_pace`](Store::put_pace).
    pub fn forget_paces(&self, stale: impl Fn(&PaceRecord) -> bool) -> Result<(), Error> {
        let mut batch = Batch::default();
        let db = self.db()?;
        for entry in db.iterator_cf(family(&db, Family::Provider), IteratorMode::Start) {
            let (key, value) = entry.map_err(|cause| self.seen(Error::reading(Family::Provider, &[], cause)))?;
            if decode(&value).is_none_or(|record| stale(&record)) {
                batch.delete(Family::Provider, key.to_vec());
            }
        }
        drop(db);
        if batch.is_empty() { Ok(()) } else { self.write(&batch, false) }
    }
}

fn key(provider: u64, source: &str) -> Vec<u8> {
    [&provider.to_be_bytes(), source.as_bytes()].concat()
}

fn decode(value: &[u8]) -> Option<PaceRecord> {
    serde_json::from_slice(value.strip_prefix(&[VERSION])?).ok()
}

fn damaged() -> Error {
    Error::Damaged { family: "provider", run: RunId(0), ordinal: 0 }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn what_was_learned_is_kept_by_provider_and_source() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let record = |name: &str, window: u32| PaceRecord { name: name.to_owned(), learned: window.into() };
        let (google, other) = (record("google", 5), record("mx.b.example", 2));
        store.put_pace(7, "a", &record("google", 3)).expect("written");
        store.put_pace(7, "a", &google).expect("replaced");
        store.put_pace(8, "b", &other).expect("written");
        assert_eq!(store.pace(7, "a").expect("readable"), Some(google.clone()));
        assert_eq!(store.pace(7, "b").expect("readable"), None);
        let mut all = Vec::new();
        store.scan_paces(|source, record| all.push((source.to_owned(), record))).expect("readable");
        assert_eq!(all, [("a".to_owned(), google.clone()), ("b".to_owned(), other)]);
        store.forget_paces(|record| *record != google).expect("written");
        assert_eq!([store.pace(7, "a"), store.pace(8, "b")].map(|pace| pace.expect("readable")), [Some(google), None]);
    }
}
