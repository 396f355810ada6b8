//! `sealpost pause`, `resume`, `cancel` and `drain`: asked of the engine that is at work, or done to the store where none is.

use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored;
use engine::control::{Client, EngineView, Error, RunState, Target};
use engine::mail::{RunId, rows as counted};
use engine::plan::Machine;
use engine::run::offline;
use engine::secret::MasterKey;
use serde_json::json;

/// Begins no further message of `target`.
pub fn pause(args: &Args, target: &Target) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let note = match engine(&machine)? {
        Some(engine) => engine.pause(target).map_err(Failure::asking)?,
        None => {
            offline::pause(&machine.state_dir, resting(&machine, target)?)?;
            None
        }
    };
    said(args, "paused", target);
    note.iter().for_each(|note| eprintln!("{note}"));
    Ok(SETTLED)
}

/// Takes a pause back.
pub fn resume(args: &Args, target: &Target) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    match engine(&machine)? {
        Some(engine) => engine.resume(target).map_err(Failure::asking)?,
        None => offline::resume(&machine.state_dir, resting(&machine, target)?)?,
    }
    said(args, "resumed", target);
    Ok(SETTLED)
}

/// Ends what waits of `target`.
pub fn cancel(args: &Args, target: &Target) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let rows = match engine(&machine)? {
        Some(engine) => engine.cancel(target).map_err(Failure::asking)?,
        None => offline::cancel(&machine.state_dir, &MasterKey::fetch(&machine.master)?, resting(&machine, target)?)?,
    };
    if args.json {
        outln!("{}", json!({"cancelled": target, "rows": rows}));
    } else {
        match target {
            Target::Run(_) => outln!("cancelled {}: {}", words(target), counted(rows)),
            _ => outln!("cancelled at {}: rows of the open runs end there when their turn comes", words(target)),
        }
    }
    Ok(SETTLED)
}

/// Lets the engine end.
pub fn drain(args: &Args) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let engine = engine(&machine)?.ok_or_else(|| no_engine(&machine))?;
    engine.drain().map_err(Failure::asking)?;
    // It may have had nothing left, and be gone.
    let held_up = engine.view().map_or_else(|_| Vec::new(), |view| held_up_by(&view));
    if args.json {
        outln!("{}", json!({"draining": true, "paused": held_up}));
    } else {
        outln!("draining: it sends what it has in memory and ends; the next `send` goes on with the rest");
        held_up.iter().for_each(|target| outln!("  but {}", is_paused(target)));
    }
    Ok(SETTLED)
}

/// What is paused and keeps a draining engine from its end: rows in memory wait for it.
pub fn held_up_by(view: &EngineView) -> Vec<Target> {
    if view.runs.iter().all(|run| run.state.is_over()) {
        return Vec::new();
    }
    let everything = view.paused.contains(&Target::All);
    let runs = view.runs.iter().filter(|run| run.state == RunState::Paused && !everything);
    view.paused.iter().cloned().chain(runs.map(|run| Target::Run(run.run.clone()))).collect()
}

/// That it is, and how it goes on.
pub fn is_paused(target: &Target) -> String {
    let option = match target {
        Target::All => String::new(),
        Target::Run(name) => format!(" --run {name}"),
        Target::Provider(name) => format!(" --provider {name}"),
        Target::Source(name) => format!(" --source {name}"),
    };
    format!("{} is paused; `sealpost resume{option}` lets it go on", words(target))
}

/// `everything`, `run 00…`, `provider mx.example`, `source a`.
pub fn words(target: &Target) -> String {
    match target {
        Target::All => "everything".into(),
        Target::Run(name) => format!("run {name}"),
        Target::Provider(name) => format!("provider {name}"),
        Target::Source(name) => format!("source {name}"),
    }
}

fn said(args: &Args, what: &str, target: &Target) {
    if args.json {
        outln!("{}", json!({what: target}));
    } else {
        outln!("{what}: {}", words(target));
    }
}

fn engine(machine: &Machine) -> Result<Option<Client>, Failure> {
    match Client::connect(&machine.state_dir, || stored::is_held(&machine.state_dir)) {
        Ok(client) => Ok(Some(client)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(Failure::asking(error)),
    }
}

fn no_engine(machine: &Machine) -> Failure {
    Failure::asking(Error::NoEngine(machine.state_dir.clone()))
}

/// The run that is meant, where no engine is at work: then there is nothing else to steer.
fn resting(machine: &Machine, target: &Target) -> Result<RunId, Failure> {
    let Target::Run(name) = target else { return Err(no_engine(machine)) };
    let run = RunId::named(name);
    run.ok_or_else(|| engine::run::Error::NoRun { run: name.clone() }.into())
}
