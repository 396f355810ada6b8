//! `sealpost check`.

use super::forecast::Foreseen;
use super::introduction;
use crate::args::{Args, Check};
use crate::failure::{Failure, ROWS_LEFT, SETTLED};
use crate::output::outln;
use engine::clock::{Clock, SystemClock};
use engine::plan::{Campaign, Machine};
use engine::resolve::NoRoute;
use engine::run::{Blueprint, Machinery, Options, Sample, Setup, Signatures, introductions, signatures};
use engine::secret::TokenKey;
use engine::smtp::Connector;
use serde_json::{Value, json};

const SAMPLE: u64 = 1000;

/// Says what would stop a run, and what would become of the first rows.
pub fn run(args: &Args, options: &Check) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    let setup = Setup::of(&machine, campaign.clone(), Options::default())?;
    let gear = Machinery::of(&machine)?;
    Connector::new(&gear.roots, gear.identity.as_ref())?;
    let signatures = proven(&machine)?;
    let blueprint = Blueprint::new(campaign.clone())?;
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
        if let Some(signatures) = signatures {
            outln!("dnssec     {signatures}");
        }
        outln!("sources    {}", sources.join(", "));
        outln!("templates and keys are good");
    }
    let introduced = introductions(&machine, &setup.sources)?;
    if !args.json {
        introduced.iter().flat_map(introduction::lines).for_each(|line| outln!("{line}"));
    }
    let most = (!options.all).then_some(SAMPLE);
    let sample = blueprint.sample(TokenKey::new(&[0; 32]), most, SystemClock.now())?;
    if !args.json {
        print_sample(args, &name, &sample);
    }
    let foreseen = Foreseen::of(&machine, campaign, options.probe)?;
    if args.json {
        let mut object = object(&name, &sample);
        object["sources"] = introduced.iter().map(introduction::object).collect();
        object["forecast"] = foreseen.as_ref().map(Foreseen::json).unwrap_or_default();
        outln!("{object}");
    } else {
        foreseen.iter().for_each(Foreseen::print);
    }
    let well = foreseen.is_none_or(|foreseen| foreseen.is_whole()) && !introduced.iter().any(introduction::is_grave);
    Ok(if well { SETTLED } else { ROWS_LEFT })
}

/// What is known of DNSSEC, for people. Without signatures a run that asks for them would wait for ever.
fn proven(machine: &Machine) -> Result<Option<String>, Failure> {
    match signatures(machine)? {
        Signatures::Unread => Ok(None),
        Signatures::Trusted => Ok(Some("as the resolver says (trust_ad)".into())),
        Signatures::Validated => Ok(Some("validated: the root's signatures get here".into())),
        Signatures::Missing(NoRoute::Bogus) => {
            let what = "the DNS answers, but the root's signatures don't get here, and without them nothing is sent";
            let hint = "a forwarder on the way drops them, or this machine's clock is wrong: name resolvers that pass DNSSEC on in \
[dns] servers, or see [dns] dnssec";
            Err(Failure::usage(format!("{}: {what}", machine.path.display()), Some(hint.into())))
        }
        Signatures::Missing(trouble) => Ok(Some(format!("unknown: {}", trouble.label()))),
    }
}

fn object(campaign: &str, sample: &Sample) -> Value {
    let refused = sample
        .refused
        .iter()
        .map(|((kind, reason), rows)| json!({"outcome": kind.word(), "reason": reason, "rows": rows}));
    json!({
        "campaign": campaign, "rows": sample.rows, "good": sample.good, "refused": refused.collect::<Vec<_>>(),
        "largest_message": sample.largest,
    })
}

/// What a pass over rows found.
pub fn print_sample(args: &Args, campaign: &str, sample: &Sample) {
    if args.json {
        outln!("{}", object(campaign, sample));
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
