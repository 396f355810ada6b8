//! Stopped and taken up again: nothing lost, nothing twice, by the receiver's own count.

use crate::support::receivers::{ledger, signal};
use crate::support::{Desk, Mx, Ran, root};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Waits until the receiver has taken `count` messages.
fn wait_for(desk: &Desk, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while ledger(desk).len() < count {
        assert!(Instant::now() < deadline, "the receiver never had {count} messages");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn unique(ids: &[String]) -> usize {
    ids.iter().collect::<HashSet<_>>().len()
}

#[test]
fn sigterm_in_the_middle_then_send_again() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--defer", "30", "--latency", "50ms"]);
    desk.machine(mx.port, "[retry]\nfirst = \"1s\"\nlongest = \"2s\"\n[limits]\nconnections_per_provider = 2\n");
    let campaign =
        desk.campaign("stopped", &root().join("tests/data/eob/eob.csv"), "columns = { lines = \"json\" }", "");
    for so_far in [200, 450, 700] {
        let child = desk.spawn(&["send", &campaign, "--json"]);
        wait_for(&desk, so_far);
        signal(child.id(), "TERM");
        let ran: Ran = child.wait_with_output().expect("it ends").into();
        assert_eq!(ran.code, 3, "{ran:?}");
        let counts = ran.json();
        assert_eq!(counts["in_doubt"], 0, "messages on the wire were finished: {counts}");
        assert_eq!(counts["delivered"].as_u64(), Some(ledger(&desk).len() as u64), "{counts}");
        let sum: u64 = ["delivered", "deferred", "waiting"].iter().filter_map(|name| counts[name].as_u64()).sum();
        assert_eq!(counts["rows"].as_u64(), Some(sum), "{counts}");
        let status = desk.sealpost(&["status", "--json"]).json();
        assert_eq!(status["engine"], "stopped");
        assert_eq!(status["runs"][0]["delivered"], counts["delivered"]);
    }
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64(), counts["rows"].as_u64()), (0, Some(1267), Some(1267)), "{counts}");
    let ids = ledger(&desk);
    assert_eq!((ids.len(), unique(&ids)), (1267, 1267));
    assert_eq!(mx.totals()["twice"], 0);
}

#[test]
fn killed_in_the_middle_then_send_again() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--defer", "20", "--latency", "20ms"]);
    desk.machine(mx.port, "[retry]\nfirst = \"1s\"\nlongest = \"2s\"\n[limits]\nconnections_per_provider = 2\n");
    let campaign = desk.campaign("killed", &root().join("tests/data/eob/eob.parquet"), "", "");
    let mut in_doubt = 0;
    for so_far in [150, 400, 800] {
        let mut child = desk.spawn(&["send", &campaign]);
        wait_for(&desk, so_far);
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        let status = desk.sealpost(&["status", "--json"]).json();
        let now = status["runs"][0]["in_doubt"].as_u64().unwrap();
        // Nine sites with two connections each.
        assert!(now - in_doubt <= 18, "more in doubt than open connections: {status}");
        in_doubt = now;
    }
    let (code, counts) = desk.send(&campaign);
    assert_eq!(code, i32::from(in_doubt > 0), "doubt held: {counts}");
    assert_eq!(counts["in_doubt"].as_u64(), Some(in_doubt), "{counts}");
    assert_eq!(counts["delivered"].as_u64(), Some(1267 - in_doubt), "{counts}");
    let ids = ledger(&desk);
    assert_eq!(ids.len(), unique(&ids), "held doubt sends nothing twice");
    assert!(ids.len() as u64 >= 1267 - in_doubt, "{} of 1267, {in_doubt} in doubt", ids.len());
    drop(mx);
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_doubt_listed() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "8s"]);
    desk.machine(mx.port, "[limits]\nconnections_per_provider = 3\n");
    let campaign = desk.small(10, "");
    let child = desk.spawn(&["send", &campaign]);
    let said = |text: &str| std::fs::read_to_string(desk.path("transcript")).unwrap_or_default().matches(text).count();
    let deadline = Instant::now() + Duration::from_secs(20);
    while said("BDAT") < 3 {
        assert!(Instant::now() < deadline, "three messages were never on the wire");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    for _ in 0..2 {
        signal(child.id(), "INT");
        std::thread::sleep(Duration::from_millis(300));
    }
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "it waited for the wire");
    let status = desk.sealpost(&["status", "--json"]).json();
    assert_eq!((&status["runs"][0]["in_doubt"], &status["runs"][0]["waiting"]), (&3.into(), &7.into()), "{status}");
    drop(mx);
}

