//! One module a command.

pub mod check;
pub mod doubt;
pub mod drive;
pub mod forecast;
pub mod init;
pub mod introduction;
pub mod learned;
pub mod letters;
pub mod preview;
pub mod rehearse;
pub mod report;
pub mod sandbox;
pub mod send;
pub mod serve;
pub mod shaping;
pub mod sources;
pub mod standing;
pub mod status;
pub mod steer;
pub mod tls;

use crate::args::Args;
use crate::failure::Failure;
use engine::plan::Machine;
use std::path::PathBuf;

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
