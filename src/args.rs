//! What can be typed.

mod sandbox;
mod shaping;
mod steering;
mod tls;

pub use sandbox::Sandbox;
pub use shaping::{Shaping, ShapingCheck, ShapingExplain};
pub use steering::{Cancel, Doubt, Pausing};
pub use tls::{Tls, TlsProbe, TlsReport};

use crate::moment;
use clap::{Parser, Subcommand, ValueEnum};
use engine::clock::Timestamp;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// A `fips` build says what it is.
const VERSION: &str = if cfg!(feature = "fips") {
    concat!(env!("CARGO_PKG_VERSION"), " (AWS-LC FIPS)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Send one personal, sealed message to each row of a recipient file.
#[derive(Debug, Parser)]
#[command(version = VERSION, long_version = LONG_VERSION.as_str(), max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all rows settled · 1 undelivered above --tolerate, or rows held in doubt · 2 usage or \
configuration · 3 stopped with rows left · 4 stopped by a brake · 70 our own fault · 75 the engine is busy"
)]
pub struct Args {
    /// The machine's configuration [default: ./sealpost.toml, then /etc/sealpost/sealpost.toml]
    #[arg(long, global = true, value_name = "FILE", env = "SEALPOST_CONFIG")]
    pub config: Option<PathBuf>,

    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// What is logged to stderr: error, warn, info, debug, or a filter like engine=debug
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn", env = "SEALPOST_LOG")]
    pub log: String,

    /// Log as JSON
    #[arg(long, global = true)]
    pub log_json: bool,

    #[command(subcommand)]
    pub command: Command,
}

/// What `--version` says, and `-V` doesn't.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| format!("{VERSION}\n{}", engine::sign::hand()));

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write an annotated configuration, make the keys, print the DNS records to publish
    Init(Init),
    /// Check files, columns, templates, keys and sample rows; say what would stop a run
    Check(Check),
    /// Print the very octets that one row would get
    Preview(Preview),
    /// Send the whole campaign into an embedded MX: nobody is mailed, nothing is marked sent
    Rehearse(Rehearse),
    /// Send a campaign, or go on where it stopped; safe to run twice. An engine that is at work takes it over
    Send(Send),
    /// An engine without a campaign: goes on with open runs and takes what `send` hands over, until SIGTERM or `drain`
    Serve,
    /// How the runs of this state directory stand, during a run and after
    Status,
    /// Begin no further message: of a run, to a provider, from a source, or at all
    Pause(Pausing),
    /// Take a pause back
    Resume(Pausing),
    /// End what waits as cancelled: of a run, to a provider, from a source. Messages on the wire are finished
    Cancel(Cancel),
    /// Let the engine take nothing more, send what it has in memory, and end
    Drain,
    /// Rows that may or may not have been accepted: list them, and decide
    #[command(subcommand)]
    Doubt(Doubt),
    /// What domains and their MX hosts can do and have shown, and what they are told
    #[command(subcommand)]
    Tls(Tls),
    /// How fast whom may be sent to, and why
    #[command(subcommand)]
    Shaping(Shaping),
    /// A campaign's outcomes: who did not get it, and why
    Report(Report),
    /// The embedded MX as a process of its own
    #[command(hide = true)]
    Sandbox(Sandbox),
}

#[derive(Debug, clap::Args)]
pub struct Init {
    /// The folder to write to; files that are there are left alone
    #[arg(default_value = ".")]
    pub folder: PathBuf,

    /// The domain of your From address
    #[arg(long, value_name = "DOMAIN")]
    pub domain: String,
}

#[derive(Debug, clap::Args)]
pub struct Check {
    /// The campaign file
    pub campaign: PathBuf,

    /// Render every row, not only the first 1,000
    #[arg(long)]
    pub all: bool,

    /// Ask every domain of the file what it can do (no message, no recipient), and forecast what TLS will stand in the way of
    #[arg(long)]
    pub probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The whole message as it would be sent
    Eml,
    /// The HTML alone
    Html,
    /// The text alone
    Text,
}

#[derive(Debug, clap::Args)]
pub struct Preview {
    /// The campaign file
    pub campaign: PathBuf,

    /// The row's number, from 1
    #[arg(long, default_value_t = 1)]
    pub row: u64,

    /// What of the message
    #[arg(long, value_enum, default_value = "eml")]
    pub part: Part,

    /// A new file (mode 0600) instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// As this run has it, by the name `status` shows [default: the one that `send` would resume, else the one it would open]
    #[arg(long, value_name = "RUN", conflicts_with = "unsigned")]
    pub run: Option<String>,

    /// Without signatures and with a throw-away Message-ID: needs neither keys nor state
    #[arg(long)]
    pub unsigned: bool,
}

#[derive(Debug, clap::Args)]
pub struct Rehearse {
    /// The campaign file
    pub campaign: PathBuf,

    /// Share of recipients that the MX defers once (450), in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub defer: f64,

    /// Share of recipients that the MX refuses (550), in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub bounce: f64,

    /// How long the MX takes to accept a message
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = span)]
    pub latency: Duration,

    /// At most this many rows
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,

    /// Without leases and marks, to measure what they cost
    #[arg(long, hide = true)]
    pub without_marks: bool,

    /// Serve metrics here, on loopback; `[metrics]` is about real runs only
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback)]
    pub metrics: Option<SocketAddr>,

    /// Where the report goes [default: rehearsal/NAME beside the working directory]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Send {
    /// The campaign file
    pub campaign: PathBuf,

    /// Take up at most this many new rows of the input, and end once they are settled
    #[arg(long, value_name = "ROWS")]
    pub limit: Option<u64>,

    /// Gate and render every row, and send none
    #[arg(long)]
    pub dry_run: bool,

    /// Exit with 1 if more than this share of rows ends undelivered, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent)]
    pub tolerate: f64,

    /// Send also to keys that were sent to before; each is recorded
    #[arg(long)]
    pub again: bool,

    /// Give up the unread rows of this run, whose input was overwritten
    #[arg(long, value_name = "RUN")]
    pub abandon: Option<String>,

    /// Stop with rows left then: 06:00 (the next), 2h, or RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = moment::next)]
    pub deadline: Option<Timestamp>,

    /// End when only deferred rows are left; the next `send` goes on with them
    #[arg(long)]
    pub until_empty: bool,
}

#[derive(Debug, clap::Args)]
pub struct Report {
    /// The campaign file
    pub campaign: PathBuf,

    /// Which run, by the name `status` shows [default: the latest]
    #[arg(long)]
    pub run: Option<String>,

    /// List every row that was not delivered, with the reply that decided (needs the master key; may show addresses)
    #[arg(long)]
    pub list: bool,

    /// With --list: the delivered rows too, and how each of them travelled
    #[arg(long, requires = "list")]
    pub delivered: bool,

    /// List the rows that a letter may have to follow: dropped, bounced, expired. By number; whom they were for only with
    /// --plain or --output
    #[arg(long, conflicts_with = "list")]
    pub undeliverable: bool,

    /// With --undeliverable: address and key as CSV (JSON with --json) on stdout. PHI; needs the master key
    #[arg(long, requires = "undeliverable", conflicts_with = "output")]
    pub plain: bool,

    /// With --undeliverable: the same in a new file (mode 0600)
    #[arg(long, short, value_name = "FILE", requires = "undeliverable")]
    pub output: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(share) if (0.0..=100.0).contains(&share) => Ok(share),
        _ => Err("a percentage from 0 to 100".into()),
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err("a loopback address and port like 127.0.0.1:9464".into()),
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a time like 5ms or 2s".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }
}
