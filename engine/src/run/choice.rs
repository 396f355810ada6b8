//! Which run an input belongs to.
//!
//! A new input is sent at once: it is known by its ends, and digested whole while it is read. An input that begins and ends
//! like one seen before is compared with what was read of that one, octet for octet, before anything of it is taken for done.

use super::{Blueprint, Error};
use crate::mail::RunId;
use crate::secret::TokenKey;
use crate::store::{Manifest, Store};
use loader::{Mark, Watched};

/// What `send` would make of a run, for those who only look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It would be opened.
    New,
    /// It would be resumed.
    Open,
    /// It is over.
    Finished,
}

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

/// Gives `blueprint` the name of the next run that sends a finished input again; that run, if it is open.
pub(super) fn repeated(store: &Store, blueprint: &mut Blueprint) -> Result<Option<Manifest>, Error> {
    let first = blueprint.fingerprint().to_owned();
    for number in 2_u32.. {
        blueprint.rename_from(&first, &format!("again-{number}"));
        match store.manifest(blueprint.run())? {
            None => break,
            Some(manifest) if manifest.finished.is_none() => return Ok(Some(manifest)),
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Gives `blueprint` the run that `send` would open or resume now, or that it would find finished.
///
/// # Errors
/// The store or the input can't be read.
pub fn run_of_input(store: &Store, blueprint: &mut Blueprint) -> Result<Outlook, Error> {
    let choice = if blueprint.is_stream() {
        // To tell it from others it would be read to its end.
        store.manifest(blueprint.run())?.map_or(Choice::New, Choice::of)
    } else {
        choose(store, blueprint)?
    };
    let first = blueprint.fingerprint().to_owned();
    match choice {
        Choice::New => Ok(Outlook::New),
        Choice::Open(_) => Ok(Outlook::Open),
        Choice::Finished(_) if repeated(store, blueprint)?.is_some() => Ok(Outlook::Open),
        Choice::Finished(_) => {
            blueprint.rename_to(&first);
            Ok(Outlook::Finished)
        }
    }
}

/// Gives `blueprint` a run of its campaign by name, which must have been made with the same input: another's row `row` is
/// somebody else.
///
/// # Errors
/// There is no such run, it had another input, or that can't be read.
pub fn run_of_name(
    store: &Store,
    blueprint: &mut Blueprint,
    name: &str,
    token: &TokenKey,
    row: u64,
) -> Result<Outlook, Error> {
    let no_run = || Error::NoRun { run: name.to_owned() };
    let run = RunId::named(name).ok_or_else(no_run)?;
    let manifest = store.manifest(run)?.filter(|manifest| manifest.campaign == blueprint.campaign().name);
    let manifest = manifest.ok_or_else(no_run)?;
    let same = match manifest.mark.filter(|_| !blueprint.is_stream()) {
        Some(mark) => loader::same(&blueprint.campaign().source.spec, &mark)?,
        None => manifest.fingerprint.starts_with(blueprint.fingerprint()),
    };
    if !same {
        let message_id = manifest.message_id(token, run, row);
        return Err(Error::AnotherInput { input: blueprint.input(), run, row, message_id });
    }
    blueprint.rename_to(&manifest.fingerprint);
    Ok(if manifest.finished.is_some() { Outlook::Finished } else { Outlook::Open })
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
