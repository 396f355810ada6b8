//! One recipient on the way.

use super::Address;
use crate::clock::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// A row's cells by column name. PHI: `Debug` shows nothing of them.
#[derive(Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fields(pub Map<String, Value>);

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields(redacted)")
    }
}

/// Where a row came from, and so what must go from the store when it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Read from the input; the store knows nothing of it.
    Input,
    /// It stands in the store's `backlog`, in this place, until it is settled.
    Backlog {
        /// Under which provider; 0 where it was not yet known.
        provider: u64,
        /// Its turn there: they grow in order of arrival.
        turn: u64,
    },
}

impl Origin {
    /// Provider and turn, where the row stands in the backlog.
    pub fn place(self) -> Option<(u64, u64)> {
        match self {
            Origin::Input => None,
            Origin::Backlog { provider, turn } => Some((provider, turn)),
        }
    }
}

/// One recipient, past the gate.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number in the input, from 1.
    pub ordinal: u64,
    /// Who gets it.
    pub to: Address,
    /// What the templates see.
    pub fields: Fields,
    /// Attempts made so far.
    pub attempts: u32,
    /// When the first attempt was made: the message's `Date`, kept over all attempts.
    pub first_attempt: Option<Timestamp>,
    /// Whether an earlier attempt was in doubt: it may have been delivered, whatever becomes of this one.
    pub doubted: bool,
    /// Where it came from.
    pub origin: Origin,
}
