//! The end of a run: what it leaves behind goes, and the disk gets its room back.

use super::batch::Batch;
use super::codec::{self, encode_outcome};
use super::db::{family, past};
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, RunId};
use crate::secret::DataKey;

/// What a run needs only while it is open.
const PASSING: [Family; 3] = [Family::Backlog, Family::Deferred, Family::Lease];
/// Outcomes in one write of [`Store::cancel`]: some 40 KB.
const AT_ONCE: usize = 1000;

impl Store {
    /// Records these rows as cancelled and takes their leave back. Where they stand in `deferred` or `backlog` they stay:
    /// [`clear`](Store::clear) removes all of a run's at once.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn cancel(
        &self,
        run: RunId,
        ordinals: impl Iterator<Item = u64>,
        now: Timestamp,
        reason: &str,
        key: &DataKey,
    ) -> Result<(), Error> {
        let value = |ordinal| encode_outcome(&Outcome::new(Kind::Cancelled, now, 0, reason), run, ordinal, key);
        let mut ordinals = ordinals.peekable();
        while ordinals.peek().is_some() {
            let mut batch = Batch::default();
            for ordinal in ordinals.by_ref().take(AT_ONCE) {
                batch.put(Family::Outcome, codec::key(run, &[ordinal]), value(ordinal));
                batch.delete(Family::Lease, codec::key(run, &[ordinal]));
            }
            self.write(&batch, false)?;
        }
        Ok(())
    }

    /// Removes the run's `backlog`, `deferred` and `lease`, and gives the disk their room back. Its rows must all have their
    /// outcomes.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn clear(&self, run: RunId) -> Result<(), Error> {
        let (from, to) = (run.octets(), past(&run.octets()));
        let mut batch = Batch::default();
        PASSING.into_iter().for_each(|family| batch.delete_range(family, from, to.clone()));
        self.write(&batch, true)?;
        self.shrink(&from, &to)
    }

    /// Gives the disk the room of a range that was deleted. What fails here comes with some later compaction.
    fn shrink(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        let db = self.db()?;
        for handle in PASSING.map(|name| family(&db, name)) {
            // Whole files first: they are not read again to be thrown away.
            db.delete_file_in_range_cf(handle, from, to).ok();
            db.compact_range_cf(handle, Some(from), Some(to));
        }
        // A WAL file goes when no family has anything in it that is not in its own files.
        db.flush_cfs_opt(&Family::ALL.map(|name| family(&db, name)), &rocksdb::FlushOptions::default()).ok();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Leave, Settings, Tally};
    use super::*;
    use crate::mail::{Address, Fields, Origin, Row};
    use std::path::Path;

    fn size(folder: &Path) -> u64 {
        let entries = std::fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len())).sum()
    }

    fn rows(count: u64) -> Vec<Row> {
        let row = |ordinal| {
            let mut fields = Fields::default();
            fields.0.insert("plan".into(), "x".repeat(2000).into());
            let to = Address::parse("ann@b.example").expect("an address");
            Row { ordinal, to, fields, attempts: 0, first_attempt: None, doubted: false, origin: Origin::Input }
        };
        (1..=count).map(row).collect()
    }

    #[test]
    fn a_cancelled_run_leaves_outcomes_and_no_more() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let key = DataKey::new(&[9; 32]);
        let (run, other) = (RunId(u64::MAX), RunId(u64::MAX - 1));
        store.spill(other, 1, &mut rows(3), &key).expect("spilt");
        rows(20_000).chunks_mut(500).for_each(|rows| store.spill(run, 1, rows, &key).expect("spilt"));
        let leave = |ordinal| Leave { run, ordinal, first: Timestamp(1), doubted: false };
        store.lease((1..=2500).map(leave), false).expect("leased");
        let before = size(&folder.path().join("db"));
        assert!(before > 40 << 20, "{before}");
        store.cancel(run, 1..=2500, Timestamp(7), "by_hand", &key).expect("cancelled");
        assert!(store.leases(run).expect("readable").is_empty());
        store.lease([leave(1)].into_iter(), false).expect("leased");
        store.clear(run).expect("cleared");
        let after = size(&folder.path().join("db"));
        assert!(after < 4 << 20, "{before} to {after}");
        for family in PASSING {
            assert_eq!(store.count(family, run).expect("readable"), 0, "{family:?}");
        }
        assert_eq!(store.count(Family::Backlog, other).expect("readable"), 3);
        let manifest = super::super::Manifest::new("c".into(), "i".into(), "f".into(), Timestamp(1));
        let tally = Tally::of(&store, run, &manifest, false).expect("readable");
        assert_eq!((tally.read, tally.count(Kind::Cancelled)), (2500, 2500));
    }
}
