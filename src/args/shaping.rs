//! What is asked of the shaping rules.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum Shaping {
    /// Which rule a domain falls under, why, and what that gives it: looks its MX hosts up as `send` would
    Explain(ShapingExplain),
    /// Look for mistakes in a file of rules
    Check(ShapingCheck),
    /// Print the rules that are built in, to write others from
    Show,
}

#[derive(Debug, clap::Args)]
pub struct ShapingExplain {
    /// The domain of recipients
    pub domain: String,
}

#[derive(Debug, clap::Args)]
pub struct ShapingCheck {
    /// The file [default: the one that sealpost.toml names, else the built-in rules]
    pub file: Option<PathBuf>,
}
