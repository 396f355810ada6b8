//! Where the socket is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The socket's path, as bind(2) and connect(2) take it.
pub(super) struct Door {
    path: PathBuf,
    /// Keeps `path` good, where that leads through the open folder.
    _folder: Option<File>,
}

/// What `sun_path` holds besides its closing zero (unix(7)).
const LONGEST: usize = 107;

impl Door {
    /// The door of `state_dir`. A path too long for `sun_path` leads through `/proc/self/fd`, so that no state directory is
    /// too deep.
    pub(super) fn of(state_dir: &Path) -> io::Result<Door> {
        let path = state_dir.join(NAME);
        if path.as_os_str().len() <= LONGEST {
            return Ok(Door { path, _folder: None });
        }
        let folder = File::open(state_dir)?;
        Ok(Door { path: PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd())), _folder: Some(folder) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

const NAME: &str = "socket";
