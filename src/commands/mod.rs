//! One module a command.

pub mod check;
pub mod drive;
pub mod init;
pub mod preview;
pub mod rehearse;
pub mod report;
pub mod sandbox;
pub mod send;
pub mod status;

use crate::args::Args;
use crate::failure::Failure;
use engine::plan::Machine;
use engine::run::{Engine, Lock};
use engine::store::Store;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The machine's configuration: `--config`, `SEALPOST_CONFIG`, the working directory, then the system's.
fn machine(args: &Args) -> Result<Machine, Failure> {
    let places = [PathBuf::from("sealpost.toml"), PathBuf::from("/etc/sealpost/sealpost.toml")];
    let path = match &args.config {
        Some(path) => path.clone(),
        None => places.into_iter().find(|path| path.exists()).ok_or_else(|| {
            let hint = "write one with `sealpost init --domain your.domain`, or name it with --config";
            Failure::usage("no sealpost.toml here and none in /etc/sealpost", Some(hint.into()))
        })?,
    };
    Ok(Machine::read(&path)?)
}

/// The store for reading, which engine is at work on it, and the folder that RocksDB needs meanwhile; `None` where nothing was
/// ever sent.
fn observe(state_dir: &Path) -> Result<Option<(Store, Engine, tempfile::TempDir)>, Failure> {
    let deadline = Instant::now() + STORE_IS_MADE;
    loop {
        let Some(engine) = Lock::look(state_dir)? else { return Ok(None) };
        let scratch = tempfile::tempdir().map_err(|error| Failure::internal(format!("scratch folder: {error}")))?;
        match Store::observe(state_dir, scratch.path()) {
            Ok(store) => return Ok(Some((store, engine, scratch))),
            Err(_) if engine == Engine::Stopped && !Store::exists(state_dir) => return Ok(None),
            // An engine that was just started is still making it.
            Err(_) if engine != Engine::Stopped && Instant::now() < deadline => std::thread::sleep(TICK),
            Err(error) => return Err(engine::run::Error::from(error).into()),
        }
    }
}

const STORE_IS_MADE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(50);
