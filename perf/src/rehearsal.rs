//! `make perf`: rehearsals of the demo's letter, with the embedded MX in the same process.

use crate::args::Args;
use crate::generate::{self, Letter};
use crate::measure::{self, Measured};
use crate::picture;
use crate::platform::{commit, machine};
use crate::spread::Spread;
use std::error::Error;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Rehearses `args.rows` rows, and writes a table and a picture of the memory.
///
/// # Errors
/// A rehearsal fails.
pub fn measure(args: &Args, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
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
