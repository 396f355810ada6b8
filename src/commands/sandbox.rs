//! `sealpost sandbox`: the embedded MX as a process of its own, for tests and `perf/`.

use crate::args::Sandbox as Options;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::signals::{OURS, Signals};
use engine::sandbox::{Ledger, Recipe, Sandbox};

use std::sync::Arc;
use std::time::Duration;

/// Listens until it is told to stop, then prints its ledger as JSON.
pub fn run(options: &Options) -> Result<u8, Failure> {
    let ledger = Ledger::new(options.ledger.as_deref(), options.transcript.as_deref())
        .map_err(|error| Failure::internal(format!("ledger: {error}")))?;
    let ledger = if options.recipients { ledger.with_recipients() } else { ledger };
    let recipe = Recipe {
        starttls: !options.no_starttls,
        pipelining: !options.no_pipelining,
        chunking: !options.no_chunking,
        greylist: options.defer / 100.0,
        bounce: options.bounce / 100.0,
        latency: options.latency,
    };
    let signals = Signals::watch(OURS)?;
    let sandbox = Sandbox::start_as(options.identity.as_deref(), options.listen, recipe, Arc::new(ledger))
        .map_err(|error| Failure::usage(error.to_string(), None))?;
    if let Some(path) = &options.ca {
        std::fs::write(path, sandbox.root_pem()).map_err(|error| Failure::writing(path, &error))?;
    }
    outln!("{}", sandbox.address());
    while !signals.asked() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let totals = serde_json::to_string(&sandbox.ledger().totals());
    outln!("{}", totals.map_err(|error| Failure::internal(error.to_string()))?);
    Ok(SETTLED)
}
