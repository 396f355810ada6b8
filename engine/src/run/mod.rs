//! The engine: starts, opens runs, feeds them, ends them.
//!
//! 1. [`Machinery`] is everything an engine needs and [`Setup`] everything a run needs besides, from configuration or made
//!    on the spot for a [`mod@rehearsal`].
//! 2. [`Engine::start`] locks the state directory, opens the store, and starts what runs share: the clerk, N shards, a rayon
//!    pool, a steward that ends what is done.
//! 3. [`Engine::open`] finds or makes the run of an input, recovers it, and starts its feeders: one reader, one thread for
//!    rows due again, one that finds routes. Several runs are open side by side.
//! 4. [`Commands`](crate::control::Commands) shows, pauses, cancels; [`Engine::stop`] ends it.
//!
//! Promise: a finished run is never sent twice; an open run goes on where it stopped.

mod blueprint;
mod choice;
mod commands;
mod dispatch;
pub mod doubt;
mod earlier;
mod engine;
mod error;
mod exporter;
mod feed;
mod feeders;
mod hint;
mod keys;
mod lock;
#[cfg(test)]
mod model;
mod names;
pub mod offline;
mod opening;
mod outage;
mod probing;
mod record;
mod recovery;
mod refresh;
mod rehearsal;
pub mod reports;
mod resumption;
pub mod rules;
mod setup;
mod shelf;
#[cfg(test)]
mod simulation;
mod slot;
mod steward;

pub use blueprint::{Blueprint, Sample, SampleRow};
pub use choice::{Outlook, run_of_input, run_of_name};
pub use engine::Engine;
pub use error::{Blame, Error};
pub use exporter::Exporter;
pub use keys::{audit_key, data_key, index_key, token_key};
pub use lock::{Holder, Lock};
pub use probing::Probing;
pub use rehearsal::{Rehearsal, rehearsal};
pub use setup::{Durability, Machinery, Options, Setup, Signatures, signatures};
