//! Words of sealed transport: what is demanded, what a peer can prove, and how TLS falls short.
//!
//! A [`Demand`] only grows: [`raise`](Demand::raise) is all that can be done to it. What a session has proven is a value of
//! `smtp::Proof`, which is held against the demand of each message.

mod demand;
mod fault;
mod pattern;
mod tlsa;

pub use demand::{Demand, Level, MxTrust, Peer, Peers};
pub use fault::{TlsFault, Whose};
pub use pattern::MxPattern;
pub use tlsa::{Tlsa, TlsaRecord};
