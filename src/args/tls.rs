//! What is asked of domains.

use clap::Subcommand;
use engine::mail::Level;

#[derive(Debug, Subcommand)]
pub enum Tls {
    /// Look at MX hosts: connect, EHLO, STARTTLS, QUIT. Never a message, never a recipient
    Probe(TlsProbe),
    /// What is known of domains, hosts and policies, and since when
    List,
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
