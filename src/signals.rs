//! SIGINT and SIGTERM: the first asks to stop, the second stops at once.

use crate::failure::{Failure, ROWS_LEFT};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Watches for signals; the flag is set by the first.
///
/// # Errors
/// The handlers can't be installed.
pub fn watch() -> Result<Arc<AtomicBool>, Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    let flag = asked.clone();
    let fail = |error: std::io::Error| Failure::internal(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(fail)?, signal(SignalKind::terminate()).map_err(fail)?)
    };
    let work = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if flag.swap(true, Ordering::SeqCst) {
                eprintln!("stopped at once; rows on the wire are in doubt and will be listed");
                std::process::exit(i32::from(ROWS_LEFT));
            }
            eprintln!("stopping: messages on the wire are finished first; once more to stop at once");
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(work)).map_err(fail)?;
    Ok(asked)
}
