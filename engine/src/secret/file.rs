//! Files that only their owner may read.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A key file that must not or can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The operating system refused.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its refusal.
        cause: std::io::Error,
    },
    /// Others may read it.
    #[error("{}: others can read this key file (mode {mode:04o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its content is no such key.
    #[error("{}: {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl KeyFileError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            KeyFileError::Io { .. } => "make keys with `sealpost init`, or correct the path in sealpost.toml".into(),
            KeyFileError::Exposed { path, .. } => format!("chmod 600 {}", path.display()),
            KeyFileError::Content { .. } => {
                "restore it from its backup; `sealpost init` makes new ones elsewhere".into()
            }
        }
    }
}

/// Reads a key file, which nobody but its owner may read.
///
/// # Errors
/// It can't be read, or others can read it too.
pub fn owner_only(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, KeyFileError> {
    let io = |cause| KeyFileError::Io { path: path.to_owned(), cause };
    let mode = fs::metadata(path).map_err(io)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    fs::read(path).map(zeroize::Zeroizing::new).map_err(io)
}

/// Writes a new file with mode 0600; an existing one is left alone.
///
/// # Errors
/// It exists, or can't be written.
pub fn write_owner_only(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        write_owner_only(&path, b"secret").expect("written");
        assert_eq!(owner_only(&path).expect("private").as_slice(), b"secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let error = owner_only(&path).expect_err("exposed");
        assert!(error.to_string().contains("others can read this key file (mode 0640)"), "{error}");
        assert!(error.hint().starts_with("chmod 600"), "{}", error.hint());
        assert!(write_owner_only(&path, b"other").is_err(), "never overwritten");
    }
}
