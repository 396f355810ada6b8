//! Another sender, run by its script in `perf/peers`; see the README there for what a script promises.

use crate::bench::{Bench, last_line};
use crate::messages::Messages;
use crate::mode::DOMAIN;
use crate::sending::{Run, f64_of};
use crate::sink::{Counted, HOST};
use clap::ValueEnum;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
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
        let output = self.script("install").stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && !name.is_empty() { Ok(name) } else { Err(last_line(&output.stderr)) }
    }

    fn script(self, step: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(format!("perf/peers/{}/peer.sh", self.word())).arg(step);
        command
    }

    /// Sends the messages. Counted is from the word to begin until the sink has all of them, and a moment longer.
    ///
    /// # Errors
    /// It fails, or takes too long.
    pub fn run(self, bench: &Bench, messages: &Messages) -> Result<Run, Box<dyn Error>> {
        let folder = bench.fresh("peer")?;
        let (cpu, sink_cpu) = bench.cpus();
        let sink = Counted::start(&bench.guard, &bench.sealpost, &folder, &bench.ca(), sink_cpu)?;
        let prepared = self.told(&mut self.script("prepare"), bench, messages, &folder, &sink.sink.address).output()?;
        if !prepared.status.success() {
            return Err(last_line(&prepared.stderr).into());
        }
        let group = bench.guard.group("sender")?;
        let mut command = group.command(cpu, Path::new("bash"));
        command.arg(format!("perf/peers/{}/peer.sh", self.word())).arg("run");
        self.told(&mut command, bench, messages, &folder, &sink.sink.address);
        let errors = std::fs::File::create(folder.join("stderr"))?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn()?;
        let failed = || last_line(&std::fs::read(folder.join("stderr")).unwrap_or_default());
        let mut ready = String::new();
        let mut output = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        output.read_line(&mut ready)?;
        if ready.trim() != "ready" {
            return Err(failed().into());
        }
        let (before, sink_before, since) = (group.cpu()?, sink.cpu()?, Instant::now());
        writeln!(child.stdin.as_ref().ok_or("no pipe")?, "go")?;
        let mut peak_mb = 0.0_f64;
        let mut looked = since;
        while sink.sink.accepted()? < messages.count {
            if since.elapsed() > bench.patience() {
                let taken = sink.sink.accepted()?;
                return Err(format!("{taken} of {} after {:?}: {}", messages.count, bench.patience(), failed()).into());
            }
            if group.processes().is_empty() && sink.sink.accepted()? < messages.count {
                return Err(format!("it ended after {}: {}", sink.sink.accepted()?, failed()).into());
            }
            if looked.elapsed() > Duration::from_secs(1) {
                peak_mb = peak_mb.max(group.memory_mb());
                looked = Instant::now();
            }
            std::thread::sleep(TICK);
        }
        let seconds = since.elapsed().as_secs_f64();
        let sink_used = sink.cpu()?.since(sink_before);
        std::thread::sleep(TAIL);
        peak_mb = peak_mb.max(group.memory_mb());
        let sender = group.cpu()?.since(before);
        drop(group);
        child.wait()?;
        let verified = bench.verified(&folder);
        let totals = sink.sink.end()?;
        Ok(Run { rows: f64_of(messages.count), seconds, sender, sink: sink_used, peak_mb, totals, verified, own: None })
    }

    /// What every step of a script is told.
    fn told<'a>(
        self,
        command: &'a mut Command,
        bench: &Bench,
        messages: &Messages,
        folder: &Path,
        sink: &str,
    ) -> &'a mut Command {
        command
            .env("PEER_DIR", folder)
            .env("PEER_MESSAGES", &messages.folder)
            .env("PEER_COUNT", messages.count.to_string())
            .env("PEER_SINK_PORT", sink.rsplit(':').next().unwrap_or_default())
            .env("PEER_SINK_HOST", HOST)
            .env("PEER_CA", bench.ca().join("sink.pem"))
            .env("PEER_KEY", bench.desk().join("keys/s1.pem"))
            .env("PEER_SELECTOR", "s1")
            .env("PEER_DOMAIN", DOMAIN)
            .env("PEER_CONNECTIONS", bench.connections.to_string())
            .env("PEER_CPUS", if bench.pinned { "1" } else { "2" })
            .stdin(Stdio::null())
    }
}

const TICK: Duration = Duration::from_millis(20);
/// For what is done once the sink has a message: queue files removed, log lines written.
const TAIL: Duration = Duration::from_millis(500);
