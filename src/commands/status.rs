//! `sealpost status`.

use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::progress::words;
use engine::report::counts;
use engine::run::{Engine, Error};
use engine::store::Tally;
use serde_json::Value;

/// How every run of the state directory stands.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let Some((store, engine, _scratch)) = super::observe(&machine.state_dir)? else {
        if args.json {
            outln!("{}", serde_json::json!({"engine": "never started", "runs": []}));
        } else {
            outln!("{}: nothing was sent from here yet", machine.state_dir.display());
        }
        return Ok(SETTLED);
    };
    let mut runs = Vec::new();
    for (run, manifest) in store.runs().map_err(Error::from)? {
        let tally = Tally::of(&store, run, &manifest, engine.is_at(run)).map_err(Error::from)?;
        let state = match (manifest.finished.is_some(), engine.is_at(run)) {
            (true, _) => "finished",
            (false, true) => "running",
            (false, false) => "stopped",
        };
        if !args.json {
            outln!("{} (run {run}): {state}, {} rows read", manifest.campaign, tally.read);
            outln!("  {}", words(&tally).join(" · "));
        }
        let mut object = counts(&manifest.campaign, run, &tally);
        object.insert("state".into(), state.into());
        object.insert("read_all".into(), manifest.read_all.into());
        runs.push(Value::Object(object));
    }
    if args.json {
        outln!(
            "{}",
            serde_json::json!({"engine": if engine == Engine::Stopped { "stopped" } else { "running" }, "runs": runs})
        );
    }
    Ok(SETTLED)
}
