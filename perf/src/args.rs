//! What can be asked of `perf`.

use crate::generate::{Format, Letter};
use crate::mode::Mode;
use crate::peer::Peer;
use crate::wire;
use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Measure rehearsals of rows made from the claims.
#[derive(Debug, Parser)]
pub struct Args {
    /// Rows to send
    #[arg(long, default_value_t = 100_000)]
    pub rows: u64,

    /// What the rows are written as
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    pub format: Format,

    /// Counted runs; where there are several, one that isn't goes before
    #[arg(long, default_value_t = 5)]
    pub runs: usize,

    /// What is measured
    #[arg(long, value_enum, default_value_t = What::Rehearsal)]
    pub what: What,

    /// speed, peers: how messages are signed [default: each way, by turns]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub mode: Vec<Mode>,

    /// peers: who takes part [default: everyone]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub peers: Vec<Peer>,

    /// speed, peers: what is sent
    #[arg(long, value_enum, default_value_t = Letter::Notice)]
    pub letter: Letter,

    /// speed, peers: the sender on CPU 0 and the sink on CPU 1, or both on any
    #[arg(long, value_enum, default_value_t = Pinned::Yes)]
    pub pinned: Pinned,

    /// speed, peers: connections of a sender
    #[arg(long, default_value_t = 20)]
    pub connections: u32,

    /// speed, peers: how far away the sink is, there and back, in milliseconds
    #[arg(long, value_name = "MS", value_parser = wire::millis)]
    pub rtt: Option<std::time::Duration>,

    /// The binary to measure
    #[arg(long, default_value = "sealpost")]
    pub sealpost: PathBuf,

    /// signatures: the folder with the keys
    #[arg(long, hide = true, default_value = ".")]
    pub desk: PathBuf,

    /// shaping: the folder with the receivers
    #[arg(long, default_value = "perf/receivers")]
    pub receivers: PathBuf,

    /// Where results are written
    #[arg(long, default_value = "perf/results")]
    pub results: PathBuf,
}

impl Args {
    /// What to type for the same again.
    pub fn command(&self, name: &str) -> String {
        if self.what == What::Drop {
            return format!("make perf WHAT={name}");
        }
        let mut text = format!("make perf WHAT={name} ROWS={} RUNS={}", self.rows, self.runs);
        let mut add = |word: &str, value: String| text += &format!(" {word}={value}");
        if matches!(self.what, What::Speed | What::Peers) {
            let words = |words: Vec<&str>| words.join(",");
            if !self.mode.is_empty() {
                add("MODE", words(self.mode.iter().map(|mode| mode.word()).collect()));
            }
            if !self.peers.is_empty() {
                add("PEERS", words(self.peers.iter().map(|peer| peer.word()).collect()));
            }
            add("PINNED", if self.pinned == Pinned::Yes { "yes" } else { "no" }.to_owned());
            add("CONNECTIONS", self.connections.to_string());
            if let Some(rtt) = self.rtt {
                add("RTT", rtt.as_millis().to_string());
            }
            add("LETTER", self.letter.word().to_owned());
            add("FORMAT", self.format.word().to_owned());
        }
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pinned {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// What a message costs, with a sink of its own process, beside the bar.
    Speed,
    /// The same messages through others.
    Peers,
    /// What signatures cost alone: what `speed` starts on a CPU of its choice.
    #[value(hide = true)]
    Signatures,
    /// Rehearsals at full speed.
    Rehearsal,
    /// What leases, marks and syncs cost.
    Durability,
    /// Most rows for one slow site.
    Throttled,
    /// What sessions cost to open; `--rows` are sessions.
    Handshakes,
    /// What keys cost to ask for and to take, up to `--rows` of them.
    Reservations,
    /// 50 connections to a site that is 40 ms away, through a relay; `perf wire` is the relay alone.
    Wire,
    /// Models of receivers, and the paces that senders choose; `--runs` are seeds. Nothing is sent.
    Shaping,
    /// Two sites that refuse what is too much; `--rows` are seconds.
    Pace,
    /// A site whose limit falls to a tenth for ten minutes: 25 minutes.
    Drop,
    /// The same messages to 10, 100, 1,000 and 10,000 sites.
    Sites,
}
