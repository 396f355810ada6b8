//! From where a run is watched: the engine's own process, or another that asks over the socket.

use crate::failure::Failure;
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::control::{self, Client, Commands, ConditionView, EngineView, RunView};
use engine::mail::Kind;
use std::cell::RefCell;
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
        }
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
        Ok(last.runs.iter().find(|run| run.run == self.run).map_or(stored.clone(), |last| ended(stored, last)))
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

/// A run whose end nobody saw: its counts are the store's, what was measured is what was seen last.
fn ended(stored: RunView, last: &RunView) -> RunView {
    let since = stored.count(Kind::Delivered).saturating_sub(last.count(Kind::Delivered));
    RunView {
        seconds: last.seconds,
        delivered_now: last.delivered_now + since,
        latency: stored.latency.or(last.latency),
        found_in_doubt: last.found_in_doubt,
        input_broke: last.input_broke.clone(),
        failed: last.failed.clone(),
        ..stored
    }
}
