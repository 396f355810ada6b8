//! Tables of `sealpost.toml` that have nothing to do with mail.

use super::file::Span;
use crate::queue::Sync;
use crate::sign::Together;
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// `[metrics]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsTable {
    /// Where `/metrics` is served; nowhere if it is not set.
    pub listen: Option<Spanned<String>>,
    /// How many providers have series of their own.
    pub providers: Spanned<usize>,
    /// How long `/metrics` is still served when a run has ended.
    pub linger: Span,
}

impl Default for MetricsTable {
    fn default() -> Self {
        MetricsTable { listen: None, providers: Spanned::new(0..0, 20), linger: Span(Duration::ZERO) }
    }
}

/// `[shaping]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapingTable {
    /// The rules; `None` takes those that are built in.
    pub file: Option<PathBuf>,
}

/// `[signing]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigningTable {
    /// Whether RSA-2048 signatures are made together.
    pub together: Together,
}

/// `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreTable {
    /// When leases are on the disk.
    pub sync: Sync,
    /// How long a key counts as sent.
    pub sent_kept: Span,
}

impl Default for StoreTable {
    fn default() -> Self {
        StoreTable { sync: Sync::Group, sent_kept: Span(Duration::from_secs(400 * 24 * 3600)) }
    }
}
