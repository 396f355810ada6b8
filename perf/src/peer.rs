//! Another sender, run by its script in `perf/peers`; see the README there for what a script promises.

use crate::bench::{Bench, last_line};
use crate::group::Group;
use crate::messages::Messages;
use crate::mode::DOMAIN;
use crate::sending::{Run, f64_of};
use crate::sink::{Counted, HOST};
use clap::ValueEnum;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A sender that others use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Debian's Postfix with OpenDKIM as its milter.
    Postfix,
    /// Debian's Exim, which signs by itself.
    Exim,
    /// Haraka, from npm.
    Haraka,
    /// The script one would write in Python: smtplib and dkimpy.
    Python,
    /// The program one would write in Rust: lettre's pool and mail-auth.
    Lettre,
}

impl Peer {
    pub fn word(self) -> &'static str {
        match self {
            Peer::Postfix => "postfix",
            Peer::Exim => "exim",
            Peer::Haraka => "haraka",
            Peer::Python => "python",
            Peer::Lettre => "lettre",
        }
    }

    /// Puts it where it can be run, and gives its name with versions.
    ///
    /// # Errors
    /// Why it isn't there.
    pub fn install(self) -> Result<String, String> {
        let mut command = Command::new("bash");
        command.arg(self.path()).arg("install").stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && !name.is_empty() { Ok(name) } else { Err(last_line(&output.stderr)) }
    }

    /// Sends the messages. Counted is from the word to begin until the sink has all of them, and a moment longer.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub fn run(self, bench: &Bench, messages: &Messages) -> Result<Run, Box<dyn Error>> {
        let folder = bench.fresh("peer")?;
        let cpu = bench.cpus().0;
        let sink = Counted::start(bench, &folder)?;
        let place = Place { bench, messages, folder: &folder, sink: &sink.address() };
        self.prepare(&place)?;
        let group = bench.guard.group("sender")?;
        let mut child = self.ready(&place, &group, cpu)?;
        let (before, sink_before, since) = (group.cpu()?, sink.cpu()?, Instant::now());
        writeln!(child.stdin.as_ref().ok_or("no pipe")?, "go")?;
        let mut peak_mb = place.watch(&sink, &group)?;
        let seconds = since.elapsed().as_secs_f64();
        let sink_used = sink.cpu()?.since(sink_before);
        std::thread::sleep(TAIL);
        peak_mb = peak_mb.max(group.memory_mb());
        let sender = group.cpu()?.since(before);
        drop(group);
        child.wait()?;
        let verified = bench.verified(&folder);
        let totals = sink.end()?;
        Ok(Run { rows: f64_of(messages.count), seconds, sender, sink: sink_used, peak_mb, totals, verified, own: None })
    }

    /// Its queue filled, by processes that are not counted, and end with us all the same.
    fn prepare(self, place: &Place) -> Result<(), Box<dyn Error>> {
        let group = place.bench.guard.group("prepare")?;
        let mut command = group.command(None, Path::new("bash"));
        command.arg(self.path()).arg("prepare");
        let prepared = place.tell(&mut command).stdin(Stdio::null()).output()?;
        if prepared.status.success() { Ok(()) } else { Err(last_line(&prepared.stderr).into()) }
    }

    /// Started, and waiting for the word.
    fn ready(self, place: &Place, group: &Group, cpu: Option<usize>) -> Result<Child, Box<dyn Error>> {
        let mut command = group.command(cpu, Path::new("bash"));
        command.arg(self.path()).arg("run");
        let errors = std::fs::File::create(place.folder.join("stderr"))?;
        let mut child = place.tell(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().ok_or("no pipe")?).read_line(&mut ready)?;
        if ready.trim() == "ready" { Ok(child) } else { Err(place.complaint().into()) }
    }

    fn path(self) -> String {
        format!("perf/peers/{}/peer.sh", self.word())
    }
}

/// Where one run of a peer happens.
struct Place<'a> {
    bench: &'a Bench,
    messages: &'a Messages,
    folder: &'a Path,
    sink: &'a str,
}

impl Place<'_> {
    /// Waits until the sink has every message, and gives the most memory that was seen, in MB.
    fn watch(&self, sink: &Counted, group: &Group) -> Result<f64, Box<dyn Error>> {
        let (since, mut looked, mut peak_mb) = (Instant::now(), Instant::now(), 0.0_f64);
        loop {
            // Asked before the count: what ends just then has sent all it will send.
            let ended = group.processes().is_empty();
            let taken = sink.sink.accepted()?;
            if taken >= self.messages.count {
                return Ok(peak_mb);
            }
            if ended || since.elapsed() > self.bench.patience() {
                let what = if ended { "it ended" } else { "time was up" };
                return Err(format!("{what} after {taken} of {}: {}", self.messages.count, self.complaint()).into());
            }
            if looked.elapsed() > Duration::from_secs(1) {
                peak_mb = peak_mb.max(group.memory_mb());
                looked = Instant::now();
            }
            std::thread::sleep(TICK);
        }
    }

    fn complaint(&self) -> String {
        last_line(&std::fs::read(self.folder.join("stderr")).unwrap_or_default())
    }

    /// What every step of a script is told.
    fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("PEER_DIR", self.folder)
            .env("PEER_MESSAGES", &self.messages.folder)
            .env("PEER_COUNT", self.messages.count.to_string())
            .env("PEER_SINK_PORT", self.sink.rsplit(':').next().unwrap_or_default())
            .env("PEER_SINK_HOST", HOST)
            .env("PEER_CA", self.bench.ca().join("sink.pem"))
            .env("PEER_KEY", self.bench.desk().join("keys/s1.pem"))
            .env("PEER_SELECTOR", "s1")
            .env("PEER_DOMAIN", DOMAIN)
            .env("PEER_CONNECTIONS", self.bench.connections.to_string())
            .env("PEER_CPUS", if self.bench.pinned { "1" } else { "2" })
    }
}

const TICK: Duration = Duration::from_millis(20);
/// For what is done once the sink has a message: queue files removed, log lines written.
const TAIL: Duration = Duration::from_millis(500);
