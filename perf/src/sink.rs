//! The receiver of every run: the embedded MX as a process of its own, and how much it has taken.

use crate::bench::Bench;
use crate::group::{Cpu, Group};
use crate::wire::{Relay, Terms};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// An embedded MX; it is killed when dropped.
pub struct Sink {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    pub address: String,
    /// Its ledger, read so far, and the lines in that.
    ledger: RefCell<Option<BufReader<File>>>,
    path: PathBuf,
    count: Cell<u64>,
}

impl Sink {
    /// `sealpost sandbox` in `folder`, as `command` starts it: its ledger is `NAME.ledger`, its CA's certificate `NAME.pem`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(mut command: Command, folder: &Path, name: &str, more: &[&str]) -> Result<Sink, Box<dyn Error>> {
        let path = folder.join(format!("{name}.ledger"));
        command.arg("sandbox").args(more).arg("--ca").arg(folder.join(format!("{name}.pem")));
        let mut child = command
            .arg("--ledger")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut address = String::new();
        output.read_line(&mut address)?;
        let address = address.trim().to_owned();
        if address.is_empty() {
            return Err("the sink did not start".into());
        }
        Ok(Sink { child, output, address, ledger: RefCell::default(), path, count: Cell::new(0) })
    }

    /// How many messages it has accepted.
    ///
    /// # Errors
    /// Its ledger can't be read.
    pub fn accepted(&self) -> Result<u64, Box<dyn Error>> {
        let mut ledger = self.ledger.borrow_mut();
        let reader = match &mut *ledger {
            Some(reader) => reader,
            none => none.insert(BufReader::new(File::open(&self.path)?)),
        };
        let mut text = Vec::new();
        reader.read_to_end(&mut text)?;
        let lines = text.into_iter().filter(|octet| *octet == b'\n').count() as u64;
        self.count.set(self.count.get() + lines);
        Ok(self.count.get())
    }

    /// Tells it to end, and gives what it says it saw.
    ///
    /// # Errors
    /// It doesn't say.
    pub fn end(self) -> Result<Totals, Box<dyn Error>> {
        Totals::read(&self.last_line()?)
    }

    /// The same, as it says it.
    ///
    /// # Errors
    /// It doesn't.
    pub fn last_line(mut self) -> Result<String, Box<dyn Error>> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the sink counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub accepted: f64,
    pub sessions: f64,
    pub octets: f64,
    pub turns: f64,
}

impl Totals {
    /// Of the line that the sink ends with; a sender that sent something twice, or spoke in clear, has not done the task.
    fn read(line: &str) -> Result<Totals, Box<dyn Error>> {
        let (totals, encrypted) = Totals::of(line)?;
        if encrypted < totals.sessions {
            return Err(format!("{encrypted} of {} sessions were under TLS", totals.sessions).into());
        }
        Ok(totals)
    }

    /// The same where sessions are meant to be in clear.
    ///
    /// # Errors
    /// Something was sent twice.
    pub fn in_clear(line: &str) -> Result<Totals, Box<dyn Error>> {
        Ok(Totals::of(line)?.0)
    }

    /// With the number of sessions under TLS.
    fn of(line: &str) -> Result<(Totals, f64), Box<dyn Error>> {
        let totals: Value = serde_json::from_str(line)?;
        let number = |name: &str| totals[name].as_f64().ok_or(format!("the sink says no {name}: {line}"));
        let (twice, sessions, encrypted) = (number("twice")?, number("sessions")?, number("encrypted")?);
        if twice > 0.0 {
            return Err(format!("{twice} messages came twice").into());
        }
        let totals =
            Totals { accepted: number("accepted")?, sessions, octets: number("octets")?, turns: number("turns")? };
        Ok((totals, encrypted))
    }
}

/// A sink that is measured: in a group of its own, on its own CPU, with a CA that stays the same from run to run; behind a
/// relay where it is to be far away.
pub struct Counted {
    pub sink: Sink,
    group: Group,
    relay: Option<Relay>,
}

/// The name that the sink's certificate proves, and that every sender must check.
pub const HOST: &str = "mx.sink.example";

impl Counted {
    /// Starts one in `folder`; its CA stays in the bench's, where `sink.pem` is the certificate.
    ///
    /// # Errors
    /// It, or the relay, does not start.
    pub fn start(bench: &Bench, folder: &Path) -> Result<Counted, Box<dyn Error>> {
        let group = bench.guard.group("sink")?;
        let (identity, sample) = (bench.ca().join("identity"), folder.join("sample"));
        std::fs::create_dir_all(&sample)?;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or("a path that is no text");
        let more = ["--identity", &text(&identity)?, "--sample", &text(&sample)?];
        let sink = Sink::start(group.command(bench.cpus().1, &bench.sealpost), folder, "sink", &more)?;
        std::fs::copy(folder.join("sink.pem"), bench.ca().join("sink.pem"))?;
        let relay = match bench.rtt {
            Some(rtt) => {
                let terms = Terms { rtt, ..Terms::default() };
                Some(Relay::start("127.0.0.1:0".parse()?, sink.address.parse()?, terms)?)
            }
            None => None,
        };
        Ok(Counted { sink, group, relay })
    }

    /// Where it is sent to.
    pub fn address(&self) -> String {
        self.relay.as_ref().map_or_else(|| self.sink.address.clone(), |relay| relay.address.to_string())
    }

    /// Tells it to end, and gives what it saw; over a distance the round trips are the relay's count, which knows nothing of mail.
    ///
    /// # Errors
    /// It doesn't say.
    pub fn end(self) -> Result<Totals, Box<dyn Error>> {
        let totals = self.sink.end()?;
        Ok(match &self.relay {
            Some(relay) => Totals { turns: crate::sending::f64_of(relay.tally().client.turns), ..totals },
            None => totals,
        })
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// The kernel doesn't say.
    pub fn cpu(&self) -> Result<Cpu, Box<dyn Error>> {
        self.group.cpu()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_sent_twice_or_in_clear_is_no_run() {
        let line = |twice: u32, encrypted: u32| {
            format!(r#"{{"accepted":9,"twice":{twice},"sessions":2,"encrypted":{encrypted},"octets":90,"turns":18}}"#)
        };
        assert_eq!(Totals::read(&line(0, 2)).expect("good").octets, 90.0);
        assert!(
            Totals::read(&line(1, 2)).is_err() && Totals::read(&line(0, 1)).is_err() && Totals::read("{}").is_err()
        );
    }
}
