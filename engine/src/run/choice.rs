//! Which run an input belongs to.
//!
//! A new input is sent at once: it is known by its ends, and digested whole while it is read. An input that begins and ends
//! like one seen before is compared with what was read of that one, octet for octet, before anything of it is taken for done.

use super::{Blueprint, Error};
use crate::store::{Manifest, Store};
use loader::{Mark, Watched};

/// What is to be done with an input.
pub(super) enum Choice {
    /// It was never seen.
    New,
    /// Its run is open.
    Open(Manifest),
    /// Its run was finished.
    Finished(Manifest),
}

/// Looks for the run of `blueprint`'s input. An input that only looks like an earlier one gets a run of its own; standard
/// input, which can't be read twice, is compared while it is read.
pub(super) fn choose(store: &Store, blueprint: &mut Blueprint) -> Result<Choice, Error> {
    let Some(manifest) = store.manifest(blueprint.run())? else { return Ok(Choice::New) };
    let Some(mark) = manifest.mark else { return Ok(Choice::of(manifest)) };
    if blueprint.is_stream() {
        blueprint.watch(mark);
        return if manifest.finished.is_some() {
            drained(manifest, mark, blueprint)
        } else {
            Ok(Choice::Open(manifest))
        };
    }
    if loader::same(&blueprint.campaign().source.spec, &mark)? {
        return Ok(Choice::of(manifest));
    }
    let whole = loader::whole(&blueprint.campaign().source.spec)?;
    blueprint.rename(&whole);
    Ok(store.manifest(blueprint.run())?.map_or(Choice::New, Choice::of))
}

impl Choice {
    fn of(manifest: Manifest) -> Choice {
        if manifest.finished.is_some() { Choice::Finished(manifest) } else { Choice::Open(manifest) }
    }
}

/// A stream that begins like one whose run was finished: it is read to its end to know whether it is the same.
fn drained(manifest: Manifest, mark: Mark, blueprint: &mut Blueprint) -> Result<Choice, Error> {
    while let Some(batch) = blueprint.next_batch() {
        batch?;
    }
    if blueprint.watched() == Watched::Same && blueprint.mark().octets == mark.octets {
        return Ok(Choice::Finished(manifest));
    }
    Err(Error::AnotherStream { run: blueprint.run(), finished: true })
}
