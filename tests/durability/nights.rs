//! Night after night: who got it once does not get it again, who could not be reached does.

use super::{adds_up, count, people};
use crate::support::process::{connections_to, freeze, until};
use crate::support::{Desk, Lasting};
use serde_json::Value;

fn desk_and_receiver(args: &[&str]) -> (Desk, Lasting) {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, args);
    desk.light(mx.port, "");
    (desk, mx)
}

/// A night's file at the same path as the one before.
fn night(desk: &Desk, rows: std::ops::RangeInclusive<u64>) -> String {
    desk.blast("nightly", people(rows), "")
}

/// The rows that a report gives a reason for.
fn rows_by_reason(report: &Value, outcome: &str, reason: &str) -> u64 {
    let reasons = report["reasons"].as_array().expect("reasons");
    let of = |entry: &&Value| entry["outcome"] == outcome && entry["reason"].as_str().unwrap_or("").contains(reason);
    reasons.iter().filter(of).map(|entry| count(entry, "rows")).sum()
}

#[test]
fn a_second_night_that_overlaps_sends_only_what_is_new() {
    let (desk, mx) = desk_and_receiver(&[]);
    let campaign = night(&desk, 1..=300);
    let (code, first) = desk.send(&campaign);
    assert_eq!((code, count(&first, "delivered")), (0, 300), "{first}");
    let (code, same) = desk.send(&campaign);
    assert_eq!(
        (code, &same["run"], mx.accepted(&desk).len()),
        (0, &first["run"], 300),
        "the same file is done: {same}"
    );

    night(&desk, 211..=510);
    let (code, second) = desk.send(&campaign);
    assert_eq!((code, count(&second, "delivered"), count(&second, "duplicate")), (0, 210, 90), "{second}");
    assert_ne!(first["run"], second["run"]);
    assert_eq!(adds_up(&desk.run_of("nightly")), 300);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(rows_by_reason(&report, "duplicate", "sent_before"), 90, "{report}");
    let accepted = mx.accepted(&desk);
    assert_eq!((accepted.len(), accepted.people()), (510, 510), "nobody has two, by the receiver's count");

    // Another campaign is another matter.
    let other = desk.blast("reminder", people(501..=510), "");
    assert_eq!(desk.send(&other).0, 0);
    assert_eq!(mx.accepted(&desk).count("r505@mail.example"), 2);
}

#[test]
fn again_sends_to_everybody_and_is_remembered() {
    let (desk, mx) = desk_and_receiver(&[]);
    let campaign = night(&desk, 1..=40);
    assert_eq!(desk.send(&campaign).0, 0);
    night(&desk, 21..=60);
    let ran = desk.sealpost(&["send", &campaign, "--again", "--json"]);
    assert_eq!((ran.code, count(&ran.json(), "delivered")), (0, 40), "{ran:?}");
    let accepted = mx.accepted(&desk);
    assert_eq!((accepted.len(), accepted.people(), accepted.rows(2).len()), (80, 60, 20));
    assert_eq!(accepted.ids_twice(), 0, "another message, not the same one again");
    night(&desk, 11..=70);
    let (code, third) = desk.send(&campaign);
    assert_eq!((code, count(&third, "delivered"), count(&third, "duplicate")), (0, 10, 50), "{third}");
}

#[test]
fn who_bounced_is_sent_to_again_the_next_night() {
    let (desk, mut mx) = desk_and_receiver(&["--bounce", "20"]);
    let campaign = night(&desk, 1..=200);
    let (_, first) = desk.send(&campaign);
    let (delivered, bounced) = (count(&first, "delivered"), count(&first, "bounced"));
    assert!(bounced > 10 && delivered + bounced == 200, "{first}");
    mx.kill();
    mx.revive(&desk, &[]);
    night(&desk, 1..=201);
    let (code, second) = desk.send(&campaign);
    let counts = (count(&second, "delivered"), count(&second, "duplicate"));
    assert_eq!((code, counts), (0, (bounced + 1, delivered)), "{second}");
    let accepted = mx.accepted(&desk);
    assert_eq!((accepted.len(), accepted.people()), (201, 201), "everybody once");
}

