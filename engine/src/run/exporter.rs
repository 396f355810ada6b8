//! Serves `/metrics` on loopback while a run is at work.

use super::Error;
use crate::condition::Conditions;
use crate::metrics::Metrics;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// What answers Prometheus; it ends when it is dropped.
pub struct Exporter {
    linger: Duration,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The text format's media type and version (Prometheus "Exposition formats").
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Exporter {
    /// Listens on `listen`; the run's end is to be seen for `linger`.
    ///
    /// # Errors
    /// The port is taken, or a thread can't be started.
    pub fn start(
        listen: SocketAddr,
        metrics: Arc<Metrics>,
        conditions: Arc<Conditions>,
        linger: Duration,
    ) -> Result<Exporter, Error> {
        let fail = |cause| Error::Metrics { listen, cause };
        let listener = std::net::TcpListener::bind(listen).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("metrics".into()).spawn(move || {
            let page = get(move || async move {
                metrics.conditions(&conditions);
                ([(CONTENT_TYPE, TEXT)], metrics.exposition())
            });
            let app = Router::new().route("/metrics", page);
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    served = axum::serve(listener, app) => if let Err(error) = served {
                        tracing::error!(%error, "metrics are no longer served");
                    },
                    _ = stopped => {}
                }
            });
        });
        Ok(Exporter { linger, stop: Some(stop), thread: Some(thread.map_err(fail)?) })
    }
}

impl Exporter {
    /// How long the end of the run is still to be seen: a scrape comes every 15 seconds or so.
    pub fn linger(&self) -> Duration {
        self.linger
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
