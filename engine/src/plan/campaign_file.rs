//! A campaign file as written. Every default has its reason in `config/campaign.toml`.

use super::file::Span;
use super::message_file::MessageTable;
use crate::mail::Level;
use loader::{ColumnType, Encoding, Format};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use toml::Spanned;

/// A campaign file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignFile {
    /// What it is.
    pub campaign: CampaignTable,
    /// Who gets it.
    pub input: InputTable,
    /// What they get.
    pub message: MessageTable,
    /// How it travels.
    #[serde(default)]
    pub transport: TransportTable,
    /// When it stops by itself.
    #[serde(default)]
    pub brakes: BrakesTable,
}

/// `[campaign]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignTable {
    /// Its name, which all its runs share.
    pub name: Spanned<String>,
    /// `transactional`; `marketing` waits for its gate.
    pub class: Spanned<String>,
    /// Its turns at a site that other campaigns send to as well.
    #[serde(default = "usual_priority")]
    pub priority: Spanned<u32>,
}

fn usual_priority() -> Spanned<u32> {
    Spanned::new(0..0, 10)
}

/// One path or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    /// `path = "eob.csv"`.
    One(String),
    /// `path = ["eob.csv"]`.
    Many(Vec<String>),
}

/// `[input]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTable {
    /// The recipient files; `-` is standard input, and `*`, `?`, `[…]` and `**` match names.
    pub path: Spanned<Paths>,
    /// Its kind, where the name's ending doesn't tell.
    pub format: Option<Format>,
    /// What text files are written in, if not UTF-8.
    pub encoding: Option<Encoding>,
    /// Between two CSV fields; one ASCII character.
    pub delimiter: Option<Spanned<String>>,
    /// The column with the address.
    pub recipient: Spanned<String>,
    /// The column that makes a row unique.
    pub key: Spanned<String>,
    /// Types of CSV columns; undeclared ones are text.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
    /// Columns that are not PHI; every other column is.
    #[serde(default)]
    pub public: Vec<Spanned<String>>,
}

/// `[transport]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransportTable {
    /// The floor of TLS.
    pub tls: Spanned<Level>,
    /// Drop at once what can't have it.
    pub exclusive: Spanned<bool>,
    /// The share of dropped rows above which the run stops; `off` for none.
    pub drop_brake: Spanned<BrakeWord>,
    /// Whether columns that are not public may leave in clear.
    pub phi_in_clear: Spanned<bool>,
    /// How long a row is tried.
    pub lifetime: Spanned<Span>,
    /// Ask servers to keep the message on proven TLS.
    pub requiretls: bool,
    /// What becomes of rows in doubt.
    pub on_doubt: OnDoubtWord,
    /// The sources that send it, by name; empty is all.
    pub sources: Vec<Spanned<String>>,
}

impl Default for TransportTable {
    fn default() -> Self {
        TransportTable {
            tls: Spanned::new(0..0, Level::Verified),
            exclusive: Spanned::new(0..0, true),
            drop_brake: Spanned::new(0..0, BrakeWord::Share(0.1)),
            phi_in_clear: Spanned::new(0..0, false),
            lifetime: Spanned::new(0..0, Span(Duration::from_secs(48 * 3600))),
            requiretls: false,
            on_doubt: OnDoubtWord::Hold,
            sources: Vec::new(),
        }
    }
}

/// `[brakes]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrakesTable {
    /// The share of unknown mailboxes among the last answers above which sending stops; `off` for none.
    pub unknown: Spanned<BrakeWord>,
    /// The same of refusals for what we are or send.
    pub blocked: Spanned<BrakeWord>,
    /// How many rows for each provider go ahead of its others; `off` for none.
    pub canary: Spanned<CanaryWord>,
}

impl Default for BrakesTable {
    fn default() -> Self {
        let usual = || Spanned::new(0..0, BrakeWord::Share(0.05));
        let canary = Spanned::new(0..0, CanaryWord::Word("off".into()));
        BrakesTable { unknown: usual(), blocked: usual(), canary }
    }
}

/// A brake's limit.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum BrakeWord {
    /// A share, from 0 up to 1.
    Share(f64),
    /// `off`.
    Word(String),
}

/// `canary`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum CanaryWord {
    /// So many rows.
    Rows(i64),
    /// `off`.
    Word(String),
}

/// `on_doubt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDoubtWord {
    /// List it and leave it.
    Hold,
    /// Send it again under the same Message-ID.
    Resend,
}
