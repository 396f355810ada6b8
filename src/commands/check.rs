//! `sealpost check`.

use crate::args::{Args, Check};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use engine::clock::{Clock, SystemClock};
use engine::plan::Campaign;
use engine::run::{Blueprint, Machinery, Options, Sample, Setup};
use engine::secret::TokenKey;
use engine::smtp::Connector;
use serde_json::json;

const SAMPLE: u64 = 1000;

/// Says what would stop a run, and what would become of the first rows.
pub fn run(args: &Args, options: &Check) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    let setup = Setup::of(&machine, campaign.clone(), Options::default())?;
    let gear = Machinery::of(&machine)?;
    Connector::new(&gear.roots, gear.identity.as_ref())?;
    let blueprint = Blueprint::new(campaign)?;
    let name = blueprint.campaign().name.clone();
    if !args.json {
        let columns: Vec<_> = blueprint.columns().iter().map(|column| column.name.as_str()).collect();
        outln!("input      {}", blueprint.input());
        outln!("columns    {}", columns.join(", "));
        let public = &blueprint.campaign().source.public;
        outln!("not PHI    {}", if public.is_empty() { "none".into() } else { public.join(", ") });
        if let Some(rows) = blueprint.rows() {
            outln!("rows       {rows}");
        }
        let sources: Vec<_> = setup.sources.iter().map(|source| format!("{} ({})", source.name, source.ehlo)).collect();
        outln!("run        {}", blueprint.run());
        outln!("routes     {}", machine.routes_text());
        outln!("sources    {}", sources.join(", "));
        outln!("templates and keys are good");
    }
    let most = (!options.all).then_some(SAMPLE);
    let sample = blueprint.sample(TokenKey::new(&[0; 32]), most, SystemClock.now())?;
    print_sample(args, &name, &sample);
    Ok(SETTLED)
}

/// What a pass over rows found.
pub fn print_sample(args: &Args, campaign: &str, sample: &Sample) {
    if args.json {
        let refused = sample
            .refused
            .iter()
            .map(|((kind, reason), rows)| json!({"outcome": kind.word(), "reason": reason, "rows": rows}));
        let object = json!({
            "campaign": campaign, "rows": sample.rows, "good": sample.good, "refused": refused.collect::<Vec<_>>(),
            "largest_message": sample.largest,
        });
        outln!("{object}");
        return;
    }
    outln!(
        "{} rows looked at, {} would be sent; the largest message has {} octets",
        sample.rows,
        sample.good,
        sample.largest
    );
    for ((kind, reason), rows) in &sample.refused {
        outln!("  {rows} {kind}: {reason}");
    }
    for row in &sample.first_refused {
        outln!("  row {}: {}: {}", row.row, row.outcome, row.text);
    }
}
