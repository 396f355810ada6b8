//! `serve` goes on by itself with what an earlier engine left open.

use super::{adds_up, count, people};
use crate::support::process::{Work, freeze, until};
use crate::support::receivers::signal;
use crate::support::{Desk, Lasting};
use serde_json::Value;

/// 133 messages a second.
fn desk_and_receiver(more: &str) -> (Desk, Lasting) {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "30ms"]);
    desk.light(mx.port, &format!("[limits]\nconnections_per_provider = 4\n{more}"));
    (desk, mx)
}

/// An engine that waits for campaigns.
fn serve(desk: &Desk) -> Work {
    let engine = desk.start(&["serve"]);
    until("the engine", || desk.status()["engine"] == "running");
    engine
}

fn is_finished(desk: &Desk, campaign: &str) -> bool {
    desk.run_of(campaign)["state"] == "finished"
}

#[test]
fn a_serve_that_was_killed_goes_on_when_it_is_started_again() {
    const ROWS: u64 = 900;
    let (desk, mx) = desk_and_receiver("");
    let campaign = desk.blast("killed", people(1..=ROWS), "");
    let mut engine = serve(&desk);
    let sender = desk.start(&["send", &campaign]);
    for so_far in [100, 250] {
        mx.journal(&desk).reaches(so_far);
        freeze(engine.id());
        engine.kill();
        engine = serve(&desk);
    }
    sender.kill();
    until("the end of the run", || is_finished(&desk, "killed"));
    mx.settle();
    let (run, accepted, listed) = (desk.run_of("killed"), mx.accepted(&desk), desk.in_doubt());
    assert_eq!((adds_up(&run), count(&run, "delivered") + listed.len() as u64), (ROWS, ROWS), "{run}");
    assert_eq!((accepted.len(), accepted.ids_twice()), (accepted.people(), 0), "each once: {run}");
    assert_eq!(&accepted.rows(1) | &listed, (1..=ROWS).collect(), "somebody has none and is not listed");
    assert!(listed.len() <= 8, "more in doubt than connections: {listed:?}");
    assert!(!engine.has_ended(), "it serves on");
}

/// Its rows stand in the store; the file of that night is gone in the morning.
#[test]
fn retries_go_on_after_a_restart_without_their_input() {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--defer", "100"]);
    desk.light(mx.port, "[retry]\nfirst = \"3s\"\nlongest = \"3s\"\n");
    let campaign = desk.blast("nightly", people(1..=40), "");
    let engine = serve(&desk);
    let sender = desk.start(&["send", &campaign]);
    until("deferrals", || desk.status()["runs"].as_array().is_some_and(|runs| !runs.is_empty()));
    until("deferrals", || count(&desk.run_of("nightly"), "deferred") == 40);
    signal(engine.id(), "TERM");
    let ran = engine.end();
    assert_eq!(ran.code, 3, "rows are left: {ran:?}");
    sender.end();
    std::fs::remove_file(desk.path("nightly.csv")).expect("there");
    let _engine = serve(&desk);
    until("the end of the run", || is_finished(&desk, "nightly"));
    let run = desk.run_of("nightly");
    assert_eq!((adds_up(&run), count(&run, "delivered"), mx.accepted(&desk).len()), (40, 40, 40), "{run}");
}

/// What is wrong with a run, and what to type.
fn shown(desk: &Desk, campaign: &str) -> (String, String) {
    let run = desk.run_of(campaign);
    let text = |name: &str| run[name].as_str().unwrap_or_else(|| panic!("no {name}: {run}")).to_owned();
    assert_eq!(run["state"], "stopped", "{run}");
    (text("failed"), text("hint"))
}

#[test]
fn what_cannot_go_on_is_shown_and_holds_up_nobody() {
    let (desk, mx) = desk_and_receiver("");
    let engine = serve(&desk);
    let names = ["gone", "overwritten", "fine", "paused", "limited"];
    let mut senders = Vec::new();
    for (number, name) in (0..).zip(names) {
        let campaign = desk.blast(name, people(number * 1000 + 1..=number * 1000 + 300), "");
        let limit: &[&str] = if name == "limited" { &["--limit", "5"] } else { &[] };
        senders.push(desk.start(&[&["send", &campaign], limit].concat()));
    }
    let delivered = |name: &str| {
        let status = desk.status();
        let mut runs = status["runs"].as_array().expect("runs").iter();
        runs.find(|run| run["campaign"] == name).map_or(0, |run| count(run, "delivered"))
    };
    until("all of them at work", || names.iter().all(|name| delivered(name) >= 5));
    let name_of = |name: &str| desk.run_of(name)["run"].as_str().expect("its name").to_owned();
    assert_eq!(desk.sealpost(&["pause", "--run", &name_of("paused")]).code, 0);
    freeze(engine.id());
    engine.kill();
    senders.into_iter().for_each(Work::kill);

    std::fs::remove_file(desk.path("gone.toml")).expect("there");
    desk.blast("overwritten", people(7001..=7003), "");
    let _engine = serve(&desk);
    until("the end of the good one", || is_finished(&desk, "fine"));
    let (why, hint) = shown(&desk, "gone");
    assert!(why.contains("not taken up: ") && why.contains("gone.toml"), "{why}");
    assert!(hint.contains("sealpost send ") && hint.contains("gone.toml"), "{hint}");
    let (why, hint) = shown(&desk, "overwritten");
    assert!(why.contains("it is another now") && hint.contains("--abandon"), "{why}; {hint}");
    let (why, hint) = shown(&desk, "limited");
    assert!(why.contains("was sent with --limit") && hint.contains("sealpost send "), "{why}; {hint}");
    assert_eq!(delivered("limited"), 5, "it goes no further than it was sent");
    let text = desk.sealpost(&["status"]).stdout;
    assert!(text.contains("not taken up: ") && text.contains("hint: ") && text.contains("gone.toml"), "{text}");
    paused_goes_on(&desk, &name_of("paused"));
    assert!(mx.accepted_for(&desk, "r7001@mail.example").len() == 0, "the file in its place was not sent");
}

/// One that a person had paused is left alone until the same person resumes it.
fn paused_goes_on(desk: &Desk, run: &str) {
    let before: Value = desk.run_of("paused");
    assert_eq!((&before["state"], before.get("failed")), (&"paused".into(), None), "{before}");
    let ran = desk.sealpost(&["resume", "--run", run]);
    assert_eq!(ran.code, 0, "{ran:?}");
    until("its end", || is_finished(desk, "paused"));
}
