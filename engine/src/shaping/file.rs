//! `shaping.toml` as written.

use serde::Deserialize;
use toml::Spanned;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShapingFile {
    /// For everybody whom no rule names.
    pub(super) default: RuleTable,
    /// The rules.
    pub(super) provider: Vec<RuleTable>,
}

/// `[[provider]]`; `[default]` without the keys that say whom it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RuleTable {
    /// What operators, metrics and logs call it.
    pub(super) name: Option<Spanned<String>>,
    /// Suffixes of MX host names.
    pub(super) mx: Vec<Spanned<String>>,
    /// Recipients' domains.
    pub(super) domains: Vec<Spanned<String>>,
    /// MX hosts.
    pub(super) sites: Vec<Spanned<String>>,
    /// Connections at once.
    pub(super) connections: Option<Spanned<usize>>,
    /// Connections at once before anything is learned.
    pub(super) first_window: Option<Spanned<usize>>,
    /// Messages on one connection.
    pub(super) messages_per_connection: Option<Spanned<u32>>,
    /// Messages begun.
    pub(super) rate: Option<Spanned<RatesValue>>,
    /// Connections begun.
    pub(super) connection_rate: Option<Spanned<String>>,
    /// One: each message is its recipient's own.
    pub(super) recipients_per_message: Option<Spanned<u32>>,
    /// What its replies mean; the first that matches.
    pub(super) replies: Vec<ReplyTable>,
    /// Where the numbers come from.
    pub(super) source: SourceTable,
    /// What is known of its TLS, for people: no rule demands or waives any.
    pub(super) tls_note: Option<String>,
    /// Whatever else people should know.
    pub(super) note: Option<String>,
}

/// One rate or several.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "write a rate like \"100/s\", or a list of them")]
pub(super) enum RatesValue {
    /// `"100/s"`.
    One(String),
    /// `["100/s", "200000/day"]`; none lifts the default's.
    Several(Vec<String>),
}

/// `{ text = "…", class = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplyTable {
    /// What the reply holds.
    pub(super) text: Spanned<String>,
    /// What it means.
    pub(super) class: Spanned<String>,
}

/// Where each number comes from: a page with the time it was read, or why we chose it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SourceTable {
    pub(super) connections: Option<Spanned<String>>,
    pub(super) first_window: Option<Spanned<String>>,
    pub(super) messages_per_connection: Option<Spanned<String>>,
    pub(super) rate: Option<Spanned<String>>,
    pub(super) connection_rate: Option<Spanned<String>>,
}
