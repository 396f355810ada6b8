//! `sealpost status`: from the engine where one is at work, else from the store.

use super::steer;
use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::progress::{hours, words};
use crate::stored;
use engine::clock::{Clock, SystemClock, Timestamp};
use engine::control::{Client, ConditionView, EngineView, Refusal, RunState, RunView};
use engine::report::{counts, rfc3339, rounded};
use engine::run::{Error, Holder, offline};
use serde_json::{Value, json};
use std::path::Path;

/// How the engine and every run of the state directory stand.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let state_dir = &super::machine(args)?.state_dir;
    let Some(status) = Status::of(state_dir)? else {
        if args.json {
            let idle = Status { engine: "never started", view: EngineView::default(), copy: false };
            outln!("{}", idle.json());
        } else {
            outln!("{}: nothing was sent from here yet", state_dir.display());
        }
        return Ok(SETTLED);
    };
    if args.json {
        outln!("{}", status.json());
    } else {
        status.lines(SystemClock.now()).iter().for_each(|line| outln!("{line}"));
    }
    Ok(SETTLED)
}

struct Status {
    engine: &'static str,
    view: EngineView,
    copy: bool,
}

impl Status {
    /// What the engine says, and of the runs that it doesn't know, the store; `None` where nothing was ever sent.
    fn of(state_dir: &Path) -> Result<Option<Status>, Failure> {
        let live = live(state_dir)?;
        let Some((store, engine, _scratch)) = stored::observe(state_dir)? else { return Ok(None) };
        let at_work = live.is_some() || engine == Holder::Somebody;
        let copy = !at_work && store.copied(state_dir).map_err(Error::from)?.is_some();
        // Its engine did not answer.
        let unheard = at_work && live.is_none();
        let mut view = live.unwrap_or_default();
        let mut runs = Vec::new();
        for (run, manifest) in store.runs().map_err(Error::from)? {
            let name = run.to_string();
            match view.runs.iter().position(|live| live.run == name) {
                Some(at) => runs.push(view.runs.remove(at)),
                None => runs.push(offline::view(&store, run, &manifest, unheard)?),
            }
        }
        // Opened since we looked at the store.
        runs.append(&mut view.runs);
        let view = EngineView { runs, ..view };
        Ok(Some(Status { engine: if at_work { "running" } else { "stopped" }, view, copy }))
    }

    fn json(&self) -> Value {
        let conditions = self.view.conditions.iter().map(
            |ConditionView { what, since, why }| json!({"what": what, "since": rfc3339(Timestamp(*since)), "why": why}),
        );
        json!({
            "engine": self.engine,
            "conditions": conditions.collect::<Vec<_>>(),
            "paused": self.view.paused,
            "draining": self.view.draining,
            "copy": self.copy,
            "runs": self.view.runs.iter().map(object).collect::<Vec<_>>(),
        })
    }

    fn lines(&self, now: Timestamp) -> Vec<String> {
        let EngineView { pid, draining, conditions, paused, runs } = &self.view;
        let mut lines = Vec::new();
        if self.engine == "running" {
            let pid = if *pid == 0 { String::new() } else { format!(" (process {pid})") };
            let draining = if *draining { ", draining: it takes nothing more and ends" } else { "" };
            lines.push(format!("engine at work{pid}{draining}"));
        }
        for ConditionView { what, since, why } in conditions {
            #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
            let span = hours(now.0.saturating_sub(*since) as f64 / 1000.0);
            lines.push(format!("  waits for {span}: {why} ({})", what.replace('_', " ")));
        }
        lines.extend(paused.iter().map(|target| format!("  paused: {}", steer::words(target))));
        if self.copy {
            lines.push(
                "  this is a copy of a state directory: nothing is sent before `sealpost doubt` has settled it".into(),
            );
        }
        for run in runs {
            lines.extend(about(run));
        }
        lines
    }
}

/// The engine's own view. Where it is at work and does not answer, the store has to do.
fn live(state_dir: &Path) -> Result<Option<EngineView>, Failure> {
    let asked = Client::connect(state_dir, || stored::is_held(state_dir)).and_then(|client| client.view());
    match asked {
        Ok(view) => Ok(Some(view)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => {
            eprintln!("warning: {error}; what follows is from its store");
            error.hint().iter().for_each(|hint| eprintln!("hint: {hint}"));
            Ok(None)
        }
    }
}

fn object(run: &RunView) -> Value {
    let mut object = counts(&run.campaign, &run.run, &run.tally());
    object.insert("state".into(), run.state.word().into());
    object.insert("read_all".into(), run.read_all.into());
    object.insert("messages_per_second".into(), rounded(run.messages_per_second()));
    if let Some(refusal) = &run.failed {
        object.insert("failed".into(), refusal.what.clone().into());
        object.insert("hint".into(), refusal.hint.clone().into());
    }
    Value::Object(object)
}

fn about(run: &RunView) -> Vec<String> {
    let at_work = matches!(run.state, RunState::Running | RunState::Paused);
    let of = run.rows.filter(|rows| *rows != run.read).map_or_else(String::new, |rows| format!(" of {rows}"));
    let rate = if at_work { format!(", {:.0}/s", run.messages_per_second()) } else { String::new() };
    let head = format!("{} (run {}): {}, {}{of} rows read{rate}", run.campaign, run.run, run.state.word(), run.read);
    let broke = run.input_broke.iter().map(|why| format!("  {why}"));
    let hint = |refusal: &Refusal| refusal.hint.as_ref().map(|hint| format!("  hint: {hint}"));
    let failed = run.failed.iter().flat_map(|refusal| [Some(format!("  {}", refusal.what)), hint(refusal)]).flatten();
    let counts = format!("  {}", words(&run.tally()).join(" · "));
    [head, counts].into_iter().chain(broke).chain(failed).collect()
}
