//! `sealpost rehearse`.

use super::drive;
use crate::args::{Args, Rehearse};
use crate::descriptors;
use crate::failure::{Failure, INTERNAL};
use crate::output::outln;
use crate::seat::{Inside, Seat};
use crate::signals::{OURS, Signals};
use crate::stored;
use engine::control::RunView;
use engine::mail::{Kind, RunId};
use engine::plan::Campaign;
use engine::report::Report;
use engine::run::{Durability, Engine, Options, Rehearsal, rehearsal};
use engine::sandbox::{Recipe, Totals};
use std::fs;
use std::path::{Path, PathBuf};

/// Sends the whole campaign into an embedded MX, and writes a report of what happened.
pub fn run(args: &Args, options: &Rehearse) -> Result<u8, Failure> {
    let mut machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    let folder = options.out.clone().unwrap_or_else(|| Path::new("rehearsal").join(&campaign.name));
    // The embedded MX has the other end of each connection.
    machine.limits.connections = descriptors::make_room_for(machine.limits.connections, 2);
    let recipe = Recipe {
        greylist: options.defer / 100.0,
        bounce: options.bounce / 100.0,
        latency: options.latency,
        ..Recipe::default()
    };
    let scratch = tempfile::tempdir().map_err(|error| Failure::internal(format!("scratch folder: {error}")))?;
    let limit = Options { limit: options.limit, ..Options::default() };
    let durability = Durability { sync: machine.sync, marks: !options.without_marks };
    let Rehearsal { sandbox, mut gear, setup } =
        rehearsal(&machine, campaign, recipe, scratch.path(), limit, durability)?;
    gear.metrics.listen = options.metrics;
    let signals = Signals::watch(OURS)?;
    let engine = Engine::start(gear)?;
    let opened = engine.open(setup)?;
    drive::watch(&Inside(&*engine), &opened, &signals)?;
    let exporter = engine.stop();
    let run = drive::find(&Inside(&*engine).look()?, &opened.run)?.clone();
    drop(engine);
    if let Some(refusal) = run.failed {
        return Err(Failure::refused(refusal));
    }
    let received = sandbox.ledger().totals();
    let report = write_report(scratch.path(), &folder, &run, received)?;
    drive::print(args, &run);
    if !args.json {
        outln!(
            "  the embedded MX accepted {} over {} TLS sessions, {} twice",
            received.accepted,
            received.encrypted,
            received.twice
        );
        outln!("report: {}", report.display());
        outln!("this was a rehearsal: nobody was mailed, nothing was marked sent");
    }
    // A row in doubt may have been accepted: then only the receiver knows.
    let in_doubt = run.count(Kind::InDoubt);
    let agreed = received.twice == 0 && received.accepted.abs_diff(run.delivered_now) <= in_doubt;
    if !agreed {
        eprintln!("error: the embedded MX and our accounts disagree");
        return Ok(INTERNAL);
    }
    let code = drive::exit_code(&run, 100.0);
    drive::linger(exporter, &signals);
    Ok(code)
}

fn write_report(scratch: &Path, folder: &Path, run: &RunView, received: Totals) -> Result<PathBuf, Failure> {
    let (store, _, _observing) =
        stored::observe(scratch)?.ok_or_else(|| Failure::internal("the rehearsal left no store"))?;
    let run = RunId::named(&run.run).ok_or_else(|| Failure::internal("the run has no name"))?;
    let manifest = store.manifest(run).map_err(engine::run::Error::from)?;
    let manifest = manifest.ok_or_else(|| Failure::internal("the rehearsal left no manifest"))?;
    let report = Report::read(&store, run, manifest, false).map_err(engine::run::Error::from)?;
    let mut json = report.json();
    json["received"] = serde_json::to_value(received).map_err(|error| Failure::internal(error.to_string()))?;
    let text = folder.join("report.txt");
    fs::create_dir_all(folder).map_err(|error| Failure::writing(folder, &error))?;
    fs::write(&text, report.text()).map_err(|error| Failure::writing(&text, &error))?;
    let path = folder.join("report.json");
    fs::write(&path, format!("{json:#}\n")).map_err(|error| Failure::writing(&path, &error))?;
    Ok(text)
}
