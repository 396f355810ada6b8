//! Configuration: what was written ([`mod@file`], [`campaign_file`]) and what it means, checked and resolved ([`Machine`], [`Campaign`]).
//!
//! `sealpost.toml` describes the machine, a campaign file the blast. Relative paths are relative to the file that names
//! them. An unknown key, a missing field or a value out of range is an [`Error`] with file, line and hint.

mod campaign;
pub mod campaign_file;
mod enclosed;
pub mod file;
mod machine;
mod machine_tables;
mod message;
mod message_file;
mod smarthost;
mod tls_reports;

pub use crate::mail::Mistake as Error;
pub use campaign::{Campaign, OnDoubt, Source, Transport};
pub use machine::{Dkim, Machine, Metrics};
pub use smarthost::Smarthost;
