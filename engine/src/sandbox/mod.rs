//! The embedded MX: an SMTP server on loopback that takes messages over real TLS, answers by recipe and keeps a ledger.
//!
//! Rehearsals run it inside; tests and `perf/` run it as a process of its own (`sealpost sandbox`). It delivers nothing and
//! keeps no content.

mod authority;
mod ledger;
mod recipe;
mod server;
mod speaker;
mod talk;

pub use ledger::{Ledger, Totals};
pub use recipe::Recipe;
pub use server::{Sandbox, SandboxError};
