//! `sealpost tls`: what domains and their hosts can do and have shown, and what they are told.

pub mod probe;
pub mod report;

use super::standing;
use crate::args::{Args, Tls};
use crate::failure::Failure;

/// One of its commands.
pub fn run(args: &Args, options: &Tls) -> Result<u8, Failure> {
    match options {
        Tls::Probe(options) => probe::run(args, options),
        Tls::List => standing::list(args),
        Tls::Report(options) => report::run(args, options),
    }
}
