//! Open runs that an engine takes up by itself when it begins to serve: after a crash, a reboot or a stop nobody has to type
//! anything.
//!
//! The rules are those of `send`: the campaign's file is read again, and a run goes on with the input it was opened with, or
//! with none where all its rows are in the store. It goes no further than whoever sent it last allowed: the same deadline
//! holds, and with `--limit` it rests. One that can't go on is shown with the reason and with what to type, and holds up no
//! other.

use super::blueprint::needed;
use super::choice::{Choice, choose};
use super::engine::Engine;
use super::opening::{Found, keep};
use super::slot::{Slot, state_of};
use super::{Blueprint, Error, Options, Setup, earlier, token_key};
use crate::clock::Timestamp;
use crate::control::{Refusal, RunState, RunView};
use crate::mail::RunId;
use crate::plan::Campaign;
use crate::render::{Column, Renderer};
use crate::store::{Bounds, Manifest, Tally};
use std::path::Path;
use std::sync::atomic::Ordering;

impl Engine {
    /// Takes up every open run that nobody has paused and no brake has stopped, the first opened first. Answers how many go on.
    ///
    /// # Errors
    /// The store can't be read. What is wrong with one run is shown with it.
    pub fn take_up_open_runs(&self) -> Result<usize, Error> {
        let mut taken_up = 0;
        for (run, _) in self.store.runs()? {
            let _one = self.opening.lock().expect("no holder panics");
            if self.draining.load(Ordering::SeqCst) {
                break;
            }
            // Read again: whoever sent a campaign meanwhile may have opened or ended it.
            let Some(manifest) = self.store.manifest(run)? else { continue };
            if state_of(&manifest) != RunState::Stopped || self.is_at_work(run) {
                continue;
            }
            match self.take_up(run, &manifest) {
                Ok(()) => taken_up += 1,
                Err(error) => self.leave_alone(run, &manifest, error)?,
            }
        }
        Ok(taken_up)
    }

    /// Takes a run that a person had paused before this engine began, or that its brake has stopped; `false` if there is none of that name.
    pub(super) fn take_up_paused(&self, run: RunId) -> Result<bool, Error> {
        let _one = self.opening.lock().expect("no holder panics");
        let waits = |manifest: &Manifest| matches!(state_of(manifest), RunState::Paused | RunState::Braked);
        let paused = self.store.manifest(run)?.filter(waits);
        let Some(manifest) = paused.filter(|_| !self.is_at_work(run)) else { return Ok(false) };
        let manifest = manifest.resumed();
        self.store.put_manifest(run, &manifest, true)?;
        self.count_braked();
        self.take_up(run, &manifest)?;
        Ok(true)
    }

    pub(super) fn is_at_work(&self, run: RunId) -> bool {
        self.runs().get(&run).is_some_and(|slot| !slot.is_over())
    }

    fn take_up(&self, run: RunId, manifest: &Manifest) -> Result<(), Error> {
        let machine = self.gear.machine.as_ref();
        let machine = machine.ok_or_else(|| Error::Internal("a rehearsal takes up no runs".into()))?;
        let file = manifest.campaign_file.as_ref().ok_or(Error::NoCampaignFile { run })?;
        let options = options(run, manifest.bounds, self.gear.clock.now())?;
        let setup = Setup::of(machine, Campaign::read(file)?, options)?;
        let in_store = !manifest.columns.is_empty() && !earlier::needs_input(&self.store, run, manifest)?;
        let found =
            if in_store { self.stored(&setup, run, manifest)? } else { self.read_again(&setup, run, manifest)? };
        self.begin(&setup, options, found)?;
        tracing::info!(%run, campaign = manifest.campaign, "taken up again");
        Ok(())
    }

    /// A run whose rows are all in the store: its input may be gone.
    fn stored(&self, setup: &Setup, run: RunId, manifest: &Manifest) -> Result<Found, Error> {
        let campaign = &setup.campaign;
        if campaign.name != manifest.campaign {
            return Err(another(campaign, run, manifest));
        }
        let column = |(name, shape): &(String, _)| Column { name: name.clone(), shape: Clone::clone(shape) };
        let columns: Vec<_> = manifest.columns.iter().map(column).collect();
        let token = token_key(&self.store, &self.gear.master)?;
        let renderer = Renderer::new(campaign.message.clone(), &columns, &campaign.source.public, token, run)?;
        let needed = needed(campaign, renderer.uses());
        let manifest = keep(&self.store, campaign, &columns, run, manifest.clone(), needed)?;
        Ok(Found { run, manifest, renderer, blueprint: None })
    }

