//! A receiver's parameters, as its file in `perf/receivers/` has them.

use serde::Deserialize;
use std::error::Error;
use std::path::Path;

/// One receiver.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receiver {
    /// The file's name.
    #[serde(skip)]
    pub name: String,
    /// In a line, for the table.
    pub about: String,
    /// How long is played.
    pub minutes: u64,
    /// From MAIL to the answer, and from SYN to the greeting.
    pub latency_ms: f64,
    pub connect_ms: f64,
    /// Each of them is longer or shorter by up to this part.
    pub jitter: f64,
    /// Sessions that a sender may open, and messages on one.
    pub connections: usize,
    #[serde(default = "hundred")]
    pub messages_per_connection: u32,
    /// Whether a message that is refused for the pace is refused with 421, which ends its session.
    #[serde(default)]
    pub hangs_up: bool,
    /// The share of rows whose address nobody has.
    #[serde(default)]
    pub unknown: f64,
    #[serde(default)]
    pub limit: Vec<Limit>,
    #[serde(default)]
    pub change: Vec<Change>,
    pub reputation: Option<Reputation>,
    /// Seconds for which a row that it has never seen is told to come again.
    pub greylist_seconds: Option<f64>,
}

/// What it refuses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// Sessions beyond this many, at the greeting; one that is closed is counted a little longer.
    Connections { most: f64, lingers_ms: f64 },
    /// Sessions begun too quickly, at the greeting.
    ConnectionRate { count: f64, per_seconds: f64 },
    /// Messages that find no token.
    Bucket {
        rate: f64,
        burst: f64,
        #[serde(default)]
        penalty_seconds: f64,
    },
    /// Messages beyond a count in each second, minute, hour of its clock.
    Window {
        count: f64,
        per_seconds: f64,
        #[serde(default)]
        penalty_seconds: f64,
    },
    /// Messages beyond a count in any such span; refused ones may count as well.
    Sliding {
        count: f64,
        per_seconds: f64,
        #[serde(default)]
        counts_refused: bool,
        #[serde(default)]
        penalty_seconds: f64,
    },
}

/// From this second on, limits are so many times what they were.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub at_seconds: f64,
    pub factor: f64,
}

/// A standing by which rates are multiplied: 1 at first.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reputation {
    /// What an unknown address takes from it.
    pub harm: f64,
    /// What a second gives back.
    pub heals: f64,
    /// It falls no lower.
    pub least: f64,
}

impl Receiver {
    /// Reads one.
    ///
    /// # Errors
    /// The file can't be read or isn't one.
    pub fn read(path: &Path) -> Result<Receiver, Box<dyn Error>> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut receiver = Receiver::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        receiver.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(receiver)
    }

    /// From a file's text.
    ///
    /// # Errors
    /// It isn't one.
    pub fn parse(text: &str) -> Result<Receiver, toml::de::Error> {
        toml::from_str(text)
    }

    /// What its limits are multiplied by at this second.
    pub fn factor(&self, second: f64) -> f64 {
        self.change.iter().take_while(|change| change.at_seconds <= second).last().map_or(1.0, |change| change.factor)
    }

    /// Messages a second that its limits let through, before `factor` and its opinion of us.
    pub fn capacity(&self) -> f64 {
        let of_sessions = |sessions: f64| sessions * 1000.0 / self.latency_ms;
        let limits = self.limit.iter().map(|limit| match limit {
            Limit::Connections { most, .. } => of_sessions(*most),
            Limit::ConnectionRate { count, per_seconds } => {
                count / per_seconds * f64::from(self.messages_per_connection)
            }
            Limit::Bucket { rate, .. } => *rate,
            Limit::Window { count, per_seconds, .. } | Limit::Sliding { count, per_seconds, .. } => count / per_seconds,
        });
        #[expect(clippy::cast_precision_loss, reason = "sessions")]
        limits.fold(of_sessions(self.connections as f64), f64::min)
    }
}

fn hundred() -> u32 {
    100
}
