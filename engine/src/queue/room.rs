//! How many rows of a run may be in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// A run's share of `rows_in_memory`. Shared by its router and all shards.
#[derive(Debug)]
pub struct Room {
    held: AtomicUsize,
    most: AtomicUsize,
    left: Notify,
}

/// One row's place; it is given back when it is dropped.
#[derive(Debug)]
pub struct Place(Arc<Room>);

impl Room {
    /// Room for `most` rows.
    pub fn new(most: usize) -> Arc<Room> {
        Arc::new(Room { held: AtomicUsize::new(0), most: AtomicUsize::new(most), left: Notify::new() })
    }

    /// Changes how many rows fit: other runs came or went.
    pub fn resize(&self, most: usize) {
        self.most.store(most.max(1), Ordering::SeqCst);
        self.left.notify_waiters();
    }

    /// Whether no further row fits.
    pub fn is_full(&self) -> bool {
        self.held.load(Ordering::SeqCst) >= self.most.load(Ordering::SeqCst)
    }

    /// Waits until a row fits. One task at a time asks: the run's router.
    pub async fn enter(self: &Arc<Room>) -> Place {
        loop {
            let left = self.left.notified();
            if !self.is_full() {
                return self.squeeze_in();
            }
            left.await;
        }
    }

    /// A place whether there is one or not: for rows that come back from the store in small numbers.
    pub fn squeeze_in(self: &Arc<Room>) -> Place {
        self.held.fetch_add(1, Ordering::SeqCst);
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_wait_for_room() {
        let room = Room::new(2);
        let (first, _second) = (room.enter().await, room.enter().await);
        assert!(room.is_full());
        let waiting = tokio::spawn({
            let room = room.clone();
            async move { room.enter().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let _third = waiting.await.expect("it got in");
        let _back = room.squeeze_in();
        room.resize(3);
        assert!(room.is_full());
        room.resize(4);
        let _fourth = room.enter().await;
    }
}
