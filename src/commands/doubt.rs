//! `sealpost doubt`: rows whose last octet left and whose reply never came, for whoever has to decide at two in the morning.

mod seam;

use crate::args::{Args, Doubt};
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::progress::hours;
use engine::clock::{Clock, SystemClock, Timestamp};
use engine::report::rfc3339;
use seam::{InDoubt, Which};
use serde_json::json;
use std::collections::BTreeMap;

/// Lists or settles doubt.
pub fn run(args: &Args, options: &Doubt) -> Result<u8, Failure> {
    let machine = super::machine(args)?;
    match options {
        Doubt::List { run } => {
            let rows = seam::list(&machine, run.as_deref())?;
            if args.json {
                print_json(&rows);
            } else {
                lines(&rows, SystemClock.now()).iter().for_each(|line| outln!("{line}"));
            }
        }
        Doubt::Resend(options) => {
            let rows = seam::resend(&machine, &which(options.run.as_ref(), &options.row))?;
            settled(args, rows, "will be sent again, under their old Message-IDs, by the next `sealpost send`");
        }
        Doubt::Settle(options) => {
            let which = which(options.run.as_ref(), &options.row);
            let rows = seam::settle(&machine, &which, options.delivered)?;
            let became = match (&which, options.delivered) {
                (Which::Copy, _) => "that this copy can't know of are in doubt now: see `sealpost doubt list`",
                (_, true) => "count as delivered",
                (_, false) => "count as undelivered; their keys are free to be sent to again",
            };
            settled(args, rows, became);
        }
    }
    Ok(SETTLED)
}

fn which(run: Option<&String>, rows: &[u64]) -> Which {
    run.map_or(Which::Copy, |run| Which::Run { run: run.clone(), rows: rows.to_vec() })
}

fn settled(args: &Args, rows: u64, became: &str) {
    if args.json {
        outln!("{}", json!({"rows": rows}));
    } else {
        outln!("{rows} rows {became}");
    }
}

fn print_json(rows: &[InDoubt]) {
    let mut runs = Vec::new();
    for ((campaign, run), rows) in by_run(rows) {
        let rows = rows.iter().map(|row| {
            let InDoubt { row, since, why, attempts, .. } = row;
            json!({"row": row, "since": rfc3339(*since), "why": why, "attempts": attempts})
        });
        runs.push(json!({"campaign": campaign, "run": run, "rows": rows.collect::<Vec<_>>()}));
    }
    outln!("{}", json!({"runs": runs}));
}

/// Rows listed one by one; more are summed up.
const ONE_BY_ONE: usize = 40;

fn lines(rows: &[InDoubt], now: Timestamp) -> Vec<String> {
    if rows.is_empty() {
        return vec!["nothing is in doubt".into()];
    }
    let mut lines = Vec::new();
    for ((campaign, run), rows) in by_run(rows) {
        let many = if rows.len() == 1 { "1 row".into() } else { format!("{} rows", rows.len()) };
        lines.push(format!("{campaign} (run {run}): {many} in doubt"));
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
    lines.push("the receiver's log knows: look there for the Message-IDs (sealpost preview CAMPAIGN --row N)".into());
    lines
}

fn line(row: &InDoubt, now: Timestamp) -> String {
    let ago = hours(now.since(row.since).as_secs_f64());
    let times = if row.attempts == 1 { "1 attempt".into() } else { format!("{} attempts", row.attempts) };
    format!("    row {:<9} since {} ({ago} ago), {times}", row.row, rfc3339(row.since))
}

/// A closed label in words.
fn because(why: &str) -> String {
    match why {
        "engine_died" => "the engine died between the message's last octet and its reply".into(),
        "power_lost" => "the machine went down: what was ready to go may have gone".into(),
        "copied" => "the state directory was copied: its original may have sent them".into(),
        label => format!("the connection failed between the message's last octet and its reply ({label})"),
    }
}

fn by_run(rows: &[InDoubt]) -> Vec<((&str, &str), Vec<&InDoubt>)> {
    let mut runs: Vec<((&str, &str), Vec<&InDoubt>)> = Vec::new();
    for row in rows {
        let run = (&*row.campaign, &*row.run);
        match runs.iter_mut().find(|(of, _)| *of == run) {
            Some((_, rows)) => rows.push(row),
            None => runs.push((run, vec![row])),
        }
    }
    runs
}

fn by_reason<'a>(rows: &[&'a InDoubt]) -> BTreeMap<&'a str, Vec<&'a InDoubt>> {
    let mut reasons: BTreeMap<&str, Vec<&InDoubt>> = BTreeMap::new();
    rows.iter().for_each(|row| reasons.entry(&row.why).or_default().push(row));
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(run: &str, row: u64, why: &str, attempts: u32) -> InDoubt {
        let since = Timestamp(1_795_312_800_000);
        InDoubt { campaign: "eob".into(), run: run.into(), row, since, why: why.into(), attempts }
    }

    #[test]
    fn what_an_operator_reads() {
        let now = Timestamp(1_795_312_800_000 + 3_700_000);
        assert_eq!(lines(&[], now), ["nothing is in doubt"]);
        let mut rows =
            vec![row("00aa", 7, "engine_died", 1), row("00aa", 9, "timeout", 2), row("00bb", 1, "copied", 1)];
        let said = lines(&rows, now);
        assert_eq!(
            said[..5],
            [
                "eob (run 00aa): 2 rows in doubt",
                "  the engine died between the message's last octet and its reply",
                "    row 7         since 2026-11-22T02:00:00Z (1 h 1 min ago), 1 attempt",
                "  the connection failed between the message's last octet and its reply (timeout)",
                "    row 9         since 2026-11-22T02:00:00Z (1 h 1 min ago), 2 attempts",
            ]
        );
        assert!(said[5].ends_with("sealpost doubt resend --run 00aa [--row N]"), "{said:?}");
        assert_eq!(said[8], "eob (run 00bb): 1 row in doubt");
        rows = (0..100).map(|ordinal| row("00aa", ordinal, "power_lost", 1)).collect();
        let said = lines(&rows, now);
        assert!(
            said.len() < 50 && said.iter().any(|line| line == "    and 60 more; --json lists them all"),
            "{said:?}"
        );
    }
}
