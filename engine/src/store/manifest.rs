//! What is known of a run as a whole.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds from MAIL FROM to the reply to the final dot, below which that share of messages lies; read off a histogram's
/// bounds as Prometheus does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
}

/// A run's record. It holds no PHI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The campaign's name.
    pub campaign: String,
    /// The input's path when the run was opened.
    pub input: String,
    /// SHA-256 of the input, in hexadecimal.
    pub fingerprint: String,
    /// When the run was opened.
    pub opened: Timestamp,
    /// When its last row was settled.
    pub finished: Option<Timestamp>,
    /// The highest ordinal read so far.
    pub read: u64,
    /// Whether the input was read to its end.
    pub read_all: bool,
    /// Seconds in which an engine worked on it.
    pub seconds: f64,
    /// How long messages took on the wire, for the last engine that sent any.
    #[serde(default)]
    pub latency: Option<Latency>,
}
