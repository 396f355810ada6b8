//! `sealpost doubt`: rows whose last octet left and whose reply never came, for whoever has to decide at two in the morning.

use crate::args::{Args, Doubt as Options};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::progress::hours;
use crate::stored::{self, Reading};
use engine::clock::{Clock, SystemClock, Timestamp};
use engine::mail::{RunId, rows as counted};
use engine::plan::Machine;
use engine::report::rfc3339;
use engine::run::doubt::{self, Doubt, Truth, Which};
use engine::run::{Error, token_key};
use engine::secret::MasterKey;
use serde_json::json;
use std::collections::BTreeMap;

/// Lists or settles doubt.
pub fn run(args: &Args, options: &Options) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    match options {
        Options::List { run } => {
            let rows = list(&machine, run.as_deref())?;
            if args.json {
                print_json(&rows);
            } else {
                lines(&rows, SystemClock.now()).iter().for_each(|line| outln!("{line}"));
            }
        }
        Options::Resend(options) => match &options.run {
            Some(run) => {
                let (run, which) = (named(run)?, which(&options.row));
                let rows = doubt::resend(&machine.state_dir, &MasterKey::fetch(&machine.master)?, run, &which)?;
                settled(args, rows, "to be sent again by the next `sealpost send`, under the Message-ID of before");
            }
            None => copied(
                args,
                doubt::settle_copy(&machine.state_dir, &MasterKey::fetch(&machine.master)?, false)?,
                "go on as if nothing had been copied",
            ),
        },
        Options::Settle(options) => match &options.run {
            Some(run) => {
                let truth = if options.delivered { Truth::Delivered } else { Truth::Undelivered };
                let (run, which) = (named(run)?, which(&options.row));
                let master = MasterKey::fetch(&machine.master)?;
                let rows = doubt::settle(&machine.state_dir, &master, run, &which, truth)?;
                let became = match truth {
                    Truth::Delivered => "settled as delivered",
                    Truth::Undelivered => "settled as undelivered; their keys are free to be sent to again",
                };
                settled(args, rows, became);
                if truth == Truth::Undelivered && !args.json {
                    how_to_reach_them(run);
                }
            }
            None => copied(
                args,
                doubt::settle_copy(&machine.state_dir, &MasterKey::fetch(&machine.master)?, true)?,
                "have every row in doubt that was read and has not ended (`sealpost doubt list`); rows not read yet follow with `sealpost send`",
            ),
        },
    }
    Ok(SETTLED)
}

fn list(machine: &Machine, run: Option<&str>) -> Result<Vec<Doubt>, Failure> {
    let run = run.map(named).transpose()?;
    let Some(Reading { store, at_work, .. }) = &Reading::of(&machine.state_dir)? else {
        return run.map_or(Ok(Vec::new()), |run| Err(Error::NoRun { run: run.to_string() }.into()));
    };
    let token = MasterKey::fetch(&machine.master).map_err(Error::from).and_then(|master| token_key(store, &master));
    let rows = match doubt::list(store, run, |run| at_work.has(run), token.as_ref().ok()) {
        Err(Error::Store(error)) => return Err(stored::unreadable(&machine.state_dir, error)),
        rows => rows?,
    };
    if let (Err(error), false) = (token, rows.is_empty()) {
        // Who has to decide at night may not be the one who has the key.
        eprintln!("warning: {error}; Message-IDs are made with the master key, and not shown");
    }
    Ok(rows)
}

fn named(run: &str) -> Result<RunId, Failure> {
    RunId::named(run).ok_or_else(|| Error::NoRun { run: run.to_owned() }.into())
}

fn which(rows: &[u64]) -> Which {
    if rows.is_empty() { Which::All } else { Which::Rows(rows.to_vec()) }
}

fn copied(args: &Args, runs: usize, became: &str) {
    if args.json {
        outln!("{}", json!({"open_runs": runs}));
    } else {
        outln!("this state directory is the one that sends now; open runs: {runs}; they {became}");
    }
}

fn settled(args: &Args, rows: usize, became: &str) {
    if args.json {
        outln!("{}", json!({"rows": rows}));
    } else {
        outln!("{} {became}", counted(rows as u64));
    }
}

/// This run is over with them, and its very input is not sent again.
fn how_to_reach_them(run: RunId) {
    outln!("  who they are:   sealpost report CAMPAIGN --run {run} --list   (reason settled_undelivered)");
    outln!("  to reach them:  put their rows into another file of the same campaign, and `sealpost send` that");
}

fn print_json(rows: &[Doubt]) {
    let mut runs = Vec::new();
    for ((campaign, run), rows) in by_run(rows) {
        let rows = rows.iter().map(|row| {
            let Doubt { row, since, why, attempts, message_id, .. } = row;
            json!({"row": row, "since": rfc3339(*since), "why": why, "attempts": attempts, "message_id": message_id})
        });
        runs.push(json!({"campaign": campaign, "run": run.to_string(), "rows": rows.collect::<Vec<_>>()}));
    }
    outln!("{}", json!({"runs": runs}));
}

