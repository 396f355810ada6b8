//! The embedded MX as a process of its own.

use engine::sandbox::{Limits, LimitsError, Schedule, Step, Window};
use engine::shaping::Rate;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub struct Sandbox {
    /// Loopback address and port; 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Write the CA's certificate here
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Keep the CA here (mode 0600), so that clients still trust a sandbox that is started again
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,

    /// Append accepted Message-IDs here, each before its reply
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,

    /// Write recipients behind the Message-IDs
    #[arg(long, requires = "ledger")]
    pub recipients: bool,

    /// Keep one message in a hundred in this folder, whole: for made-up rows only
    #[arg(long, value_name = "FOLDER")]
    pub sample: Option<PathBuf>,

    /// Append what clients say here (not their messages)
    #[arg(long, value_name = "FILE")]
    pub transcript: Option<PathBuf>,

    /// Share of recipients deferred once, in percent
    #[arg(long, default_value_t = 0.0, value_parser = super::percent)]
    pub defer: f64,

    /// Share of recipients refused, in percent
    #[arg(long, default_value_t = 0.0, value_parser = super::percent)]
    pub bounce: f64,

    /// How long a message takes
    #[arg(long, default_value = "0ms", value_parser = super::span)]
    pub latency: Duration,

    /// Don't offer STARTTLS
    #[arg(long)]
    pub no_starttls: bool,

    /// Don't offer PIPELINING
    #[arg(long)]
    pub no_pipelining: bool,

    /// Don't offer CHUNKING
    #[arg(long)]
    pub no_chunking: bool,

    #[command(flatten)]
    pub taken: Taken,

    /// Limits that change: a TOML file of tables named limits, with from (like "60s" after the start) and the names of these options, each
    /// holding by itself until the next one's time; read anew when it is replaced
    #[arg(long, value_name = "FILE", conflicts_with = "taken")]
    pub limits: Option<PathBuf>,

    /// End with counts second by second, too, and with the most messages in any second, ten seconds and minute
    #[arg(long)]
    pub course: bool,
}

/// What a client's address is allowed: a site that refuses what is too much.
#[derive(Debug, clap::Args)]
#[group(id = "taken", multiple = true)]
pub struct Taken {
    /// Connections at once; one more hears 421 4.7.0 and is hung up on
    #[arg(long, value_name = "COUNT")]
    pub most_connections: Option<usize>,

    /// Messages in a time, like 20/s, 100/min, 5000/h or 10000/day; one more is refused, and costs nothing
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub rate: Option<Rate>,

    /// Messages that are taken at once after a rest, from a bucket [default: what comes in a second]
    #[arg(long, value_name = "COUNT", requires = "rate")]
    pub burst: Option<NonZeroU32>,

    /// How messages are counted: by a bucket that fills evenly, or fixed: whole seconds, minutes, … each by itself [default: bucket]
    #[arg(long, requires = "rate")]
    pub window: Option<Window>,

    /// Which step of a message too many is refused: mail, rcpt or message [default: mail]
    #[arg(long, value_name = "STEP", requires = "rate")]
    pub refuse_at: Option<Step>,

    /// What a message too many is told; a 421 hangs up [default: 451 4.7.1 rate limited, try again later]
    #[arg(long, requires = "rate")]
    pub reply: Option<String>,
}

impl Taken {
    /// As limits from the start on.
    ///
    /// # Errors
    /// They make no sense.
    pub fn limits(&self) -> Result<Schedule, LimitsError> {
        let usual = Limits::default();
        Schedule::of(Limits {
            most_connections: self.most_connections,
            rate: self.rate,
            burst: self.burst,
            window: self.window.unwrap_or_default(),
            refuse_at: self.refuse_at.unwrap_or_default(),
            reply: self.reply.clone().unwrap_or(usual.reply),
            ..usual
        })
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    Rate::parse(text).ok_or_else(|| "a rate like 20/s or 100/min".into())
}

#[cfg(test)]
mod tests {
    use crate::args::{Args, Command};
    use clap::Parser;

    #[test]
    fn limits_are_typed_or_in_a_file() {
        for (words, good) in [
            ("", true),
            ("--most-connections 5", true),
            ("--rate 20/s --burst 1 --refuse-at rcpt", true),
            ("--rate 20/s --window fixed --burst 3", false),
            ("--rate 20/s --reply 250_ok", false),
            ("--rate 20", false),
            ("--burst 3", false),
            ("--limits f", true),
            ("--limits f --rate 20/s", false),
            ("--limits f --most-connections 5", false),
        ] {
            let words = ["sealpost", "sandbox"].into_iter().chain(words.split_ascii_whitespace());
            let typed: Vec<_> = words.map(|word| word.replace('_', " ")).collect();
            let limits = Args::try_parse_from(&typed).map(|args| match args.command {
                Command::Sandbox(options) => options.taken.limits().is_ok(),
                _ => false,
            });
            assert_eq!(limits.unwrap_or(false), good, "{typed:?}");
        }
    }
}
