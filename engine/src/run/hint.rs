//! What an operator can do about an error.

use super::Error;
use crate::{resolve, store};
use std::io::ErrorKind;
use std::path::Path;

impl Error {
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

#[cfg(test)]
mod tests {
    use super::super::Blame;
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
