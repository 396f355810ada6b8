//! Sending over a distance: `perf wire` is the relay alone, `--what wire` sends through it.
//!
//! What connections ÷ round trip gives is the most that one message a round trip can come to. The real `sealpost send` with 50
//! connections to one site is held against that, and its round trips are counted by the relay, which knows nothing of mail.

mod relay;

pub use relay::{Relay, Terms};

use crate::generate::{self, Format, Letter};
use clap::Parser;
use relay::Tally;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

/// A relay on loopback, until standard input ends: prints where it listens, and in the end what went through, as JSON.
#[derive(Debug, Parser)]
#[command(name = "perf wire")]
struct Args {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Where it leads
    #[arg(long)]
    to: SocketAddr,

    /// The round trip, in milliseconds
    #[arg(long, default_value = "40ms", value_parser = millis)]
    rtt: Duration,

    /// Connections are never heard of again after so many octets
    #[arg(long, value_name = "OCTETS")]
    drop_after: Option<u64>,

    /// Connections are reset after so many octets
    #[arg(long, value_name = "OCTETS")]
    reset_after: Option<u64>,
}

pub fn millis(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").unwrap_or(text).parse();
    number.map(Duration::from_millis).map_err(|_| "milliseconds, like 40ms".into())
}

/// What the process is, where its first argument is `wire`.
pub fn alone() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1).peekable();
    (words.peek()? == "wire").then(|| match relayed(&Args::parse_from(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    })
}

fn relayed(args: &Args) -> Result<(), Box<dyn Error>> {
    let terms = Terms { rtt: args.rtt, drop_after: args.drop_after, reset_after: args.reset_after };
    let relay = Relay::start(args.listen, args.to, terms)?;
    println!("{}", relay.address);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    println!("{}", relay.tally().json());
    Ok(())
}

const RTT: Duration = Duration::from_millis(40);
const CONNECTIONS: u32 = 50;

/// What a server offers, which of every so many rows it is sent, and how it is told so. Without a pipeline a message takes four
/// round trips, for a figure that no bar is about.
const WAYS: [(&str, u64, &[&str]); 3] = [
    ("PIPELINING, CHUNKING", 1, &[]),
    ("PIPELINING", 1, &["--no-chunking"]),
    ("neither", 4, &["--no-chunking", "--no-pipelining"]),
];

/// One send through the relay.
struct Sent {
    rows: u64,
    per_second: f64,
    tally: Tally,
}

