//! Runs a command and watches its threads and memory through /proc.

use crate::picture::Sample;
use crate::stages::{self, Stages};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One run.
pub struct Measured {
    pub rows: f64,
    pub seconds: f64,
    pub messages_per_second: f64,
    pub peak_mb: f64,
    /// CPU-seconds by thread name; numbered threads of one kind together.
    pub threads: BTreeMap<String, f64>,
    /// Resident memory, every tenth of a second.
    pub memory: Vec<Sample>,
    /// Seconds from the start of the process to the first delivery, as far as polling its metrics tells.
    pub first_delivery: f64,
    /// What the engine says of its stages.
    pub stages: Stages,
}

/// What is lost at the end is at most one tick of each thread.
const TICK: Duration = Duration::from_millis(10);
/// USER_HZ, which Linux has fixed at 100 for all that /proc shows.
const CLOCK_TICKS: f64 = 100.0;

impl Measured {
    pub fn cpu(&self) -> f64 {
        self.threads.values().sum()
    }

    pub fn sender_cpu(&self) -> f64 {
        self.cpu() - self.threads.get("sandbox").copied().unwrap_or(0.0)
    }

    pub fn line(&self) -> String {
        format!(
            "{:.1} s, {:.0} messages/s, {:.0} per sender CPU-second, {:.0} MB",
            self.seconds,
            self.messages_per_second,
            self.rows / self.sender_cpu(),
            self.peak_mb
        )
    }
}

/// Runs `command`, which must deliver `rows` rows, print the counts as JSON and serve its metrics on `port` a little longer.
pub fn run(mut command: Command, rows: u64, port: u16) -> Result<Measured, Box<dyn Error>> {
    let since = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let counts = last_line(&mut child)?;
    let folder = PathBuf::from(format!("/proc/{}", child.id()));
    let (mut threads, mut peak, mut memory) = (BTreeMap::new(), 0.0_f64, Vec::new());
    let mut first_delivery = None;
    while !counts.is_finished() {
        read_threads(&folder, &mut threads);
        peak = peak.max(memory_of(&folder, "VmHWM:").unwrap_or(0.0));
        let seconds = since.elapsed().as_secs_f64();
        if memory.last().is_none_or(|(last, _)| seconds - last >= 0.1) {
            memory.extend(memory_of(&folder, "VmRSS:").map(|megabytes| (seconds, megabytes)));
        }
        if first_delivery.is_none()
            && stages::scrape(port).is_ok_and(|counted| counted.stages.get("send").is_some_and(|s| s.1 > 0.0))
        {
            first_delivery = Some(seconds);
        }
        std::thread::sleep(TICK);
    }
    let stages = stages::scrape(port)?.stages;
    let counts: serde_json::Value = serde_json::from_str(&counts.join().map_err(|_| "the pipe's reader panicked")?)?;
    child.wait()?;
    if counts["delivered"].as_u64() != Some(rows) {
        return Err(format!("not every row was delivered: {counts}").into());
    }
    let number = |name: &str| counts[name].as_f64().ok_or(format!("no {name} in {counts}"));
    #[expect(clippy::cast_precision_loss, reason = "a figure to divide by")]
    let rows = rows as f64;
    Ok(Measured {
        rows,
        seconds: number("seconds")?,
        messages_per_second: number("messages_per_second")?,
        peak_mb: peak,
        threads: by_kind(&threads),
        memory,
        first_delivery: first_delivery.unwrap_or(f64::NAN),
        stages,
    })
}

/// Waits, on a thread of its own, for the line of counts.
pub fn last_line(child: &mut Child) -> Result<JoinHandle<String>, Box<dyn Error>> {
    let stdout = child.stdout.take().ok_or("no pipe")?;
    Ok(std::thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).ok();
        line
    }))
}

/// CPU seconds by kind of thread.
pub fn by_kind(threads: &BTreeMap<String, (String, f64)>) -> BTreeMap<String, f64> {
    let mut by_kind = BTreeMap::new();
    for (name, seconds) in threads.values() {
        *by_kind.entry(name.clone()).or_default() += seconds;
    }
    by_kind
}

/// The latest CPU time of every thread seen, by thread id.
pub fn read_threads(process: &Path, threads: &mut BTreeMap<String, (String, f64)>) {
    let Ok(tasks) = std::fs::read_dir(process.join("task")) else { return };
    for task in tasks.flatten() {
        let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
        let Some((head, fields)) = stat.rsplit_once(") ") else { continue };
        let Some((id, name)) = head.split_once(" (") else { continue };
        // proc(5): utime and stime are fields 14 and 15 of the line, 12 and 13 after the name.
        let times: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        let kind = name.split('-').next().unwrap_or(name);
        let kind = if kind.starts_with("rocksdb") { "rocksdb" } else { kind };
        threads.insert(id.to_owned(), (kind.to_owned(), times.iter().sum::<f64>() / CLOCK_TICKS));
    }
}

/// `VmHWM:` (peak) or `VmRSS:` (now) in megabytes.
pub fn memory_of(process: &Path, name: &str) -> Option<f64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
