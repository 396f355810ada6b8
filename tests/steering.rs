//! Orders that can't be meant, and what an operator is told of those that hold.

use crate::attach::{at_work, ended};
use crate::support::process::until;
use crate::support::receivers::{ledger, signal};
use crate::support::{Desk, Mx};
use std::time::Duration;

#[test]
fn a_provider_or_source_that_is_not_there_is_named_with_those_that_are() {
    let (desk, mx, _, engine) = at_work(200, &["--latency", "25ms"]);
    for verb in ["pause", "cancel"] {
        let ran = desk.sealpost(&[verb, "--provider", "127.0.0.2"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("error: no provider \"127.0.0.2\" is known to this engine"), "{ran:?}");
        assert!(ran.stderr.contains("hint: did you mean \"127.0.0.1\"? known are: 127.0.0.1"), "{ran:?}");
        let ran = desk.sealpost(&[verb, "--source", "b"]);
        assert!(ran.code == 2 && ran.stderr.contains("known are: a"), "{ran:?}");
    }
    let ran = desk.sealpost(&["resume", "--provider", "127.0.0.2"]);
    assert!(ran.code == 2 && ran.stderr.contains("provider 127.0.0.2 is not paused"), "{ran:?}");
    assert_eq!(
        (&desk.status()["paused"], &desk.run_of("small")["cancelled_at"]),
        (&[0; 0][..].into(), &[0; 0][..].into())
    );

    let ran = desk.sealpost(&["pause", "--provider", "127.0.0.1"]);
    assert!(ran.code == 0 && ran.stderr.is_empty(), "{ran:?}");
    let status = desk.sealpost(&["status"]).stdout;
    assert!(status.contains("  paused: provider 127.0.0.1"), "{status}");
    assert_eq!(desk.sealpost(&["cancel", "--source", "a"]).code, 0);
    assert_eq!(desk.sealpost(&["cancel", "--source", "a"]).code, 0, "once more is no harm");
    assert_eq!(desk.run_of("small")["cancelled_at"], serde_json::json!([{"source": "a"}]));
    let status = desk.sealpost(&["status"]).stdout;
    assert!(status.contains("  cancelled at source a\n"), "{status}");
    assert_eq!(desk.sealpost(&["resume", "--provider", "127.0.0.1"]).code, 0);
    let ran = ended(engine);
    assert!(ran.code == 0 && ran.json()["cancelled"].as_u64() > Some(100), "{ran:?}");
    drop(mx);
}

#[test]
fn a_provider_of_the_configuration_can_be_paused_before_its_first_row() {
    let desk = Desk::new();
    let routes =
        "\"*\" = \"127.0.0.1:9\"\n\"later.example\" = { host = \"mx.later.example\", address = \"127.0.0.1:9\" }";
    desk.machine_of("", &format!("[dns.static]\n{routes}\n"));
    let engine = desk.start(&["serve"]);
    until("an engine", || desk.status()["engine"] == "running");
    let ran = desk.sealpost(&["pause", "--provider", "MX.later.example"]);
    assert!(ran.code == 0 && ran.stderr.contains("no row was routed to mx.later.example yet"), "{ran:?}");
    assert_eq!(desk.status()["paused"], serde_json::json!([{"provider": "mx.later.example"}]));
    assert_eq!(desk.sealpost(&["resume", "--provider", "MX.later.example"]).code, 0);
    let ran = desk.sealpost(&["cancel", "--provider", "mx.later.example"]);
    assert!(ran.code == 2 && ran.stderr.contains("no run is open"), "{ran:?}");
    engine.kill();
}

#[test]
fn an_engine_that_is_drained_while_it_is_paused_says_why_it_does_not_end() {
    let (desk, mx, _, engine) = at_work(60, &["--latency", "25ms"]);
    assert_eq!(desk.sealpost(&["pause"]).code, 0);
    let ran = desk.sealpost(&["drain"]);
    let waits = "\n  but everything is paused; `sealpost resume` lets it go on";
    assert!(ran.code == 0 && ran.stdout.contains(waits), "{ran:?}");
    let status = desk.sealpost(&["status"]).stdout;
    assert!(status.contains("draining") && status.contains("\n  but everything is paused"), "{status}");
    assert_eq!(desk.sealpost(&["drain", "--json"]).json()["paused"], serde_json::json!(["all"]));
    let then = ledger(&desk).len();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(ledger(&desk).len() <= then + 1, "it is paused");
    assert_eq!(desk.sealpost(&["resume"]).code, 0);
    let ran = ended(engine);
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &60.into()), "{ran:?}");
    assert!(ran.stderr.contains("the engine can't end before that is sent, but everything is paused"), "{ran:?}");
    drop(mx);
}

