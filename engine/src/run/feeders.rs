//! The threads of one run: one reader, one for rows due again, one that finds routes. They start together; they stop in the
//! order in which rows pass them.

use super::Error;
use super::dispatch::Dispatch;
use super::feed::{Feed, ReadTo, Scope};
use super::recovery::LeftOver;
use crate::mail::Row;
use crate::queue::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};

/// The threads at work.
pub(super) struct Feeders {
    reader: Option<JoinHandle<Result<ReadTo, Error>>>,
    read: Option<Result<ReadTo, Error>>,
    retry: JoinHandle<()>,
    router: JoinHandle<()>,
    halt: Arc<AtomicBool>,
    stop: watch::Sender<Stop>,
}

/// Rows between the feeders and the router, as many as between it and a shard.
const ROUTING: usize = 256;

/// What the threads are started with.
pub(super) struct Parts<
    F: FnOnce(mpsc::Sender<Row>, Arc<AtomicBool>) -> Feed,
    D: FnOnce(watch::Receiver<Stop>) -> Dispatch,
> {
    pub(super) feed: F,
    pub(super) dispatch: D,
    /// What is read; `None` where nothing of the run's input is needed any more.
    pub(super) scope: Option<Scope>,
    pub(super) left_over: LeftOver,
}

impl Feeders {
    /// Starts them all.
    pub(super) fn start<F, D>(parts: Parts<F, D>) -> Result<Feeders, Error>
    where
        F: FnOnce(mpsc::Sender<Row>, Arc<AtomicBool>) -> Feed,
        D: FnOnce(watch::Receiver<Stop>) -> Dispatch,
    {
        let halt = Arc::new(AtomicBool::new(false));
        let (stop, stopped) = watch::channel(Stop::No);
        let (rows_in, rows_out) = mpsc::channel(ROUTING);
        let feed = (parts.feed)(rows_in, halt.clone());
        let router = router((parts.dispatch)(stopped), rows_out)?;
        let (reading, LeftOver { again, horizon, .. }, scope) = (feed.clone(), parts.left_over, parts.scope);
        let reader = thread("reader", move || {
            reading.left_over(horizon, &again)?;
            scope.map_or(Ok(ReadTo::End), |scope| reading.read(scope, &again))
        })?;
        let retry = thread("retry", move || feed.retry())?;
        Ok(Feeders { reader: Some(reader), read: None, retry, router, halt, stop })
    }

    /// Whether one has ended that only ends when it is told to: it panicked.
    pub(super) fn are_broken(&self) -> bool {
        let told = self.halt.load(Ordering::SeqCst);
        !told && (self.retry.is_finished() || self.router.is_finished())
    }

    /// How far the input was read, once the reader has come to its end.
    pub(super) fn read(&mut self) -> Option<&Result<ReadTo, Error>> {
        if let Some(reader) = self.reader.take_if(|reader| reader.is_finished()) {
            let joined = reader.join().map_err(|_| Error::Internal("the reader panicked".into()));
            self.read = Some(joined.and_then(|read| read));
        }
        self.read.as_ref()
    }

    /// Tells the feeders to take up nothing more; the router passes on what it has.
    pub(super) fn halt(&self) {
        self.halt.store(true, Ordering::SeqCst);
    }

    /// Tells all of them to let go of what they have.
    pub(super) fn stop(&self) {
        self.halt();
        self.stop.send_replace(Stop::Gracefully);
    }

    /// Whether all of them have ended. The reader may be waiting for a pipe that says nothing: `patient` says whether that
    /// is waited for.
    pub(super) fn have_ended(&mut self, patient: bool) -> bool {
        let read = self.read().is_some() || !patient;
        read && self.retry.is_finished() && self.router.is_finished()
    }

    /// How far the input was read, for the end of the run.
    pub(super) fn into_read(self) -> Result<ReadTo, Error> {
        self.read.unwrap_or(Ok(ReadTo::Somewhere))
    }
}

/// Starts the thread that finds routes.
fn router(dispatch: Dispatch, inbox: mpsc::Receiver<Row>) -> Result<JoinHandle<()>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| Error::Internal(format!("can't start the router: {cause}")))?;
    thread("router", move || runtime.block_on(dispatch.work(inbox)))
}

/// Starts a named thread.
pub(super) fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|cause| Error::Internal(format!("can't start the {name} thread: {cause}")))
}
