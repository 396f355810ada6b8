//! Ends that an operator chose: a deadline, an emptied queue, a drain, an engine that serves until it is told.

use super::{adds_up, count, people};
use crate::support::process::until;
use crate::support::receivers::signal;
use crate::support::{Desk, Lasting};
use std::time::{Duration, Instant};

/// 133 messages a second.
fn slow(rows: u64, more: &str) -> (Desk, Lasting, String) {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "30ms"]);
    desk.light(mx.port, &format!("[limits]\nconnections_per_provider = 4\n{more}"));
    let campaign = desk.blast("stopping", people(1..=rows), "");
    (desk, mx, campaign)
}

/// Stopped as it should: nothing in doubt, nothing forgotten, and the rest goes out next time.
fn stopped_and_goes_on(desk: &Desk, mx: &Lasting, campaign: &str, rows: usize) {
    let run = desk.run_of("stopping");
    adds_up(&run);
    let accepted = mx.accepted(desk).len();
    assert_eq!((count(&run, "delivered"), count(&run, "in_doubt")), (accepted as u64, 0), "{run}");
    assert!(accepted < rows, "it ended before it was stopped");
    let (code, counts) = desk.send(campaign);
    assert_eq!((code, count(&counts, "delivered")), (0, rows as u64), "{counts}");
    let accepted = mx.accepted(desk);
    assert_eq!((accepted.len(), accepted.people()), (rows, rows), "each once");
}

#[test]
fn a_deadline_stops_with_rows_left() {
    let (desk, mx, campaign) = slow(700, "");
    let since = Instant::now();
    let ran = desk.sealpost(&["send", &campaign, "--deadline", "2s"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!((2..5).contains(&since.elapsed().as_secs()), "after {:?}", since.elapsed());
    stopped_and_goes_on(&desk, &mx, &campaign, 700);
}

/// Its server takes a message and says nothing; the engine goes on with another campaign.
#[test]
fn a_deadline_waits_twenty_seconds_for_a_silent_server() {
    let desk = Desk::new();
    let silent = Lasting::start(&desk, &["--latency", "300s"]);
    let mx = Lasting::named(&desk, "other", &["--latency", "30ms"]);
    let (to_silent, to_other) = (silent.port, mx.port);
    desk.light_of(&format!(
        "[dns.static]\n\"silent.example\" = \"127.0.0.1:{to_silent}\"\n\"mail.example\" = \"127.0.0.1:{to_other}\"\n\
         [tls]\nroots = [\"mx.pem\", \"other.pem\"]\n[limits]\nconnections_per_provider = 3\n"
    ));
    let other = desk.blast("other", people(1..=5_000), "");
    let stuck = desk.blast("stuck", (1..=10).map(|row| format!("r{row}@silent.example")), "");
    let _engine = desk.start(&["send", &other]);
    mx.journal(&desk).reaches(20);
    let since = Instant::now();
    let ran = desk.sealpost(&["send", &stuck, "--deadline", "2s", "--json"]);
    assert!((21..27).contains(&since.elapsed().as_secs()), "after {:?}: {ran:?}", since.elapsed());
    assert_eq!((ran.code, count(&ran.json(), "in_doubt"), count(&ran.json(), "waiting")), (3, 3, 7), "{ran:?}");
    assert_eq!(desk.run_of("other")["state"], "running", "it shows nothing");
    let listed = desk.sealpost(&["doubt", "list", "--json"]).json();
    let rows = listed["runs"][0]["rows"].as_array().expect("rows");
    assert!(rows.len() == 3 && rows.iter().all(|row| row["why"] == "stopped"), "{listed}");
}

#[test]
fn drain_sends_what_is_in_memory_and_ends() {
    let (desk, mx, campaign) = slow(1_500, "rows_in_memory = 50\n");
    let sender = desk.start(&["send", &campaign]);
    mx.journal(&desk).reaches(50);
    let drained = desk.sealpost(&["drain"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    let ran = sender.end();
    assert_eq!(ran.code, 3, "{ran:?}");
    stopped_and_goes_on(&desk, &mx, &campaign, 1_500);
}

#[test]
fn until_empty_leaves_deferred_rows_for_the_next_night() {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--defer", "30"]);
    desk.light(mx.port, "[retry]\nfirst = \"3s\"\nlongest = \"3s\"\n");
    let campaign = desk.blast("stopping", people(1..=100), "");
    let ran = desk.sealpost(&["send", &campaign, "--until-empty", "--json"]);
    let counts = ran.json();
    assert_eq!((ran.code, count(&counts, "waiting"), count(&counts, "in_doubt")), (3, 0, 0), "{ran:?}");
    assert!(count(&counts, "deferred") > 10, "{counts}");
    stopped_and_goes_on(&desk, &mx, &campaign, 100);
}

#[test]
fn serve_takes_campaigns_until_it_is_told() {
    let (desk, mx, campaign) = slow(60, "");
    let mut engine = desk.start(&["serve"]);
    until("the engine", || desk.status()["engine"] == "running");
    for name in ["stopping", "other"] {
        let ran = desk.sealpost(&["send", &format!("{name}.toml"), "--json"]);
        assert_eq!((ran.code, count(&ran.json(), "delivered")), (0, 60), "{ran:?}");
        desk.blast("other", people(1..=60), "");
    }
    assert!(!engine.has_ended(), "it serves on");
    signal(engine.id(), "TERM");
    let since = Instant::now();
    let ran = engine.end();
    assert_eq!(ran.code, 0, "nothing is left: {ran:?}");
    assert!(since.elapsed() < Duration::from_secs(5), "it had nothing to wait for");
    assert_eq!(desk.send(&campaign).0, 0, "finished before");
    assert_eq!((desk.status()["engine"].clone(), mx.accepted(&desk).len()), ("stopped".into(), 120));
}

#[test]
fn commands_without_an_engine_say_so() {
    let (desk, _mx, campaign) = slow(5, "");
    assert_eq!(desk.send(&campaign).0, 0);
    for args in [&["drain"][..], &["cancel", "--run", "00000000000000aa"]] {
        let ran = desk.sealpost(args);
        assert_ne!(ran.code, 0, "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?}: {ran:?}");
    }
    assert_eq!(desk.status()["engine"], "stopped");
}
