//! What is worth a line on stderr while a run is watched.

use engine::control::{ConditionView, EngineView, RunState, RunView};
use std::collections::BTreeMap;

/// What was said already.
#[derive(Default)]
pub struct News {
    conditions: BTreeMap<String, ConditionView>,
    paused: bool,
    draining: bool,
    told_doubt: bool,
    told_broke: bool,
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
        lines
    }

    /// What is new of a run that is watched.
    pub fn of_run(&mut self, run: &RunView) -> Vec<String> {
        let mut lines = Vec::new();
        if run.found_in_doubt > 0 && !std::mem::replace(&mut self.told_doubt, true) {
            lines.push(format!(
                "{} rows were on the wire when the last engine died; `on_doubt` decides what becomes of them",
                run.found_in_doubt
            ));
        }
        if let Some(why) = run.input_broke.as_ref().filter(|_| !std::mem::replace(&mut self.told_broke, true)) {
            lines.push(format!("{why}; what was read before is still sent"));
        }
        let paused = run.state == RunState::Paused;
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
}
