//! Shards: who sends what, when, over which connection.
//!
//! A shard is one thread with its own single-threaded runtime. It owns its providers outright, so that every limit has
//! exactly one owner and nothing here is locked.
//!
//! 1. A [`Job`] (row, route, run) comes in over a bounded channel; the shard stops taking while it holds its share of
//!    `rows_in_memory`, and so the pressure travels back to the reader.
//! 2. It waits in the backlog of its [`lane`]: the rows of one provider that make one demand.
//! 3. When the lane has room on the wire, rayon renders and signs it ([`Press`]): just in time, a few ahead of the sessions.
//! 4. A session ([`conversation`]) takes the ready message and sends it.
//! 5. The run's `Settle` records how it ended, before the session takes another.
//!
//! A lane is *open*, or *suspended* until a time because a session met trouble that every other would meet: then its rows
//! are settled by that verdict, without being rendered.
//!
//! Where it is our own machine that can't open a session, nobody is suspended and no row is settled: the shard opens no
//! more of them for a moment ([`drought`]) and tries again.

mod conversation;
mod drought;
mod gauges;
mod lane;
mod limits;
mod press;
mod shard;

pub use limits::Limits;
pub use press::Press;
pub use shard::{Deps, Job, Run, Shard, Stop};
