//! Runs a command and watches its threads and memory through /proc.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One run.
pub struct Measured {
    pub rows: f64,
    pub seconds: f64,
    pub messages_per_second: f64,
    pub peak_mb: f64,
    /// CPU-seconds by thread name; numbered threads of one kind together.
    pub threads: BTreeMap<String, f64>,
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

/// Runs `command`, which must deliver `rows` rows and print the counts as JSON.
pub fn run(mut command: Command, rows: u64) -> Result<Measured, Box<dyn Error>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let folder = format!("/proc/{}", child.id());
    let (mut threads, mut peak) = (BTreeMap::new(), 0.0_f64);
    while child.try_wait()?.is_none() {
        read_threads(Path::new(&folder), &mut threads);
        peak = peak.max(peak_memory(Path::new(&folder)).unwrap_or(0.0));
        std::thread::sleep(TICK);
    }
    let counts = counts(child)?;
    if counts["delivered"].as_u64() != Some(rows) {
        return Err(format!("not every row was delivered: {counts}").into());
    }
    let number = |name: &str| counts[name].as_f64().ok_or(format!("no {name} in {counts}"));
    let mut by_kind = BTreeMap::new();
    for (name, seconds) in threads.into_values() {
        *by_kind.entry(name).or_default() += seconds;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to divide by")]
    let rows = rows as f64;
    Ok(Measured {
        rows,
        seconds: number("seconds")?,
        messages_per_second: number("messages_per_second")?,
        peak_mb: peak,
        threads: by_kind,
    })
}

fn counts(child: Child) -> Result<serde_json::Value, Box<dyn Error>> {
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}

/// The latest CPU time of every thread seen, by thread id.
fn read_threads(process: &Path, threads: &mut BTreeMap<String, (String, f64)>) {
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

fn peak_memory(process: &Path) -> Option<f64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kilobytes| kilobytes / 1024.0)
}
