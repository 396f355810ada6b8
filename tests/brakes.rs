//! A run, or what of it goes to one provider, stops before too many of its rows meet refusals that cost us our name.

use crate::support::process::until;
use crate::support::receivers::{get, signal};
use crate::support::{Authority, Desk, Mx, Peer, free_port};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn number(counts: &serde_json::Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap_or_else(|| panic!("{name} in {counts}"))
}

fn resume(desk: &Desk, campaign: &str) {
    let run = desk.run_of(campaign)["run"].as_str().expect("a name").to_owned();
    let ran = desk.sealpost(&["resume", "--run", &run]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Rows for forty domains of one server.
fn list(rows: usize) -> impl Iterator<Item = String> {
    (0..rows).map(|row| format!("r{row}@s{}.example", row % 40))
}

/// All forty domains at one server, and so one provider.
fn one_server(desk: &Desk, mx: &Mx, more: &str) {
    desk.light(mx.port, more);
}

#[test]
fn a_list_of_which_fifteen_in_a_hundred_are_unknown_stops_before_a_hundredth_was_tried() {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &["--bounce", "15"]);
    one_server(&desk, &mx, "");
    let campaign = desk.blast("bought", list(100_000), "");
    let ran = desk.sealpost(&["send", &campaign, "--json"]);
    let counts = ran.json();
    assert_eq!(ran.code, 4, "{ran:?}");
    let tried = number(&counts, "delivered") + number(&counts, "bounced") + number(&counts, "deferred");
    assert!((51..1000).contains(&tried), "{counts}");
    assert!(number(&counts, "bounced") > 50, "{counts}");
    let why = counts["braked"].as_str().expect("said");
    let said = "answers were for addresses that are not there, which passes [brakes] unknown (5 %)";
    assert!(why.ends_with(said), "{why}");
    assert!(ran.stderr.contains("bought is stopped by its brake: "), "{ran:?}");
    let report = desk.sealpost(&["report", &campaign]).stdout;
    assert!(report.contains(said) && report.contains("550 5.1.1 (mailbox unknown)"), "{report}");
    let json = desk.sealpost(&["report", &campaign, "--json"]).json();
    let reasons = json["reasons"].as_array().expect("a list");
    let bounced = reasons.iter().find(|reason| reason["outcome"] == "bounced").expect("some bounced");
    assert_eq!((&bounced["class"], &bounced["reason"]), (&"mailbox_unknown".into(), &"550 5.1.1".into()), "{json}");
    // Nobody but a person lets it go on.
    let again = desk.sealpost(&["send", &campaign, "--json"]);
    assert_eq!((again.code, &again.json()["bounced"]), (4, &counts["bounced"]), "{again:?}");
    let accepted = mx.totals();
    assert_eq!(accepted["accepted"], counts["delivered"], "{accepted}");
}

#[test]
fn who_resumes_it_has_seen_it() {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &["--bounce", "30"]);
    one_server(&desk, &mx, "");
    let campaign = desk.blast("known", list(1500), "");
    assert_eq!(desk.send(&campaign).0, 4);
    resume(&desk, "known");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, number(&counts, "waiting"), number(&counts, "deferred")), (0, 0, 0), "{counts}");
    assert_eq!(number(&counts, "delivered") + number(&counts, "bounced"), 1500, "{counts}");
    assert_eq!(desk.run_of("known")["state"], "finished");
}

#[test]
fn without_a_brake_the_whole_list_is_tried() {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &["--bounce", "30"]);
    one_server(&desk, &mx, "");
    let campaign = desk.blast("off", list(500), "[brakes]\nunknown = \"off\"\n");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, number(&counts, "delivered") + number(&counts, "bounced")), (0, 500), "{counts}");
}

/// 3,140 rows: one in twenty-two for a provider at which half are unknown, which is less than the limit for the whole.
#[test]
fn one_bad_provider_waits_for_a_person_and_the_others_go_on() {
    let desk = Desk::new();
    let good = Mx::named(&desk, "good", "127.0.0.1:0", &["--latency", "5ms"]);
    let bad = Mx::named(&desk, "bad", "127.0.0.1:0", &["--latency", "200ms", "--bounce", "50"]);
    let port = free_port();
    desk.light_of(&format!(
        "[dns.static]\n\"good.example\" = \"127.0.0.1:{}\"\n\"bad.example\" = \"127.0.0.1:{}\"\n\
         [tls]\nroots = [\"good.pem\", \"bad.pem\"]\n[limits]\nconnections_per_provider = 2\n\
         [metrics]\nlisten = \"127.0.0.1:{port}\"\n",
        good.port, bad.port
    ));
    let of = |row: usize| if row.is_multiple_of(22) { "bad" } else { "good" };
    let campaign = desk.blast("half", (0..3140).map(|row| format!("r{row}@{}.example", of(row))), "");
    let serve = desk.start(&["serve"]);
    until("the engine", || desk.status()["engine"] == "running");
    let sender = desk.start(&["send", &campaign]);
    until("the run", || desk.status()["runs"].as_array().is_some_and(|runs| !runs.is_empty()));
    until("the brake", || desk.run_of("half")["held"].as_array().is_some_and(|held| !held.is_empty()));
    assert!(get(port, "/metrics").contains("sealpost_held_providers 1\n"));
    assert_eq!(desk.run_of("half")["state"], "running");
    let ran = desk.sealpost(&["resume", "--provider", "127.0.0.1"]);
    assert!(ran.code == 2 && ran.stderr.contains("a brake holds the rows of run "), "{ran:?}");
    drop(sender);
    until("the end of the others", || desk.run_of("half")["state"] == "braked");
    let run = desk.run_of("half");
    let good_rows = (0..3140).filter(|row| of(*row) == "good").count() as u64;
    assert!(number(&run, "delivered") >= good_rows && number(&run, "waiting") > 10, "{run}");
    let why = run["braked"].as_str().expect("said");
    assert!(why.starts_with("at 127.0.0.1") && why.contains("[brakes] unknown"), "{why}");
    let report = desk.sealpost(&["report", &campaign]).stdout;
    assert!(report.contains("stopped by its brake: at 127.0.0.1"), "{report}");
    resume(&desk, "half");
    until("the end", || desk.run_of("half")["state"] == "finished");
    let run = desk.run_of("half");
    assert_eq!(number(&run, "delivered") + number(&run, "bounced"), 3140, "{run}");
    assert_eq!(run["held"], serde_json::json!([]), "{run}");
    signal(serve.id(), "TERM");
}

