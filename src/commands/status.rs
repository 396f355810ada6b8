//! `sealpost status`: from the engine where one is at work, else from the store.

use super::{drive, steer};
use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::progress::{hours, words};
use crate::stored;
use engine::clock::{Clock, SystemClock, Timestamp};
use engine::control::{Client, ConditionView, EngineView, Refusal, RunState, RunView};
use engine::mail::rows as counted;
use engine::report::{counts, rfc3339, rounded};
use engine::run::{Error, Holder, Lock, offline};
use serde_json::{Value, json};
use std::path::Path;

/// Canaries of a run that are named to people.
const CANARIES: usize = 5;

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
        let unreadable = |error| stored::unreadable(state_dir, error);
        let at_work = live.is_some() || engine == Holder::Somebody;
        let copy = !at_work && store.copied(state_dir).map_err(unreadable)?.is_some();
        // Its engine did not answer.
        let unheard = at_work && live.is_none();
        let mut view = live.unwrap_or_default();
        let mut runs = Vec::new();
        for (run, manifest) in store.runs().map_err(unreadable)? {
            let name = run.to_string();
            match view.runs.iter().position(|live| live.run == name) {
                Some(at) => runs.push(view.runs.remove(at)),
                None => runs.push(match offline::view(&store, run, &manifest, unheard) {
                    Err(Error::Store(error)) => return Err(unreadable(error)),
                    stored => stored?,
                }),
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
            "pid": (self.view.pid != 0).then_some(self.view.pid),
            "since": (self.view.since != 0).then(|| rfc3339(Timestamp(self.view.since))),
            "conditions": conditions.collect::<Vec<_>>(),
            "paused": self.view.paused,
            "draining": self.view.draining,
            "copy": self.copy,
            "runs": self.view.runs.iter().map(object).collect::<Vec<_>>(),
        })
    }

    fn lines(&self, now: Timestamp) -> Vec<String> {
        let EngineView { draining, conditions, paused, runs, .. } = &self.view;
        let mut lines = vec![self.about_engine(now)];
        let held_up = if *draining { steer::held_up_by(&self.view) } else { Vec::new() };
        lines.extend(held_up.iter().map(|target| format!("  but {}", steer::is_paused(target))));
        for ConditionView { what, since, why } in conditions {
            #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
            let span = hours(now.0.saturating_sub(*since) as f64 / 1000.0);
            lines.push(format!("  waits for {span}: {why} ({})", what.replace('_', " ")));
        }
        let paused = paused.iter().filter(|target| !held_up.contains(target));
        lines.extend(paused.map(|target| format!("  paused: {}", steer::words(target))));
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

impl Status {
    /// Whether one is at work, and since when.
    fn about_engine(&self, now: Timestamp) -> String {
        let EngineView { pid, since, draining, .. } = self.view;
        if self.engine != "running" {
            return "no engine is at work here".into();
        }
        if pid == 0 {
            return "an engine is at work here, and does not say how it stands".into();
        }
        let since = Timestamp(since);
        let draining = if draining { "; draining: it takes nothing more and ends" } else { "" };
        let span = hours(now.since(since).as_secs_f64());
        format!("engine at work: process {pid}, since {} ({span}){draining}", rfc3339(since))
    }
}

/// The engine's own view. Where it is at work and does not answer, the store has to do.
pub fn live(state_dir: &Path) -> Result<Option<EngineView>, Failure> {
    if Lock::look(state_dir)? != Some(Holder::Somebody) {
        return Ok(None);
    }
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
    object.insert("recent_messages_per_second".into(), rounded(run.recent));
    object.insert("cancelled_at".into(), json!(run.cancelled_at));
    object.insert("tomorrow".into(), run.tomorrow.into());
    object.insert("braked".into(), run.braked.clone().into());
    object.insert("held".into(), json!(run.held));
    object.insert("canaries".into(), json!(run.canaries));
    object.insert("phi_in_clear".into(), run.phi_in_clear.into());
    if let Some(refusal) = &run.failed {
        object.insert("failed".into(), refusal.what.clone().into());
        object.insert("hint".into(), refusal.hint.clone().into());
    }
    Value::Object(object)
}

fn about(run: &RunView) -> Vec<String> {
    // Where the engine does not say, the store knows no rate.
    let is_sent = run.state == RunState::Running && run.seconds > 0.0;
    let of = run.rows.filter(|rows| *rows != run.read).map_or_else(String::new, |rows| format!(" of {rows}"));
    let rate = if is_sent { format!(", {:.0}/s lately", run.recent) } else { String::new() };
    let read = if of.is_empty() { counted(run.read) } else { format!("{}{of} rows", run.read) };
    let head = format!("{} (run {}): {}, {read} read{rate}", run.campaign, run.run, run.state.word());
    let at: Vec<_> = run.cancelled_at.iter().map(steer::words).collect();
    let cancelled = (!at.is_empty()).then(|| format!("  cancelled at {}", at.join(", ")));
    let broke = run.input_broke.iter().map(|why| format!("  {why}"));
    let hint = |refusal: &Refusal| refusal.hint.as_ref().map(|hint| format!("  hint: {hint}"));
    let failed = run.failed.iter().flat_map(|refusal| [Some(format!("  {}", refusal.what)), hint(refusal)]).flatten();
    let counts = format!("  {}", words(&run.tally()).join(" · "));
    let tomorrow = (run.tomorrow > 0)
        .then(|| format!("  {} of them wait for tomorrow: their sources warm up (`sealpost sources`)", run.tomorrow));
    let braked = drive::brake_lines(run).into_iter().map(|line| format!("  {line}"));
    let held = run.held.iter().map(|why| format!("  held by its brake {why}"));
    let more = run.canaries.len().saturating_sub(CANARIES);
    let canaries = run.canaries.iter().take(CANARIES).map(|canary| format!("  rows wait for the canary at {canary}"));
    let canaries = canaries.chain((more > 0).then(|| format!("  and at {more} other providers")));
    let clear = run.phi_in_clear.then(|| "  its PHI may leave in clear ([transport] phi_in_clear)".to_owned());
    [head, counts]
        .into_iter()
        .chain(tomorrow)
        .chain(clear)
        .chain(cancelled)
        .chain(braked)
        .chain(held)
        .chain(canaries)
        .chain(broke)
        .chain(failed)
        .collect()
}
