//! The judge of speed: makes rows from the claims, runs the real binary, watches its threads, writes what it saw.
//!
//! `make perf` runs it; `--what` chooses. `speed` and `peers` have a sink of their own process and CPU. In the others the
//! embedded MX shares the process and the cores with the sender, or only the machine.

mod bench;
mod desk;
mod drop;
mod durability;
mod flame;
mod generate;
mod group;
mod handshakes;
mod measure;
mod messages;
mod mode;
mod pace;
mod peer;
mod peers;
mod picture;
mod platform;
mod profile;
mod reservations;
mod sending;
mod shaping;
mod signing;
mod sink;
mod sites;
mod speed;
mod spread;
mod stages;
mod throttled;
mod wire;

use bench::Bench;
use clap::{Parser, ValueEnum};
use generate::{Format, Letter};
use group::Guard;
use measure::Measured;
use mode::Mode;
use peer::Peer;
use platform::{commit, machine};
use spread::Spread;
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

    /// speed, peers: how messages are signed [default: each way, by turns]
    #[arg(long, value_enum, value_delimiter = ',')]
    mode: Vec<Mode>,

    /// peers: who takes part [default: everyone]
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,

    /// speed, peers: what is sent
    #[arg(long, value_enum, default_value_t = Letter::Notice)]
    letter: Letter,

    /// speed, peers: the sender on CPU 0 and the sink on CPU 1, or both on any
    #[arg(long, value_enum, default_value_t = Pinned::Yes)]
    pinned: Pinned,

    /// speed, peers: connections of a sender
    #[arg(long, default_value_t = 20)]
    connections: u32,

    /// speed, peers: how far away the sink is, there and back, in milliseconds
    #[arg(long, value_name = "MS", value_parser = wire::millis)]
    rtt: Option<std::time::Duration>,

    /// The binary to measure
    #[arg(long, default_value = "sealpost")]
    sealpost: PathBuf,

    /// signatures: the folder with the keys
    #[arg(long, hide = true, default_value = ".")]
    desk: PathBuf,

    /// shaping: the folder with the receivers
    #[arg(long, default_value = "perf/receivers")]
    receivers: PathBuf,

    /// Where results are written
    #[arg(long, default_value = "perf/results")]
    results: PathBuf,
}

impl Args {
    /// What to type for the same again.
    fn command(&self, name: &str) -> String {
        if self.what == What::Drop {
            return format!("make perf WHAT={name}");
        }
        let mut text = format!("make perf WHAT={name} ROWS={} RUNS={}", self.rows, self.runs);
        let mut add = |word: &str, value: String| text += &format!(" {word}={value}");
        if matches!(self.what, What::Speed | What::Peers) {
            let words = |words: Vec<&str>| words.join(",");
            if !self.mode.is_empty() {
                add("MODE", words(self.mode.iter().map(|mode| mode.word()).collect()));
            }
            if !self.peers.is_empty() {
                add("PEERS", words(self.peers.iter().map(|peer| peer.word()).collect()));
            }
            add("PINNED", if self.pinned == Pinned::Yes { "yes" } else { "no" }.to_owned());
            add("CONNECTIONS", self.connections.to_string());
            if let Some(rtt) = self.rtt {
                add("RTT", rtt.as_millis().to_string());
            }
            add("LETTER", self.letter.word().to_owned());
            add("FORMAT", self.format.word().to_owned());
        }
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Pinned {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// What a message costs, with a sink of its own process, beside the bar.
    Speed,
    /// The same messages through others.
    Peers,
    /// What signatures cost alone: what `speed` starts on a CPU of its choice.
    #[value(hide = true)]
    Signatures,
    /// Rehearsals at full speed.
    Rehearsal,
    /// What leases, marks and syncs cost.
    Durability,
    /// Most rows for one slow site.
    Throttled,
    /// What sessions cost to open; `--rows` are sessions.
    Handshakes,
    /// What keys cost to ask for and to take, up to `--rows` of them.
    Reservations,
    /// 50 connections to a site that is 40 ms away, through a relay; `perf wire` is the relay alone.
    Wire,
    /// Models of receivers, and the paces that senders choose; `--runs` are seeds. Nothing is sent.
    Shaping,
    /// Two sites that refuse what is too much; `--rows` are seconds.
    Pace,
    /// A site whose limit falls to a tenth for ten minutes: 25 minutes.
    Drop,
    /// The same messages to 10, 100, 1,000 and 10,000 sites.
    Sites,
}

fn main() -> ExitCode {
    if let Some(code) = wire::alone() {
        return code;
    }
    let args = Args::parse();
    let outcome = match args.what {
        What::Signatures => {
            return match signing::print(args.mode.first().copied().unwrap_or(Mode::Rsa), &args.desk) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&*error),
            };
        }
        _ => run(&args),
    };
    match outcome {
        Ok(path) => {
            println!("\nwritten to {}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
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
        What::Reservations => reservations_in(args, &folder),
        What::Shaping => shaping_in(args),
        What::Pace => pace_in(args, &folder),
        What::Drop => drop_in(args, &folder),
        What::Sites => sites_in(args, &folder),
        What::Speed | What::Peers | What::Signatures => judge_in(args, &folder),
    };
    // Where a guard watched, it has removed it.
    std::fs::remove_dir_all(&folder).ok();
    outcome
}

fn measure_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let input = generate::rows(args.format, folder, args.rows)?;
    let (campaign, machine) = (folder.join("perf.toml"), folder.join("sealpost.toml"));
    std::fs::write(&campaign, generate::campaign(&input, args.format, Letter::Demo)?)?;
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
    std::fs::write(&campaign, generate::campaign(&input, args.format, Letter::Demo)?)?;
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

fn reservations_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = reservations::measure(folder, args.rows)?;
    write_down(
        args,
        "reservations",
        &format!("What the keys of {} rows cost to ask for and to take", args.rows),
        &table,
    )
}

fn wire_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = wire::measure(&args.sealpost, folder, args.rows, args.runs)?;
    write_down(args, "wire", &format!("{} rows to a site that is far away", args.rows), &table)
}

