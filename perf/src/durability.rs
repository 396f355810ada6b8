//! What leases, marks and syncs cost: the same rehearsal with them, with syncs left to the system, and without any, by turns
//! in one run on one machine.

use crate::measure::{self, Measured};
use crate::spread::Spread;
use std::error::Error;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A way to rehearse: its name, what `sealpost.toml` says, what the command line says.
type Way = (&'static str, &'static str, &'static [&'static str]);

const WAYS: [Way; 4] = [
    ("no leases, no marks", "", &["--without-marks"]),
    ("sync = \"never\"", "\n[store]\nsync = \"never\"\n", &[]),
    ("sync = \"group\"", "\n[store]\nsync = \"group\"\n", &[]),
    ("sync = \"each\"", "\n[store]\nsync = \"each\"\n", &[]),
];

/// Rehearses `rows` rows of `campaign` in every way, `runs` times by turns, and gives the table.
///
/// # Errors
/// A rehearsal fails.
pub fn compare(
    sealpost: &Path,
    campaign: &Path,
    machine: &str,
    rows: u64,
    runs: usize,
) -> Result<String, Box<dyn Error>> {
    let folder = campaign.parent().ok_or("no folder")?;
    let mut measured: [Vec<Measured>; WAYS.len()] = Default::default();
    // The first round warms up and is not counted.
    for round in 0..=runs {
        for (index, (name, more, options)) in WAYS.iter().enumerate() {
            let config = folder.join(format!("sealpost-{index}.toml"));
            std::fs::write(&config, format!("{machine}{more}"))?;
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let mut rehearse = Command::new(sealpost);
            rehearse.arg("--config").arg(&config).args(["rehearse", "--json", "--out"]).arg(folder.join("report"));
            rehearse.arg(campaign).args(["--metrics", &format!("127.0.0.1:{port}")]).args(*options);
            let one = measure::run(rehearse, rows, port)?;
            println!("{}{name}: {}", if round == 0 { "warm-up: " } else { "" }, one.line());
            if round > 0 {
                measured[index].push(one);
            }
        }
    }
    table(&measured)
}

fn table(measured: &[Vec<Measured>]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    writeln!(
        text,
        "| way | messages/s: min, median, max | CPU µs a message without the embedded MX | more than none |"
    )?;
    writeln!(text, "|---|---|---|---|")?;
    let cpu = |run: &Measured| run.sender_cpu() * 1e6 / run.rows;
    let none = Spread::of(measured[0].iter().map(cpu)).median();
    for ((name, ..), runs) in WAYS.iter().zip(measured) {
        let rates = Spread::of(runs.iter().map(|run| run.messages_per_second));
        let (least, rate, most) = (rates.least(), rates.median(), rates.most());
        let cost = Spread::of(runs.iter().map(cpu)).median();
        writeln!(text, "| {name} | {least:.0}, {rate:.0}, {most:.0} | {cost:.1} | {:+.1} |", cost - none)?;
    }
    writeln!(text, "\nCPU by thread in each way's last run, in µs a message:\n")?;
    for ((name, ..), runs) in WAYS.iter().zip(measured) {
        let Some(last) = runs.last() else { continue };
        let threads = last.threads.iter().map(|(thread, seconds)| format!("{thread} {:.1}", seconds * 1e6 / last.rows));
        writeln!(text, "* {name}: {}", threads.collect::<Vec<_>>().join(", "))?;
    }
    Ok(text)
}
