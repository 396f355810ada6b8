//! What an operator can tell the engine.

use super::engine::Engine;
use super::names::Provider;
use super::record::Record;
use super::slot::{OpenRun, Slot, state_of};
use super::{Blame, Error, Options, Setup, offline};
use crate::clock::Timestamp;
use crate::control::{
    Commands, ConditionView, EngineView, Probe, Refusal, RulesView, RunState, RunView, Submit, Target,
};
use crate::mail::RunId;
use crate::plan::Campaign;
use crate::probe::Finding;
use crate::store::Manifest;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Commands for Engine {
    fn view(&self) -> EngineView {
        let condition = |(condition, since, why): (crate::condition::Condition, Timestamp, String)| ConditionView {
            what: condition.word().to_owned(),
            since: since.0,
            why,
        };
        let now = self.gear.clock.now();
        let mut runs: Vec<_> = self.runs().values_mut().map(|slot| slot.view(now)).collect();
        if self.controls.borrow().all_paused {
            let running = runs.iter_mut().filter(|run| run.state == RunState::Running);
            running.for_each(|run| run.state = RunState::Paused);
        }
        runs.sort_by_key(|view| view.opened);
        EngineView {
            pid: std::process::id(),
            since: self.since.0,
            draining: self.draining.load(Ordering::SeqCst) && !self.is_stopping(),
            conditions: self.conditions.list().into_iter().map(condition).collect(),
            paused: self.paused(),
            shaping: self
                .gear
                .shaping
                .rules()
                .map(|rules| RulesView { file: rules.path().display().to_string(), digest: rules.digest().to_owned() }),
            runs,
        }
    }

    fn submit(&self, submit: &Submit) -> Result<RunView, Refusal> {
        let open = || -> Result<RunView, Error> {
            let machine = self.gear.machine.as_ref();
            let machine = machine.ok_or_else(|| Error::Internal("a rehearsal takes no campaigns".into()))?;
            let campaign = Campaign::read(&submit.campaign)?;
            let abandon = submit.abandon.as_deref().map(run_id).transpose()?;
            let options = Options {
                limit: submit.limit,
                again: submit.again,
                abandon,
                until_empty: submit.until_empty,
                deadline: submit.deadline.map(Timestamp),
            };
            self.open(Setup::of(machine, campaign, options)?)
        };
        open().map_err(Refusal::from)
    }

    fn pause(&self, target: &Target) -> Result<Option<String>, Refusal> {
        match target {
            Target::All => self.order(|controls| controls.all_paused = true),
            Target::Provider(name) => {
                let known = self.known_provider(name)?;
                let (note, name) = (known.note(name), known.name);
                self.order(|controls| {
                    controls.paused_providers.insert(name);
                });
                return Ok(note);
            }
            Target::Source(name) => {
                self.known_source(name)?;
                self.order(|controls| {
                    controls.paused_sources.insert(name.clone());
                });
            }
            Target::Run(run) => {
                let record = self.with_run(run, |open| {
                    open.shared.hold.pause();
                    open.record.clone()
                })?;
                self.order(|_| {});
                record.change(true, |manifest| manifest.paused = true).map_err(Error::from)?;
            }
        }
        Ok(None)
    }

    fn resume(&self, target: &Target) -> Result<(), Refusal> {
        let mut was_paused = true;
        match target {
            Target::All => self.resume_all()?,
            Target::Provider(name) => {
                let group = self.provider_of(name);
                let meant = |paused: &str| paused.eq_ignore_ascii_case(name) || group.as_deref() == Some(paused);
                self.order(|controls| {
                    let before = controls.paused_providers.len();
                    controls.paused_providers.retain(|paused| !meant(paused));
                    was_paused = controls.paused_providers.len() < before;
                });
                if let Some(run) = self.holds(meant).filter(|_| !was_paused) {
                    let what = format!("provider {name} is not paused: a brake holds the rows of run {run} there");
                    let hint = format!("`sealpost status` says why; `sealpost resume --run {run}` lets them go on");
                    return Err(Refusal { what, hint: Some(hint), code: 2 });
                }
            }
            Target::Source(name) => self.order(|controls| was_paused = controls.paused_sources.remove(name)),
            Target::Run(run) => match self.with_run(run, resume) {
                Ok(resumed) => {
                    was_paused = resumed.is_some();
                    self.write_resumed(resumed)?;
                }
                // Paused before this engine began, which therefore left it alone; or stopped by its brake.
                Err(refusal) if !self.take_up_paused(run_id(run)?)? => return Err(refusal),
                Err(_) => {}
            },
        }
        let what = || match target {
            Target::All => "the engine".to_owned(),
            Target::Run(name) => format!("run {name}"),
            Target::Provider(name) => format!("provider {name}"),
            Target::Source(name) => format!("source {name}"),
        };
        if was_paused { Ok(()) } else { Err(Error::NotPaused { what: what() }.into()) }
    }

    fn cancel(&self, target: &Target) -> Result<u64, Refusal> {
        match target {
            Target::All => {
                let what = "cancel needs --run, --provider or --source".to_owned();
                return Err(Refusal { what, hint: Some("`sealpost status` lists the runs".into()), code: 2 });
            }
            Target::Run(run) => {
                if let Some(cancelled) = self.cancel_braked(run_id(run)?)? {
                    return Ok(cancelled);
                }
                let now = self.gear.clock.now();
                let record = self.with_run(run, |open| open.record.clone())?;
                // On the disk first: whatever happens now, nothing of it is sent again.
                record.change(true, |manifest| manifest.cancelled = Some(now)).map_err(Error::from)?;
                let left = self.with_run(run, |open| {
                    open.cancelled = true;
                    open.leave();
                    open.shared.settle.tally().left()
                })?;
                self.order(|_| {});
                return Ok(left);
            }
            Target::Provider(name) => {
                let Provider { name, .. } = self.known_provider(name)?.called(name)?;
                self.cancel_at(&Target::Provider(name))?;
            }
            Target::Source(name) => {
                self.known_source(name)?;
                self.cancel_at(target)?;
            }
        }
        Ok(0)
    }

    fn probe(&self, probe: &Probe) -> Result<Vec<Finding>, Refusal> {
        Ok(self.look_at(probe)?)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }
}

