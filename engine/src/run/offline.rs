//! What can be done to a run while no engine is at work: whoever does it holds the state directory's lock.

use super::recovery::known;
use super::slot::state_of;
use super::{Error, Lock, data_key};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::control::{RunState, RunView};
use crate::mail::RunId;
use crate::secret::{DataKey, MasterKey};
use crate::store::{Manifest, Settings, Store, Tally};
use std::path::Path;

/// Ends every row of `run` that has not ended as cancelled. Answers how many.
///
/// # Errors
/// An engine is at work, there is no such run, or the store can't be written.
pub fn cancel(state_dir: &Path, master: &MasterKey, run: RunId) -> Result<u64, Error> {
    let (_lock, store) = take(state_dir)?;
    abandon(&store, master, run, SystemClock.now())
}

/// Lets no engine send `run` until it is resumed.
///
/// # Errors
/// As [`cancel`].
pub fn pause(state_dir: &Path, run: RunId) -> Result<(), Error> {
    let (_lock, store) = take(state_dir)?;
    let manifest = open_run(&store, run)?;
    Ok(store.put_manifest(run, &Manifest { paused: true, ..manifest }, true)?)
}

/// Takes a pause back, or lets a run go on that its brake has stopped; the next `sealpost send` goes on.
///
/// # Errors
/// As [`cancel`].
pub fn resume(state_dir: &Path, run: RunId) -> Result<(), Error> {
    let (_lock, store) = take(state_dir)?;
    let manifest = open_run(&store, run)?;
    if !manifest.paused && manifest.braked.is_none() {
        return Err(Error::NotPaused { what: format!("run {run}") });
    }
    Ok(store.put_manifest(run, &manifest.resumed(), true)?)
}

/// How a run stands, as far as the store knows: one that nobody is at work on, or whose engine (`live`) can't be asked. What that
/// has on a wire is not in doubt.
///
/// # Errors
/// The store can't be read.
pub fn view(store: &Store, run: RunId, manifest: &Manifest, live: bool) -> Result<RunView, Error> {
    let tally = Tally::of(store, run, manifest, live)?;
    let state = match state_of(manifest) {
        RunState::Stopped if live => RunState::Running,
        state => state,
    };
    Ok(RunView::at_rest(run, manifest, &tally, state))
}

/// The store of a state directory where no engine is at work; not of a copy, which knows too little to change anything.
pub(super) fn take(state_dir: &Path) -> Result<(Lock, Store), Error> {
    let (lock, store) = take_any(state_dir)?;
    match store.copied(state_dir)? {
        Some(copied) => Err(Error::Copied { path: state_dir.to_owned(), why: copied.to_string() }),
        None => Ok((lock, store)),
    }
}

/// The same, of a copy too.
pub(super) fn take_any(state_dir: &Path) -> Result<(Lock, Store), Error> {
    let lock = Lock::take(state_dir)?;
    let store = Store::open(state_dir, &Settings::default())?;
    // Nobody waits here for a disk that is full: the command says so.
    store.give_up();
    Ok((lock, store))
}

/// The manifest of a run that has rows left.
pub(super) fn open_run(store: &Store, run: RunId) -> Result<Manifest, Error> {
    match store.manifest(run)? {
        None => Err(Error::NoRun { run: run.to_string() }),
        Some(manifest) if manifest.finished.is_some() => Err(Error::RunOver { run }),
        Some(manifest) => Ok(manifest),
    }
}

/// Cancels a run that nobody is at work on.
pub(super) fn abandon(store: &Store, master: &MasterKey, run: RunId, now: Timestamp) -> Result<u64, Error> {
    let manifest = open_run(store, run)?;
    let tally = Tally::of(store, run, &manifest, false)?;
    let key = data_key(store, master, run)?;
    let manifest = Manifest { cancelled: manifest.cancelled.or(Some(now)), read: tally.read, ..manifest };
    store.put_manifest(run, &manifest, true)?;
    let cancelled = cancel_rest(store, run, &key, tally.read, now)?;
    store.put_manifest(run, &Manifest { finished: Some(now), ..manifest }, true)?;
    Ok(cancelled)
}

/// Ends what another began to cancel and did not bring to its end. Its rows stand in two places until then.
pub(super) fn end_cancelled(store: &Store, master: &MasterKey, now: Timestamp) -> Result<(), Error> {
    let half = |manifest: &Manifest| manifest.cancelled.is_some() && manifest.finished.is_none();
    for (run, _) in store.runs()?.into_iter().filter(|(_, manifest)| half(manifest)) {
        abandon(store, master, run, now)?;
    }
    Ok(())
}

/// Ends the rows up to `read` that have not ended as cancelled, and clears what else the run left; those that may have been
/// sent are in doubt. Answers how many were cancelled. The manifest says `cancelled` before, and `finished` after it.
pub(super) fn cancel_rest(store: &Store, run: RunId, key: &DataKey, read: u64, now: Timestamp) -> Result<u64, Error> {
    super::recovery::take_up(store, run, key, false)?;
    super::recovery::doubt_again(store, run, key)?;
    let ended = known(store, run, &[crate::store::Family::Outcome])?;
    let open = || (1..=read).filter(|ordinal| !ended.contains(*ordinal));
    let count = open().count() as u64;
    store.cancel(run, open(), now, "cancelled", key)?;
    store.clear(run)?;
    Ok(count)
}
