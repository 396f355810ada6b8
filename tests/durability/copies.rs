//! State directories that were copied: a copy can't know what its original sent since, and sends nothing until it is told.

use super::{adds_up, count, no_accepted_row_waits, people};
use crate::support::process::{freeze, thaw, until};
use crate::support::{Desk, Lasting, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: u64 = 300;

/// A state directory and its copy, each with a configuration.
struct Copied {
    desk: Desk,
    mx: Lasting,
    campaign: String,
}

impl Copied {
    fn new() -> Copied {
        let desk = Desk::new();
        let mx = Lasting::start(&desk, &["--latency", "10ms"]);
        desk.light(mx.port, "[limits]\nconnections_per_provider = 4\n");
        let ours = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
        desk.write("copy.toml", ours.replace("state_dir = \"state\"", "state_dir = \"copy\"").as_bytes());
        let campaign = desk.blast("copied", people(1..=ROWS), "");
        Copied { desk, mx, campaign }
    }

    /// A hundred rows are sent, the rest is not read.
    fn some_sent() -> Copied {
        let copied = Copied::new();
        let ran = copied.desk.sealpost(&["send", &copied.campaign, "--limit", "100"]);
        assert_eq!(ran.code, 3, "{ran:?}");
        copied
    }

    fn shell(&self, script: &str) {
        let status = Command::new("sh").args(["-ec", script]).current_dir(self.desk.path("")).status();
        assert!(status.expect("sh runs").success(), "{script}");
    }

    /// A command on `copy.toml`.
    fn on_copy(&self, args: &[&str]) -> Ran {
        self.desk.sealpost(&[&["--config", "copy.toml"], args].concat())
    }

    fn run_of_copy(&self) -> Value {
        self.on_copy(&["status", "--json"]).json()["runs"][0].clone()
    }

    /// It refuses to send, says what helps, and `status` knows why.
    fn refuses(&self, config: &str) {
        let before = self.mx.accepted(&self.desk).len();
        let refused = self.desk.sealpost(&["--config", config, "send", &self.campaign]);
        assert_eq!(refused.code, 2, "{refused:?}");
        let hint = refused.stderr.lines().find(|line| line.starts_with("hint:")).unwrap_or_default();
        assert!(hint.contains("sealpost doubt"), "{refused:?}");
        let status = self.desk.sealpost(&["--config", config, "status", "--json"]).json();
        assert_eq!(status["copy"], true, "{status}");
        assert_eq!(self.mx.accepted(&self.desk).len(), before, "it sent something");
    }

    /// What the copy can't know is in doubt: with everything held, nobody gets a second message.
    fn settles(&self, config: &str) {
        let command = |args: &[&str]| self.desk.sealpost(&[&["--config", config], args].concat());
        let settled = command(&["doubt", "settle", "--copy"]);
        assert_eq!(settled.code, 0, "{settled:?}");
        let sent = command(&["send", &self.campaign]);
        assert_eq!(sent.code, 1, "all settled, some in doubt: {sent:?}");
        let run = command(&["status", "--json"]).json()["runs"][0].clone();
        assert_eq!((adds_up(&run), count(&run, "delivered") + count(&run, "in_doubt")), (ROWS, ROWS), "{run}");
        let accepted = self.mx.accepted(&self.desk);
        assert_eq!((accepted.len() as u64, accepted.people() as u64), (ROWS, ROWS), "somebody has two: {run}");
        let listed = self.listed(config);
        assert_eq!(listed.len() as u64, count(&run, "in_doubt"), "counted and listed differ: {run}");
        println!("{} delivered by what the copy knows, {} in doubt", count(&run, "delivered"), listed.len());
    }

    fn listed(&self, config: &str) -> BTreeSet<u64> {
        self.desk.listed(&["--config", config])
    }
}

#[test]
fn a_copy_beside_a_living_one_refuses_and_its_original_goes_on() {
    let copied = Copied::new();
    let sender = copied.desk.start(&["send", &copied.campaign]);
    copied.mx.journal(&copied.desk).reaches(100);
    // Between two writes, as a snapshot of the file system would be.
    freeze(sender.id());
    // What was on the wire still arrives.
    let (mut last, mut since) = (0, Instant::now());
    until("rest", || {
        let now = copied.mx.accepted(&copied.desk).len();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_millis(500)
    });
    copied.shell("cp -a state copy");
    copied.refuses("copy.toml");
    thaw(sender.id());
    let ran = sender.end();
    assert_eq!(ran.code, 0, "the original is not troubled: {ran:?}");
    assert_eq!(copied.mx.accepted(&copied.desk).people() as u64, ROWS);
    copied.refuses("copy.toml");
    copied.settles("copy.toml");
    assert_eq!(copied.desk.send(&copied.campaign).0, 0, "nor is it by what was done to its copy");
}

#[test]
fn a_backup_brought_back_after_the_original_went_on_refuses() {
    let copied = Copied::some_sent();
    copied.shell("cp -a state backup");
    assert_eq!(copied.desk.send(&copied.campaign).0, 0);
    copied.shell("rm -r state && cp -a backup state");
    copied.refuses("sealpost.toml");
    copied.settles("sealpost.toml");
}

#[test]
fn a_database_brought_back_into_its_directory_refuses() {
    let copied = Copied::some_sent();
    copied.shell("cp -a state/db backup");
    assert_eq!(copied.desk.send(&copied.campaign).0, 0);
    copied.shell("rm -r state/db && cp -a backup state/db");
    copied.refuses("sealpost.toml");
    copied.settles("sealpost.toml");
}

#[test]
fn a_copy_whose_original_sent_nothing_since_goes_on_when_told() {
    let copied = Copied::some_sent();
    copied.shell("cp -a state copy");
    copied.refuses("copy.toml");
    let told = copied.on_copy(&["doubt", "resend", "--copy"]);
    assert_eq!(told.code, 0, "{told:?}");
    let ran = copied.on_copy(&["send", &copied.campaign]);
    let run = copied.run_of_copy();
    assert_eq!((ran.code, adds_up(&run), count(&run, "delivered")), (0, ROWS, ROWS), "{ran:?}");
    no_accepted_row_waits(&copied.mx.accepted(&copied.desk), &copied.listed("copy.toml"), &run);
}

#[test]
fn a_directory_that_was_moved_is_no_copy() {
    let copied = Copied::some_sent();
    copied.shell("mv state copy");
    let ran = copied.on_copy(&["send", &copied.campaign]);
    let run = copied.run_of_copy();
    assert_eq!((ran.code, adds_up(&run), count(&run, "delivered")), (0, ROWS, ROWS), "{ran:?}");
    let accepted = copied.mx.accepted(&copied.desk);
    assert_eq!((accepted.len() as u64, accepted.people() as u64), (ROWS, ROWS), "each once");
    let status = copied.on_copy(&["status", "--json"]).json();
    assert_eq!(status["copy"], false, "{status}");
}
