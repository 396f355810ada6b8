//! The judge of speed: makes rows from the claims, runs the real binary, watches its threads, writes what it saw.
//!
//! `make perf` runs it; `--what` chooses. `speed` and `peers` have a sink of their own process and CPU. In the others the
//! embedded MX shares the process and the cores with the sender, or only the machine.

mod args;
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
mod rehearsal;
mod reservations;
mod results;
mod sending;
mod shaping;
mod signing;
mod sink;
mod sites;
mod speed;
mod spread;
mod stages;
mod tenths;
mod throttled;
mod wire;

use args::{Args, Pinned, What};
use bench::Bench;
use clap::{Parser, ValueEnum};
use generate::Letter;
use group::Guard;
use mode::Mode;
use peer::Peer;
use platform::commit;
use results::write_down;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
        What::Rehearsal => rehearsal::measure(args, &folder),
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