#[test]
fn status_says_whether_an_engine_is_at_work_and_how_fast_it_sends_lately() {
    let (desk, mx, campaign, engine) = at_work(60, &["--latency", "25ms"]);
    let text = desk.sealpost(&["status"]).stdout;
    assert!(text.starts_with(&format!("engine at work: process {}, since 20", engine.id())), "{text}");
    let status = desk.status();
    assert_eq!(status["pid"], engine.id(), "{status}");
    assert!(status["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{status}");
    assert!(status["runs"][0]["recent_messages_per_second"].as_f64() > Some(1.0), "{status}");
    let run = status["runs"][0]["run"].as_str().expect("its name");
    let preview = desk.sealpost(&["preview", &campaign]);
    assert!(
        preview.stderr.contains(&format!("row 1 as in run {run}, which `sealpost send` goes on with")),
        "{preview:?}"
    );
    signal(engine.id(), "KILL");
    ended(engine);
    let text = desk.sealpost(&["status"]).stdout;
    assert!(text.starts_with("no engine is at work here\n") && !text.contains("/s lately"), "{text}");
    let status = desk.status();
    assert_eq!((&status["pid"], &status["since"]), (&serde_json::Value::Null, &serde_json::Value::Null), "{status}");
    assert!(desk.sealpost(&["send", &campaign]).code <= 1);
    drop(mx);
}

#[test]
fn one_row_is_no_rows() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(1, "");
    let ran = desk.sealpost(&["send", &campaign]);
    assert!(ran.code == 0 && ran.stdout.contains("): 1 row read\n"), "{ran:?}");
    assert!(desk.sealpost(&["status"]).stdout.contains(": finished, 1 row read\n"));
}

/// What is paused loses no row: also not where rows are dropped without being tried, because others were a moment ago.
#[test]
fn no_row_is_dropped_where_something_is_paused() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--no-starttls"]);
    desk.machine(mx.port, "");
    let engine = desk.start(&["serve"]);
    until("an engine", || desk.status()["engine"] == "running");
    let first = desk.blast("first", ["a@mail.example".to_owned()].into_iter(), "");
    assert_eq!(desk.send(&first).1["dropped"], 1);

    assert_eq!(desk.sealpost(&["pause", "--provider", "127.0.0.1"]).code, 0);
    let second = desk.blast("second", (0..40).map(|row| format!("r{row}@mail.example")), "");
    let sender = desk.start(&["send", &second]);
    let run = || desk.run_of("second");
    until("its rows", || desk.status()["runs"].as_array().is_some_and(|runs| runs.len() == 2) && run()["rows"] == 40);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((&run()["waiting"], &run()["dropped"]), (&40.into(), &0.into()), "its provider is paused");
    let name = run()["run"].as_str().expect("a name").to_owned();
    assert_eq!(desk.sealpost(&["pause", "--run", &name]).code, 0);
    assert_eq!(desk.sealpost(&["resume", "--provider", "127.0.0.1"]).code, 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((&run()["waiting"], &run()["dropped"]), (&40.into(), &0.into()), "it is paused itself");
    assert_eq!(desk.sealpost(&["resume", "--run", &name]).code, 0);
    assert_eq!(sender.end().code, 0);
    assert_eq!(run()["dropped"], 40);
    signal(engine.id(), "TERM");
}
