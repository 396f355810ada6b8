//! What is said to an engine, and what is decided of rows in doubt.

use clap::Subcommand;
use engine::control::Target;

/// One of them, or none.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub struct Pausing {
    /// A run, by the name `status` shows
    #[arg(long)]
    pub run: Option<String>,

    /// A provider, by the name of its shaping rule, else of its best MX host, as `/metrics` has it
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,

    /// A source of sealpost.toml
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

impl Pausing {
    /// What was named; nothing is everything.
    pub fn target(&self) -> Target {
        let named = [
            self.run.clone().map(Target::Run),
            self.provider.clone().map(Target::Provider),
            self.source.clone().map(Target::Source),
        ];
        named.into_iter().flatten().next().unwrap_or(Target::All)
    }
}

/// One of them: everything is never cancelled by leaving a word out.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["run", "provider", "source"]))]
pub struct Cancel {
    #[command(flatten)]
    pub named: Pausing,
}

#[derive(Debug, Subcommand)]
pub enum Doubt {
    /// What is in doubt, since when, and why
    List {
        /// One run only, by the name `status` shows
        #[arg(long)]
        run: Option<String>,
    },
    /// Send it again, under the same Message-ID: whoever got it gets it twice
    Resend(Resend),
    /// Write down what you found out
    Settle(Settle),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["run", "copy"]))]
pub struct Resend {
    /// A run, by the name `status` shows
    #[arg(long)]
    pub run: Option<String>,

    /// These rows of it only
    #[arg(long, value_name = "N", requires = "run", conflicts_with = "copy")]
    pub row: Vec<u64>,

    /// This state directory is a copy, and its original sent nothing since: go on from it
    #[arg(long)]
    pub copy: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["run", "copy"]))]
#[command(group = clap::ArgGroup::new("how").args(["delivered", "undelivered"]).conflicts_with("copy"))]
pub struct Settle {
    /// A run, by the name `status` shows
    #[arg(long, requires = "how")]
    pub run: Option<String>,

    /// These rows of it only
    #[arg(long, value_name = "N", requires = "run", conflicts_with = "copy")]
    pub row: Vec<u64>,

    /// The recipients have it
    #[arg(long)]
    pub delivered: bool,

    /// They don't, and may be sent to again
    #[arg(long)]
    pub undelivered: bool,

    /// This state directory is a copy, and its original went on: every row it can't know of is in doubt
    #[arg(long)]
    pub copy: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    #[test]
    fn what_goes_together() {
        for (words, good) in [
            ("send x.toml --again --abandon 00aa --deadline 06:00 --until-empty", true),
            ("send x.toml --deadline yesterday", false),
            ("serve", true),
            ("pause", true),
            ("pause --run 00aa", true),
            ("resume --source a", true),
            ("pause --run 00aa --source a", false),
            ("cancel", false),
            ("cancel --provider mx.example", true),
            ("cancel --run 00aa --provider mx.example", false),
            ("drain", true),
            ("doubt", false),
            ("doubt list", true),
            ("doubt list --run 00aa --json", true),
            ("doubt resend", false),
            ("doubt resend --row 1", false),
            ("doubt resend --run 00aa --row 1 --row 2", true),
            ("doubt resend --copy", true),
            ("doubt resend --copy --run 00aa", false),
            ("doubt resend --copy --row 1", false),
            ("doubt settle --run 00aa", false),
            ("doubt settle --run 00aa --delivered --undelivered", false),
            ("doubt settle --run 00aa --row 7 --undelivered", true),
            ("doubt settle --copy", true),
            ("doubt settle --copy --delivered", false),
            ("doubt settle --delivered", false),
        ] {
            let typed = std::iter::once("sealpost").chain(words.split(' '));
            assert_eq!(Args::try_parse_from(typed).is_ok(), good, "{words}");
        }
    }

    #[test]
    fn targets() {
        let target = |words: &str| {
            let args = Args::parse_from(std::iter::once("sealpost").chain(words.split(' ')));
            let (Command::Pause(named) | Command::Cancel(Cancel { named })) = args.command else { panic!("{words}") };
            named.target()
        };
        assert_eq!(target("pause"), Target::All);
        assert_eq!(target("pause --run 00aa"), Target::Run("00aa".into()));
        assert_eq!(target("cancel --provider mx.example"), Target::Provider("mx.example".into()));
        assert_eq!(target("cancel --source a"), Target::Source("a".into()));
    }
}
