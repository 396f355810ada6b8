//! Models of receivers, and senders that choose their pace: fixed limits, Postfix's feedback, ours (`engine::throttle` itself).
//!
//! Nothing is sent and nothing waits: time is made up, luck comes from a seed, and the same seed tells the same story. Receivers are
//! files (`perf/receivers/`). By these plays the throttle's numbers were chosen, and its bars are asserted on them (`tests`).

mod chart;
mod limiter;
mod luck;
mod receiver;
mod score;
mod senders;
mod server;
mod table;
mod world;

#[cfg(test)]
mod tests;

pub use chart::draw;
pub use score::change;
pub use table::measure;
pub use world::Second;
