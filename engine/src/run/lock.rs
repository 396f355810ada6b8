//! One engine a state directory.

use super::Error;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The state directory's lock; whoever holds it is the engine. The kernel lets go of it when the process dies.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// What another process learns of a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody is at work.
    Nobody,
    /// An engine is, or a command that changes the store.
    Somebody,
}

/// Whoever looks who holds it holds it as well, for a moment.
const GLIMPSE: Duration = Duration::from_millis(100);

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
        let deadline = Instant::now() + GLIMPSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(GLIMPSE / 10),
                Err(TryLockError::WouldBlock) => return Err(Error::Busy(state_dir.to_owned())),
                Err(TryLockError::Error(cause)) => return Err(fail(cause)),
            }
        }
    }

    /// Whether somebody holds it now. `None` if the directory was never used.
    ///
    /// # Errors
    /// The directory can't be looked at.
    pub fn look(state_dir: &Path) -> Result<Option<Holder>, Error> {
        match File::open(state_dir.join("lock")) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(Some(Holder::Nobody)),
                Err(TryLockError::WouldBlock) => Ok(Some(Holder::Somebody)),
                Err(TryLockError::Error(cause)) => Err(Error::State { path: state_dir.to_owned(), cause }),
            },
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Error::State { path: state_dir.to_owned(), cause }),
        }
    }
}
