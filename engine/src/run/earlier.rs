//! Earlier runs of a campaign that are still open when a new input comes: last night's retries go on beside tonight's file.

use super::engine::Engine;
use super::opening::{Found, keep};
use super::{Blueprint, Error, Options, Setup, offline, token_key};
use crate::mail::RunId;
use crate::store::{Family, Manifest, Store, Tally};
use std::collections::BTreeSet;

/// Refuses an input that has taken the place of another which was not sent to its end.
pub(super) fn may_be_overwritten(engine: &Engine, blueprint: &Blueprint) -> Result<(), Error> {
    for (run, manifest) in open(&engine.store, blueprint)? {
        if is_overwritten(&engine.store, blueprint, run, &manifest)? {
            return Err(Error::Overwritten { input: manifest.input, run, read: manifest.read });
        }
    }
    Ok(())
}

/// Gives up a run whose input this one has taken the place of: it is cancelled. Any other is left alone, and that is said.
pub(super) fn give_up(engine: &Engine, blueprint: &Blueprint, run: RunId) -> Result<(), Error> {
    let nothing = |why| Err(Error::NothingToGiveUp { run, why });
    let store = &engine.store;
    let Some(manifest) = store.manifest(run)? else { return nothing("there is no such run") };
    if manifest.finished.is_some() {
        return nothing("it is over");
    }
    if engine.runs().get(&run).is_some_and(|slot| !slot.is_over()) {
        return nothing("it is at work");
    }
    let others = manifest.campaign != blueprint.campaign().name || run == blueprint.run();
    if others || !is_overwritten(store, blueprint, run, &manifest)? {
        return nothing("this input has not taken the place of its own");
    }
    let cancelled = offline::abandon(store, &engine.gear.master, run, engine.gear.clock.now())?;
    tracing::warn!(%run, cancelled, "abandoned: its rows are cancelled, those it never read are given up");
    Ok(())
}

/// Whether an open run needs what stood where this input stands now.
fn is_overwritten(store: &Store, blueprint: &Blueprint, run: RunId, manifest: &Manifest) -> Result<bool, Error> {
    Ok(manifest.input == blueprint.input() && needs_input(store, run, manifest)?)
}

/// Takes up earlier runs whose rows are all in the store. One whose rows were kept without a column that the letter needs now
/// is left alone, and that is said.
pub(super) fn take_up(
    engine: &Engine,
    blueprint: &Blueprint,
    setup: &Setup,
    needed: Option<&BTreeSet<String>>,
) -> Result<(), Error> {
    for (run, manifest) in open(&engine.store, blueprint)? {
        let at_work = engine.runs().get(&run).is_some_and(|slot| !slot.is_over());
        let waits = manifest.paused || manifest.braked.is_some();
        if at_work || waits || needs_input(&engine.store, run, &manifest)? {
            continue;
        }
        let renderer = blueprint.renderer_of(run, token_key(&engine.store, &engine.gear.master)?)?;
        let options = Options { limit: None, ..setup.options };
        let manifest = Manifest { bounds: options.bounds(), ..manifest };
        match keep(&engine.store, &setup.campaign, blueprint.columns(), run, manifest, needed.cloned()) {
            Ok(manifest) => {
                engine.begin(setup, options, Found { run, manifest, renderer, blueprint: None })?;
            }
            Err(error @ Error::ColumnNotKept { .. }) => tracing::warn!(%run, %error, "an earlier run waits"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Other runs of the campaign that have rows left.
fn open(store: &Store, blueprint: &Blueprint) -> Result<Vec<(RunId, Manifest)>, Error> {
    let name = &blueprint.campaign().name;
    let mut runs = store.runs()?;
    runs.retain(|(run, manifest)| *run != blueprint.run() && manifest.campaign == *name && manifest.finished.is_none());
    Ok(runs)
}

/// Whether rows of a run stand in its input and nowhere else.
pub(super) fn needs_input(store: &Store, run: RunId, manifest: &Manifest) -> Result<bool, Error> {
    if !manifest.read_all {
        return Ok(true);
    }
    let tally = Tally::of(store, run, manifest, false)?;
    let leases = store.leases(run)?;
    // A row on the wire that came from the backlog stands there too, and counts as in doubt.
    let doubtful = leases.iter().filter(|lease| lease.is_doubtful(store.boot()));
    let doubtful: BTreeSet<_> = doubtful.map(|lease| lease.ordinal).collect();
    let mut in_backlog = 0;
    store.ordinals(Family::Backlog, run, |ordinal| in_backlog += u64::from(!doubtful.contains(&ordinal)))?;
    // Also those that are to be sent again and stand nowhere else.
    Ok(tally.waiting > in_backlog)
}
