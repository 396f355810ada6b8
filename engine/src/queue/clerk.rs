//! The clerk puts rendered messages under a lease: no message may go to a wire before the disk knows that it might.
//!
//! Comes in: rendered messages from rayon, of all shards and runs. Goes next: their shards' ready queues. One thread writes
//! the leases of everything that waits in one batch and syncs once (group commit): a sync takes milliseconds, and while it
//! lasts the next group gathers.

use super::shard::Rendered;
use crate::metrics::{Metrics, Stage};
use crate::store::{Leave, Store};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

/// When leases are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// Before a message is ready, many with one sync.
    #[default]
    Group,
    /// The same, with a sync for each message.
    Each,
    /// Whenever the system likes: the death of the process costs nothing, power loss can send rows twice.
    Never,
}

/// A message that waits for its lease, and the way to its shard.
struct Leasing(Rendered, UnboundedSender<Rendered>);

/// The way to the clerk. The thread ends when all of these are gone.
#[derive(Clone)]
pub struct Clerk(Desk);

#[derive(Clone)]
enum Desk {
    Thread(Sender<Leasing>),
    Here(Arc<Store>, Sync),
    Nowhere,
}

/// Groups begin no faster than this: a sync costs CPU too, and messages are made ahead.
const PACE: Duration = Duration::from_millis(8);
/// Leases written at once.
const GROUP: usize = 1024;

impl Clerk {
    /// A clerk on a thread of its own.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(store: Arc<Store>, sync: Sync, metrics: Arc<Metrics>) -> std::io::Result<(Clerk, JoinHandle<()>)> {
        let (sender, inbox) = channel();
        let work = move || work(&store, sync, &metrics, &inbox);
        let thread = std::thread::Builder::new().name("clerk".into()).spawn(work)?;
        Ok((Clerk(Desk::Thread(sender)), thread))
    }

    /// Leases are written by whoever brings a message: for simulations, where all is one thread.
    pub fn here(store: Arc<Store>, sync: Sync) -> Clerk {
        Clerk(Desk::Here(store, sync))
    }

    /// No leases at all: what they cost is measured against this, in rehearsals only.
    pub fn nowhere() -> Clerk {
        Clerk(Desk::Nowhere)
    }

    /// Leases a rendered message and passes it on to its shard; what could not be rendered goes there at once.
    pub(super) fn take(&self, rendered: Rendered, shard: &UnboundedSender<Rendered>) {
        match &self.0 {
            Desk::Thread(clerk) if rendered.result.is_ok() => {
                if let Err(SendError(Leasing(rendered, _))) = clerk.send(Leasing(rendered, shard.clone())) {
                    // The clerk has ended: so has the engine.
                    rendered.job.run.settle.let_go();
                }
            }
            Desk::Here(store, sync) if rendered.result.is_ok() => {
                pass_on(store, *sync != Sync::Never, vec![Leasing(rendered, shard.clone())]);
            }
            _ => forward(rendered, shard),
        }
    }
}

fn work(store: &Store, sync: Sync, metrics: &Metrics, inbox: &Receiver<Leasing>) {
    let most = if sync == Sync::Each { 1 } else { GROUP };
    let mut last = Instant::now();
    while let Ok(first) = inbox.recv() {
        if sync == Sync::Group {
            std::thread::sleep(PACE.saturating_sub(last.elapsed()));
            last = Instant::now();
        }
        let group: Vec<_> = std::iter::once(first).chain(inbox.try_iter().take(most - 1)).collect();
        metrics.time(Stage::Sync, || pass_on(store, sync != Sync::Never, group));
    }
}

/// Writes the leases of a group and sends it on. A store that fails tells the runs, which leave at once, so that their shards
/// let go of the group and nothing of it is sent.
fn pass_on(store: &Store, synced: bool, group: Vec<Leasing>) {
    let lease = |Leasing(rendered, _): &Leasing| {
        let job = &rendered.job;
        Leave::of(job.run.id, &job.row, job.run.settle.now())
    };
    match store.lease(group.iter().map(lease), synced) {
        Ok(()) => group.into_iter().for_each(|Leasing(rendered, shard)| forward(rendered, &shard)),
        Err(error) => {
            for Leasing(rendered, shard) in group {
                rendered.job.run.settle.complain(&error);
                rendered.job.run.hold.leave();
                forward(rendered, &shard);
            }
        }
    }
}

/// The shard is gone only when it was told to stop; the row then stands where it stood.
fn forward(rendered: Rendered, shard: &UnboundedSender<Rendered>) {
    if let Err(gone) = shard.send(rendered) {
        gone.0.job.run.settle.let_go();
    }
}
