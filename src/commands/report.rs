//! `sealpost report`.

use super::letters;
use crate::args::{Args, Report as Options};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored::{self, Reading};
use engine::mail::{Class, Kind, RunId};
use engine::plan::{Campaign, Machine};
use engine::report::{Ended, Report, Why, ended, session_json};
use engine::run::data_key;
use engine::secret::{DataKey, MasterKey};
use engine::store::{Error, Store};
use serde_json::{Value, json};
use std::collections::HashMap;

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
    if options.undeliverable {
        let opens = options.plain || options.output.is_some();
        let key = opens.then(|| key(&machine, store, run)).transpose()?;
        let rows = ended(store, run, key.as_ref(), Kind::is_undeliverable).map_err(unreadable)?;
        letters::print(args, options, &rows)?;
        return Ok(SETTLED);
    }
    if options.list {
        let wanted = |kind| options.delivered || kind != Kind::Delivered;
        let rows = ended(store, run, Some(&key(&machine, store, run)?), wanted).map_err(unreadable)?;
        print_list(args, store, &rows).map_err(unreadable)?;
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

fn key(machine: &Machine, store: &Store, run: RunId) -> Result<DataKey, Failure> {
    Ok(data_key(store, &MasterKey::fetch(&machine.master)?, run)?)
}

fn print_list(args: &Args, store: &Store, rows: &[Ended]) -> Result<(), Error> {
    // Thousands of rows have one session.
    let mut sessions = HashMap::new();
    for Ended { row, outcome } in rows {
        if let Some(number) = outcome.session.filter(|number| !sessions.contains_key(number)) {
            let session = store.session(number)?;
            sessions.insert(number, session.map_or(Value::Null, |session| session_json(number, &session)));
        }
        let session = outcome.session.and_then(|number| sessions.get(&number));
        if args.json {
            let object = json!({
                "row": row, "outcome": outcome.kind.word(), "reason": outcome.why(), "class": outcome.class.map(Class::word), "attempts": outcome.attempts,
                "doubted": outcome.doubted, "text": outcome.text, "session": session,
            });
            outln!("{object}");
        } else {
            let doubted = if outcome.doubted { " (an earlier attempt was in doubt)" } else { "" };
            let over = session.filter(|_| outcome.kind == Kind::Delivered).map_or_else(String::new, over);
            let why = Why::of(outcome.why(), outcome.class);
            outln!("row {row}: {}: {why} {}{over}{doubted}", outcome.kind, outcome.text);
        }
    }
    Ok(())
}

/// `to mx.example over TLSv1.3 …`.
fn over(session: &Value) -> String {
    let text = |key: &str| session[key].as_str().unwrap_or("unproven").to_owned();
    let [host, version, suite, peer, mx] = ["host", "version", "suite", "peer", "mx_trust"].map(text);
    format!("to {host} over {version} {suite}, peer {peer}, MX by {mx}")
}