#[test]
fn who_is_in_doubt_is_not_sent_to_the_next_night() {
    let (desk, mx) = desk_and_receiver(&["--latency", "300ms"]);
    let campaign = night(&desk, 1..=40);
    let sender = desk.start(&["send", &campaign]);
    mx.journal(&desk).reaches(5);
    until("open connections", || connections_to(mx.port) > 0);
    freeze(sender.id());
    sender.kill();
    mx.settle();
    let (_, first) = desk.send(&campaign);
    let in_doubt = count(&first, "in_doubt");
    assert!(in_doubt > 0, "nothing was on the wire: {first}");
    night(&desk, 1..=41);
    let (code, second) = desk.send(&campaign);
    let counts = (count(&second, "delivered"), count(&second, "duplicate"));
    assert_eq!((code, counts), (0, (1, 40)), "{in_doubt} were in doubt: {second}");
    let accepted = mx.accepted(&desk);
    assert_eq!(accepted.len(), accepted.people(), "nobody has two");
}

#[test]
fn a_file_with_unread_rows_is_not_overwritten_unnoticed() {
    let (desk, mx) = desk_and_receiver(&[]);
    let campaign = night(&desk, 1..=30);
    let ran = desk.sealpost(&["send", &campaign, "--limit", "10", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let run = ran.json()["run"].as_str().expect("its name").to_owned();
    night(&desk, 101..=130);
    let refused = desk.sealpost(&["send", &campaign]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains(&format!("--abandon {run}")), "{refused:?}");
    assert_eq!(mx.accepted(&desk).len(), 10, "nothing of it was sent");
    let another = desk.sealpost(&["send", &campaign, "--abandon", "00000000000000aa"]);
    assert_eq!(another.code, 2, "no such run: {another:?}");
    assert!(another.stderr.contains("--abandon 00000000000000aa: there is no such run"), "{another:?}");

    let ran = desk.sealpost(&["send", &campaign, "--abandon", &run, "--json"]);
    assert_eq!((ran.code, count(&ran.json(), "delivered")), (0, 30), "{ran:?}");
    let status = desk.status();
    let old = status["runs"].as_array().expect("runs").iter().find(|one| one["run"] == run.as_str());
    let old = old.unwrap_or_else(|| panic!("{status}"));
    adds_up(old);
    assert_eq!(count(old, "waiting"), 0, "{old}");
    assert!(!["running", "paused", "stopped"].contains(&old["state"].as_str().unwrap_or("")), "it is closed: {old}");
    assert_eq!(mx.accepted(&desk).people(), 40);

    // Nothing that is accepted in silence and does nothing.
    let ours = ran.json()["run"].as_str().expect("its name").to_owned();
    for (run, why) in [(&run, "it is over"), (&ours, "it is over")] {
        let refused = desk.sealpost(&["send", &campaign, "--abandon", run]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains(&format!("error: --abandon {run}: {why}\nhint: send without --abandon")),
            "{refused:?}"
        );
    }
    night(&desk, 201..=230);
    let left = desk.sealpost(&["send", &campaign, "--limit", "10", "--json"]);
    let (left, code) = (left.json()["run"].as_str().expect("its name").to_owned(), left.code);
    let refused = desk.sealpost(&["send", &campaign, "--abandon", &left]);
    assert_eq!((code, refused.code), (3, 2), "{refused:?}");
    assert!(refused.stderr.contains("this input has not taken the place of its own"), "{refused:?}");
    assert_eq!(desk.run_of("nightly")["state"], "stopped", "it is left alone");
}

#[test]
fn another_file_opens_a_run_beside_one_with_unread_rows() {
    let (desk, mx) = desk_and_receiver(&[]);
    let campaign = night(&desk, 1..=30);
    assert_eq!(desk.sealpost(&["send", &campaign, "--limit", "10"]).code, 3);
    let second = desk.blast("second", people(6..=45), "");
    let text = std::fs::read_to_string(desk.path(&second)).expect("written");
    desk.write(&second, text.replace("name = \"second\"", "name = \"nightly\"").as_bytes());
    let (code, beside) = desk.send(&second);
    assert_eq!((code, adds_up(&beside)), (0, 40), "{beside}");
    // Five have it. Twenty more are in both files and not yet read of the first, whose run may or may not have taken them.
    assert!((5..=25).contains(&count(&beside, "duplicate")), "{beside}");
    let (code, first) = desk.send(&campaign);
    assert_eq!((code, adds_up(&first)), (0, 30), "it goes on: {first}");
    assert_eq!(count(&first, "delivered") + count(&beside, "delivered"), 45, "{first} beside {beside}");
    let accepted = mx.accepted(&desk);
    assert_eq!((accepted.len(), accepted.people()), (45, 45), "everybody once");
}
