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
use engine::store::Store;
use std::path::{Path, PathBuf};

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

/// The store for reading, whether an engine is at work on it, and the folder that RocksDB needs meanwhile.
fn observe(state_dir: &Path) -> Result<Option<(Store, bool, tempfile::TempDir)>, Failure> {
    let Some(live) = engine::run::Lock::is_held(state_dir)? else { return Ok(None) };
    let scratch = tempfile::tempdir().map_err(|error| Failure::internal(format!("scratch folder: {error}")))?;
    Ok(Some((Store::observe(state_dir, scratch.path()).map_err(engine::run::Error::from)?, live, scratch)))
}
