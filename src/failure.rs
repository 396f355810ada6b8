//! How the command line fails: `error: …`, its causes, then `hint: …`, and an exit code.

use engine::control::{self, Refusal};
use engine::run::{Blame, Error};

/// All rows settled.
pub const SETTLED: u8 = 0;
/// Settled, but too many undelivered, or some in doubt.
pub const UNDELIVERED: u8 = 1;
/// Usage or configuration.
pub const USAGE: u8 = 2;
/// Stopped with rows left.
pub const ROWS_LEFT: u8 = 3;
/// Stopped by its brake, until a person resumes it.
pub const BRAKED: u8 = 4;
/// Our own fault (sysexits' EX_SOFTWARE).
pub const INTERNAL: u8 = 70;
/// The engine is busy (sysexits' EX_TEMPFAIL).
pub const BUSY: u8 = 75;

/// Something that ends a command.
#[derive(Debug)]
pub struct Failure {
    what: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// The operator can mend it.
    pub fn usage(what: impl Into<String>, hint: Option<String>) -> Failure {
        Failure { what: what.into(), hint, code: USAGE }
    }

    /// Ours, or the machine's.
    pub fn internal(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), hint: None, code: INTERNAL }
    }

    /// Somebody else is at work.
    pub fn busy(what: impl Into<String>) -> Failure {
        Failure { what: what.into(), hint: Some("try again in a moment".into()), code: BUSY }
    }

    /// The engine said no.
    pub fn refused(refusal: Refusal) -> Failure {
        Failure { what: refusal.what, hint: refusal.hint, code: refusal.code }
    }

    /// The engine could not be asked, or said no.
    pub fn asking(error: control::Error) -> Failure {
        Failure::refused(error.into())
    }

    /// The same, of the state directory that it is about.
    pub fn about(self, state_dir: &std::path::Path) -> Failure {
        let folder = state_dir.display().to_string();
        // Some name it, or a file in it, themselves.
        if self.what.starts_with(&folder) { self } else { Failure { what: format!("{folder}: {}", self.what), ..self } }
    }

    /// A file that can't be written.
    pub fn writing(path: &std::path::Path, cause: &std::io::Error) -> Failure {
        Failure::usage(format!("{}: {cause}", path.display()), None)
    }

    /// Says it on stderr, and gives the exit code.
    pub fn say(&self) -> u8 {
        eprintln!("error: {}", self.what);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        self.code
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        let error = error.into();
        let code = match error.blame() {
            Blame::Configuration => USAGE,
            Blame::Busy => BUSY,
            Blame::Engine => INTERNAL,
        };
        Failure { what: error.to_string(), hint: error.hint(), code }
    }
}
