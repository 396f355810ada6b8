//! What the machine itself runs out of holds the engine up, and costs no row an attempt.

use crate::support::receivers::{ledger, signal};
use crate::support::{Desk, Mx, Ran};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ROWS: usize = 3000;

/// Many connections, each soon over: descriptors are wanted all the time.
const MANY: &str = "[limits]\nconnections = 500\nconnections_per_provider = 500\nmessages_per_connection = 5\n";

/// No more than standard input, output and error; descriptors that are open stay so.
const NONE: u64 = 3;

fn everything_arrived_once(desk: &Desk, campaign: &str, ran: &Ran) {
    assert_eq!((ran.code, ran.json()["delivered"].as_u64()), (0, Some(ROWS as u64)), "{ran:?}");
    let ids = ledger(desk);
    assert_eq!((ids.len(), ids.iter().collect::<HashSet<_>>().len()), (ROWS, ROWS));
    let report = desk.sealpost(&["report", campaign, "--json"]).json();
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({ "1": ROWS }), "{report}");
}

/// Starts a command under a hard limit of so many open files.
fn under(desk: &Desk, files: u32, args: &[&str]) -> Child {
    let sealpost = desk.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\"")]);
    command.arg(sealpost.get_program()).args(sealpost.get_args()).current_dir(desk.path(""));
    command.env_remove("SEALPOST_CONFIG").env_remove("SEALPOST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("sh runs")
}

#[test]
fn few_descriptors_from_the_start() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "20ms"]);
    desk.machine(mx.port, MANY);
    let campaign = desk.small(ROWS, "");
    let run = under(&desk, 120, &["send", &campaign, "--json"]);
    let ran = Ran::from(run.wait_with_output().expect("it ends"));
    assert!(
        ran.stderr.contains("120 open files are allowed: 60 connections") && ran.stderr.contains("hint: "),
        "{ran:?}"
    );
    everything_arrived_once(&desk, &campaign, &ran);
}

#[test]
fn no_descriptors_for_a_while() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "50ms"]);
    desk.machine(mx.port, &MANY.replace("500", "20"));
    let campaign = desk.small(ROWS, "");
    let run = desk.spawn(&["send", &campaign, "--json"]);
    wait_until("it is underway", || ledger(&desk).len() > 100);
    let pid = Pid::from_raw(i32::try_from(run.id()).expect("a number")).expect("not zero");
    let none = Rlimit { current: Some(NONE), maximum: Some(limit(pid)) };
    let before = prlimit(Some(pid), Resource::Nofile, none).expect("our own child");
    wait_until("nothing moves", || {
        let taken = ledger(&desk).len();
        std::thread::sleep(Duration::from_secs(2));
        taken == ledger(&desk).len()
    });
    let taken = ledger(&desk).len();
    assert!(taken < ROWS, "it was too late");
    prlimit(Some(pid), Resource::Nofile, before).expect("our own child");
    let ran = Ran::from(run.wait_with_output().expect("it ends"));
    assert!(ran.stderr.contains("the engine waits") && ran.stderr.contains("descriptors"), "{ran:?}");
    assert!(ran.stderr.contains("the engine goes on"), "{ran:?}");
    everything_arrived_once(&desk, &campaign, &ran);
}

#[test]
fn a_stop_does_not_wait_for_descriptors() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "50ms"]);
    desk.machine(mx.port, &MANY.replace("500", "20"));
    let campaign = desk.small(ROWS, "");
    let run = desk.spawn(&["send", &campaign, "--json"]);
    wait_until("it is underway", || ledger(&desk).len() > 100);
    let pid = Pid::from_raw(i32::try_from(run.id()).expect("a number")).expect("not zero");
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(NONE), maximum: Some(limit(pid)) }).expect("our child");
    std::thread::sleep(Duration::from_secs(2));
    let since = Instant::now();
    signal(run.id(), "TERM");
    let ran = Ran::from(run.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.json()["in_doubt"].as_u64()), (3, Some(0)), "{ran:?}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    drop(mx);
}

fn limit(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).expect("it runs");
    let line = text.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(4).and_then(|hard| hard.parse().ok()).expect("a number")
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
