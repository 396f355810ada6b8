//! Why an input can't be read, or can't be read further.

use crate::Fault;
use crate::spec::STDIN;
use std::path::{Path, PathBuf};

/// A file that can't be read, or can't be read further. `Display` names the file and the trouble, never a cell's value.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", name(path))]
pub struct Error {
    path: PathBuf,
    #[source]
    fault: Fault,
}

impl Error {
    pub(crate) fn new(path: &Path, fault: impl Into<Fault>) -> Self {
        Error { path: path.to_owned(), fault: fault.into() }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }
}

fn name(path: &Path) -> std::path::Display<'_> {
    if path.as_os_str() == STDIN { Path::new("standard input").display() } else { path.display() }
}
