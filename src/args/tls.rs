//! What is asked of domains, and told to them.

use clap::Subcommand;
use engine::clock::Day;
use engine::mail::Level;

#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Look at MX hosts: connect, EHLO, STARTTLS, QUIT. Never a message, never a recipient
    Probe(TlsProbe),
    /// What is known of domains, hosts and policies, and since when
    List,
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

#[derive(Debug, clap::Args)]
pub struct TlsProbe {
    /// Domains, or one campaign file: every domain of its input
    #[arg(required = true, value_name = "DOMAIN|CAMPAIGN")]
    pub targets: Vec<String>,

    /// The floor: opportunistic, required, verified or authenticated [default: the campaign's, else verified]
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub tls: Option<Level>,
}

fn level(text: &str) -> Result<Level, String> {
    let levels = [Level::Opportunistic, Level::Required, Level::Verified, Level::Authenticated];
    let found = levels.into_iter().find(|level| level.word() == text);
    found.ok_or_else(|| "opportunistic, required, verified or authenticated".into())
}