/// Rows listed one by one; more are summed up.
const ONE_BY_ONE: usize = 40;

fn lines(rows: &[Doubt], now: Timestamp) -> Vec<String> {
    if rows.is_empty() {
        return vec!["nothing is in doubt".into()];
    }
    let mut lines = Vec::new();
    for ((campaign, run), rows) in by_run(rows) {
        lines.push(format!("{campaign} (run {run}): {} in doubt", counted(rows.len() as u64)));
        for (why, rows) in by_reason(&rows) {
            lines.push(format!("  {}", because(why)));
            lines.extend(rows.iter().take(ONE_BY_ONE).map(|row| line(row, now)));
            if rows.len() > ONE_BY_ONE {
                lines.push(format!("    and {} more; --json lists them all", rows.len() - ONE_BY_ONE));
            }
        }
        lines.push(format!("  send again, perhaps twice:  sealpost doubt resend --run {run} [--row N]"));
        lines.push(format!("  you know how they ended:    sealpost doubt settle --run {run} [--row N] --delivered"));
        lines.push(format!("                              sealpost doubt settle --run {run} [--row N] --undelivered"));
    }
    lines.push("the receiver's log knows: look there for the Message-IDs".into());
    lines
}

fn line(row: &Doubt, now: Timestamp) -> String {
    let ago = hours(now.since(row.since).as_secs_f64());
    let times = if row.attempts == 1 { "1 attempt".into() } else { format!("{} attempts", row.attempts) };
    let id = row.message_id.as_ref().map_or_else(String::new, |id| format!(", Message-ID {id}"));
    format!("    row {:<9} since {} ({ago} ago), {times}{id}", row.row, rfc3339(row.since))
}

/// A closed label in words.
fn because(why: &str) -> String {
    match why {
        "engine_died" => "the engine died between the message's last octet and its reply".into(),
        "stopped" => "the engine stopped, or the deadline came, and after 20 seconds there was no reply".into(),
        "power_lost" => "the machine went down: what was ready to go may have gone".into(),
        "not_sent_again" => "it was to be sent again, and was cancelled before".into(),
        "state_copied" => "the state directory was copied: its original may have sent them".into(),
        label => format!("the connection failed between the message's last octet and its reply ({label})"),
    }
}

fn by_run(rows: &[Doubt]) -> Vec<((&str, RunId), Vec<&Doubt>)> {
    let mut runs: Vec<((&str, RunId), Vec<&Doubt>)> = Vec::new();
    for row in rows {
        let run = (&*row.campaign, row.run);
        match runs.iter_mut().find(|(of, _)| *of == run) {
            Some((_, rows)) => rows.push(row),
            None => runs.push((run, vec![row])),
        }
    }
    runs
}

fn by_reason<'a>(rows: &[&'a Doubt]) -> BTreeMap<&'a str, Vec<&'a Doubt>> {
    let mut reasons: BTreeMap<&str, Vec<&Doubt>> = BTreeMap::new();
    rows.iter().for_each(|row| reasons.entry(&row.why).or_default().push(row));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: u64, row: u64, why: &str, attempts: u32) -> Doubt {
        let since = Timestamp(1_795_312_800_000);
        Doubt { campaign: "eob".into(), run: RunId(run), row, since, why: why.into(), attempts, message_id: None }
    }

    #[test]
    fn what_an_operator_reads() {
        let now = Timestamp(1_795_312_800_000 + 3_700_000);
        assert_eq!(lines(&[], now), ["nothing is in doubt"]);
        let mut rows =
            vec![row(0xaa, 7, "engine_died", 1), row(0xaa, 9, "timeout", 2), row(0xbb, 1, "state_copied", 1)];
        let said = lines(&rows, now);
        assert_eq!(
            said[..5],
            [
                "eob (run 00000000000000aa): 2 rows in doubt",
                "  the engine died between the message's last octet and its reply",
                "    row 7         since 2026-11-22T02:00:00Z (1 h 1 min ago), 1 attempt",
                "  the connection failed between the message's last octet and its reply (timeout)",
                "    row 9         since 2026-11-22T02:00:00Z (1 h 1 min ago), 2 attempts",
            ]
        );
        assert!(said[5].ends_with("sealpost doubt resend --run 00000000000000aa [--row N]"), "{said:?}");
        assert_eq!(said[8], "eob (run 00000000000000bb): 1 row in doubt");
        rows[0].message_id = Some("abc@acme.example".into());
        assert!(lines(&rows, now)[2].ends_with(", 1 attempt, Message-ID abc@acme.example"));
        rows = (0..100).map(|ordinal| row(0xaa, ordinal, "power_lost", 1)).collect();
        let said = lines(&rows, now);
        assert!(
            said.len() < 50 && said.iter().any(|line| line == "    and 60 more; --json lists them all"),
            "{said:?}"
        );
    }
}