impl Sent {
    /// Of what one message a round trip gives.
    fn share(&self) -> f64 {
        self.per_second * RTT.as_secs_f64() / f64::from(CONNECTIONS)
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure to divide")]
    fn a_message(&self, number: u64) -> f64 {
        number as f64 / self.rows as f64
    }
}

/// Sends `rows` rows `runs` times, over each way in which a server can take messages; gives a table.
///
/// # Errors
/// A command fails, or not every row is delivered.
pub fn measure(sealpost: &Path, folder: &Path, rows: u64, runs: usize) -> Result<String, Box<dyn Error>> {
    let (rtt, most) = (RTT.as_millis(), f64::from(CONNECTIONS) / RTT.as_secs_f64());
    let mut text =
        format!("{CONNECTIONS} connections to one site, {rtt} ms there and back: at one message a round trip\n");
    writeln!(text, "{most:.0} messages/s. Opening the connections is in all figures.\n")?;
    text +=
        "| the server offers | messages/s, median (min to max) | share (bar 0.88) | round trips a message (bar 1.1) ";
    text += "| octets a message | pieces a message |\n|---|---|---|---|---|---|\n";
    let mut tallies = String::new();
    for (name, one_in, offers) in WAYS {
        let mut sends = Vec::new();
        for run in 0..runs.max(1) {
            let folder = folder.join(format!("wire-{name}-{run}"));
            sends.push(Desk::new(sealpost, &folder, rows.div_ceil(one_in), offers)?.send()?);
            println!("{name}: {:.0} messages/s", sends[run].per_second);
        }
        sends.sort_by(|one, other| one.per_second.total_cmp(&other.per_second));
        line(&mut text, name, &sends)?;
        writeln!(tallies, "- {name}: `{}`", sends[sends.len() / 2].tally.json())?;
    }
    writeln!(text, "\nThe relay's tally of each median:\n\n{tallies}")?;
    Ok(text)
}

/// A line of the table, of sends by their speed.
fn line(text: &mut String, name: &str, sends: &[Sent]) -> std::fmt::Result {
    let (least, middle, most) = (&sends[0], &sends[sends.len() / 2], &sends[sends.len() - 1]);
    let client = middle.tally.client;
    let [turns, octets, pieces] = [client.turns, client.octets, client.pieces].map(|figure| middle.a_message(figure));
    let [least, most] = [least, most].map(|send| send.per_second);
    let (speed, share) = (middle.per_second, middle.share());
    writeln!(
        text,
        "| {name} | {speed:.0} ({least:.0} to {most:.0}) | {share:.2} | {turns:.3} | {octets:.0} | {pieces:.2} |"
    )
}

/// A sandbox as a process of its own, killed when dropped.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A sender, the server, and the relay between them.
struct Desk {
    sealpost: PathBuf,
    folder: PathBuf,
    rows: u64,
    relay: Relay,
    _sink: Sink,
}

impl Desk {
    fn new(sealpost: &Path, folder: &Path, rows: u64, offers: &[&str]) -> Result<Desk, Box<dyn Error>> {
        std::fs::create_dir_all(folder)?;
        let made = Command::new(sealpost).args(["init", "--domain", "acme-health.example"]).arg(folder).output()?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into());
        }
        let mut sandbox = Command::new(sealpost);
        sandbox.args(["sandbox", "--ca"]).arg(folder.join("sink.pem")).args(offers);
        let mut sink = Sink(sandbox.stdout(Stdio::piped()).spawn()?);
        let mut address = String::new();
        BufReader::new(sink.0.stdout.take().ok_or("no pipe")?).read_line(&mut address)?;
        let relay =
            Relay::start("127.0.0.1:0".parse()?, address.trim().parse()?, Terms { rtt: RTT, ..Terms::default() })?;
        let input = generate::rows(Format::Csv, folder, rows)?;
        std::fs::write(folder.join("wire.toml"), generate::campaign(&input, Format::Csv, Letter::Notice)?)?;
        std::fs::write(folder.join("sealpost.toml"), machine(relay.address, &domains(&input)?)?)?;
        Ok(Desk { sealpost: sealpost.to_owned(), folder: folder.to_owned(), rows, relay, _sink: sink })
    }

    fn send(&self) -> Result<Sent, Box<dyn Error>> {
        let mut send = Command::new(&self.sealpost);
        send.current_dir(&self.folder).args(["send", "wire.toml", "--json"]).stderr(Stdio::null());
        let output = send.output()?;
        let counts: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        if counts["delivered"].as_u64() != Some(self.rows) {
            return Err(format!("not every row was delivered: {counts}").into());
        }
        let per_second = counts["messages_per_second"].as_f64().ok_or("no rate")?;
        Ok(Sent { rows: self.rows, per_second, tally: self.relay.tally() })
    }
}

/// Every domain that a row is sent to.
fn domains(input: &Path) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(input)?;
    let email = reader.headers()?.iter().position(|field| field == "email").ok_or("no column email")?;
    let mut domains = BTreeSet::new();
    for record in reader.records() {
        domains.extend(record?[email].split_once('@').map(|(_, domain)| domain.to_owned()));
    }
    Ok(domains)
}

/// One site behind the relay, for all of them.
fn machine(relay: SocketAddr, domains: &BTreeSet<String>) -> Result<String, std::fmt::Error> {
    let mut routes = String::new();
    for domain in domains {
        writeln!(routes, "\"{domain}\" = {{ host = \"mx.far.example\", address = \"{relay}\" }}")?;
    }
    Ok(format!(
        r#"state_dir = "state"
[[source]]
name = "a"
ehlo = "out.acme-health.example"
[dkim."acme-health.example"]
rsa     = {{ selector = "s1", key = "keys/s1.pem" }}
[keys]
master = {{ file = "sealpost-master.key" }}
[dns.static]
{routes}[tls]
roots = ["sink.pem"]
[limits]
connections_per_provider = {CONNECTIONS}
"#
    ))
}
