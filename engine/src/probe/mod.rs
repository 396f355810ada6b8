//! Finds out what domains' MX hosts can do, without a message: the route as a run would look it up, then a session as far as
//! QUIT.
//!
//! Comes in: domains. Goes out: [`Finding`]s, to whoever asked, to the store, to a [`Forecast`]; what hosts have shown goes to
//! `standing`, so that a later run knows it.
//!
//! Promises: never a MAIL, never an AUTH; one session a host, however many domains it serves; one host at a time of a site and
//! two sessions at a time to an address; no ticket of an earlier session, whose certificate may be another.

mod finding;
mod forecast;
mod prober;

pub use finding::{Finding, HostFinding, Outlook};
pub use forecast::{Forecast, Share};
pub use prober::{Means, Prober};
