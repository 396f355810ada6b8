//! Why a run can't start or go on.

use crate::mail::RunId;
use crate::{plan, render, resolve, secret, sign, smtp, store};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A run that can't start or go on. Refusals by receivers are outcomes, never this.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configuration file.
    #[error(transparent)]
    Plan(#[from] plan::Error),
    /// The input file.
    #[error(transparent)]
    Input(#[from] loader::Error),
    /// A column that the campaign names and the input hasn't.
    #[error("{}: {role} names column \"{column}\", which {} does not have", campaign.display(), input.display())]
    NoColumn {
        /// The campaign file.
        campaign: PathBuf,
        /// The key that names it.
        role: &'static str,
        /// The column.
        column: String,
        /// The input.
        input: PathBuf,
        /// What is there.
        present: Vec<String>,
    },
    /// A template.
    #[error(transparent)]
    Template(#[from] render::TemplateError),
    /// A key.
    #[error(transparent)]
    Key(#[from] secret::KeyError),
    /// A signing key.
    #[error("{}: {cause}", path.display())]
    SigningKey {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        cause: sign::KeyTrouble,
    },
    /// No key for the domain in From.
    #[error("{}: no signing key for {domain}, the domain of [message] from", machine.display())]
    NoSigningKey {
        /// `sealpost.toml`.
        machine: PathBuf,
        /// The domain.
        domain: String,
    },
    /// Names can't be looked up.
    #[error("{}: {cause}", machine.display())]
    Dns {
        /// `sealpost.toml`.
        machine: PathBuf,
        /// Why.
        cause: resolve::DnsError,
    },
    /// The campaign names a source that is not there.
    #[error("{}: [transport] sources names \"{name}\", which is no [[source]] of sealpost.toml", campaign.display())]
    NoSource {
        /// The campaign file.
        campaign: PathBuf,
        /// The source it names.
        name: String,
        /// What is there.
        present: Vec<String>,
    },
    /// A source's address can't be sent from.
    #[error("{}: [[source]] \"{name}\": can't send from {address}: {cause}", machine.display())]
    SourceAddress {
        /// `sealpost.toml`.
        machine: PathBuf,
        /// The source.
        name: String,
        /// Its address.
        address: IpAddr,
        /// The system's refusal.
        cause: std::io::Error,
    },
    /// Trusted roots.
    #[error(transparent)]
    Roots(#[from] smtp::RootsError),
    /// The state directory is a copy.
    #[error("{}: {why}", path.display())]
    Copied {
        /// The state directory.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// The state directory is none.
    #[error("{}: this state directory is no copy", .0.display())]
    NotCopied(PathBuf),
    /// The input took the place of one that was not sent to its end.
    #[error(
        "{input}: run {run} read {read} rows of what this file held before, and has not sent them all; it is another now"
    )]
    Overwritten {
        /// The input.
        input: String,
        /// The run that needs the old one.
        run: RunId,
        /// How far it came.
        read: u64,
    },
    /// The run that was named is not one to give up.
    #[error("--abandon {run}: {why}")]
    NothingToGiveUp {
        /// The run.
        run: RunId,
        /// Why not.
        why: &'static str,
    },
    /// An order about the open runs, and none is.
    #[error("no run is open: there is nothing to cancel")]
    NothingOpen,
    /// The run was made with another input.
    #[error("{input} is not what run {run} was opened with; its row {row} has the Message-ID {message_id}")]
    AnotherInput {
        /// The input.
        input: String,
        /// The run.
        run: RunId,
        /// The row asked for.
        row: u64,
        /// Its Message-ID.
        message_id: String,
    },
    /// The engine takes no more campaigns.
    #[error("{}: the engine is being drained and takes no more campaigns", .0.display())]
    Draining(PathBuf),
    /// No run of that name.
    #[error("there is no run {run}")]
    NoRun {
        /// What was asked for.
        run: String,
    },
    /// The run has no rows left.
    #[error("run {run} is over")]
    RunOver {
        /// The run.
        run: RunId,
    },
    /// Nothing was paused.
    #[error("{what} is not paused")]
    NotPaused {
        /// What was to be resumed.
        what: String,
    },
    /// A cancelled run sends nothing again.
    #[error("run {run} was cancelled: its rows are not sent again")]
    RunCancelled {
        /// The run.
        run: RunId,
    },
    /// No row is in doubt.
    #[error("run {run}: nothing is in doubt")]
    NothingInDoubt {
        /// The run.
        run: RunId,
    },
    /// No row in doubt of that number.
    #[error("run {run}: row {row} is not in doubt")]
    NoDoubt {
        /// The run.
        run: RunId,
        /// The row.
        row: u64,
    },
    /// Another engine holds the state directory.
    #[error("{}: another sealpost is at work here", .0.display())]
    Busy(PathBuf),
    /// Metrics can't be served.
    #[error("[metrics] listen: {listen}: {cause}")]
    Metrics {
        /// Where.
        listen: SocketAddr,
        /// The system's refusal.
        cause: std::io::Error,
    },
    /// The state directory itself.
    #[error("{}: {cause}", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// The system's refusal.
        cause: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The letter was changed while rows of the run wait.
    #[error("{}: the letter now needs column \"{column}\", which {rows} deferred rows of this run were kept without", campaign.display())]
    ColumnNotKept {
        /// The campaign file.
        campaign: PathBuf,
        /// The column.
        column: String,
        /// Rows in the store.
        rows: u64,
    },
    /// Standard input began like that of an earlier run, and went on otherwise.
    #[error("standard input begins like that of run {run} and is another")]
    AnotherStream {
        /// The earlier run.
        run: RunId,
        /// Whether it was finished.
        finished: bool,
    },
    /// A run's campaign reads something else now.
    #[error("{}: its [input] is not what run {run} read {read} rows of ({input}), and has not sent them all", campaign.display())]
    InputReplaced {
        /// The campaign file.
        campaign: PathBuf,
        /// The run that needs the old one.
        run: RunId,
        /// What it read.
        input: String,
        /// How far it came.
        read: u64,
    },
    /// A run whose rows came by a pipe.
    #[error("run {run} reads standard input, and has not read all of it")]
    StreamIsOver {
        /// The run.
        run: RunId,
    },
    /// A run that was opened before campaigns' files were written down.
    #[error("run {run} does not say which campaign file it is of")]
    NoCampaignFile {
        /// The run.
        run: RunId,
    },
    /// Whoever sent a run wanted it to go so far and no further.
    #[error("run {run} was sent with {option}, and rests since")]
    Bounded {
        /// The run.
        run: RunId,
        /// What was typed.
        option: &'static str,
    },
    /// No row of that number.
    #[error("{input}: there is no row {row}")]
    NoRow {
        /// The input.
        input: String,
        /// The ordinal asked for.
        row: u64,
    },
    /// Nobody is to send TLS reports.
    #[error("{}: [tls.reports] is missing, or not enabled", machine.display())]
    NoReports {
        /// `sealpost.toml`.
        machine: PathBuf,
    },
    /// Our own fault.
    #[error("internal: {0}")]
    Internal(String),
}

/// Whose fault an error is; the command line makes its exit code of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The operator can mend it.
    Configuration,
    /// Somebody else is at work.
    Busy,
    /// Ours, or the machine's.
    Engine,
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Error::Busy(_) | Error::Draining(_) => Blame::Busy,
            Error::Store(_) | Error::Internal(_) => Blame::Engine,
            _ => Blame::Configuration,
        }
    }
}
