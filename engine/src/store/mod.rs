//! What survives a crash: RocksDB in `<state_dir>/db`.
//!
//! # Format, version 1
//! Numbers are big-endian. A value begins with its version, one octet. *Sealed* means AES-256-GCM under the run's data key,
//! bound to (column family, run, ordinal) (see [`crate::secret`]).
//!
//! | family | key | value after the version |
//! |---|---|---|
//! | `key` | name: `token`, or `data` ‖ run (8) | wrapped key |
//! | `run` | run (8) | [`Manifest`] as JSON; no PHI |
//! | `outcome` | run (8), ordinal (8) | kind (1), time in ms (8), attempts (4), code (2, 0 = none), enhanced class (1, 0 = none), subject (2), detail (2), reason length (1), reason, sealed text (may be absent) |
//! | `deferred` | run (8), due in ms (8), ordinal (8) | length (1), reason it waits for, sealed row |
//! | `backlog` | run (8), provider (8), ordinal (8) | the same, with an empty reason |
//! | `lease` | run (8), ordinal (8) | time of `started` in ms (8), of the first attempt (8), boot id (16) |
//!
//! A sealed row is JSON: recipient, fields, attempts, first attempt.
//!
//! # Order
//! * `lease` is written before the last octet of a message is handed to the socket; the outcome (or the new `deferred`
//!   entry) replaces it in one write batch before anything else is committed to on that connection.
//! * A deferred row that is due moves to `backlog` in one batch; settling it removes it there in the batch of its outcome.
//! * So at every moment a row stands in exactly one of: nowhere (not read, or waiting in memory), `backlog`, `deferred`,
//!   `outcome`; and in `lease` besides while its outcome is open.
//!
//! # Sync points
//! Writes go to the WAL, which reaches the operating system at once: they survive the death of the process. Manifests and
//! keys are synced. Surviving power loss comes with leases that are synced before use (the durability issue).
//!
//! # Recovery
//! RocksDB replays the WAL. A `lease` without outcome is a row *in doubt*. Counters are not stored: they are what the
//! families hold.

mod codec;
mod db;
mod family;
mod manifest;
mod reschedule;
mod rows;
mod runs;
mod tally;

pub use codec::{decode_outcome, encode_outcome};
pub use db::{Error, Store};
pub use family::Family;
pub use manifest::{Latency, Manifest};
pub use rows::Change;
pub use tally::Tally;
