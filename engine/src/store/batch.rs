//! Changes that are made together or not at all.

use super::{Error, Family, db};
use rocksdb::{DB, WriteBatch, WriteOptions};

/// One write to come. It names families, not RocksDB's handles, so that it outlives a database that is opened again.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<Edit>);

/// A change of one key, or of a range of them.
#[derive(Debug)]
enum Edit {
    Put(Family, Vec<u8>, Vec<u8>),
    Delete(Family, Vec<u8>),
    /// From the first key up to and without the second.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

impl Batch {
    /// A batch of one value.
    pub(super) fn of(family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Batch {
        let mut batch = Batch::default();
        batch.put(family, key, value);
        batch
    }

    pub(super) fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push(Edit::Put(family, key.into(), value.into()));
    }

    pub(super) fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.0.push(Edit::Delete(family, key.into()));
    }

    pub(super) fn delete_range(&mut self, family: Family, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) {
        self.0.push(Edit::DeleteRange(family, from.into(), to.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes the changes; `synced` waits for the disk. [`super::Store::write`] calls this.
    pub(super) fn write(&self, db: &DB, synced: bool) -> Result<(), Error> {
        let mut write = WriteBatch::default();
        for edit in &self.0 {
            match edit {
                Edit::Put(family, key, value) => write.put_cf(db::family(db, *family), key, value),
                Edit::Delete(family, key) => write.delete_cf(db::family(db, *family), key),
                Edit::DeleteRange(family, from, to) => write.delete_range_cf(db::family(db, *family), from, to),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(synced);
        Ok(db.write_opt(write, &options)?)
    }
}