#[test]
fn a_stop_waits_twenty_seconds_for_the_wire_and_says_so_of_the_rest() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "120s"]);
    desk.machine(mx.port, "[limits]\nconnections_per_provider = 3\n");
    let campaign = desk.small(10, "");
    let child = desk.spawn(&["send", &campaign, "--json"]);
    let said = |text: &str| std::fs::read_to_string(desk.path("transcript")).unwrap_or_default().matches(text).count();
    let deadline = Instant::now() + Duration::from_secs(20);
    while said("BDAT") < 3 {
        assert!(Instant::now() < deadline, "three messages were never on the wire");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    signal(child.id(), "TERM");
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert!((20..23).contains(&asked.elapsed().as_secs()), "after {:?}: {ran:?}", asked.elapsed());
    let counts = ran.json();
    assert_eq!((ran.code, &counts["in_doubt"], &counts["waiting"]), (3, &3.into(), &7.into()), "{ran:?}");
    let listed = desk.sealpost(&["doubt", "list", "--json"]).json();
    let rows = listed["runs"][0]["rows"].as_array().expect("rows").clone();
    assert!(rows.len() == 3 && rows.iter().all(|row| row["why"] == "stopped"), "{listed}");
    let text = desk.sealpost(&["doubt", "list"]).stdout;
    assert!(text.contains("the engine stopped") && !text.contains("died"), "{text}");
    drop(mx);
}

#[test]
fn status_and_report_while_it_runs_and_a_second_send_attaches() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "50ms"]);
    desk.machine(mx.port, "[limits]\nconnections_per_provider = 1\n");
    let campaign = desk.small(100, "");
    let child = desk.spawn(&["send", &campaign]);
    wait_for(&desk, 10);
    let status = desk.sealpost(&["status", "--json"]).json();
    assert_eq!((&status["engine"], &status["runs"][0]["state"]), (&"running".into(), &"running".into()), "{status}");
    assert!(status["runs"][0]["delivered"].as_u64() >= Some(5), "{status}");
    assert_eq!(
        status["runs"][0]["in_doubt"], 0,
        "a message on the wire is not in doubt while its engine lives: {status}"
    );
    assert!(desk.sealpost(&["report", &campaign]).stdout.contains("delivered"));
    let second = desk.sealpost(&["send", &campaign, "--json"]);
    assert_eq!((second.code, &second.json()["delivered"]), (0, &100.into()), "{second:?}");
    assert!(second.stderr.contains("handed over"), "{second:?}");
    let ran: Ran = child.wait_with_output().expect("it ends").into();
    assert_eq!(ran.code, 0, "{ran:?}");
    drop(mx);
}

#[test]
fn limit_sends_so_many_and_goes_on_next_time() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(30, "");
    for (limit, code, total) in [("10", 3, 10), ("10", 3, 20), ("10", 0, 30), ("10", 0, 30)] {
        let ran = desk.sealpost(&["send", &campaign, "--limit", limit, "--json"]);
        assert_eq!((ran.code, ran.json()["delivered"].as_u64()), (code, Some(total)), "{ran:?}");
    }
    let ids = ledger(&desk);
    assert_eq!((ids.len(), unique(&ids)), (30, 30));
    drop(mx);
}

#[test]
fn another_input_opens_another_run_and_the_same_name_keeps_both() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(5, "");
    assert_eq!(desk.send(&campaign).0, 0);
    desk.small_of(6..=7, "");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["delivered"].as_u64()), (0, Some(2)));
    let status = desk.sealpost(&["status", "--json"]).json();
    assert_eq!(status["runs"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(desk.sealpost(&["report", &campaign, "--json"]).json()["delivered"], 2, "the latest run");
    drop(mx);
}
