//! What the store says of runs, whether an engine is at work or not.

use crate::failure::Failure;
use engine::control::{Client, RunView};
use engine::mail::RunId;
use engine::run::{Error, Holder, Lock, offline};
use engine::store::Store;
use std::collections::BTreeSet;
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
        let opened = match engine {
            Holder::Somebody => Store::observe(state_dir, scratch.path()),
            Holder::Nobody => Store::read_at_rest(state_dir, scratch.path()),
        };
        match opened {
            Ok(store) => return Ok(Some((store, engine, scratch))),
            Err(_) if engine == Holder::Nobody && !Store::exists(state_dir) => return Ok(None),
            // An engine that was just started is still making it, or changes it under us.
            Err(_) if is_held(state_dir) && Instant::now() < deadline => std::thread::sleep(TICK),
            Err(error) => return Err(unreadable(state_dir, error)),
        }
    }
}

/// A store that can't be read. RocksDB does not always say which.
pub fn unreadable(state_dir: &Path, error: engine::store::Error) -> Failure {
    Failure::from(Error::from(error)).about(state_dir)
}

/// The store for reading, and which runs are at work meanwhile.
pub struct Reading {
    pub store: Store,
    pub at_work: AtWork,
    _scratch: tempfile::TempDir,
}

impl Reading {
    /// Opens it; `None` where nothing was ever sent.
    pub fn of(state_dir: &Path) -> Result<Option<Reading>, Failure> {
        // On both sides of the look at the store: a run is opened or ends in between.
        let before = AtWork::ask(state_dir);
        let Some((store, _, scratch)) = observe(state_dir)? else { return Ok(None) };
        let at_work = match before {
            AtWork::Unknown => AtWork::Unknown,
            AtWork::On(before) => AtWork::ask(state_dir).with(before),
        };
        Ok(Some(Reading { store, at_work, _scratch: scratch }))
    }
}

/// Which runs an engine has: what these have on a wire is not in doubt. Those of an engine that is dead are nobody's, whoever
/// holds the lock now.
#[derive(Debug, PartialEq, Eq)]
pub enum AtWork {
    /// These, by name.
    On(BTreeSet<String>),
    /// Somebody holds the lock and does not say: it may be any.
    Unknown,
}

impl AtWork {
    fn ask(state_dir: &Path) -> AtWork {
        let asked = Client::connect(state_dir, || is_held(state_dir)).and_then(|client| client.view());
        match asked {
            Ok(view) => {
                let open = view.runs.into_iter().filter(|run| !run.state.is_over());
                AtWork::On(open.map(|run| run.run).collect())
            }
            Err(_) if is_held(state_dir) => AtWork::Unknown,
            Err(_) => AtWork::On(BTreeSet::new()),
        }
    }

    fn with(self, more: BTreeSet<String>) -> AtWork {
        match self {
            AtWork::On(runs) => AtWork::On(&runs | &more),
            AtWork::Unknown => AtWork::Unknown,
        }
    }

    /// Whether an engine may have this run.
    pub fn has(&self, run: RunId) -> bool {
        match self {
            AtWork::On(runs) => runs.contains(&run.to_string()),
            AtWork::Unknown => true,
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
