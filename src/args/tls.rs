//! What can be asked about transport security.

use clap::Subcommand;
use engine::tlsrpt::Day;

#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Tell domains that ask for it how TLS with their hosts fared (RFC 8460): send what is due now, or show it
    Report(TlsReport),
}

#[derive(Debug, clap::Args)]
pub struct TlsReport {
    /// Print what would be sent, and to whom, and send nothing; also while an engine is at work
    #[arg(long)]
    pub dry_run: bool,

    /// Of this day (UTC) alone; of one that is not over, the report so far [default: all days that are over]
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    pub day: Option<Day>,
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "a day like 2026-11-22".into())
}
