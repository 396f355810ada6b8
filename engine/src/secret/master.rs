//! The master key: it wraps the others and does nothing else.

use super::{DataKey, KeyFileError, Place, owner_only, random};
use data_encoding::BASE64;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file of one base64 line.
    File(PathBuf),
    /// An environment variable with the same line.
    Env(String),
}

/// The key outside the state directory.
pub struct MasterKey(DataKey);

/// A key that is missing, unusable or the wrong one.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// Its environment variable.
    #[error("environment variable {0} does not hold a master key")]
    Env(String),
    /// An environment variable without a password.
    #[error("environment variable {0} does not hold a password")]
    Password(String),
    /// A wrapped key or sealed value does not open.
    #[error("the master key does not open this state directory's keys")]
    Wrong,
}

impl KeyError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            KeyError::File(error) => error.hint(),
            KeyError::Env(name) => {
                format!("export {name} with the one line that `sealpost init` wrote to its key file")
            }
            KeyError::Password(name) => format!("export {name} before starting sealpost"),
            KeyError::Wrong => {
                "name the master key with which this state directory was first used, or another state_dir".into()
            }
        }
    }
}

/// The password at `place`: a file's first line, or a variable's value.
///
/// # Errors
/// It is missing, or others can read it.
pub fn password(place: &KeyPlace) -> Result<Zeroizing<String>, KeyError> {
    match place {
        KeyPlace::File(path) => {
            let content = owner_only(path)?;
            let text = std::str::from_utf8(&content).unwrap_or_default().lines().next().unwrap_or_default();
            if text.is_empty() {
                let what = "its first line is no password in UTF-8".into();
                return Err(KeyFileError::Content { path: path.clone(), what }.into());
            }
            Ok(Zeroizing::new(text.to_owned()))
        }
        KeyPlace::Env(name) => match std::env::var(name) {
            Ok(value) if !value.is_empty() => Ok(Zeroizing::new(value)),
            _ => Err(KeyError::Password(name.clone())),
        },
    }
}

impl MasterKey {
    /// A new key and the line that a key file holds.
    pub fn generate() -> (MasterKey, Zeroizing<String>) {
        let octets = Zeroizing::new(random::<32>());
        let line = Zeroizing::new(format!("{}\n", BASE64.encode(octets.as_slice())));
        (MasterKey(DataKey::new(&octets)), line)
    }

    /// Fetches the key from where the configuration says it is.
    ///
    /// # Errors
    /// It isn't there, others can read it, or it is no key.
    pub fn fetch(place: &KeyPlace) -> Result<MasterKey, KeyError> {
        match place {
            KeyPlace::File(path) => Ok(MasterKey::parse(&owner_only(path)?).ok_or_else(|| not_a_key(path))?),
            KeyPlace::Env(name) => std::env::var(name)
                .ok()
                .map(Zeroizing::new)
                .and_then(|line| MasterKey::parse(line.as_bytes()))
                .ok_or_else(|| KeyError::Env(name.clone())),
        }
    }

    fn parse(line: &[u8]) -> Option<MasterKey> {
        let octets = Zeroizing::new(BASE64.decode(line.trim_ascii()).ok()?);
        let octets: &[u8; 32] = octets.as_slice().try_into().ok()?;
        Some(MasterKey(DataKey::new(octets)))
    }

    /// Wraps another key; `name` is what it is called in the store.
    pub fn wrap(&self, name: &[u8], key: &[u8; 32]) -> Vec<u8> {
        self.0.seal(Place::Key(name), key)
    }

    /// Opens a wrapped key.
    ///
    /// # Errors
    /// This is not the master key that wrapped it.
    pub fn unwrap(&self, name: &[u8], wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let octets = Zeroizing::new(self.0.open(Place::Key(name), wrapped).ok_or(KeyError::Wrong)?);
        octets.as_slice().try_into().map(Zeroizing::new).map_err(|_| KeyError::Wrong)
    }
}

fn not_a_key(path: &Path) -> KeyFileError {
    KeyFileError::Content { path: path.to_owned(), what: "is no master key (one line of base64, 32 octets)".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_master_key_opens_nothing() {
        let (ours, line) = MasterKey::generate();
        let (other, _) = MasterKey::generate();
        let wrapped = ours.wrap(b"token", &[7; 32]);
        assert_eq!(*ours.unwrap(b"token", &wrapped).expect("ours"), [7; 32]);
        assert!(matches!(ours.unwrap(b"data", &wrapped), Err(KeyError::Wrong)), "bound to its name");
        assert!(matches!(other.unwrap(b"token", &wrapped), Err(KeyError::Wrong)));
        let again = MasterKey::parse(line.as_bytes()).expect("its own line");
        assert_eq!(*again.unwrap(b"token", &wrapped).expect("the same key"), [7; 32]);
        assert!(MasterKey::parse(b"c2hvcnQ=").is_none());
    }
}
