//! SEAM: `engine::run::doubt`, with these very signatures (its own `Error` for [`Failure`]).

use crate::failure::Failure;
use crate::stored;
use engine::clock::Timestamp;
use engine::mail::Kind;
use engine::plan::Machine;
use engine::run::{Engine, Error};

/// A row that is in doubt. No address, and no reply's text.
#[derive(Clone, Debug)]
pub struct InDoubt {
    /// The campaign's name.
    pub campaign: String,
    /// The run, as `status` shows it.
    pub run: String,
    /// Its ordinal.
    pub row: u64,
    /// Since when.
    pub since: Timestamp,
    /// `engine_died`, `power_lost`, `copied`, or what happened to the connection: a closed label.
    pub why: String,
    /// Attempts made, with the one in doubt.
    pub attempts: u32,
}

/// What is decided upon.
#[expect(dead_code, reason = "read by what comes in this seam's place")]
#[derive(Clone, Debug)]
pub enum Which {
    /// A run's rows; none named are all that are in doubt.
    Run {
        /// The run, as `status` shows it.
        run: String,
        /// Ordinals.
        rows: Vec<u64>,
    },
    /// The whole state directory, which is a copy.
    Copy,
}

/// What is in doubt, by run and row; of one run, if one is named. While an engine is at work, messages on its wire are not.
pub fn list(machine: &Machine, run: Option<&str>) -> Result<Vec<InDoubt>, Failure> {
    let mut found = Vec::new();
    let mut known = run.is_none();
    let Some((store, engine, _scratch)) = stored::observe(&machine.state_dir)? else { return Ok(found) };
    for (of, manifest) in store.runs().map_err(Error::from)? {
        let name = of.to_string();
        if run.is_some_and(|run| run != name) {
            continue;
        }
        known = true;
        let new = |row, since, why: &str, attempts| InDoubt {
            campaign: manifest.campaign.clone(),
            run: name.clone(),
            row,
            since,
            why: why.to_owned(),
            attempts,
        };
        let first = found.len();
        store
            .scan_outcomes(of, None, |row, outcome| {
                if outcome.kind == Kind::InDoubt {
                    found.push(new(row, outcome.at, &outcome.why(), outcome.attempts));
                }
            })
            .map_err(Error::from)?;
        if engine == Engine::Stopped {
            let leases = store.open_leases(of).map_err(Error::from)?;
            found.extend(leases.into_iter().map(|(row, since)| new(row, since, "engine_died", 1)));
        }
        found[first..].sort_by_key(|row| row.row);
    }
    if known { Ok(found) } else { Err(no_run(run.unwrap_or_default())) }
}

/// Sends them again, under the same Message-IDs. Answers how many rows. For a copy: its original sent nothing since.
pub fn resend(_: &Machine, _: &Which) -> Result<u64, Failure> {
    Err(not_yet())
}

/// Writes down how they ended. Answers how many rows. For a copy: every row that it can't know of is in doubt.
pub fn settle(_: &Machine, _: &Which, _delivered: bool) -> Result<u64, Failure> {
    Err(not_yet())
}

fn no_run(run: &str) -> Failure {
    Failure::usage(format!("there is no run {run} here"), Some("`sealpost status` lists the runs".into()))
}

fn not_yet() -> Failure {
    Failure::internal("doubt can't be settled yet")
}
