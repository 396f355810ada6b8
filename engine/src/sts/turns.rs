//! One fetch at a time for each domain: who comes second finds what the first has kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

/// The domains for which somebody fetches or waits.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Arc<Queue<()>>>>);

/// A domain's turn, or a place in its queue. Whoever is cancelled leaves; the next one's turn comes.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    domain: &'a str,
    queue: Option<Arc<Queue<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the turn of `domain`.
    pub(super) async fn take<'a>(&'a self, domain: &'a str) -> Turn<'a> {
        let queue = self.0.lock().expect("no holder panics").entry(domain.to_owned()).or_default().clone();
        // Made before the waiting, so that whoever is cancelled while waiting leaves nothing behind either.
        let mut turn = Turn { turns: self, domain, queue: Some(queue.clone()), held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.0.lock().expect("no holder panics");
        self.held = None;
        self.queue = None;
        if queues.get(self.domain).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(self.domain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    #[tokio::test]
    async fn the_next_one_waits_and_nothing_is_left_behind() {
        let turns = Turns::default();
        let first = turns.take("a.example").await;
        let other = turns.take("b.example").await;
        let mut context = Context::from_waker(Waker::noop());
        let mut cancelled = Box::pin(turns.take("a.example"));
        let mut second = Box::pin(turns.take("a.example"));
        assert!(cancelled.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop((first, cancelled));
        let Poll::Ready(second) = second.as_mut().poll(&mut context) else { panic!("its turn") };
        drop((second, other));
        assert!(turns.0.lock().expect("not poisoned").is_empty());
    }
}
