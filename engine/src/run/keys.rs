//! The keys that the master key wraps, made when they are first needed.

use super::Error;
use crate::mail::RunId;
use crate::secret::{AuditKey, DataKey, IndexKey, MasterKey, TokenKey};
use crate::store::Store;

/// The state directory's token key.
///
/// # Errors
/// The master key is the wrong one, or the store can't be used.
pub fn token_key(store: &Store, master: &MasterKey) -> Result<TokenKey, Error> {
    Ok(TokenKey::new(&*wrapped(store, master, b"token")?))
}

/// The state directory's index key.
///
/// # Errors
/// The master key is the wrong one, or the store can't be used.
pub fn index_key(store: &Store, master: &MasterKey) -> Result<IndexKey, Error> {
    Ok(IndexKey::new(&*wrapped(store, master, b"index")?))
}

/// The state directory's audit key.
///
/// # Errors
/// The master key is the wrong one, or the store can't be used.
pub fn audit_key(store: &Store, master: &MasterKey) -> Result<AuditKey, Error> {
    Ok(AuditKey::new(&*wrapped(store, master, b"audit")?))
}

/// A run's data key.
///
/// # Errors
/// The master key is the wrong one, or the store can't be used.
pub fn data_key(store: &Store, master: &MasterKey, run: RunId) -> Result<DataKey, Error> {
    let name = [b"data".as_slice(), &run.octets()].concat();
    Ok(DataKey::new(&*wrapped(store, master, &name)?))
}

fn wrapped(store: &Store, master: &MasterKey, name: &[u8]) -> Result<zeroize::Zeroizing<[u8; 32]>, Error> {
    if let Some(wrapped) = store.wrapped_key(name)? {
        return Ok(master.unwrap(name, &wrapped)?);
    }
    let key = DataKey::generate();
    store.put_wrapped_key(name, &master.wrap(name, &key))?;
    Ok(key)
}
