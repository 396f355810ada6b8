//! Several commands, one engine.

use super::{adds_up, count, people};
use crate::support::process::{Work, until};
use crate::support::receivers::signal;
use crate::support::{Desk, Lasting};
use std::time::{Duration, Instant};

/// Two campaigns under way: the first command is the engine, the second has handed its campaign over.
struct Pair {
    desk: Desk,
    mx: Lasting,
    first: Work,
    second: Work,
    rows: u64,
}

impl Pair {
    /// 133 messages a second, shared.
    fn start(rows: u64) -> Pair {
        let desk = Desk::new();
        let mx = Lasting::start(&desk, &["--latency", "30ms"]);
        desk.light(mx.port, "[limits]\nconnections_per_provider = 4\n");
        let first = desk.blast("first", people(1..=rows), "");
        let second = desk.blast("second", people(10_001..=10_000 + rows), "");
        let first = desk.start(&["send", &first, "--json"]);
        mx.journal(&desk).reaches(20);
        let second = desk.start(&["send", &second, "--json"]);
        let pair = Pair { desk, mx, first, second, rows };
        until("both at work", || pair.delivered("first") > 0 && pair.delivered("second") > 0);
        pair
    }

    fn delivered(&self, campaign: &str) -> u64 {
        let status = self.desk.status();
        let mut runs = status["runs"].as_array().expect("runs").iter();
        runs.find(|run| run["campaign"] == campaign).map_or(0, |run| count(run, "delivered"))
    }

    fn name(&self, campaign: &str) -> String {
        self.desk.run_of(campaign)["run"].as_str().expect("its name").to_owned()
    }

    fn command(&self, args: &[&str]) {
        let ran = self.desk.sealpost(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }

    /// How many of a campaign's recipients have it.
    fn accepted(&self, campaign: &str) -> usize {
        let rows = self.mx.accepted(&self.desk).rows(1);
        rows.iter().filter(|row| (**row > 10_000) == (campaign == "second")).count()
    }

    /// Nobody got anything twice, and these campaigns are all delivered.
    fn all_delivered(&self, campaigns: &[&str]) {
        for campaign in campaigns {
            let run = self.desk.run_of(campaign);
            assert_eq!((adds_up(&run), count(&run, "delivered")), (self.rows, self.rows), "{run}");
            assert_eq!(self.accepted(campaign) as u64, self.rows, "{run}");
        }
        let accepted = self.mx.accepted(&self.desk);
        assert_eq!(accepted.len(), accepted.people(), "nobody has two");
    }
}

/// Whether a process has the store open.
fn has_the_store(process: u32) -> bool {
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.into_iter().any(|link| link.to_string_lossy().contains("/state/db/"))
}

#[test]
fn two_sends_are_one_engine_and_both_are_accounted() {
    let mut pair = Pair::start(800);
    let status = pair.desk.status();
    assert_eq!(status["engine"], "running", "{status}");
    for campaign in ["first", "second"] {
        assert_eq!(pair.desk.run_of(campaign)["state"], "running", "{status}");
    }
    assert!(has_the_store(pair.first.id()) && !has_the_store(pair.second.id()), "there are two engines");
    let so_far = pair.delivered("second");
    until("progress of the second", || pair.delivered("second") > so_far + 50);
    // Two of one priority have half each: the later one is not left until the first is done.
    assert!(pair.delivered("first") < 800, "the second waited for the first");
    let rows = pair.rows;
    let second = pair.second.take().end();
    let last = second.json();
    assert_eq!((second.code, &last["campaign"]), (0, &"second".into()), "{second:?}");
    assert_eq!((count(&last, "delivered"), count(&last, "rows")), (rows, rows), "{second:?}");
    // Twelve seconds: without a terminal a line of progress comes every ten.
    assert!(second.stderr.contains("delivered"), "its progress is shown: {second:?}");
    let first = pair.first.take().end();
    assert_eq!((first.code, count(&first.json(), "delivered")), (0, rows), "{first:?}");
    pair.all_delivered(&["first", "second"]);
}

#[test]
fn cancel_of_one_leaves_the_other_alone() {
    let mut pair = Pair::start(500);
    pair.command(&["cancel", "--run", &pair.name("second")]);
    let cancelled_at = pair.accepted("second");
    let second = pair.second.take().end();
    assert!([0, 1].contains(&second.code), "settled, and none of it waits: {second:?}");
    let first = pair.first.take().end();
    assert_eq!(first.code, 0, "{first:?}");
    pair.all_delivered(&["first"]);
    let run = pair.desk.run_of("second");
    assert_eq!((&run["state"], count(&run, "waiting"), count(&run, "in_doubt")), (&"cancelled".into(), 0, 0), "{run}");
    assert!(adds_up(&run) == pair.rows && count(&run, "cancelled") > 0, "{run}");
    assert_eq!(count(&run, "delivered"), pair.accepted("second") as u64, "{run}");
    assert!(pair.accepted("second") <= cancelled_at + 4, "only what was on the wire was finished");
}

#[test]
fn pause_of_one_and_resume() {
    let mut pair = Pair::start(500);
    let name = pair.name("second");
    pair.command(&["pause", "--run", &name]);
    let status = pair.desk.status();
    assert_eq!(pair.desk.run_of("second")["state"], "paused", "{status}");
    let (second, first) = (pair.accepted("second"), pair.accepted("first"));
    until("progress of the first", || pair.accepted("first") >= first + 100);
    assert!(pair.accepted("second") <= second + 4, "only what was on the wire was finished");
    pair.command(&["resume", "--run", &name]);
    for work in [pair.first.take(), pair.second.take()] {
        let ran = work.end();
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    pair.all_delivered(&["first", "second"]);
}

#[test]
fn pause_and_resume_of_everything() {
    let mut pair = Pair::start(300);
    pair.command(&["pause"]);
    let (mut last, mut since) = (0, Instant::now());
    until("rest", || {
        let now = pair.mx.accepted(&pair.desk).len();
        if now > last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(1)
    });
    assert!(last < 600, "it was not paused");
    pair.command(&["resume"]);
    for work in [pair.first.take(), pair.second.take()] {
        let ran = work.end();
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    pair.all_delivered(&["first", "second"]);
}

#[test]
fn ctrl_c_on_the_attached_command_detaches() {
    let mut pair = Pair::start(300);
    signal(pair.second.id(), "INT");
    let second = pair.second.take().end();
    assert_eq!(second.code, 3, "{second:?}");
    assert!(second.stderr.contains("goes on"), "it says so: {second:?}");
    assert!(pair.delivered("second") < 300, "it went on by itself too long to show anything");
    let first = pair.first.take().end();
    assert_eq!(first.code, 0, "{first:?}");
    // The engine ends when no run is open.
    pair.all_delivered(&["first", "second"]);
}

#[test]
fn the_same_campaign_twice_at_once_is_one_run() {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "30ms"]);
    desk.light(mx.port, "[limits]\nconnections_per_provider = 4\n");
    let campaign = desk.blast("one", people(1..=300), "");
    let first = desk.start(&["send", &campaign, "--json"]);
    mx.journal(&desk).reaches(20);
    let second = desk.start(&["send", &campaign, "--json"]);
    for ran in [first.end(), second.end()] {
        assert_eq!((ran.code, count(&ran.json(), "delivered")), (0, 300), "{ran:?}");
    }
    let status = desk.status();
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(1), "{status}");
    let accepted = mx.accepted(&desk);
    assert_eq!((accepted.len(), accepted.people()), (300, 300), "each once");
}