/// Half of the addresses are unknown; the brakes alone would let fifty go out to them.
#[test]
fn a_canary_that_is_not_well_holds_its_provider() {
    let desk = Desk::new();
    let mx = Mx::named(&desk, "mx", "127.0.0.1:0", &["--bounce", "50"]);
    one_server(&desk, &mx, "");
    let campaign = desk.blast("bird", list(400), "[brakes]\ncanary = 20\n");
    let (code, counts) = desk.send(&campaign);
    let tried = number(&counts, "delivered") + number(&counts, "bounced");
    assert!(code == 4 && number(&counts, "bounced") >= 5 && tried <= 20, "{counts}");
    let why = counts["braked"].as_str().expect("said");
    let said =
        "answers to its canary of 20 rows were for addresses that are not there, which passes [brakes] unknown (5 %)";
    assert!(why.starts_with("at 127.0.0.1") && why.ends_with(said), "{why}");
    // Who has seen it of one provider has not seen it of the run, and is asked once more.
    resume(&desk, "bird");
    assert_eq!(desk.send(&campaign).0, 4);
    resume(&desk, "bird");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, number(&counts, "delivered") + number(&counts, "bounced")), (0, 400), "{counts}");
}

/// Fifty rows over ten connections to a server that says nothing to a message until it may.
#[test]
fn the_rest_wait_for_the_canary_and_follow_when_it_is_well() {
    let speaks = Arc::new(AtomicBool::new(false));
    let may = speaks.clone();
    let peer = Peer::start(move |_, line| {
        line.greet(&["PIPELINING"]);
        line.take_each(|_| {
            while !may.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            "250 2.0.0 taken"
        });
    });
    let (desk, campaign) = in_clear(&peer, "[brakes]\ncanary = 1\n");
    let engine = desk.spawn(&["send", &campaign, "--json"]);
    until("the canary", || contents(&peer) == 1);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(contents(&peer), 1, "the rest wait");
    let said = desk.sealpost(&["status"]).stdout;
    assert!(said.contains("  rows wait for the canary at 127.0.0.1: 0 of 1 answered\n"), "{said}");
    speaks.store(true, Ordering::SeqCst);
    let ran = crate::attach::ended(engine);
    assert_eq!((ran.code, &ran.json()["delivered"]), (0, &50.into()), "{ran:?}");
    assert_eq!(contents(&peer), 50);
}

/// Greylisted, a canary has said nothing yet.
#[test]
fn a_canary_that_was_greylisted_is_waited_for_and_goes_first() {
    let times = Arc::new(AtomicUsize::new(0));
    let seen = times.clone();
    let peer = Peer::start(move |_, line| {
        line.greet(&["PIPELINING"]);
        line.take_each(|_| match seen.fetch_add(1, Ordering::SeqCst) {
            0..4 => "451 4.7.1 greylisted, come again",
            _ => "250 2.0.0 taken",
        });
    });
    let (desk, campaign) = in_clear(&peer, "[brakes]\ncanary = 4\n");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, number(&counts, "delivered")), (0, 50), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({"1": 46, "2": 4}), "{report}");
    assert_eq!(times.load(Ordering::SeqCst), 54);
}

/// Fifty rows for `peer`, over as many as ten connections.
fn in_clear(peer: &Peer, more: &str) -> (Desk, String) {
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(peer.port, "[retry]\nfirst = \"2s\"\nlongest = \"2s\"\n[limits]\nconnections_per_provider = 10\n");
    let clear = "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n";
    let campaign = desk.small(50, &format!("{clear}{more}"));
    (desk, campaign)
}

/// Messages whose content was announced to it.
fn contents(peer: &Peer) -> usize {
    peer.said().iter().filter(|line| line.starts_with("DATA")).count()
}