impl Engine {
    fn resume_all(&self) -> Result<(), Error> {
        let mut resumed = Vec::new();
        for slot in self.runs().values_mut() {
            if let Slot::Open(open) = slot {
                resumed.extend(resume(open));
            }
        }
        self.order(|controls| {
            controls.all_paused = false;
            controls.paused_providers.clear();
            controls.paused_sources.clear();
        });
        self.write_resumed(resumed)
    }

    /// Writes down what goes on. Never with the runs in hand: a disk that is full must not hide them.
    fn write_resumed(&self, records: impl IntoIterator<Item = Arc<Record>>) -> Result<(), Error> {
        self.order(|_| {});
        for record in records {
            record.change(true, |manifest| manifest.paused = false)?;
        }
        Ok(())
    }

    /// Cancels a run that its brake has stopped, and that nobody is at work on; `None` if it is none of these.
    fn cancel_braked(&self, run: RunId) -> Result<Option<u64>, Error> {
        let _one = self.opening.lock().expect("no holder panics");
        let braked = self.store.manifest(run)?.is_some_and(|manifest| state_of(&manifest) == RunState::Braked);
        if !braked || self.is_at_work(run) {
            return Ok(None);
        }
        let cancelled = offline::abandon(&self.store, &self.gear.master, run, self.gear.clock.now())?;
        self.count_braked();
        if let Some(manifest) = self.store.manifest(run)? {
            self.finished(run, &manifest)?;
        }
        Ok(Some(cancelled))
    }

    /// Rows of every open run that are, or come to be, at a provider or source end as cancelled.
    fn cancel_at(&self, target: &Target) -> Result<(), Error> {
        let open = |(run, slot): (&RunId, &Slot)| match slot {
            Slot::Open(open) => Some((*run, open.record.clone())),
            _ => None,
        };
        let open: Vec<_> = self.runs().iter().filter_map(open).collect();
        if open.is_empty() {
            return Err(Error::NothingOpen);
        }
        for (_, record) in &open {
            record.change(true, |manifest: &mut Manifest| match target {
                Target::Provider(name) => note(&mut manifest.cancelled_providers, name),
                Target::Source(name) => note(&mut manifest.cancelled_sources, name),
                _ => {}
            })?;
        }
        self.order(|controls| {
            for (run, _) in open {
                match target {
                    Target::Provider(name) => controls.cancelled_providers.insert((run, name.clone())),
                    Target::Source(name) => controls.cancelled_sources.insert((run, name.clone())),
                    _ => false,
                };
            }
        });
        Ok(())
    }

    /// Does something to an open run.
    /// A run whose rows at such a provider wait for a person.
    fn holds(&self, meant: impl Fn(&str) -> bool) -> Option<RunId> {
        let holds = |slot: &Slot| match slot {
            Slot::Open(open) => open.shared.settle.held().iter().any(|held| meant(&held.cause.host)),
            _ => false,
        };
        self.runs().iter().find(|(_, slot)| holds(slot)).map(|(run, _)| *run)
    }

    fn with_run<T>(&self, name: &str, work: impl FnOnce(&mut OpenRun) -> T) -> Result<T, Refusal> {
        let run = run_id(name)?;
        let mut runs = self.runs();
        match runs.get_mut(&run) {
            Some(Slot::Open(open)) => Ok(work(open)),
            Some(_) => Err(Error::RunOver { run }.into()),
            None => Err(Error::NoRun { run: name.to_owned() }.into()),
        }
    }
}

/// Lets a paused run go on; its record, if it was paused.
fn resume(open: &mut OpenRun) -> Option<Arc<Record>> {
    let was_paused = open.shared.hold.is_paused();
    open.shared.hold.resume();
    was_paused.then(|| open.record.clone())
}

/// Adds a name that isn't there.
fn note(names: &mut Vec<String>, name: &str) {
    if names.iter().all(|known| known != name) {
        names.push(name.to_owned());
    }
}

/// A run by the name that `status` shows.
fn run_id(name: &str) -> Result<RunId, Error> {
    RunId::named(name).ok_or_else(|| Error::NoRun { run: name.to_owned() })
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let code = match error.blame() {
            Blame::Configuration => 2,
            Blame::Busy => 75,
            Blame::Engine => 70,
        };
        Refusal { what: error.to_string(), hint: error.hint(), code }
    }
}
