//! SEAM, to be replaced by `engine::run::Engine`, which has these very signatures: an engine in this process. This one takes a
//! single campaign, and of the commands only `view` and `submit`.

use engine::control::{Commands, EngineView, Refusal, RunState, RunView, Socket, Submit, Target};
use engine::mail::Kind;
use engine::plan::{Campaign, Machine};
use engine::run::{self, Blame, Error, Exporter, Lock, Options, Running, Setup, Started, start};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

/// The engine of a state directory.
pub struct Engine {
    me: Weak<Engine>,
    machine: Option<Machine>,
    state_dir: PathBuf,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    run: Option<At>,
    over: Option<RunView>,
    exporter: Option<Exporter>,
    socket: Option<Socket>,
}

struct At {
    running: Box<Running>,
    campaign: String,
    delivered_before: u64,
    since: Instant,
}

impl Engine {
    /// Takes the lock of the state directory and listens at its socket.
    ///
    /// # Errors
    /// [`Error::Busy`] where another engine is at work.
    pub fn start(machine: &Machine) -> Result<Arc<Engine>, Error> {
        if let Some(run::Engine::Running(_)) = Lock::look(&machine.state_dir)? {
            return Err(Error::Busy(machine.state_dir.clone()));
        }
        Ok(Engine::new(Some(machine.clone()), &machine.state_dir))
    }

    /// An engine for one rehearsal, without a socket; `setup` is [`run::rehearsal`]'s.
    ///
    /// # Errors
    /// Whatever stops it before the first message.
    pub fn rehearse(setup: Setup) -> Result<(Arc<Engine>, RunView), Error> {
        let engine = Engine::new(None, &setup.state_dir);
        let view = engine.open(setup)?;
        Ok((engine, view))
    }

    /// Finishes what is on the wire, and lets go of the state directory. What serves metrics may go on for a while.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn stop(&self) -> Result<Option<Exporter>, Error> {
        let mut work = self.work.lock().expect("no holder panics");
        drop(work.socket.take());
        if let Some(at) = work.run.take() {
            finish(&mut work, at);
        }
        Ok(work.exporter.take())
    }

    fn new(machine: Option<Machine>, state_dir: &Path) -> Arc<Engine> {
        let state_dir = state_dir.to_owned();
        Arc::new_cyclic(|me| Engine { me: me.clone(), machine, state_dir, work: Mutex::default() })
    }

    fn open(&self, setup: Setup) -> Result<RunView, Error> {
        let campaign = setup.campaign.name.clone();
        let mut work = self.work.lock().expect("no holder panics");
        match start(setup)? {
            Started::Finished(summary) => {
                let over = of_summary(&summary, RunState::Finished);
                work.over = Some(over.clone());
                Ok(over)
            }
            Started::Running(running) => {
                let delivered_before = running.tally().count(Kind::Delivered);
                let at = At { running, campaign, delivered_before, since: Instant::now() };
                let view = of_running(&at);
                work.run = Some(at);
                Ok(view)
            }
        }
    }
}

impl Commands for Engine {
    fn view(&self) -> EngineView {
        let mut work = self.work.lock().expect("no holder panics");
        if let Some(mut at) = work.run.take() {
            if at.running.is_done() {
                drop(work.socket.take());
                finish(&mut work, at);
            } else {
                work.run = Some(at);
            }
        }
        let view = work.run.as_ref().map(of_running).or_else(|| work.over.clone());
        EngineView { pid: std::process::id(), runs: view.into_iter().collect(), ..EngineView::default() }
    }

    fn submit(&self, campaign: &Submit) -> Result<RunView, Refusal> {
        let refused = |error: Error| Refusal { what: error.to_string(), hint: error.hint(), code: code(error.blame()) };
        let campaign_file = Campaign::read(&campaign.campaign).map_err(|error| refused(error.into()))?;
        if let Some(at) = &self.work.lock().expect("no holder panics").run {
            return if at.campaign == campaign_file.name { Ok(of_running(at)) } else { Err(not_yet()) };
        }
        let machine = self.machine.as_ref().ok_or_else(not_yet)?;
        let options = Options { limit: campaign.limit };
        let view = Setup::of(machine, campaign_file, options).and_then(|setup| self.open(setup)).map_err(refused)?;
        let me: Arc<dyn Commands> = self.me.upgrade().ok_or_else(not_yet)?;
        if !view.state.is_over() {
            self.work.lock().expect("no holder panics").socket = Socket::start(&self.state_dir, me).ok();
        }
        Ok(view)
    }

    fn pause(&self, _: &Target) -> Result<(), Refusal> {
        Err(not_yet())
    }

    fn resume(&self, _: &Target) -> Result<(), Refusal> {
        Err(not_yet())
    }

    fn cancel(&self, _: &Target) -> Result<u64, Refusal> {
        Err(not_yet())
    }

    fn drain(&self) {}
}

fn not_yet() -> Refusal {
    Refusal::usage("this engine takes one campaign and no commands yet")
}

fn code(blame: Blame) -> u8 {
    match blame {
        Blame::Configuration => 2,
        Blame::Busy => 75,
        Blame::Engine => 70,
    }
}

fn finish(work: &mut Work, mut at: At) {
    work.exporter = at.running.take_exporter();
    let last = of_running(&at);
    work.over = Some(match at.running.finish() {
        Ok(summary) => {
            let settled = summary.read_all && summary.tally.left() == 0;
            let over = of_summary(&summary, if settled { RunState::Finished } else { RunState::Stopped });
            RunView { input_broke: last.input_broke, found_in_doubt: last.found_in_doubt, ..over }
        }
        Err(error) => {
            let failed = Refusal { what: error.to_string(), hint: error.hint(), code: code(error.blame()) };
            RunView { state: RunState::Stopped, failed: Some(failed), ..last }
        }
    });
}

fn of_running(at: &At) -> RunView {
    let tally = at.running.tally();
    RunView {
        campaign: at.campaign.clone(),
        run: at.running.run().to_string(),
        state: RunState::Running,
        read: tally.read,
        ended: tally.ended.iter().map(|(kind, rows)| (kind.number(), *rows)).collect(),
        deferred: tally.deferred,
        waiting: tally.waiting,
        rows: at.running.rows(),
        read_all: false,
        found_in_doubt: at.running.found_in_doubt() as u64,
        input_broke: at.running.input_broke().map(ToString::to_string),
        seconds: at.since.elapsed().as_secs_f64(),
        delivered_now: tally.count(Kind::Delivered).saturating_sub(at.delivered_before),
        latency: None,
        failed: None,
    }
}

fn of_summary(summary: &run::Summary, state: RunState) -> RunView {
    let tally = &summary.tally;
    RunView {
        campaign: summary.campaign.clone(),
        run: summary.run.to_string(),
        state,
        read: tally.read,
        ended: tally.ended.iter().map(|(kind, rows)| (kind.number(), *rows)).collect(),
        deferred: tally.deferred,
        waiting: tally.waiting,
        rows: summary.read_all.then_some(tally.read),
        read_all: summary.read_all,
        found_in_doubt: 0,
        input_broke: None,
        seconds: summary.seconds,
        delivered_now: summary.delivered_now,
        latency: summary.latency,
        failed: None,
    }
}
