//! `sealpost send`: the engine itself where nobody is at work, else a seat at the one that is.

use super::drive;
use crate::args::{Args, Send};
use crate::descriptors;
use crate::failure::{BUSY, Failure, ROWS_LEFT, SETTLED};
use crate::seat::{Attached, Inside};
use crate::signals::{OURS, Signals, THEIRS};
use crate::stored;
use chrono::{DateTime, Local};
use engine::clock::{Clock, SystemClock, Timestamp};
use engine::control::{Client, Commands, Error, RunState, RunView, Submit};
use engine::plan::{Campaign, Machine};
use engine::run::{Blame, Blueprint, Engine, Machinery};
use engine::secret::TokenKey;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An engine may end between the look at its lock and what we ask of it; then we are the engine.
const ROUNDS: usize = 3;
/// An engine finishes what is on the wire within 20 seconds.
const WINDING_DOWN: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(50);

/// Sends a campaign, resumes it, attaches to it, or says that it was finished.
pub fn run(args: &Args, options: &Send) -> Result<u8, Failure> {
    let mut machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    if options.dry_run {
        let blueprint = Blueprint::new(campaign)?;
        let name = blueprint.campaign().name.clone();
        let sample = blueprint.sample(TokenKey::new(&[0; 32]), options.limit, SystemClock.now())?;
        super::check::print_sample(args, &name, &sample);
        return Ok(SETTLED);
    }
    if let Some(deadline) = options.deadline {
        eprintln!("it stops at {} with what is left then", local_time(deadline));
    }
    machine.limits.connections = descriptors::make_room_for(machine.limits.connections, 1);
    let desk = Desk { args, options, machine: &machine, submit: submit(options)? };
    let signals = Signals::watch(OURS)?;
    for _ in 0..ROUNDS {
        match Machinery::of(&machine).and_then(Engine::start) {
            Ok(engine) => {
                signals.serve(&engine);
                return desk.send(engine, &signals);
            }
            Err(error) if error.blame() == Blame::Busy => {}
            Err(error) => return Err(error.into()),
        }
        if campaign.source.spec.paths == [Path::new("-")] {
            let hint =
                "write the stream to a file, name that in [input] path, and send it again; or wait for the engine";
            let what = "an engine is at work here, and it can't read this command's standard input";
            return Err(Failure::usage(what, Some(hint.into())));
        }
        if let Some(code) = desk.attach(&signals)? {
            return Ok(code);
        }
    }
    Err(Failure::busy(format!("{}: engines come and go here", machine.state_dir.display())))
}

fn submit(options: &Send) -> Result<Submit, Failure> {
    let campaign = std::path::absolute(&options.campaign);
    Ok(Submit {
        campaign: campaign.map_err(|error| Failure::writing(&options.campaign, &error))?,
        limit: options.limit,
        again: options.again,
        abandon: options.abandon.clone(),
        until_empty: options.until_empty,
        deadline: options.deadline.map(|at| at.0),
    })
}

/// One `send`.
struct Desk<'a> {
    args: &'a Args,
    options: &'a Send,
    machine: &'a Machine,
    submit: Submit,
}

impl Desk<'_> {
    /// Sends it here. Campaigns that others hand over meanwhile are sent to their end as well, whatever becomes of ours.
    fn send(&self, engine: Arc<Engine>, signals: &Signals) -> Result<u8, Failure> {
        signals.say(OURS);
        let seat = Inside(&*engine);
        let code = match engine.submit(&self.submit) {
            Err(refusal) => Failure::refused(refusal).say(),
            Ok(opened) => match self.found_over(&opened) {
                Some(code) => code,
                None => {
                    let run = drive::watch(&seat, &opened, signals)?;
                    if !run.state.is_over() {
                        return self.stop(engine, &run, signals);
                    }
                    drive::conclude(self.args, &run, self.options.tolerate)
                }
            },
        };
        drive::wait_for_others(&seat, signals)?;
        let exporter = engine.stop();
        drop(engine);
        drive::linger(exporter, signals);
        Ok(code)
    }

    /// We are asked to leave in the middle of it.
    fn stop(&self, engine: Arc<Engine>, run: &RunView, signals: &Signals) -> Result<u8, Failure> {
        let exporter = engine.stop();
        let left = engine.view();
        let code = drive::conclude(self.args, drive::find(&left, &run.run)?, self.options.tolerate);
        drop(engine);
        drive::linger(exporter, signals);
        Ok(code)
    }

    /// Hands it to the engine that is at work, and watches; `None` if that is gone.
    fn attach(&self, signals: &Signals) -> Result<Option<u8>, Failure> {
        let state_dir = &self.machine.state_dir;
        signals.say(THEIRS);
        let asked = Client::connect(state_dir, || stored::is_held(state_dir)).and_then(|client| {
            eprintln!("an engine is at work here; the campaign is handed over to it");
            client.submit(&self.submit).map(|opened| (client, opened))
        });
        let (client, opened) = match asked {
            Err(error) if error.is_gone() => return Ok(None),
            Err(Error::Refused(refusal)) if refusal.code == BUSY && self.engine_ends(signals) => return Ok(None),
            Err(error) => return Err(Failure::asking(error)),
            Ok(asked) => asked,
        };
        if let Some(code) = self.found_over(&opened) {
            return Ok(Some(code));
        }
        let seat = Attached::new(state_dir, client, &opened);
        let run = drive::watch(&seat, &opened, signals)?;
        if seat.engine_is_gone() && run.state == RunState::Stopped {
            eprintln!(
                "the engine that was sending this has ended: it was stopped, or it died, and nobody is at work here now"
            );
            eprintln!("nothing is lost: `sealpost send {}` goes on with what is left", self.options.campaign.display());
        }
        if run.state.is_over() {
            return Ok(Some(drive::conclude(self.args, &run, self.options.tolerate)));
        }
        eprintln!("{}", THEIRS.second);
        if self.args.json {
            drive::print(self.args, &run);
        }
        Ok(Some(ROWS_LEFT))
    }

    /// Waits for an engine that takes nothing more: one that has done its last run is about to end, and then we are it.
    fn engine_ends(&self, signals: &Signals) -> bool {
        eprintln!("the engine is about to end; waiting for that");
        let deadline = Instant::now() + WINDING_DOWN;
        while stored::is_held(&self.machine.state_dir) {
            if Instant::now() >= deadline || signals.asked() {
                return false;
            }
            std::thread::sleep(GLANCE);
        }
        true
    }

    /// Says so if the run was over before this command.
    fn found_over(&self, opened: &RunView) -> Option<u8> {
        let RunView { campaign, run, .. } = opened;
        match opened.state {
            RunState::Finished => {
                eprintln!("{campaign} was sent with this very input before (run {run}); nothing to do");
            }
            RunState::Cancelled => {
                eprintln!("{campaign} was cancelled with this very input (run {run}); nothing to do")
            }
            RunState::Braked => eprintln!("{campaign} (run {run}) waits for a person: its brake has stopped it"),
            _ => return None,
        }
        Some(drive::conclude(self.args, opened, self.options.tolerate))
    }
}

fn local_time(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(DateTime::from_timestamp_millis);
    at.map_or_else(String::new, |at| at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string())
}
