//! What is worth a line on stderr while a run is watched.

use crate::commands::steer::{held_up_by, is_paused};
use engine::control::{ConditionView, EngineView, RunState, RunView, Target};
use engine::mail::rows;
use std::collections::BTreeMap;

/// What was said already.
#[derive(Default)]
pub struct News {
    conditions: BTreeMap<String, ConditionView>,
    paused: bool,
    draining: bool,
    held_up: Vec<Target>,
    told_doubt: bool,
    told_broke: bool,
    told_brake: bool,
    told_held: usize,
}

impl News {
    /// What is new of the engine.
    pub fn of_engine(&mut self, view: &EngineView) -> Vec<String> {
        let now: BTreeMap<_, _> = view.conditions.iter().map(|new| (new.what.clone(), new.clone())).collect();
        let come = now.values().filter(|new| !self.conditions.contains_key(&new.what));
        let mut lines: Vec<_> =
            come.map(|new| format!("the engine waits: {} ({})", new.why, spaced(&new.what))).collect();
        let gone = self.conditions.keys().filter(|old| !now.contains_key(*old));
        lines.extend(gone.map(|old| format!("the engine goes on: {} is over", spaced(old))));
        self.conditions = now;
        if view.draining && !std::mem::replace(&mut self.draining, true) {
            lines.push("the engine is draining: it reads no more input, sends what is in memory, and ends".into());
        }
        let held_up = if view.draining { held_up_by(view) } else { Vec::new() };
        let new = held_up.iter().filter(|target| !self.held_up.contains(target));
        lines.extend(new.map(|target| format!("the engine can't end before that is sent, but {}", is_paused(target))));
        self.held_up = held_up;
        lines
    }

    /// What is new of a run that is watched.
    pub fn of_run(&mut self, run: &RunView) -> Vec<String> {
        let mut lines = Vec::new();
        if run.found_in_doubt > 0 && !std::mem::replace(&mut self.told_doubt, true) {
            let (rows, were) = (rows(run.found_in_doubt), if run.found_in_doubt == 1 { "was" } else { "were" });
            lines.push(format!(
                "{rows} {were} on the wire when the last engine died; `on_doubt` decides what becomes of them"
            ));
        }
        if let Some(why) = run.input_broke.as_ref().filter(|_| !std::mem::replace(&mut self.told_broke, true)) {
            lines.push(format!("{why}; what was read before is still sent"));
        }
        if let Some(why) = run.braked.as_ref().filter(|_| !std::mem::replace(&mut self.told_brake, true)) {
            lines.push(format!("{} is stopped by its brake: {why}", run.campaign));
        }
        let held = run.held.iter().skip(self.told_held);
        lines.extend(held.map(|why| format!("{} is held by its brake {why}; the rest of it goes on", run.campaign)));
        self.told_held = self.told_held.max(run.held.len());
        // A paused run whose deadline has come, or that is cancelled, was not resumed.
        let paused = run.state == RunState::Paused || (self.paused && run.state != RunState::Running);
        if paused != std::mem::replace(&mut self.paused, paused) {
            let said = if paused {
                format!("{} is paused; `sealpost status` says by what, `sealpost resume` lets it go on", run.campaign)
            } else {
                format!("{} is paused no longer", run.campaign)
            };
            lines.push(said);
        }
        lines
    }
}

fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::mail::RunId;
    use engine::store::{Manifest, Tally};

    fn condition(what: &str) -> ConditionView {
        ConditionView { what: what.into(), since: 0, why: "/state: no room".into() }
    }

    #[test]
    fn conditions_are_said_when_they_come_and_when_they_go() {
        let mut news = News::default();
        let view = |conditions, draining| EngineView { conditions, draining, ..EngineView::default() };
        assert!(news.of_engine(&view(Vec::new(), false)).is_empty());
        let full = || vec![condition("disk_full")];
        assert_eq!(news.of_engine(&view(full(), false)), ["the engine waits: /state: no room (disk full)"]);
        assert!(news.of_engine(&view(full(), false)).is_empty());
        assert_eq!(news.of_engine(&view(Vec::new(), false)), ["the engine goes on: disk full is over"]);
        assert_eq!(news.of_engine(&view(full(), true)).len(), 2);
        assert!(news.of_engine(&view(full(), true)).is_empty());
    }

    fn run(state: RunState) -> RunView {
        let manifest = serde_json::json!({
            "campaign": "eob", "input": "eob.csv", "fingerprint": "", "opened": 0, "finished": null, "read": 0,
            "read_all": false, "seconds": 0.0,
        });
        let manifest: Manifest = serde_json::from_value(manifest).expect("a manifest");
        RunView::at_rest(RunId(0xaa), &manifest, &Tally::default(), state)
    }

    #[test]
    fn a_paused_run_that_ends_was_not_resumed() {
        use RunState::{Cancelled, Paused, Running, Stopped};
        let said = |states: &[RunState]| {
            let mut news = News::default();
            states.iter().flat_map(|state| news.of_run(&run(*state))).collect::<Vec<_>>()
        };
        assert_eq!(said(&[Running, Paused, Paused, Running]).len(), 2);
        for end in [Stopped, Cancelled] {
            let said = said(&[Running, Paused, end]);
            assert!(said.len() == 1 && said[0].contains("eob is paused;"), "{said:?}");
        }
    }

    #[test]
    fn an_engine_that_is_drained_while_it_is_paused_says_what_it_waits_for() {
        let mut news = News::default();
        let view = |paused: Vec<Target>, state| EngineView {
            draining: true,
            paused,
            runs: vec![run(state)],
            ..EngineView::default()
        };
        let all = view(vec![Target::All], RunState::Paused);
        let said = news.of_engine(&all);
        assert_eq!(
            said[1..],
            ["the engine can't end before that is sent, but everything is paused; `sealpost resume` lets it go on"]
        );
        assert!(news.of_engine(&all).is_empty(), "once");
        let one = news.of_engine(&view(Vec::new(), RunState::Paused));
        assert_eq!(
            one,
            [
                "the engine can't end before that is sent, but run 00000000000000aa is paused; `sealpost resume --run 00000000000000aa` lets it go on"
            ]
        );
        assert!(news.of_engine(&view(vec![Target::All], RunState::Stopped)).is_empty(), "nothing waits any more");
    }
}
