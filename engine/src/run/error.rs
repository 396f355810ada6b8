//! Why a run can't start or go on.

use crate::mail::RunId;
use crate::{plan, render, resolve, secret, sign, smtp, store};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

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

/// What can be done about a state directory that the system refuses.
fn hint_of_folder(path: &Path, cause: ErrorKind) -> Option<String> {
    match cause {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some("state_dir of sealpost.toml must name a folder, or nothing yet: it is made then".into())
        }
        ErrorKind::PermissionDenied => Some(format!(
            "sealpost must be able to write in {}: run it as that folder's owner, or give the folder to its user (`chown`)",
            path.display()
        )),
        ErrorKind::ReadOnlyFilesystem => Some("mount its file system writable, or name another state_dir".into()),
        _ => None,
    }
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

    /// What the operator can do about a run, or the state directory it is in.
    fn hint_of_runs(&self) -> String {
        match self {
            Error::Copied { .. } => {
                "what the original sent since is not known here: `sealpost doubt settle --copy` holds every open row in \
doubt, `sealpost doubt resend --copy` goes on as if the original had sent nothing"
                    .into()
            }
            Error::Overwritten { run, .. } => format!(
                "put the old file back and send it first, name the new one otherwise, or give the rest of the old one \
up: --abandon {run}"
            ),
            Error::NoRun { .. } | Error::RunOver { .. } | Error::NothingOpen => "`sealpost status` lists the runs".into(),
            Error::NotPaused { .. } => "`sealpost status` says what is paused".into(),
            Error::NothingToGiveUp { .. } => {
                "send without --abandon; `sealpost status` lists the runs, `sealpost cancel --run` ends one whatever its input"
                    .into()
            }
            Error::RunCancelled { .. } => {
                "settle them: `sealpost doubt settle --undelivered` lets another file send to their keys".into()
            }
            Error::NoDoubt { .. } | Error::NothingInDoubt { .. } => "`sealpost doubt list` lists the rows in doubt".into(),
            Error::Draining(_) => "try again when it has ended".into(),
            Error::InputReplaced { .. } => "name the old one in [input] path again".into(),
            Error::StreamIsOver { .. } => {
                "stop this engine, and pipe the same stream to `sealpost send`; it goes on behind what is done".into()
            }
            _ => String::new(),
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Plan(error) => error.to_do().map(str::to_owned),
            Error::Input(error) => error.hint(),
            Error::NoColumn { column, present, .. } => {
                let near = crate::mail::closest(column, present.iter().map(String::as_str));
                Some(match near {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("its columns are: {}", present.join(", ")),
                })
            }
            Error::Template(error) => error.hint.clone(),
            Error::Key(error) => Some(error.hint()),
            Error::SigningKey { .. } => {
                Some("make keys with `sealpost init`, or: openssl genpkey -algorithm rsa".into())
            }
            Error::NoSigningKey { domain, .. } => Some(format!("add [dkim.\"{domain}\"] with rsa and ed25519 keys")),
            Error::Dns { cause: resolve::DnsError::Anchors { .. }, .. } => Some(
                "[dns] trust_anchors is a file like Debian's /usr/share/dns/root.key; left out, IANA's keys count"
                    .into(),
            ),
            Error::Dns { .. } => {
                Some("name resolvers in [dns] servers, for example: servers = [\"127.0.0.53\"]".into())
            }
            Error::NoSource { present, .. } => Some(format!("its sources are: {}", present.join(", "))),
            Error::SourceAddress { .. } => {
                Some("give this machine the address (`ip address add`), or take it out of the source".into())
            }
            Error::Roots(_) => {
                Some("[tls] roots and [smarthost] certificate name PEM files; \"system\" is the system's store".into())
            }
            Error::NoReports { .. } => {
                Some("the reference sealpost.toml shows it; sessions are counted from then on".into())
            }
            Error::Metrics { .. } => Some("choose another port, or take [metrics] listen out".into()),
            Error::ColumnNotKept { .. } => Some(
                "change the letter back until this run is finished: only what a letter needs is kept of a row".into(),
            ),
            Error::AnotherStream { finished: false, .. } => {
                Some("pipe the same stream again to finish that run; nothing of this one was sent".into())
            }
            Error::AnotherStream { finished: true, .. } => {
                Some("write it to a file and name that in [input] path; nothing of it was sent".into())
            }
            Error::Copied { .. }
            | Error::Overwritten { .. }
            | Error::NothingToGiveUp { .. }
            | Error::NothingOpen
            | Error::NoRun { .. }
            | Error::RunOver { .. }
            | Error::NotPaused { .. }
            | Error::NoDoubt { .. }
            | Error::NothingInDoubt { .. }
            | Error::RunCancelled { .. }
            | Error::InputReplaced { .. }
            | Error::StreamIsOver { .. }
            | Error::Draining(_) => Some(self.hint_of_runs()),
            Error::Busy(_) => Some("see `sealpost status`; wait for it, or stop it with SIGTERM".into()),
            Error::Store(store::Error::Format1 | store::Error::Later(_)) => {
                Some("finish its runs with the version that made it, or name another state_dir in sealpost.toml".into())
            }
            Error::Store(error) if error.is_damage() => Some(
                "restore the state directory from a backup, then see `sealpost doubt`; nothing more is sent from it"
                    .into(),
            ),
            Error::Store(_) => Some(
                "is the disk full or the state directory damaged? nothing more is sent until it can be written".into(),
            ),
            Error::AnotherInput { .. } => Some(
                "its message can't be made without that input; the receiver's log knows it by its Message-ID".into(),
            ),
            Error::State { path, cause } => hint_of_folder(path, cause.kind()),
            Error::NotCopied(_)
            | Error::NoRow { .. }
            | Error::NoCampaignFile { .. }
            | Error::Bounded { .. }
            | Error::Internal(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_directory_that_can_t_be_used_says_what_to_do() {
        for (cause, told) in [
            (ErrorKind::PermissionDenied, "write in /var/lib/sealpost"),
            (ErrorKind::ReadOnlyFilesystem, "mount its file system writable"),
            (ErrorKind::NotADirectory, "must name a folder"),
            (ErrorKind::AlreadyExists, "must name a folder"),
        ] {
            let error = Error::State { path: "/var/lib/sealpost".into(), cause: cause.into() };
            assert!(error.hint().is_some_and(|hint| hint.contains(told)), "{cause}");
            assert_eq!(error.blame(), Blame::Configuration);
        }
    }
}
