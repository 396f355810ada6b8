//! Other commands while an engine is at work, and where none is.

use crate::support::receivers::{ledger, signal};
use crate::support::{Desk, Mx, Ran};
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::{Duration, Instant};

/// A desk whose engine has sent ten of so many messages, one at a time.
pub fn at_work(rows: usize, mx_args: &[&str]) -> (Desk, Mx, String, Child) {
    let desk = Desk::new();
    let mx = Mx::start(&desk, mx_args);
    desk.machine(mx.port, "[limits]\nconnections_per_provider = 1\n");
    let campaign = desk.small(rows, "");
    let engine = desk.spawn(&["send", &campaign, "--json"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while ledger(&desk).len() < 10 {
        assert!(Instant::now() < deadline, "the receiver never had ten messages");
        std::thread::sleep(Duration::from_millis(10));
    }
    (desk, mx, campaign, engine)
}

/// Starts a second `send`, and waits until it is attached.
fn attached(desk: &Desk, campaign: &str) -> Child {
    let mut second = desk.spawn(&["send", campaign, "--json"]);
    let stderr = second.stderr.as_mut().expect("piped");
    let mut line = String::new();
    // Octet by octet: what follows stays in the pipe.
    BufReader::with_capacity(1, stderr).read_line(&mut line).expect("it talks");
    assert!(line.contains("handed over"), "{line}");
    std::thread::sleep(Duration::from_millis(300));
    second
}

pub fn ended(child: Child) -> Ran {
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn ctrl_c_on_an_attached_send_detaches() {
    let (desk, mx, campaign, engine) = at_work(200, &["--latency", "25ms"]);
    let second = attached(&desk, &campaign);
    signal(second.id(), "INT");
    let ran = ended(second);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("detached; the run goes on (sealpost status)"), "{ran:?}");
    assert!(ran.json()["waiting"].as_u64() > Some(0), "{ran:?}");
    let ran = ended(engine);
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &200.into()), "{ran:?}");
    drop(mx);
}

#[test]
fn engine_killed_under_an_attached_send() {
    let (desk, mx, campaign, engine) = at_work(200, &["--latency", "25ms"]);
    let second = attached(&desk, &campaign);
    signal(engine.id(), "KILL");
    ended(engine);
    let ran = ended(second);
    let counts = ran.json();
    assert_eq!(ran.code, 3, "{ran:?}");
    let known = ["delivered", "in_doubt", "waiting"].map(|word| counts[word].as_u64().expect("a count"));
    assert_eq!(Some(known.iter().sum()), counts["rows"].as_u64(), "{counts}");
    assert!(known[0] >= 10 && known[1] <= 1, "{counts}");
    assert!(ran.stderr.contains("the engine that was sending this has ended"), "{ran:?}");
    assert!(ran.stderr.contains("nothing is lost: `sealpost send small.toml` goes on"), "{ran:?}");
    let again = desk.sealpost(&["send", &campaign, "--json"]);
    assert!(again.stderr.lines().all(|line| !line.contains("handed over")), "{again:?}");
    assert_eq!(again.json()["waiting"], 0, "{again:?}");
    drop(mx);
}

#[test]
fn engine_stopped_for_a_while_under_an_attached_send() {
    let (desk, mx, campaign, engine) = at_work(200, &["--latency", "25ms"]);
    let second = attached(&desk, &campaign);
    signal(engine.id(), "STOP");
    // It waits as long as an answer may take; so does the attached one.
    let status = desk.sealpost(&["status", "--json"]);
    assert!(status.code == 0 && status.stderr.contains("does not answer"), "{status:?}");
    assert_eq!((&status.json()["engine"], &status.json()["runs"][0]["in_doubt"]), (&"running".into(), &0.into()));
    std::thread::sleep(Duration::from_secs(1));
    signal(engine.id(), "CONT");
    let (ran, first) = (ended(second), ended(engine));
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &200.into()), "{ran:?}");
    assert!(ran.stderr.contains("the engine waits") && ran.stderr.contains("no answer is over"), "{ran:?}");
    assert_eq!(first.code, 0, "{first:?}");
    drop(mx);
}

