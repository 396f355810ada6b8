//! MTA-STS policies, kept in the store.

use crate::store::{About, Error, Store};
use crate::sts::{Kept, Shelf, ShelfError};
use std::sync::Arc;

/// Family `tls` of the store, as the shelf that policies lie on.
pub(super) struct StoreShelf(pub(super) Arc<Store>);

/// A policy that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("a kept MTA-STS policy is damaged")]
struct Damaged;

impl Shelf for StoreShelf {
    fn get(&self, domain: &str) -> Result<Option<Kept>, ShelfError> {
        let found = self.0.shown(About::Policy, domain).map_err(cause)?;
        found.map(|octets| Kept::decode(&octets).ok_or_else(|| ShelfError::new(Damaged))).transpose()
    }

    fn put(&self, domain: &str, kept: &Kept) -> Result<(), ShelfError> {
        self.0.put_shown(About::Policy, domain, &kept.encode()).map_err(cause)
    }

    fn forget(&self, domain: &str) -> Result<(), ShelfError> {
        self.0.forget_shown(About::Policy, domain).map_err(cause)
    }
}

/// What the store says names no domain.
fn cause(error: Error) -> ShelfError {
    ShelfError::new(error)
}
