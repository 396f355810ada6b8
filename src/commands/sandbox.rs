//! `sealpost sandbox`: the embedded MX as a process of its own, for tests and `perf/`.

use crate::args::Sandbox as Options;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::signals::{OURS, Signals};
use engine::sandbox::{Ledger, Recipe, Sandbox, Schedule};

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Listens until it is told to stop, then prints its ledger as JSON.
pub fn run(options: &Options) -> Result<u8, Failure> {
    let ledger = Ledger::new(options.ledger.as_deref(), options.transcript.as_deref())
        .map_err(|error| Failure::internal(format!("ledger: {error}")))?;
    let ledger = if options.recipients { ledger.with_recipients() } else { ledger };
    let ledger = if options.course { ledger.with_course() } else { ledger };
    let ledger = options.sample.iter().fold(ledger, |ledger, folder| ledger.with_sample(folder));
    let (mut file, limits) = match &options.limits {
        Some(path) => Watched::open(path).map(|(file, limits)| (Some(file), limits))?,
        None => (None, options.taken.limits().map_err(|error| Failure::usage(error.to_string(), None))?),
    };
    let recipe = Recipe {
        starttls: !options.no_starttls,
        pipelining: !options.no_pipelining,
        chunking: !options.no_chunking,
        greylist: options.defer / 100.0,
        bounce: options.bounce / 100.0,
        latency: options.latency,
        limits,
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
        match file.as_mut().and_then(Watched::news) {
            Some(Ok(limits)) => sandbox.limit(limits),
            Some(Err(failure)) => {
                failure.say();
                eprintln!("hint: until it is mended the limits are what they were");
            }
            None => {}
        }
    }
    outln!("{}", account(sandbox.ledger()).map_err(|error| Failure::internal(error.to_string()))?);
    Ok(SETTLED)
}

/// Totals, and the course where it was asked for.
fn account(ledger: &Ledger) -> serde_json::Result<String> {
    let mut account = serde_json::to_value(ledger.totals())?;
    if let Some(course) = ledger.course() {
        account["course"] = serde_json::to_value(course)?;
    }
    serde_json::to_string(&account)
}

/// A file of limits, which may be replaced at any time.
struct Watched<'a> {
    path: &'a Path,
    seen: Option<Stamp>,
}

/// By what two files differ: number, time, size.
type Stamp = (u64, i64, i64, u64);

impl<'a> Watched<'a> {
    fn open(path: &'a Path) -> Result<(Watched<'a>, Schedule), Failure> {
        let file = Watched { path, seen: stamp(path) };
        let limits = file.read()?;
        Ok((file, limits))
    }

    /// What it says, if it is another than before.
    fn news(&mut self) -> Option<Result<Schedule, Failure>> {
        // One that is gone is being replaced.
        let now = stamp(self.path)?;
        (self.seen.replace(now) != Some(now)).then(|| self.read())
    }

    fn read(&self) -> Result<Schedule, Failure> {
        let fail = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", self.path.display()), None);
        let text = std::fs::read_to_string(self.path).map_err(|error| fail(&error))?;
        Schedule::parse(&text).map_err(|error| fail(&error))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.size()))
}
