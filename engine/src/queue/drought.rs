//! While the machine has no descriptors, ports or memory left for one more connection.
//!
//! Transitions: *plenty* -> *drought* when a session could not be opened for lack of them; *drought* -> *plenty* when all that
//! met it have waited [`PAUSE`]. What waits keeps its place among the connections, so the shard tries no others meanwhile;
//! sessions that are open go on. The condition that people see ends with the next session that opens.

use super::owner::Owner;
use crate::condition::Condition;
use crate::smtp::{EXHAUSTED, Verdict};
use std::cell::Cell;
use std::time::Duration;

/// How long the machine is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// One shard's.
#[derive(Default)]
pub(super) struct Drought {
    /// Sessions that met it and wait.
    waiting: Cell<usize>,
}

impl Drought {
    /// Whether no session is to be opened now.
    pub(super) fn holds(&self) -> bool {
        self.waiting.get() > 0
    }
}

impl Owner {
    /// A session could not be opened for what our own machine lacks: waits a moment, or for a stop. Without a name server
    /// sites whose addresses are still known go on, so nobody else waits for that.
    pub(super) async fn parched(&self, verdict: &Verdict) {
        let everybody = usize::from(verdict.reason == EXHAUSTED);
        if everybody > 0 {
            let why = "no file descriptors, local ports or memory for another connection";
            self.deps.conditions.set(Condition::Descriptors, why, self.deps.clock.now());
        }
        let waiting = &self.drought.waiting;
        waiting.set(waiting.get() + everybody);
        tokio::select! {
            biased;
            () = tokio::time::sleep(PAUSE) => {}
            () = self.stops() => {}
        }
        waiting.set(waiting.get() - everybody);
    }
}
