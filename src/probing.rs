//! Probes, by the engine where one is at work, else by ourselves; and shows how far it came.

use crate::failure::Failure;
use crate::signals::{Signals, Words};
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::control::{Client, Probe};
use engine::mail::Level;
use engine::plan::Machine;
use engine::probe::Finding;
use engine::run::Probing;
use indicatif::ProgressBar;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// What a probe has found, by domain.
pub struct Probed {
    pub findings: BTreeMap<String, Finding>,
    /// Whether it came to all of them.
    pub all: bool,
}

/// Domains that an engine is asked about at once: a request of some kilobytes, and an answer within minutes.
const PART: usize = 250;
const LINE_EVERY: Duration = Duration::from_secs(10);
const WORDS: Words =
    Words { first: "stopping: what was found so far follows; once more to stop at once", second: "stopped at once" };

/// Looks at `domains` with the floor `floor`.
pub fn probe(machine: &Machine, floor: Level, domains: Vec<String>) -> Result<Probed, Failure> {
    let signals = Signals::watch(WORDS)?;
    let asked = domains.len();
    let mut showing = Showing::new(asked);
    let mut findings = BTreeMap::new();
    let mut take = |finding: Finding| {
        findings.insert(finding.domain.clone(), finding);
        showing.show(findings.len());
    };
    if stored::is_held(&machine.state_dir) {
        by_engine(machine, floor, &domains, &mut take, &signals)?;
    } else {
        Probing::at_rest(machine, floor)?.probe(domains, take, || signals.asked())?;
    }
    showing.end();
    Ok(Probed { all: findings.len() == asked, findings })
}

fn by_engine(
    machine: &Machine,
    floor: Level,
    domains: &[String],
    take: &mut impl FnMut(Finding),
    signals: &Signals,
) -> Result<(), Failure> {
    let held = || stored::is_held(&machine.state_dir);
    let client = Client::connect(&machine.state_dir, held).map_err(Failure::asking)?;
    // Another probe at the same millisecond shares what it sees, which harms nobody.
    let id = SystemClock.now().0;
    for part in domains.chunks(PART) {
        if signals.asked() {
            break;
        }
        let found = client.probe(&Probe { id, floor, domains: part.to_vec() }).map_err(Failure::asking)?;
        let whole = found.len() == part.len();
        found.into_iter().for_each(&mut *take);
        // The engine ends.
        if !whole {
            break;
        }
    }
    Ok(())
}

/// A bar on a terminal, a line now and then elsewhere.
struct Showing {
    bar: Option<ProgressBar>,
    asked: usize,
    last_line: Instant,
}

impl Showing {
    fn new(asked: usize) -> Showing {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(asked as u64));
        Showing { bar, asked, last_line: Instant::now() }
    }

    fn show(&mut self, found: usize) {
        match &self.bar {
            Some(bar) => bar.set_position(found as u64),
            None if self.last_line.elapsed() >= LINE_EVERY => {
                self.last_line = Instant::now();
                eprintln!("{found}/{} domains", self.asked);
            }
            None => {}
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
