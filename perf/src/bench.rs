//! What every measured run shares: keys, rows, a folder, how many, on which CPUs.

use crate::group::Guard;
use crate::mode::{DOMAIN, Mode};
use crate::sink::HOST;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The place of all runs of one command.
pub struct Bench {
    pub sealpost: PathBuf,
    pub folder: PathBuf,
    pub guard: Guard,
    pub rows: u64,
    pub connections: u32,
    pub pinned: bool,
    /// How far away the sink is, there and back.
    pub rtt: Option<Duration>,
    /// The campaign file.
    pub campaign: PathBuf,
}

impl Bench {
    /// Keys in `folder/desk`, with the TXT records that publish them, and an empty `folder/ca`.
    ///
    /// # Errors
    /// A file or a group can't be made.
    pub fn keys(&self) -> Result<(), Box<dyn Error>> {
        let made = Command::new(&self.sealpost).args(["init", "--domain", DOMAIN]).arg(self.desk()).output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        std::fs::write(self.desk().join("records.txt"), &made.stdout)?;
        Ok(std::fs::create_dir_all(self.ca())?)
    }

    pub fn desk(&self) -> PathBuf {
        self.folder.join("desk")
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca")
    }

    /// The CPU of the sender, and that of the sink.
    pub fn cpus(&self) -> (Option<usize>, Option<usize>) {
        if self.pinned { (Some(0), Some(1)) } else { (None, None) }
    }

    /// How long a run may take: twenty messages a second, and a minute.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(60) + Duration::from_millis(50) * u32::try_from(self.rows).unwrap_or(u32::MAX)
    }

    /// A folder for one run, empty.
    ///
    /// # Errors
    /// It can't be made.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, Box<dyn Error>> {
        let folder = self.folder.join(name);
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// `sealpost.toml` in `folder`: everything to `sink`, verified by its CA, with all that a run in earnest has.
    ///
    /// # Errors
    /// It can't be written.
    pub fn machine(&self, folder: &Path, mode: Mode, sink: &str, metrics: u16) -> Result<PathBuf, Box<dyn Error>> {
        let (desk, ca) = (self.desk(), self.ca().join("sink.pem"));
        let text = format!(
            r#"state_dir = "state"
[[source]]
name = "a"
ehlo = "out.{DOMAIN}"
{dkim}
[keys]
master = {{ file = "{master}" }}
[dns.static]
"*" = {{ host = "{HOST}", address = "{sink}" }}
[tls]
roots = ["{ca}"]
[limits]
connections_per_provider = {connections}
[store]
sync = "group"
[metrics]
listen = "127.0.0.1:{metrics}"
linger = "1s"
"#,
            dkim = mode.settings(&desk),
            master = desk.join("sealpost-master.key").display(),
            ca = ca.display(),
            connections = self.connections,
        );
        let path = folder.join("sealpost.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// What all of its runs have in common, in a sentence.
    pub fn words(&self) -> String {
        let far = self.rtt.map_or_else(String::new, |rtt| {
            let most = f64::from(self.connections) / rtt.as_secs_f64();
            format!(
                " The sink is {} ms away, there and back, behind a relay (`perf/src/wire`), whose count of round trips this is: one \
message a round trip would be {most:.0} messages/s.",
                rtt.as_millis()
            )
        });
        format!(
            "`sealpost send` with a sealed store, leases and marks with `sync = \"group\"`, metrics served, TLS `verified` against the \
sink's CA, {} connections to one site; the sink is `sealpost sandbox`, a process of its own. CPU is what the kernel counted \
for the sender's control group, its start and end included.{far}\n",
            self.connections
        )
    }

    /// How many signatures of the sample in `folder` hold, by dkimpy: "20 of 20", or why nobody looked.
    pub fn verified(&self, folder: &Path) -> String {
        let home = std::env::var("HOME").unwrap_or_default();
        let cache = std::env::var("SEALPOST_CACHE").unwrap_or(format!("{home}/.cache/sealpost"));
        let mut python = Command::new(format!("{cache}/venv/bin/python"));
        python.arg("perf/peers/verify.py").arg(folder.join("sample")).arg(self.desk().join("records.txt"));
        match python.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Ok(output) => last_line(&output.stderr),
            Err(_) => "not checked: no dkimpy; `make test` installs it".to_owned(),
        }
    }
}

/// The last thing that a program complained of.
pub fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned()
}
