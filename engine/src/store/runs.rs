//! What the store holds of runs as a whole: manifests and wrapped keys.

use super::batch::Batch;
use super::codec::{VERSION, number};
use super::db::past;
use super::{Error, Family, Manifest, Store};
use crate::mail::RunId;

impl Store {
    /// The manifest of `run`.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn manifest(&self, run: RunId) -> Result<Option<Manifest>, Error> {
        let value = self.read(Family::Run, &run.octets())?;
        value.map(|value| manifest(run, &value)).transpose().map_err(|error| self.seen(error))
    }

    /// Writes a manifest; `synced` waits for the disk.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_manifest(&self, run: RunId, manifest: &Manifest, synced: bool) -> Result<(), Error> {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, manifest).expect("a manifest serialises");
        self.write(&Batch::of(Family::Run, run.octets(), value), synced)
    }

    /// All runs, the latest opened last.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn runs(&self) -> Result<Vec<(RunId, Manifest)>, Error> {
        let mut runs = Vec::new();
        self.scan_range(Family::Run, &[], past(&[]), |key, value| {
            let run = RunId(number(key, 0).unwrap_or(0));
            runs.push((run, manifest(run, value)?));
            Ok(true)
        })?;
        runs.sort_by_key(|(_, manifest)| manifest.opened);
        Ok(runs)
    }

    /// A wrapped key.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn wrapped_key(&self, name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.read(Family::Key, name)?;
        Ok(value.map(|value| value.get(1..).unwrap_or_default().to_vec()))
    }

    /// Stores a wrapped key, synced: what it seals must never outlive it.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_wrapped_key(&self, name: &[u8], wrapped: &[u8]) -> Result<(), Error> {
        let value = [&[VERSION], wrapped].concat();
        self.write(&Batch::of(Family::Key, name, value), true)
    }
}

fn manifest(run: RunId, value: &[u8]) -> Result<Manifest, Error> {
    value.strip_prefix(&[VERSION]).and_then(|json| serde_json::from_slice(json).ok()).ok_or(Error::Damaged {
        family: "run",
        run,
        ordinal: 0,
    })
}
