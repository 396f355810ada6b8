//! A run's record: found, made, or found finished.

use super::choice::{Choice, choose};
use super::{Blueprint, Error, Setup, Summary};
use crate::mail::RunId;
use crate::render::Renderer;
use crate::secret::TokenKey;
use crate::store::{Family, Manifest, Store, Tally};
use std::collections::BTreeSet;

/// A run that is open.
pub(super) struct Opened {
    pub(super) manifest: Manifest,
    pub(super) renderer: Renderer,
}

/// Finds or makes the run of `blueprint`'s input, with what makes its messages; `Err` in the answer is a run that was finished.
pub(super) fn open(
    store: &Store,
    blueprint: &mut Blueprint,
    setup: &Setup,
    token: TokenKey,
) -> Result<Result<Opened, Summary>, Error> {
    let manifest = match choose(store, blueprint)? {
        Choice::Finished(manifest) => return finished(store, blueprint.run(), manifest).map(Err),
        Choice::Open(manifest) => manifest,
        Choice::New => new(blueprint, setup),
    };
    let renderer = blueprint.renderer(token)?;
    let needed = blueprint.project(renderer.uses());
    let manifest = keep(store, blueprint, manifest, needed)?;
    Ok(Ok(Opened { manifest, renderer }))
}

/// A new run's manifest.
fn new(blueprint: &Blueprint, setup: &Setup) -> Manifest {
    Manifest::new(setup.campaign.name.clone(), blueprint.input(), blueprint.fingerprint().to_owned(), setup.clock.now())
}

/// Records which columns rows are kept with. Rows that the store has kept before must have what the letter needs now.
fn keep(
    store: &Store,
    blueprint: &Blueprint,
    manifest: Manifest,
    needed: Option<BTreeSet<String>>,
) -> Result<Manifest, Error> {
    let run = blueprint.run();
    let stored = store.count(Family::Deferred, run)? + store.count(Family::Backlog, run)?;
    if let Some(kept) = manifest.kept.as_ref().filter(|_| stored > 0) {
        let all = || blueprint.columns().iter().map(|column| column.name.clone()).collect();
        let missing = needed.clone().unwrap_or_else(all).into_iter().find(|name| !kept.contains(name));
        if let Some(column) = missing {
            return Err(Error::ColumnNotKept { campaign: blueprint.campaign().path.clone(), column, rows: stored });
        }
        return Ok(manifest);
    }
    let manifest = Manifest { kept: needed, ..manifest };
    store.put_manifest(run, &manifest, true)?;
    Ok(manifest)
}

fn finished(store: &Store, run: RunId, manifest: Manifest) -> Result<Summary, Error> {
    let tally = Tally::of(store, run, &manifest, false)?;
    let (campaign, read_all) = (manifest.campaign, manifest.read_all);
    Ok(Summary { campaign, run, tally, read_all, seconds: 0.0, delivered_now: 0, latency: manifest.latency })
}
