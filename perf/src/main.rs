//! Throughput of a rehearsal: makes rows from the claims, runs the real binary, watches its threads, writes what it saw.
//!
//! `make perf` runs it. The embedded MX shares the process and the cores; its thread's CPU is counted apart, so that
//! "messages per sender CPU-second" leaves it out.

mod durability;
mod generate;
mod handshakes;
mod measure;
mod picture;
mod stages;
mod throttled;
mod wire;

use clap::{Parser, ValueEnum};
use generate::Format;
use measure::Measured;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Measure rehearsals of rows made from the claims.
#[derive(Debug, Parser)]
struct Args {
    /// Rows to send
    #[arg(long, default_value_t = 100_000)]
    rows: u64,

    /// What the rows are written as
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,

    /// Counted runs; where there are several, one that isn't goes before
    #[arg(long, default_value_t = 5)]
    runs: usize,

    /// What is measured
    #[arg(long, value_enum, default_value_t = What::Rehearsal)]
    what: What,

    /// The binary to measure
    #[arg(long)]
    sealpost: PathBuf,

    /// Where results are written
    #[arg(long, default_value = "perf/results")]
    results: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Rehearsals at full speed.
    Rehearsal,
    /// What leases, marks and syncs cost.
    Durability,
    /// Most rows for one slow site.
    Throttled,
    /// What sessions cost to open; `--rows` are sessions.
    Handshakes,
    /// 50 connections to a site that is 40 ms away, through a relay; `perf wire` is the relay alone.
    Wire,
}

fn main() -> ExitCode {
    if let Some(code) = wire::alone() {
        return code;
    }
    match run(&Args::parse()) {
        Ok(path) => {
            println!("\nwritten to {}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("sealpost-perf-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = match args.what {
        What::Rehearsal => measure_in(args, &folder),
        What::Durability => durability_in(args, &folder),
        What::Throttled => throttled_in(args, &folder),
        What::Handshakes => handshakes_in(args),
        What::Wire => wire_in(args, &folder),
    };
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn measure_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let input = generate::rows(args.format, folder, args.rows)?;
    let (campaign, machine) = (folder.join("perf.toml"), folder.join("sealpost.toml"));
    std::fs::write(&campaign, generate::campaign(&input, args.format)?)?;
    std::fs::write(&machine, generate::machine()?)?;
    let mut runs = Vec::new();
    // A million rows warm themselves up.
    let warm_up = usize::from(args.runs > 1);
    for number in 0..args.runs + warm_up {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut rehearse = Command::new(&args.sealpost);
        rehearse.arg("--config").arg(&machine).args(["rehearse", "--json", "--out"]);
        rehearse.arg(folder.join("report")).arg(&campaign).args(["--metrics", &format!("127.0.0.1:{port}")]);
        let measured = measure::run(rehearse, args.rows, port)?;
        println!("{}{}", if number < warm_up { "warm-up: " } else { "" }, measured.line());
        if number >= warm_up {
            runs.push(measured);
        }
    }
    std::fs::create_dir_all(&args.results)?;
    let name = format!("rehearse-{}-{}-{}", args.rows, args.format.word(), commit());
    let picture = args.results.join(format!("{name}.svg"));
    let title = format!("Memory of {} rehearsals of {} rows, {}", runs.len(), args.rows, args.format.word());
    let memory: Vec<_> = runs.iter().map(|run| run.memory.clone()).collect();
    picture::draw(&picture, &title, BOUND_MB, &memory)?;
    let text = report(args, &runs, &name)?;
    print!("\n{text}");
    let path = args.results.join(format!("{name}.md"));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn durability_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let input = generate::rows(args.format, folder, args.rows)?;
    let campaign = folder.join("perf.toml");
    std::fs::write(&campaign, generate::campaign(&input, args.format)?)?;
    let table = durability::compare(&args.sealpost, &campaign, &generate::machine()?, args.rows, args.runs)?;
    let title = format!(
        "What leases, marks and syncs cost: rehearsals of {} rows, {} by turns, after one of each as warm-up",
        args.rows, args.runs
    );
    write_down(args, "durability", &title, &table)
}

fn throttled_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = throttled::measure(&args.sealpost, folder, args.rows)?;
    write_down(args, "throttled", &format!("{} rows, 60 % of them for one slow site", args.rows), &table)
}

fn handshakes_in(args: &Args) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = handshakes::measure(args.rows, args.runs)?;
    write_down(args, "handshakes", &format!("What a session costs to open: {} of each kind", args.rows), &table)
}

fn wire_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = wire::measure(&args.sealpost, folder, args.rows, args.runs)?;
    write_down(args, "wire", &format!("{} rows to a site that is far away", args.rows), &table)
}

