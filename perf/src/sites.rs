//! The same messages to ever more sites: what it costs that there are many.
//!
//! Every run has the same number of messages and of sessions, since a session is cut after as many messages as the run with
//! the most sites has for one; sessions are in clear, so that they cost little in the first place. The rows of all sites take
//! turns, so that each site has some all the time. What differs between runs is how many lanes a shard has.
//!
//! Once each site is a provider of its own, as most companies are; once they are all one, as the tenants of a big one are: then
//! they share its connections, and a site whose turn it is waits until another makes way.

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

/// Whose the sites are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Each is a provider.
    Apart,
    /// They are one provider's.
    Together,
}

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
    let mut text = format!("Sessions are in clear and end after {} messages, in every run.\n", rows / MOST);
    for (shape, words) in [(Shape::Apart, "Each site is a provider"), (Shape::Together, "All sites are one provider")] {
        let mut runs: [Vec<Run>; SITES.len()] = Default::default();
        for number in 0..=times {
            for (at, sites) in SITES.into_iter().enumerate() {
                let folder = folder.join(format!("sites-{sites}-{number}"));
                let run = run(&guard, sealpost, &folder, (shape, sites), rows)?;
                println!("{words}, {sites}: {}", run.line());
                std::fs::remove_dir_all(&folder)?;
                if number > 0 {
                    runs[at].push(run);
                }
            }
        }
        write!(text, "\n{words}:\n\n{}", table(&runs)?)?;
    }
    Ok(text)
}

impl Run {
    fn line(&self) -> String {
        let Run { cost, shards, sessions, peak_mb, .. } = self;
        format!("{cost:.1} µs a message, {shards:.1} of them shards, {sessions:.0} sessions, {peak_mb:.0} MB")
    }
}

fn table(runs: &[Vec<Run>; SITES.len()]) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "| sites | sender CPU, µs a message | of them shards | messages/s | sessions | peak memory, MB |\n",
    );
    text += "|--:|--:|--:|--:|--:|--:|\n";
    let of = |runs: &[Run], figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure));
    for (sites, runs) in SITES.into_iter().zip(runs) {
        let (cost, shards) = (of(runs, |run| run.cost), of(runs, |run| run.shards));
        let (rate, sessions) = (of(runs, |run| run.rows / run.seconds), of(runs, |run| run.sessions));
        writeln!(text, "| {sites} | {cost} | {shards} | {rate} | {sessions} | {} |", of(runs, |run| run.peak_mb))?;
    }
    let cost = |at: usize| of(&runs[at], |run| run.cost).median();
    let ratio = cost(SITES.len() - 1) / cost(0);
    let verdict = if ratio <= FLAT { "pass" } else { "fail" };
    let few = SITES[0];
    writeln!(
        text,
        "\nA message to one of {MOST} sites costs {ratio:.2} times what one of {few} costs (bar {FLAT}): **{verdict}**."
    )?;
    Ok(text)
}

fn run(
    guard: &Guard,
    sealpost: &Path,
    folder: &Path,
    (shape, sites): (Shape, u64),
    rows: u64,
) -> Result<Run, Box<dyn Error>> {
    let desk = Desk::new(sealpost, folder)?;
    let start = |number| Sink::start(Command::new(sealpost), folder, &format!("sink{number}"), &["--no-starttls"]);
    let sinks = (0..SINKS).map(start).collect::<Result<Vec<_>, _>>()?;
    desk.machine(&machine(&sinks, (shape, sites), rows)?)?;
    std::fs::write(folder.join("shaping.toml"), "[[provider]]\nname = \"one\"\nmx = [\"one.example\"]\n")?;
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
    let shards = measure::by_kind(&threads).get("shard").copied().unwrap_or(f64::NAN);
    let mut sessions = 0.0;
    for sink in sinks {
        sessions += Totals::in_clear(&sink.last_line()?)?.sessions;
    }
    let rows = f64_of(rows);
    Ok(Run { rows, cost: cpu.total() * 1e6 / rows, shards: shards * 1e6 / rows, seconds, peak_mb, sessions })
}

/// Each site has a host of its own. An idle session waits for its site's next turn.
fn machine(sinks: &[Sink], (shape, sites): (Shape, u64), rows: u64) -> Result<String, std::fmt::Error> {
    let (parent, providers) = if shape == Shape::Apart { ("many.example", sites) } else { ("one.example", 1) };
    let mut routes = String::new();
    for (site, sink) in (0..sites).zip(sinks.iter().cycle()) {
        let address = &sink.address;
        writeln!(routes, "\"s{site}.example\" = {{ host = \"s{site}.{parent}\", address = \"{address}\" }}")?;
    }
    Ok(format!(
        "[smtp]\nidle_timeout = \"5m\"\n[limits]\nconnections = {}\nconnections_per_provider = {}\n\
         messages_per_connection = {}\n[shaping]\nfile = \"shaping.toml\"\n[dns.static]\n{routes}",
        MOST + 500,
        AT_ONCE.div_ceil(providers),
        rows / MOST
    ))
}