    /// A run that needs its input, which must be the one that it was opened with.
    fn read_again(&self, setup: &Setup, run: RunId, manifest: &Manifest) -> Result<Found, Error> {
        if setup.campaign.source.spec.paths == [Path::new("-")] {
            return Err(Error::StreamIsOver { run });
        }
        let mut blueprint = Blueprint::new(setup.campaign.clone())?;
        let found = match choose(&self.store, &mut blueprint)? {
            Choice::Open(found) => Some(found),
            Choice::Finished(_) => self.repeat(&mut blueprint, setup)?,
            Choice::New => None,
        };
        let Some(found) = found.filter(|_| blueprint.run() == run) else {
            let (input, read) = (manifest.input.clone(), manifest.read);
            let in_its_place = blueprint.input() == input;
            return Err(if in_its_place {
                Error::Overwritten { input, run, read }
            } else {
                another(&setup.campaign, run, manifest)
            });
        };
        let renderer = blueprint.renderer(token_key(&self.store, &self.gear.master)?)?;
        let needed = blueprint.project(renderer.uses());
        let manifest = keep(&self.store, &setup.campaign, blueprint.columns(), run, found, needed)?;
        Ok(Found { run, manifest, renderer, blueprint: Some(blueprint) })
    }

    /// Shows a run that can't go on by itself.
    fn leave_alone(&self, run: RunId, manifest: &Manifest, error: Error) -> Result<(), Error> {
        tracing::warn!(%run, campaign = manifest.campaign, %error, "an open run is not taken up");
        let tally = Tally::of(&self.store, run, manifest, false)?;
        let mut view = RunView::at_rest(run, manifest, &tally, RunState::Stopped);
        view.failed = Some(refusal(error, manifest));
        self.runs().insert(run, Slot::Over(Box::new(view)));
        Ok(())
    }
}

/// How far a run may go on, as whoever sent it last has said.
fn options(run: RunId, bounds: Bounds, now: Timestamp) -> Result<Options, Error> {
    let Bounds { limit, deadline, until_empty } = bounds;
    if limit.is_some() {
        // How many of them were taken up is not known.
        return Err(Error::Bounded { run, option: "--limit" });
    }
    if deadline.is_some_and(|deadline| deadline <= now) {
        return Err(Error::Bounded { run, option: "a --deadline that has passed" });
    }
    Ok(Options { deadline, until_empty, ..Options::default() })
}

fn another(campaign: &Campaign, run: RunId, manifest: &Manifest) -> Error {
    let (campaign, input) = (campaign.path.clone(), manifest.input.clone());
    Error::InputReplaced { campaign, run, input, read: manifest.read }
}

/// Why a run is not taken up, and what to type once that is mended.
fn refusal(error: Error, manifest: &Manifest) -> Refusal {
    let Refusal { what, hint, code } = Refusal::from(error);
    let file = manifest.campaign_file.as_ref().map_or_else(|| "CAMPAIGN".to_owned(), |file| file.display().to_string());
    let send = format!("`sealpost send {file}` goes on");
    let hint = Some(hint.map_or_else(|| send.clone(), |hint| format!("{hint}; then {send}")));
    Refusal { what: format!("not taken up: {what}"), hint, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_as_far_as_it_was_sent() {
        let until = |limit, deadline: Option<u64>| {
            let bounds = Bounds { limit, deadline: deadline.map(Timestamp), until_empty: true };
            options(RunId(7), bounds, Timestamp(100)).map(|options| (options.deadline, options.until_empty))
        };
        assert_eq!(until(None, Some(101)).expect("there is time"), (Some(Timestamp(101)), true));
        assert_eq!(until(None, None).expect("unbounded"), (None, true));
        assert!(matches!(until(None, Some(100)), Err(Error::Bounded { .. })));
        assert!(matches!(until(Some(9), None), Err(Error::Bounded { option: "--limit", .. })));
    }
}