fn write_down(args: &Args, name: &str, title: &str, table: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.results)?;
    let text = format!(
        "# {title}\n\n`make perf WHAT={name} ROWS={} RUNS={}`, commit {}; {}.\n\n{table}",
        args.rows,
        args.runs,
        commit(),
        machine()
    );
    print!("\n{text}");
    let path = args.results.join(format!("{name}-{}-{}.md", args.rows, commit()));
    std::fs::write(&path, text)?;
    Ok(path)
}

/// What a million rows may take, and the top of the picture.
const BOUND_MB: f64 = 400.0;

/// A figure of every run.
type Figure = fn(&Measured) -> f64;

fn report(args: &Args, runs: &[Measured], name: &str) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "# A rehearsal of {} rows ({})\n", args.rows, args.format.word())?;
    writeln!(
        text,
        "`make perf ROWS={} FORMAT={} RUNS={}`, commit {}; {}.",
        args.rows,
        args.format.word(),
        args.runs,
        commit(),
        machine()
    )?;
    writeln!(
        text,
        "Each message: HTML and text, RSA-2048 and Ed25519 signatures, TLS 1.3 to an embedded MX in the same"
    )?;
    writeln!(text, "process, outcome in RocksDB. Rows are the claims of `tests/data/eob`, repeated.\n")?;
    writeln!(text, "| figure | min | median | max |\n|---|---|---|---|")?;
    let figures: [(&str, Figure); 6] = [
        ("messages per second", |run| run.messages_per_second),
        ("messages per sender CPU-second (without the embedded MX)", |run| run.rows / run.sender_cpu()),
        ("messages per CPU-second of the whole process", |run| run.rows / run.cpu()),
        ("peak memory of the process, MB (embedded MX and its ledger included)", |run| run.peak_mb),
        ("seconds", |run| run.seconds),
        ("seconds from the start of the process to its first delivery", |run| run.first_delivery),
    ];
    for (name, figure) in figures {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.get(values.len() / 2).copied().unwrap_or(0.0);
        let (least, most) = (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(0.0));
        writeln!(text, "| {name} | {least:.1} | {middle:.1} | {most:.1} |")?;
    }
    writeln!(text, "\nCPU by thread in the last run, in µs a message:\n\n| thread | µs |\n|---|---|")?;
    if let Some(last) = runs.last() {
        for (thread, seconds) in &last.threads {
            writeln!(text, "| {thread} | {:.1} |", seconds * 1e6 / last.rows)?;
        }
        writeln!(
            text,
            "\nTime by stage in the last run, as the engine measured it (`sealpost_stage_seconds`): where two threads"
        )?;
        writeln!(
            text,
            "share a core it includes waiting for it; `open` and `send` are mostly waiting for the server.\n"
        )?;
        writeln!(text, "| stage | times | µs a message |\n|---|---|---|")?;
        for (stage, (seconds, count)) in &last.stages {
            writeln!(text, "| {stage} | {count:.0} | {:.1} |", seconds * 1e6 / last.rows)?;
        }
        writeln!(text, "\n![memory over time]({name}.svg)")?;
    }
    Ok(text)
}

fn commit() -> String {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    output.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{cores} × {}", model.trim_start_matches([':', '\t', ' ']))
}
