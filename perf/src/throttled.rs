//! A file most of whose rows go to one site that takes five messages a second: the others must not notice, memory must not
//! grow, and once the run is cancelled the store must be small again.

use crate::sink::Sink;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Of ten rows so many go to the slow site.
const SLOW: u64 = 6;
/// Quick sites.
const SITES: u64 = 16;
const LOOK: Duration = Duration::from_millis(200);

/// Sends `rows` rows of which 60 % are slow, and for comparison a tenth as many that are all quick; gives what was seen.
///
/// # Errors
/// A command fails, or the counts don't add up.
pub fn measure(sealpost: &Path, folder: &Path, rows: u64) -> Result<String, Box<dyn Error>> {
    let quick_rate = {
        let few = rows / 10;
        let desk = Desk::new(sealpost, &folder.join("quick"), few, 0)?;
        let (seconds, _) = desk.send_until_quick(few)?;
        per_second(few, seconds)
    };
    let desk = Desk::new(sealpost, &folder.join("mixed"), rows, SLOW)?;
    let quick = rows - rows * SLOW / 10;
    let (seconds, seen) = desk.send_until_quick(quick)?;
    let rate = per_second(quick, seconds);
    let mut text = String::new();
    writeln!(text, "| figure | |\n|---|---|")?;
    writeln!(text, "| rows, of which to the site with 5 messages/s | {rows}, {} |", rows - quick)?;
    writeln!(text, "| quick rows: seconds, messages/s | {seconds:.1}, {rate:.0} |")?;
    writeln!(text, "| messages/s of a file of {} quick rows alone | {quick_rate:.0} |", rows / 10)?;
    writeln!(text, "| ratio | {:.2} |", rate / quick_rate)?;
    writeln!(text, "| slow rows delivered meanwhile | {} |", seen.slow)?;
    writeln!(text, "| peak memory of the sender, MB | {:.0} |", seen.peak_mb)?;
    writeln!(text, "| state directory with the rows that wait, MB | {:.0} |", seen.state_mb)?;
    writeln!(text, "| state directory after `cancel`, MB | {:.0} |", seen.left_mb)?;
    writeln!(text, "\nThe last line of `send`: `{}`", seen.last_line.trim())?;
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(rows: u64, seconds: f64) -> f64 {
    rows as f64 / seconds
}

struct Desk {
    sealpost: PathBuf,
    folder: PathBuf,
    slow: Sink,
    quick: Sink,
}

struct Seen {
    slow: u64,
    peak_mb: f64,
    state_mb: f64,
    left_mb: f64,
    last_line: String,
}

impl Desk {
    fn new(sealpost: &Path, folder: &Path, rows: u64, slow_in_ten: u64) -> Result<Desk, Box<dyn Error>> {
        std::fs::create_dir_all(folder)?;
        let made = Command::new(sealpost).args(["init", "--domain", "acme-health.example"]).arg(folder).output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        let slow = Sink::start(Command::new(sealpost), folder, "slow", &["--latency", "200ms"])?;
        let quick = Sink::start(Command::new(sealpost), folder, "quick", &[])?;
        write_machine(folder, &slow.address, &quick.address)?;
        write_campaign(folder, rows, slow_in_ten)?;
        Ok(Desk { sealpost: sealpost.to_owned(), folder: folder.to_owned(), slow, quick })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.sealpost);
        command.current_dir(&self.folder).args(args).stderr(Stdio::null());
        command
    }

    /// Sends until `quick` rows were taken by the quick site, then cancels the rest. Gives the seconds until then.
    fn send_until_quick(&self, quick: u64) -> Result<(f64, Seen), Box<dyn Error>> {
        let since = Instant::now();
        let mut send = self.command(&["send", "throttled.toml", "--json"]).stdout(Stdio::piped()).spawn()?;
        while self.quick.accepted()? < quick {
            if let Some(status) = send.try_wait()?.filter(|status| !status.success()) {
                return Err(format!("send ended with {status}").into());
            }
            std::thread::sleep(LOOK);
        }
        let seconds = since.elapsed().as_secs_f64();
        let peak_mb = peak_of(send.id());
        let (slow, state_mb) = (self.slow.accepted()?, self.state_mb()?);
        if slow > 0 {
            let status = self.command(&["status", "--json"]).output()?;
            let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
            let run = status["runs"][0]["run"].as_str().ok_or("no run")?.to_owned();
            self.command(&["cancel", "--run", &run]).stdout(Stdio::null()).status()?;
        }
        let output = send.wait_with_output()?;
        let last_line = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((seconds, Seen { slow, peak_mb, state_mb, left_mb: self.state_mb()?, last_line }))
    }

    #[expect(clippy::cast_precision_loss, reason = "shown in megabytes")]
    fn state_mb(&self) -> Result<f64, Box<dyn Error>> {
        let mut octets = 0;
        for entry in std::fs::read_dir(self.folder.join("state/db"))? {
            octets += entry?.metadata().map_or(0, |file| file.len());
        }
        Ok(octets as f64 / 1e6)
    }
}

fn peak_of(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kilobytes| kilobytes / 1024.0)
}

fn write_machine(folder: &Path, slow: &str, quick: &str) -> Result<(), Box<dyn Error>> {
    let mut routes = format!("\"slow.example\" = {{ host = \"mx.slow.example\", address = \"{slow}\" }}\n");
    for site in 0..SITES {
        writeln!(routes, "\"q{site}.example\" = {{ host = \"mx.q{site}.example\", address = \"{quick}\" }}")?;
    }
    let text = format!(
        r#"state_dir = "state"
[[source]]
name = "a"
ehlo = "out.acme-health.example"
[dkim."acme-health.example"]
rsa     = {{ selector = "s1", key = "keys/s1.pem" }}
ed25519 = {{ selector = "s2", key = "keys/s2.pem" }}
[keys]
master = {{ file = "sealpost-master.key" }}
[dns.static]
{routes}[tls]
roots = ["slow.pem", "quick.pem"]
[limits]
connections_per_provider = 1
"#
    );
    Ok(std::fs::write(folder.join("sealpost.toml"), text)?)
}

/// Rows to the slow site and the quick ones in turn, a few hundred octets each.
fn write_campaign(folder: &Path, rows: u64, slow_in_ten: u64) -> Result<(), Box<dyn Error>> {
    let mut file = std::io::BufWriter::new(File::create(folder.join("throttled.csv"))?);
    writeln!(file, "id,email,first_name,note")?;
    for row in 1..=rows {
        let site = if row % 10 < slow_in_ten { "slow".to_owned() } else { format!("q{}", row % SITES) };
        writeln!(file, "{row},r{row}@{site}.example,Ann{row},{}", "a claim was processed; ".repeat(8))?;
    }
    file.flush()?;
    std::fs::write(folder.join("throttled.hbs"), "Hello {{first_name}}: {{note}}\n")?;
    let text = r#"[campaign]
name = "throttled"
class = "transactional"
[input]
path = "throttled.csv"
recipient = "email"
key = "id"
[message]
from = "Acme Health <notices@acme-health.example>"
return_path = "bounces.acme-health.example"
subject = "A notice"
html = "throttled.hbs"
text = "throttled.hbs"
"#;
    Ok(std::fs::write(folder.join("throttled.toml"), text)?)
}
