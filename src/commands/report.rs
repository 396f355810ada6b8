//! `sealpost report`.

use crate::args::{Args, Report as Options};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored::{self, Reading};
use engine::plan::Campaign;
use engine::report::{Report, Undelivered, undelivered};
use engine::run::data_key;
use engine::secret::MasterKey;
use serde_json::json;

/// A campaign's outcomes.
pub fn run(args: &Args, options: &Options) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    let none = || {
        let hint = "`sealpost status` lists the runs of this state directory";
        Failure::usage(format!("{} has no such run", campaign.name), Some(hint.into()))
    };
    let reading = Reading::of(&machine.state_dir)?.ok_or_else(none)?;
    let unreadable = |error| stored::unreadable(&machine.state_dir, error);
    let store = &reading.store;
    let runs = store.runs().map_err(unreadable)?;
    let wanted = |name: &String| options.run.as_ref().is_none_or(|wanted| wanted == name);
    let mut of_campaign =
        runs.into_iter().filter(|(run, manifest)| manifest.campaign == campaign.name && wanted(&run.to_string()));
    let (run, manifest) = of_campaign.next_back().ok_or_else(none)?;
    if options.list {
        let master = MasterKey::fetch(&machine.master)?;
        let rows = undelivered(store, run, &data_key(store, &master, run)?).map_err(unreadable)?;
        print_list(args, &rows);
        return Ok(SETTLED);
    }
    let report = Report::read(store, run, manifest, reading.at_work.has(run)).map_err(unreadable)?;
    if args.json {
        outln!("{}", report.json());
    } else {
        outln!("{}", report.text().trim_end());
    }
    Ok(SETTLED)
}

fn print_list(args: &Args, rows: &[Undelivered]) {
    for Undelivered { row, outcome } in rows {
        if args.json {
            let object = json!({
                "row": row, "outcome": outcome.kind.word(), "reason": outcome.why(), "attempts": outcome.attempts,
                "doubted": outcome.doubted, "text": outcome.text,
            });
            outln!("{object}");
        } else {
            let doubted = if outcome.doubted { " (an earlier attempt was in doubt)" } else { "" };
            outln!("row {row}: {}: {} {}{doubted}", outcome.kind, outcome.why(), outcome.text);
        }
    }
}
