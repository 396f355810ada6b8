//! The embedded MX: an SMTP server on loopback that takes messages over real TLS, answers by recipe and keeps a ledger. One
//! is one site: what its [`Limits`] allow a client, it allows all of that client's connections together.
//!
//! Rehearsals run it inside; tests and `perf/` run it as a process of its own (`sealpost sandbox`). It delivers nothing and
//! keeps no content, but for the sample that `perf/` asks for.

mod authority;
mod course;
mod gate;
mod ledger;
mod limits;
mod recipe;
mod server;
mod speaker;
mod talk;

pub use course::{Course, Most, Second};
pub use ledger::{Ledger, Totals};
pub use limits::{Limits, LimitsError, Schedule, Step, Window};
pub use recipe::Recipe;
pub use server::{Sandbox, SandboxError};

#[cfg(test)]
pub(crate) use {gate::Meter, limits::Allowed};
