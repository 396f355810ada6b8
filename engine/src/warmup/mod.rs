//! Sources that receivers don't know yet: how many messages a day each provider gets from them, and how many it has had.
//!
//! 1. A [`Schedule`] has a cap for each day, and none after its last;
//! 2. a [`Warmup`] is a schedule and the [`Day`](crate::clock::Day) it began; [`Warmups`] are those of all sources, by address: receivers judge an
//!    address, whatever we call it, and IPv4 apart from IPv6;
//! 3. an [`Allowance`] is what one address may send one provider today. A message takes a [`Ticket`] of it before it is made;
//! 4. a [`Ledger`] keeps what was taken.
//!
//! Promises: tickets of a day are never more than its cap, over any number of processes. A ticket is in the ledger before
//! anybody has it; one that was not used is given back. After `kill -9` those that were out count as used: too little is
//! sent, never too much. What the ledger does not sync is synced by the lease of the message that has the ticket.
//!
//! Comes in: a source's address and a provider. Goes out: tickets, or when there are some again.

mod allowance;
mod schedule;
#[cfg(test)]
mod tests;
mod warming;

pub use allowance::{Allowance, Ledger, LedgerError, Taken, Ticket};
pub use schedule::{Schedule, Unfit};
pub use warming::{Warming, Warmup, Warmups};
