//! What providers allow: rules that group sites by the suffixes of their MX hosts, and say how fast each may be sent to.
//!
//! Comes in: `shaping.toml` and a domain with its MX hosts. Goes out: the provider's name and its [`Terms`].

mod terms;

pub use terms::{Rate, Terms};
