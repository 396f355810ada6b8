//! A run's manifest, in memory and in the store: changed by the reader, by orders and at the end.

use crate::mail::RunId;
use crate::store::{Error, Manifest, Store};
use loader::Mark;
use std::sync::{Arc, Mutex};

/// The one copy of an open run's manifest. Looking at it never waits for the disk.
pub(super) struct Record {
    store: Arc<Store>,
    run: RunId,
    manifest: Mutex<Manifest>,
    /// Held while it is written, so that an older one is never written over a newer.
    writing: Mutex<()>,
}

impl Record {
    pub(super) fn new(store: Arc<Store>, run: RunId, manifest: Manifest) -> Arc<Record> {
        Arc::new(Record { store, run, manifest: Mutex::new(manifest), writing: Mutex::default() })
    }

    pub(super) fn manifest(&self) -> Manifest {
        self.manifest.lock().expect("no holder panics").clone()
    }

    /// Changes the manifest and writes it; `synced` waits for the disk.
    pub(super) fn change(&self, synced: bool, change: impl FnOnce(&mut Manifest)) -> Result<Manifest, Error> {
        let _one = self.writing.lock().expect("no holder panics");
        change(&mut self.manifest.lock().expect("no holder panics"));
        let manifest = self.manifest();
        self.store.put_manifest(self.run, &manifest, synced)?;
        Ok(manifest)
    }

    /// Writes how far the input was read. Not synced: after a crash the reader reads again, and the store knows better.
    pub(super) fn read_to(&self, read: u64, mark: Mark) {
        let saved = self.change(false, |manifest| {
            // A run that is taken up again reads from the start: what was once read stays so.
            manifest.read = manifest.read.max(read);
            manifest.mark = Some(manifest.mark.filter(|before| before.octets > mark.octets).unwrap_or(mark));
        });
        if let Err(error) = saved {
            tracing::error!(%error, "can't write how far the input was read");
        }
    }
}