fn shaping_in(args: &Args) -> Result<PathBuf, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.results)?;
    let stem = args.results.join(format!("shaping-{}", commit()));
    let table = shaping::measure(&args.receivers, args.runs as u64, &stem)?;
    let text = format!(
        "# Paces, against models of receivers\n\n`make perf WHAT=shaping RUNS={}`, commit {}.\n\n{table}",
        args.runs,
        commit()
    );
    print!("\n{text}");
    let path = stem.with_extension("md");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn pace_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = pace::measure(&args.sealpost, folder, args.rows)?;
    write_down(args, "pace", &format!("Two sites that refuse what is too much, two runs of {} s", args.rows), &table)
}

fn drop_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.results)?;
    let picture = args.results.join(format!("drop-{}.svg", commit()));
    let table = drop::measure(&args.sealpost, folder, &picture)?;
    write_down(args, "drop", "A site whose limit falls to a tenth for ten minutes", &table)
}

fn sites_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let table = sites::measure(&args.sealpost, folder, args.rows, args.runs)?;
    write_down(args, "sites", &format!("{} rows to ever more sites, {} runs by turns", args.rows, args.runs), &table)
}

fn judge_in(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    if args.pinned == Pinned::Yes && std::thread::available_parallelism()?.get() < 2 {
        return Err("a CPU for the sender and one for the sink are two; there is one (--pinned no)".into());
    }
    let input = generate::rows(args.format, folder, args.rows)?;
    let campaign = folder.join("perf.toml");
    std::fs::write(&campaign, generate::campaign(&input, args.format, args.letter)?)?;
    let bench = Bench {
        sealpost: args.sealpost.clone(),
        folder: folder.to_owned(),
        guard: Guard::new(folder)?,
        rows: args.rows,
        connections: args.connections,
        pinned: args.pinned == Pinned::Yes,
        rtt: args.rtt,
        campaign,
    };
    bench.keys()?;
    let modes = if args.mode.is_empty() { Mode::value_variants() } else { &args.mode };
    let (name, table, flames) = if args.what == What::Speed {
        let (table, flames) = speed::measure(&bench, modes, args.runs)?;
        ("speed", table, flames)
    } else {
        let peers = if args.peers.is_empty() { Peer::value_variants() } else { &args.peers };
        ("peers", peers::measure(&bench, modes, peers, args.runs)?, Vec::new())
    };
    let place = if bench.pinned { "sender on CPU 0, sink on CPU 1" } else { "sender and sink on any CPU" };
    let title = format!("{name}: {} rows, {} runs by turns after a warm-up, {place}", args.rows, args.runs);
    let path = write_down(args, name, &title, &format!("{}\n{table}", bench.words()))?;
    for (mode, flame) in flames {
        std::fs::write(path.with_extension(format!("{}.svg", mode.word())), flame)?;
    }
    Ok(path)
}

fn write_down(args: &Args, name: &str, title: &str, table: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&args.results)?;
    let text = format!("# {title}\n\n`{}`, commit {}; {}.\n\n{table}", args.command(name), commit(), machine());
    print!("\n{text}");
    let far = args.rtt.map_or_else(String::new, |rtt| format!("-far{}", rtt.as_millis()));
    let apart = format!("{}{far}", if args.pinned == Pinned::No { "-unpinned" } else { "" });
    let path = args.results.join(format!("{name}{apart}-{}-{}.md", args.rows, commit()));
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
        let spread = Spread::of(runs.iter().map(figure));
        writeln!(text, "| {name} | {:.1} | {:.1} | {:.1} |", spread.least(), spread.median(), spread.most())?;
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
