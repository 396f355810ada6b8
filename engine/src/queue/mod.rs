//! Shards: who sends what, when, over which connection.
//!
//! A shard is one thread with its own single-threaded runtime. It owns its providers outright, so that every limit has
//! exactly one owner and nothing here is locked.
//!
//! 1. A [`Job`] (row, route, run) comes in, with a place in its run's [`Room`]: where none is left the router waits, and so
//!    the pressure travels back to the reader.
//! 2. It waits in its run's [`mod@line`] of its [`lane`]: the rows of one provider that make one demand. Where a room is full,
//!    rows that their site would not take for a while go to the store, sealed, and others get their places.
//! 3. When the lane has room on the wire, the runs take turns by their weight, and rayon renders and signs the row
//!    ([`Press`]): just in time, a few ahead of the sessions. The [`clerk`] puts it under a lease.
//! 4. A session ([`attempt`] opens it, [`conversation`] holds it) takes the ready message and sends it.
//! 5. The run's `Settle` records how it ended, before the session sends another. Where the server takes it, the next one's
//!    transaction is opened [`ahead`]: with the end of the message before it.
//!
//! The lanes of one provider from one source are a [`group`]: they share its window of sessions and its rate. A session opens where
//! the window has room, and spends a token for each MAIL that it writes; what servers answer goes back to the
//! [`Throttle`](crate::throttle::Throttle), which says what the window and the rate are. A message that is refused because all of us
//! came too fast costs its row no attempt: it comes back once the group's hold is over.
//!
//! A lane is *open*, or *suspended* until a time because a session met trouble that every other would meet: then its rows
//! are settled by that verdict, without being rendered.
//!
//! Where it is our own machine that can't open a session, nobody is suspended and no row is settled: the shard opens no
//! more of them for a moment ([`drought`]) and tries again.

mod ahead;
mod attempt;
mod clerk;
mod controls;
mod conversation;
mod drought;
mod gauges;
mod group;
#[cfg(test)]
mod here;
mod lane;
mod limits;
mod line;
mod opened;
mod owner;
mod pace;
mod pool;
mod press;
mod reporting;
mod room;
mod run;
mod shard;
mod upkeep;

pub use clerk::{Clerk, Sync};
pub use controls::Controls;
pub use limits::Limits;
#[cfg(test)]
pub(crate) use line::Line;
pub use pool::Pool;
pub use press::Press;
pub use room::{Place, Room};
pub use run::{Hold, Run};
pub use shard::{Deps, Job, Shard, Stop};

#[cfg(test)]
pub(crate) use here::{Glance, Left, here};
