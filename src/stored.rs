//! What the store says of runs, whether an engine is at work or not.

use crate::failure::Failure;
use engine::control::RunView;
use engine::mail::RunId;
use engine::run::{Error, Holder, Lock, offline};
use engine::store::Store;
use std::path::Path;
use std::time::{Duration, Instant};

/// Whether some process holds the state directory's lock.
pub fn is_held(state_dir: &Path) -> bool {
    matches!(Lock::look(state_dir), Ok(Some(Holder::Somebody)))
}

/// The store for reading, which engine is at work on it, and the folder that RocksDB needs meanwhile; `None` where nothing was
/// ever sent.
pub fn observe(state_dir: &Path) -> Result<Option<(Store, Holder, tempfile::TempDir)>, Failure> {
    let deadline = Instant::now() + STORE_IS_MADE;
    loop {
        let engine = match Lock::look(state_dir)? {
            Some(engine) => engine,
            // Restored without its lock.
            None if Store::exists(state_dir) => Holder::Nobody,
            None => return Ok(None),
        };
        let scratch = tempfile::tempdir().map_err(|error| Failure::internal(format!("scratch folder: {error}")))?;
        match Store::observe(state_dir, scratch.path()) {
            Ok(store) => return Ok(Some((store, engine, scratch))),
            Err(_) if engine == Holder::Nobody && !Store::exists(state_dir) => return Ok(None),
            // An engine that was just started is still making it.
            Err(_) if engine != Holder::Nobody && Instant::now() < deadline => std::thread::sleep(TICK),
            Err(error) => return Err(Error::from(error).into()),
        }
    }
}

/// How the run of that name stands, read from the store.
pub fn run(state_dir: &Path, name: &str) -> Result<Option<RunView>, Failure> {
    let Some((store, _, _scratch)) = observe(state_dir)? else { return Ok(None) };
    let Some(run) = RunId::named(name) else { return Ok(None) };
    let manifest = store.manifest(run).map_err(Error::from)?;
    Ok(manifest.map(|manifest| offline::view(&store, run, &manifest, false)).transpose()?)
}

const STORE_IS_MADE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);