#[test]
fn standard_input_is_not_handed_over() {
    let (desk, mx, _, engine) = at_work(200, &["--latency", "25ms"]);
    let piped = std::fs::read_to_string(desk.path("small.toml")).expect("there");
    desk.write(
        "piped.toml",
        piped.replace("\"small.csv\"", "\"-\"").replace("name = \"small\"", "name = \"piped\"").as_bytes(),
    );
    let ran = desk.sealpost(&["send", "piped.toml"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("standard input") && ran.stderr.contains("hint: write the stream to a file"),
        "{ran:?}"
    );
    signal(engine.id(), "TERM");
    assert_eq!(ended(engine).code, 3);
    drop(mx);
}

#[test]
fn commands_where_no_engine_is_at_work() {
    let desk = Desk::new();
    desk.machine(9, "");
    for args in [&["drain"][..], &["pause"], &["resume", "--source", "a"]] {
        let ran = desk.sealpost(args);
        assert!(ran.code == 2 && ran.stderr.contains("no engine is at work here"), "{ran:?}");
    }
    let doubt = desk.sealpost(&["doubt", "list"]);
    assert!(doubt.code == 0 && doubt.stdout == "nothing is in doubt\n", "{doubt:?}");
    let status = desk.sealpost(&["status", "--json"]).json();
    assert_eq!(
        (&status["engine"], &status["draining"], &status["copy"]),
        (&"never started".into(), &false.into(), &false.into())
    );
}

#[test]
fn doubt_is_listed_with_its_reason() {
    let (desk, mx, campaign, engine) = at_work(14, &["--latency", "300ms"]);
    // In the middle of a message: three quarters of its time it waits for the reply.
    std::thread::sleep(Duration::from_millis(150));
    signal(engine.id(), "KILL");
    ended(engine);
    let listed = desk.sealpost(&["doubt", "list", "--json"]).json();
    let rows = listed["runs"][0]["rows"].as_array().expect("rows").clone();
    assert_eq!((rows.len(), &rows[0]["why"], &rows[0]["attempts"]), (1, &"engine_died".into(), &1.into()), "{listed}");
    let text = desk.sealpost(&["doubt", "list"]).stdout;
    assert!(text.starts_with("small (run ") && text.contains("1 row in doubt"), "{text}");
    assert!(text.contains("the engine died") && !text.contains("@mail.example"), "{text}");
    let row = rows[0]["row"].to_string();
    // What the receiver calls it, whether it took it or not.
    let preview = desk.sealpost(&["preview", &campaign, "--row", &row]).stdout;
    let id = rows[0]["message_id"].as_str().expect("its Message-ID");
    assert!(id.ends_with("@acme-health.example") && preview.contains(&format!("Message-ID: <{id}>\r\n")), "{preview}");
    assert!(text.contains(&format!(", 1 attempt, Message-ID {id}\n")), "{text}");
    let key = (desk.path("sealpost-master.key"), desk.path("elsewhere.key"));
    std::fs::rename(&key.0, &key.1).expect("moved");
    let without = desk.sealpost(&["doubt", "list", "--json"]);
    assert!(without.stderr.contains("Message-IDs are made with the master key"), "{without:?}");
    assert_eq!(without.json()["runs"][0]["rows"][0]["message_id"], serde_json::Value::Null, "{without:?}");
    std::fs::rename(&key.1, &key.0).expect("moved back");
    assert_eq!(desk.sealpost(&["doubt", "list", "--run", "00aa"]).code, 2);
    assert_eq!(desk.sealpost(&["send", &campaign]).code, 1, "one is held in doubt");
    assert_eq!(desk.sealpost(&["doubt", "list", "--json"]).json()["runs"][0]["rows"][0]["row"], rows[0]["row"]);
    drop(mx);
}

#[test]
fn what_a_dead_engine_had_on_the_wire_is_in_doubt_whoever_is_at_work_now() {
    let (desk, mx, campaign, engine) = at_work(14, &["--latency", "300ms"]);
    std::thread::sleep(Duration::from_millis(150));
    signal(engine.id(), "KILL");
    ended(engine);
    let idle = desk.start(&["serve"]);
    crate::support::process::until("an engine", || desk.status()["pid"] == idle.id());
    let listed = desk.sealpost(&["doubt", "list", "--json"]).json();
    assert_eq!(listed["runs"][0]["rows"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(desk.run_of("small")["in_doubt"], 1);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["in_doubt"], 1, "{report}");
    idle.kill();
    drop(mx);
}

#[test]
fn what_a_living_engine_has_on_the_wire_is_not_in_doubt() {
    let (desk, mx, campaign, engine) = at_work(14, &["--latency", "300ms"]);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(desk.in_doubt().len(), 0);
    assert_eq!(desk.sealpost(&["report", &campaign, "--json"]).json()["in_doubt"], 0);
    assert_eq!(ended(engine).code, 0);
    drop(mx);
}
