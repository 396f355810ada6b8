//! The shards that are simulated.

use crate::queue::{Controls, Deps, Glance, Job, Left, Stop, here};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

/// The shards of a case, and what speaks to them.
pub(super) struct Shards {
    pub(super) jobs: Vec<mpsc::Sender<Job>>,
    pub(super) stops: Vec<watch::Sender<Stop>>,
    /// Each has its own, since a channel wakes its hearers in any order.
    pub(super) controls: Vec<watch::Sender<Arc<Controls>>>,
    pub(super) glances: Vec<Glance>,
    pub(super) working: Vec<JoinHandle<Left>>,
}

impl Shards {
    pub(super) fn start(count: usize, deps: &Deps) -> Shards {
        let (jobs, stops, controls, glances, working) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut shards = Shards { jobs, stops, controls, glances, working };
        for _ in 0..count {
            let (stop, stopped) = watch::channel(Stop::No);
            let (orders, ordered) = watch::channel(Arc::new(Controls::default()));
            let (jobs, glance, shard) = here(Deps { stop: stopped, controls: ordered, ..deps.clone() });
            shards.jobs.push(jobs);
            shards.stops.push(stop);
            shards.controls.push(orders);
            shards.glances.push(glance);
            shards.working.push(spawn_local(shard));
        }
        shards
    }
}

/// Tells shards that were told to stop, and still work after `patience`, to do so at once.
pub(super) async fn lose_patience(stops: Vec<watch::Sender<Stop>>, patience: Duration) {
    sleep(patience).await;
    for stop in &stops {
        stop.send_if_modified(|stop| {
            let stops = *stop != Stop::No;
            if stops {
                *stop = Stop::AtOnce;
            }
            stops
        });
    }
    // They are heard as long as somebody could speak.
    std::future::pending::<()>().await;
}
