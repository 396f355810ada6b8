//! One run of the real `sealpost send` into a sink of its own: what was counted while it ran.

use crate::bench::Bench;
use crate::group::Cpu;
use crate::measure;
use crate::mode::Mode;
use crate::sink::{Counted, Totals};
use crate::stages::{self, Stages};
use crate::tenths::{Course, Mark};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A counted run of whatever sender.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub rows: f64,
    pub seconds: f64,
    pub sender: Cpu,
    pub sink: Cpu,
    /// The most that was resident, MB.
    pub peak_mb: f64,
    pub totals: Totals,
    /// Signatures of the sample that hold.
    pub verified: String,
    /// What only our own process is asked for.
    pub own: Option<Own>,
}

/// What is known of our own process.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// r: CPU µs of a message's signatures, and of verifying them where that is done, as the run itself counted them.
    pub signatures: f64,
    /// Voluntary and involuntary.
    pub switches: (f64, f64),
    /// CPU seconds by kind of thread.
    pub threads: BTreeMap<String, f64>,
    pub stages: Stages,
    pub course: Course,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.rows / self.seconds
    }

    /// µs of the sender's CPU a message.
    pub fn cost(&self) -> f64 {
        self.sender.total() * 1e6 / self.rows
    }

    /// µs of the sink's CPU a message.
    pub fn sink_cost(&self) -> f64 {
        self.sink.total() * 1e6 / self.rows
    }

    pub fn per_cpu_second(&self) -> f64 {
        self.rows / self.sender.total()
    }

    /// Messages a second that two CPUs give, both wholly busy with what this run's messages cost the sender and the sink.
    pub fn possible(&self) -> f64 {
        2e6 / (self.cost() + self.sink_cost())
    }

    pub fn line(&self) -> String {
        format!(
            "{:.1} s, {:.0} messages/s, {:.0} per sender CPU-second, sink {:.0} µs a message, {:.0} MB",
            self.seconds,
            self.rate(),
            self.per_cpu_second(),
            self.sink_cost(),
            self.peak_mb
        )
    }
}

/// Often enough for a last tick that is lost in the noise, seldom enough to leave the CPUs to those measured.
const TICK: Duration = Duration::from_millis(50);

/// Sends the rows, or the first of them, signed in this way.
///
/// # Errors
/// A row is not delivered, or the run takes too long.
pub fn run(bench: &Bench, mode: Mode, first: Option<u64>) -> Result<Run, Box<dyn Error>> {
    let rows = first.unwrap_or(bench.rows);
    let folder = bench.fresh("run")?;
    let cpu = bench.cpus().0;
    let sink = Counted::start(bench, &folder)?;
    let group = bench.guard.group("sender")?;
    let (mut child, port) =
        spawn(bench, &folder, mode, &sink.address(), first, |sealpost| group.command(cpu, sealpost))?;
    let since = Instant::now();
    let sink_before = sink.cpu()?;
    let counts = measure::last_line(&mut child)?;
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let mut own = Own { course: Course::of(f64_of(rows)), ..Own::default() };
    let (mut peak_mb, mut threads) = (0.0_f64, BTreeMap::new());
    let mark_if_due = |course: &mut Course, threads: &_| {
        let messages = f64_of(sink.sink.accepted()?);
        if !course.is_due(messages) {
            return Ok(());
        }
        let (sender, sink) = (group.cpu()?.total(), sink.cpu()?.total());
        let signatures = stages::scrape(port)?.signatures;
        course.mark(Mark { messages, sender, sink, signatures, threads: measure::by_kind(threads) });
        Ok::<_, Box<dyn Error>>(())
    };
    while !counts.is_finished() {
        if since.elapsed() > bench.patience() {
            return Err(format!("{}: not done after {:?}", mode.word(), bench.patience()).into());
        }
        std::thread::sleep(TICK);
        measure::read_threads(&process, &mut threads);
        peak_mb = peak_mb.max(measure::memory_of(&process, "VmHWM:").unwrap_or(0.0));
        mark_if_due(&mut own.course, &threads)?;
    }
    mark_if_due(&mut own.course, &threads)?;
    let (sender, seconds) = (group.cpu()?, since.elapsed().as_secs_f64());
    let sink_cpu = sink.cpu()?.since(sink_before);
    own.switches = switches(&process);
    let counted = stages::scrape(port)?;
    own.signatures = counted.signatures * 1e6 / f64_of(rows);
    own.stages = counted.stages;
    own.threads = measure::by_kind(&threads);
    let counts = counts.join().map_err(|_| "the pipe's reader panicked")?;
    child.wait()?;
    check(&counts, rows)?;
    let verified = bench.verified(&folder);
    let totals = sink.end()?;
    Ok(Run { rows: f64_of(rows), seconds, sender, sink: sink_cpu, peak_mb, totals, verified, own: Some(own) })
}

/// `sealpost send` of the campaign, or of its first rows, in `folder`, run as `wrap` wants; the port of its metrics beside it.
///
/// # Errors
/// It does not start.
pub fn spawn(
    bench: &Bench,
    folder: &Path,
    mode: Mode,
    sink: &str,
    first: Option<u64>,
    wrap: impl FnOnce(&Path) -> Command,
) -> Result<(Child, u16), Box<dyn Error>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let machine = bench.machine(folder, mode, sink, port)?;
    let mut send = wrap(&bench.sealpost);
    send.arg("--config").arg(machine).args(["send", "--json"]).arg(&bench.campaign);
    send.args(first.map(|rows| format!("--limit={rows}"))).envs(mode.environment());
    let errors = std::fs::File::create(folder.join("stderr"))?;
    let child = send.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn()?;
    Ok((child, port))
}

fn check(counts: &str, rows: u64) -> Result<(), Box<dyn Error>> {
    let read: serde_json::Value =
        serde_json::from_str(counts).map_err(|_| format!("send printed no counts: {counts:?}"))?;
    if read["delivered"].as_u64() == Some(rows) {
        Ok(())
    } else {
        Err(format!("not every row was delivered: {counts}").into())
    }
}

/// Context switches of a process's living threads.
fn switches(process: &Path) -> (f64, f64) {
    let mut sum = (0.0, 0.0);
    for task in std::fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.trim().parse::<f64>().ok()).unwrap_or(0.0)
        };
        sum.0 += number("voluntary_ctxt_switches:");
        sum.1 += number("nonvoluntary_ctxt_switches:");
    }
    sum
}

#[expect(clippy::cast_precision_loss, reason = "a figure to divide by")]
pub fn f64_of(count: u64) -> f64 {
    count as f64
}
