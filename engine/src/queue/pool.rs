//! Where messages are made.

use std::sync::Arc;

/// What renders and signs.
#[derive(Clone)]
pub enum Pool {
    /// Threads of its own, shared by all shards.
    Rayon(Arc<rayon::ThreadPool>),
    /// The shard's thread, at once: for simulations, where all is one thread.
    Here,
}

impl Pool {
    /// Does `work`, now or soon.
    pub(super) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        match self {
            Pool::Rayon(threads) => threads.spawn(work),
            Pool::Here => work(),
        }
    }
}
