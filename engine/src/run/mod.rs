//! Starts a run, feeds it, and ends it.
//!
//! 1. [`Setup`] is everything a run needs, from configuration ([`Setup::of`]) or made on the spot for a rehearsal.
//! 2. [`start()`] locks the state directory, opens the store, finds or opens the run, recovers it, and starts the threads:
//!    one reader, one for rows due again, one that finds routes, N shards, a rayon pool.
//! 3. [`Running`] is the handle: counts now, stop, wait, [`Summary`].
//!
//! Promise: a finished run is never sent twice; an open run goes on where it stopped.

mod blueprint;
mod choice;
mod dispatch;
mod error;
mod exporter;
mod feed;
mod keys;
mod lock;
mod opening;
mod outage;
mod recovery;
mod rehearsal;
mod running;
mod setup;
mod start;
mod threads;

pub use blueprint::{Blueprint, Sample, SampleRow};
pub use error::{Blame, Error};
pub use exporter::Exporter;
pub use keys::{data_key, token_key};
pub use lock::{Engine, Lock};
pub use rehearsal::rehearsal;
pub use running::{Running, Started, Summary};
pub use setup::{Options, Setup};
pub use start::start;
