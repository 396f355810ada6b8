//! The same messages to ever more sites: what it costs that there are many.
//!
//! Every run has the same number of messages and of sessions, since a session is cut after as many messages as the run with
//! the most sites has for one; sessions are in clear, so that they cost little in the first place. The rows of all sites take
//! turns, so that each site has some all the time. What differs between runs is how many lanes a shard has.

use crate::bench::last_line;
use crate::desk::Desk;
use crate::group::Guard;
use crate::measure;
use crate::sending::f64_of;
use crate::sink::{Sink, Totals};
use crate::spread::Spread;
use serde_json::Value;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SITES: [u64; 4] = [10, 100, 1_000, 10_000];
const MOST: u64 = SITES[SITES.len() - 1];
/// Sessions at once where there are few sites: what a run with one for each of the most would need no more of.
const AT_ONCE: u64 = 200;
/// Servers, each for its part of the sites: ten thousand connections at once are more than one listener's queue holds.
const SINKS: u64 = 4;
const TICK: Duration = Duration::from_millis(50);
/// A message to one of the most sites may cost so much of what it costs where there are few.
const FLAT: f64 = 1.1;

/// One run.
struct Run {
    rows: f64,
    /// µs of CPU a message, and of the shards' threads alone.
    cost: f64,
    shards: f64,
    seconds: f64,
    peak_mb: f64,
    sessions: f64,
}

/// Sends `rows` rows to each number of sites, `times` times by turns after a warm-up, and gives the table.
///
/// # Errors
/// Not every row is delivered.
pub fn measure(sealpost: &Path, folder: &Path, rows: u64, times: usize) -> Result<String, Box<dyn Error>> {
    if rows < MOST {
        return Err(format!("each of {MOST} sites must have a row; there are {rows}").into());
    }
    let guard = Guard::new(folder)?;
    let mut runs: [Vec<Run>; SITES.len()] = Default::default();
    for number in 0..=times {
        for (at, sites) in SITES.into_iter().enumerate() {
            let run = run(&guard, sealpost, &folder.join(format!("sites-{sites}-{number}")), sites, rows)?;
            println!(
                "{sites} sites: {:.1} µs a message, {:.1} of them shards, {:.0} sessions, {:.0} MB",
                run.cost, run.shards, run.sessions, run.peak_mb
            );
            if number > 0 {
                runs[at].push(run);
            }
        }
    }
    table(&runs, rows)
}

fn table(runs: &[Vec<Run>; SITES.len()], rows: u64) -> Result<String, Box<dyn Error>> {
    let mut text = format!("Sessions are in clear and end after {} messages, in every run.\n\n", rows / MOST);
    text += "| sites | sender CPU, µs a message | of them shards | messages/s | sessions | peak memory, MB |\n|--:|--:|--:|--:|--:|--:|\n";
    let of = |runs: &[Run], figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
    for (sites, runs) in SITES.into_iter().zip(runs) {
        let (cost, shards) = (of(runs, |run| run.cost), of(runs, |run| run.shards));
        let (rate, sessions, memory) =
            (of(runs, |run| run.rows / run.seconds), of(runs, |run| run.sessions), of(runs, |run| run.peak_mb));
        writeln!(text, "| {sites} | {cost} | {shards} | {rate} | {sessions} | {memory} |")?;
    }
    let cost = |at: usize| of(&runs[at], |run| run.cost).median();
    let ratio = cost(SITES.len() - 1) / cost(0);
    let verdict = if ratio <= FLAT { "pass" } else { "fail" };
    writeln!(
        text,
        "\nA message to one of {MOST} sites costs {ratio:.2} times what it costs to one of {} (bar {FLAT}): **{verdict}**.",
        SITES[0]
    )?;
    Ok(text)
}

fn run(guard: &Guard, sealpost: &Path, folder: &Path, sites: u64, rows: u64) -> Result<Run, Box<dyn Error>> {
    let desk = Desk::new(sealpost, folder)?;
    let start = |number| Sink::start(Command::new(sealpost), folder, &format!("sink{number}"), &["--no-starttls"]);
    let sinks = (0..SINKS).map(start).collect::<Result<Vec<_>, _>>()?;
    desk.machine(&machine(&sinks, sites, rows)?)?;
    let recipients = (0..rows).map(|row| format!("r{row}@s{}.example", row % sites));
    let campaign = desk.campaign(
        "sites",
        recipients,
        "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n",
    )?;
    let group = guard.group("sender")?;
    let mut send = group.command(None, sealpost);
    let mut child = send
        .current_dir(folder)
        .args(["send", &campaign, "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.join("stderr"))?)
        .spawn()?;
    let since = Instant::now();
    let counts = measure::last_line(&mut child)?;
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let (mut peak_mb, mut threads) = (0.0_f64, BTreeMap::new());
    while !counts.is_finished() {
        std::thread::sleep(TICK);
        measure::read_threads(&process, &mut threads);
        peak_mb = peak_mb.max(measure::memory_of(&process, "VmHWM:").unwrap_or(0.0));
    }
    let (cpu, seconds) = (group.cpu()?, since.elapsed().as_secs_f64());
    child.wait()?;
    let counts = counts.join().map_err(|_| "the pipe's reader panicked")?;
    let counts: Value = serde_json::from_str(&counts)
        .map_err(|_| last_line(&std::fs::read(folder.join("stderr")).unwrap_or_default()))?;
    if counts["delivered"].as_u64() != Some(rows) {
        return Err(format!("not every row was delivered: {counts}").into());
    }
    let shards = measure::by_kind(threads).get("shard").copied().unwrap_or(f64::NAN);
    let mut sessions = 0.0;
    for sink in sinks {
        sessions += Totals::in_clear(&sink.last_line()?)?.sessions;
    }
    let rows = f64_of(rows);
    Ok(Run { rows, cost: cpu.total() * 1e6 / rows, shards: shards * 1e6 / rows, seconds, peak_mb, sessions })
}

/// Each site has a host of its own. An idle session waits for its site's next turn.
fn machine(sinks: &[Sink], sites: u64, rows: u64) -> Result<String, std::fmt::Error> {
    let mut routes = String::new();
    for (site, sink) in (0..sites).zip(sinks.iter().cycle()) {
        let sink = &sink.address;
        writeln!(routes, "\"s{site}.example\" = {{ host = \"mx.s{site}.example\", address = \"{sink}\" }}")?;
    }
    Ok(format!(
        "[smtp]\nidle_timeout = \"5m\"\n[limits]\nconnections = {}\nconnections_per_provider = {}\n\
         messages_per_connection = {}\n[dns.static]\n{routes}",
        MOST + 500,
        AT_ONCE.div_ceil(sites),
        rows / MOST
    ))
}
