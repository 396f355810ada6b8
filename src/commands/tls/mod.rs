//! `sealpost tls`: what is known of transport security.

pub mod report;

use crate::args::{Args, Tls};
use crate::failure::Failure;

/// One of its commands.
pub fn run(args: &Args, options: &Tls) -> Result<u8, Failure> {
    match options {
        Tls::Report(options) => report::run(args, options),
    }
}
