//! Why an engine could not be asked.

use super::Refusal;
use std::io;
use std::path::PathBuf;

/// A request that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("{}: no engine is at work here", .0.display())]
    NoEngine(PathBuf),
    /// The lock is held and nobody listens: it is still opening its store.
    #[error("{}: an engine is at work here, but takes no commands yet", .0.display())]
    NotYet(PathBuf),
    /// It listens and says nothing.
    #[error("{}: an engine is at work here, but does not answer", .0.display())]
    Silent(PathBuf),
    /// It ended, or closed the connection, in the middle of a request: that may have been carried out or not.
    #[error("{}: the engine went away before it answered", .0.display())]
    Gone(PathBuf),
    /// The socket can't be used.
    #[error("{}: the engine's socket: {cause}", state_dir.display())]
    Socket {
        /// The state directory.
        state_dir: PathBuf,
        /// The system's refusal.
        cause: io::Error,
    },
    /// An answer that isn't one of ours.
    #[error("{}: the engine speaks otherwise than this command: {cause}", state_dir.display())]
    Strange {
        /// The state directory.
        state_dir: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It refused.
    #[error("{}", .0.what)]
    Refused(Refusal),
}

impl Error {
    /// Whether there is no engine any more, as opposed to one that is in trouble.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::NoEngine(_) | Error::Gone(_))
    }

    /// The exit code of DESIGN's table.
    pub fn code(&self) -> u8 {
        match self {
            Error::NoEngine(_) | Error::Socket { .. } => 2,
            Error::NotYet(_) | Error::Silent(_) | Error::Gone(_) => 75,
            Error::Strange { .. } => 70,
            Error::Refused(refusal) => refusal.code,
        }
    }

    /// What the operator can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoEngine(_) => Some("`sealpost send CAMPAIGN` or `sealpost serve` starts one".into()),
            Error::NotYet(_) => Some("it opens a large store for a minute or two; try again then".into()),
            Error::Silent(_) => Some(
                "is it stopped (`ps -o stat`: T) or its disk stuck? what was asked may still be carried out".into(),
            ),
            Error::Gone(_) => Some("`sealpost status` shows what became of its runs".into()),
            Error::Socket { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                Some("the engine runs as another user; run this command as that one".into())
            }
            Error::Socket { .. } => None,
            Error::Strange { .. } => {
                Some("it was started by another version of sealpost; use that one's command".into())
            }
            Error::Refused(refusal) => refusal.hint.clone(),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { what: error.to_string(), hint: error.hint(), code: error.code() }
    }
}
