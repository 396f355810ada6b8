//! Where policies are kept.

use super::Kept;
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

/// Keeps a policy for each domain (lower case, A-labels). It is asked from within tasks, so each call is a matter of
/// microseconds; what it has been told to keep is there after a crash.
pub trait Shelf: Send + Sync {
    /// What is kept for `domain`, whether it still holds or not.
    ///
    /// # Errors
    /// It can't be read: that is not the same as none.
    fn get(&self, domain: &str) -> Result<Option<Kept>, ShelfError>;

    /// Keeps `kept` in the place of what was there.
    ///
    /// # Errors
    /// It can't be written.
    fn put(&self, domain: &str, kept: &Kept) -> Result<(), ShelfError>;

    /// Keeps nothing for `domain` any more.
    ///
    /// # Errors
    /// It can't be written.
    fn forget(&self, domain: &str) -> Result<(), ShelfError>;
}

/// A shelf that can't be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the kept MTA-STS policies")]
pub struct ShelfError(#[source] Arc<dyn Error + Send + Sync>);

impl ShelfError {
    /// For this cause, which names no domain: what reads it may be a log.
    pub fn new(cause: impl Error + Send + Sync + 'static) -> ShelfError {
        ShelfError(Arc::new(cause))
    }
}

/// A shelf in memory. It keeps what a store would: octets.
#[derive(Default)]
pub struct MemoryShelf(Mutex<HashMap<String, Vec<u8>>>);

impl Shelf for MemoryShelf {
    fn get(&self, domain: &str) -> Result<Option<Kept>, ShelfError> {
        let kept = self.0.lock().expect("no holder panics");
        Ok(kept.get(domain).map(|octets| Kept::decode(octets).expect("written by ourselves")))
    }

    fn put(&self, domain: &str, kept: &Kept) -> Result<(), ShelfError> {
        self.0.lock().expect("no holder panics").insert(domain.to_owned(), kept.encode());
        Ok(())
    }

    fn forget(&self, domain: &str) -> Result<(), ShelfError> {
        self.0.lock().expect("no holder panics").remove(domain);
        Ok(())
    }
}
