//! From where a run is watched: the engine's own process, or another that asks over the socket.

use crate::failure::Failure;
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::control::{self, Client, Commands, ConditionView, EngineView, RunState, RunView};
use engine::mail::Kind;
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Somebody who sees a run.
pub trait Seat {
    /// The engine now; the run that is watched is always among its runs.
    ///
    /// # Errors
    /// It is not to be seen, and won't be.
    fn look(&self) -> Result<EngineView, Failure>;

    /// How long to wait before the next look.
    fn pace(&self) -> Duration;
}

/// The engine's own process.
pub struct Inside<'a>(pub &'a dyn Commands);

impl Seat for Inside<'_> {
    fn look(&self) -> Result<EngineView, Failure> {
        Ok(self.0.view())
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(50)
    }
}

/// Another process. It goes on watching over an engine that is stopped or restarted, and reads the end of a run from the store
/// if the engine ended first.
pub struct Attached {
    state_dir: PathBuf,
    client: RefCell<Client>,
    run: String,
    last: RefCell<EngineView>,
    gone: Cell<bool>,
}

impl Attached {
    /// Watches `run`, which `client`'s engine has just taken.
    pub fn new(state_dir: &Path, client: Client, run: &RunView) -> Attached {
        let last = EngineView { runs: vec![run.clone()], ..EngineView::default() };
        Attached {
            state_dir: state_dir.to_owned(),
            client: RefCell::new(client),
            run: run.run.clone(),
            last: RefCell::new(last),
            gone: Cell::new(false),
        }
    }

    /// Whether the engine has ended, so that the last look was at the store.
    pub fn engine_is_gone(&self) -> bool {
        self.gone.get()
    }

    /// The engine's view, with the run as the store has it if it knows nothing of it (any more).
    fn completed(&self, mut view: EngineView) -> Result<EngineView, Failure> {
        if view.runs.iter().all(|run| run.run != self.run) {
            view.runs.push(self.stored()?);
        }
        self.last.replace(view.clone());
        Ok(view)
    }

    fn stored(&self) -> Result<RunView, Failure> {
        let forgotten = || Failure::internal(format!("the store has no run {}", self.run));
        let stored = crate::stored::run(&self.state_dir, &self.run)?.ok_or_else(forgotten)?;
        let last = self.last.borrow();
        Ok(ended(stored, last.runs.iter().find(|run| run.run == self.run).ok_or_else(forgotten)?))
    }

    /// Finds the engine again: it may wind down, or another may have taken over.
    fn again(&self) -> Result<EngineView, control::Error> {
        let client = Client::connect(&self.state_dir, || stored::is_held(&self.state_dir))?;
        let view = client.view();
        self.client.replace(client);
        view
    }

    /// What was seen last, with the trouble as one of the engine's.
    fn unanswered(&self, why: &control::Error) -> EngineView {
        let mut view = self.last.borrow().clone();
        if view.conditions.iter().all(|condition| condition.what != UNANSWERED) {
            let since = SystemClock.now().0;
            view.conditions.push(ConditionView { what: UNANSWERED.into(), since, why: why.to_string() });
            self.last.replace(view.clone());
        }
        view
    }
}

/// Beside the words of [`engine::condition::Condition`].
const UNANSWERED: &str = "no_answer";

impl Seat for Attached {
    fn look(&self) -> Result<EngineView, Failure> {
        let seen = self.client.borrow().view();
        match seen {
            Err(error) if error.is_gone() => match self.again() {
                // Whoever still holds the lock is winding down, or begins.
                Err(error) if error.is_gone() && !stored::is_held(&self.state_dir) => {
                    self.gone.set(true);
                    self.completed(EngineView::default())
                }
                Err(error @ (control::Error::Strange { .. } | control::Error::Refused(_))) => {
                    Err(Failure::asking(error))
                }
                Err(error) => Ok(self.unanswered(&error)),
                Ok(view) => self.completed(view),
            },
            Err(error @ control::Error::Silent(_)) => Ok(self.unanswered(&error)),
            Err(error) => Err(Failure::asking(error)),
            Ok(view) => self.completed(view),
        }
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(200)
    }
}

/// A run whose end nobody saw: its counts are the store's, what was measured is what was seen last. No engine has it, so it
/// rests, whatever it will be when one takes it up.
fn ended(stored: RunView, last: &RunView) -> RunView {
    let rests = if stored.state.is_over() { stored.state } else { RunState::Stopped };
    let since = stored.count(Kind::Delivered).saturating_sub(last.count(Kind::Delivered));
    RunView {
        state: rests,
        seconds: last.seconds,
        delivered_now: last.delivered_now + since,
        latency: stored.latency.or(last.latency),
        found_in_doubt: last.found_in_doubt,
        input_broke: last.input_broke.clone(),
        failed: last.failed.clone(),
        ..stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::clock::Timestamp;
    use engine::mail::RunId;
    use engine::store::{Manifest, Tally};

    #[test]
    fn a_run_that_no_engine_has_is_over_for_those_who_watch() {
        for (left, expected) in [
            (RunState::Running, RunState::Stopped),
            (RunState::Paused, RunState::Stopped),
            (RunState::Stopped, RunState::Stopped),
            (RunState::Finished, RunState::Finished),
            (RunState::Cancelled, RunState::Cancelled),
        ] {
            let view = |delivered, state| {
                let tally = Tally { ended: [(Kind::Delivered, delivered)].into(), ..Tally::default() };
                RunView::at_rest(RunId(7), &manifest(), &tally, state)
            };
            let last = RunView { seconds: 2.0, delivered_now: 3, ..view(5, RunState::Running) };
            let ended = ended(view(9, left), &last);
            assert_eq!((ended.state, ended.delivered_now, ended.count(Kind::Delivered)), (expected, 7, 9));
        }
    }

    fn manifest() -> Manifest {
        let json = serde_json::json!({
            "campaign": "eob", "input": "eob.csv", "fingerprint": "", "opened": Timestamp(0), "finished": null, "read": 0,
            "read_all": false, "seconds": 0.0,
        });
        serde_json::from_value(json).expect("a manifest")
    }
}
