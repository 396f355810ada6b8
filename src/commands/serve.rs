//! `sealpost serve`: an engine without a campaign. It goes on with the runs that are open, and waits for others.

use super::drive;
use crate::args::Args;
use crate::descriptors;
use crate::failure::{Failure, ROWS_LEFT, SETTLED};
use crate::news::News;
use crate::signals::{OURS, Signals};
use engine::control::{Commands, EngineView};
use engine::run::{Engine, Machinery};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Takes campaigns over until SIGTERM, or until it is drained.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut machine = super::machine(args)?;
    machine.limits.connections = descriptors::make_room_for(machine.limits.connections, 1);
    let signals = Signals::watch(OURS)?;
    let engine = Engine::start(Machinery::of(&machine)?)?;
    signals.serve(&engine);
    eprintln!("at work in {}; `sealpost send` hands campaigns over to it", machine.state_dir.display());
    take_up_open_runs(&engine)?;
    let mut ended = Ended { args, printed: BTreeSet::new() };
    let mut news = News::default();
    loop {
        let view = engine.view();
        news.of_engine(&view).iter().for_each(|line| eprintln!("{line}"));
        ended.print(&view);
        if signals.asked() || (view.draining && view.runs.iter().all(|run| run.state.is_over())) {
            break;
        }
        std::thread::sleep(PACE);
    }
    let exporter = engine.stop();
    let view = engine.view();
    ended.print(&view);
    drop(engine);
    drive::linger(exporter, &signals);
    let left = view.runs.iter().any(|run| drive::exit_code(run, 100.0) == ROWS_LEFT);
    Ok(if left { ROWS_LEFT } else { SETTLED })
}

/// Goes on with what an earlier engine left open. Beside everything else: inputs are compared octet for octet before, and
/// that may take minutes.
fn take_up_open_runs(engine: &Arc<Engine>) -> Result<(), Failure> {
    let engine = engine.clone();
    let work = move || match engine.take_up_open_runs() {
        Ok(0) => {}
        Ok(1) => eprintln!("1 open run is taken up again"),
        Ok(runs) => eprintln!("{runs} open runs are taken up again"),
        Err(error) => _ = Failure::from(error).say(),
    };
    let started = std::thread::Builder::new().name("taking up".into()).spawn(work);
    started.map(drop).map_err(|error| Failure::internal(format!("can't take up open runs: {error}")))
}

const PACE: Duration = Duration::from_millis(200);

/// Prints each run once, when it has ended.
struct Ended<'a> {
    args: &'a Args,
    printed: BTreeSet<String>,
}

impl Ended<'_> {
    fn print(&mut self, view: &EngineView) {
        // One that is handed over again is at work again, and ends again.
        self.printed.retain(|name| view.runs.iter().any(|run| run.run == *name && run.state.is_over()));
        for run in view.runs.iter().filter(|run| run.state.is_over()) {
            if self.printed.insert(run.run.clone()) {
                drive::conclude(self.args, run, 100.0);
            }
        }
    }
}
