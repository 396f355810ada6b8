//! One engine a state directory.

use super::Error;
use crate::mail::RunId;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The state directory's lock; whoever holds it is the engine. The kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct Lock(File);

/// What another process learns of a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Nobody is at work.
    Stopped,
    /// One is, on this run once it has got so far.
    Running(Option<RunId>),
}

impl Engine {
    /// Whether an engine is at work on `run`. Rows of any other run that were started and have no outcome are in doubt.
    pub fn is_at(self, run: RunId) -> bool {
        self == Engine::Running(Some(run))
    }
}

impl Lock {
    /// Takes the lock, making the directory (0700) where it is missing.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds it.
    pub fn take(state_dir: &Path) -> Result<Lock, Error> {
        let fail = |cause| Error::State { path: state_dir.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(fail)?;
        let path = state_dir.join("lock");
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path).map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0).map_err(fail)?;
                Ok(Lock(file))
            }
            Err(TryLockError::WouldBlock) => Err(Error::Busy(state_dir.to_owned())),
            Err(TryLockError::Error(cause)) => Err(fail(cause)),
        }
    }

    /// Writes down which run the holder is at, for [`Lock::look`].
    ///
    /// # Errors
    /// The file can't be written.
    pub fn name(&mut self, run: RunId) -> std::io::Result<()> {
        self.0.set_len(0)?;
        self.0.write_all(run.to_string().as_bytes())
    }

    /// Whether somebody holds it now. `None` if the directory was never used.
    ///
    /// # Errors
    /// The directory can't be looked at.
    pub fn look(state_dir: &Path) -> Result<Option<Engine>, Error> {
        match File::open(state_dir.join("lock")) {
            Ok(mut file) => match file.try_lock_shared() {
                Ok(()) => Ok(Some(Engine::Stopped)),
                Err(TryLockError::WouldBlock) => {
                    let mut name = String::new();
                    file.read_to_string(&mut name).ok();
                    Ok(Some(Engine::Running(u64::from_str_radix(&name, 16).ok().map(RunId))))
                }
                Err(TryLockError::Error(cause)) => Err(Error::State { path: state_dir.to_owned(), cause }),
            },
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::State { path: state_dir.to_owned(), cause }),
        }
    }
}
