//! The engine's Unix socket: how other commands ask the one engine of a state directory.
//!
//! 1. The engine's process implements [`Commands`], and [`Socket::start`] serves them at `<state_dir>/socket`, mode 0600:
//!    whoever runs as the engine's user may command it, nobody else.
//! 2. Another process connects with [`Client::connect`], which waits a little for an engine that is still opening its store.
//! 3. HTTP/1.1 with JSON bodies, a connection a request: `GET /view`, `GET /runs/{run}`, `POST /submit`, `/pause`, `/resume`,
//!    `/cancel`, `/probe` and `/drain`. A [`Refusal`] travels as 409 with its JSON.
//!
//! Promises: the socket is never open to others, not even for a moment; a request that the engine has begun ends even if the
//! one who asked goes away; no request waits for ever for an engine that is stopped or stuck. No PHI passes here, and no key.

mod client;
mod door;
mod error;
mod server;
mod wire;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::Error;
pub use server::Socket;
pub use wire::{Commands, ConditionView, EngineView, Probe, Refusal, RulesView, RunState, RunView, Submit, Target};
