//! Rows in doubt: held until a person decides, and then treated as decided.

use super::{adds_up, count, people};
use crate::support::process::{connections_to, freeze, until};
use crate::support::{Desk, Lasting};
use std::collections::BTreeSet;

const ROWS: u64 = 20;

/// A finished campaign with rows in doubt, which the receiver has.
struct Doubtful {
    desk: Desk,
    mx: Lasting,
    campaign: String,
    run: String,
    rows: BTreeSet<u64>,
}

impl Doubtful {
    fn new() -> Doubtful {
        let desk = Desk::new();
        let mut mx = Lasting::start(&desk, &["--latency", "700ms"]);
        desk.light(mx.port, "[limits]\nconnections_per_provider = 5\n");
        let campaign = desk.blast("doubtful", people(1..=ROWS), "");
        let sender = desk.start(&["send", &campaign]);
        mx.journal(&desk).reaches(5);
        until("open connections", || connections_to(mx.port) == 5);
        // The next five are on the wire for most of the next second.
        std::thread::sleep(std::time::Duration::from_millis(350));
        freeze(sender.id());
        sender.kill();
        mx.settle();
        let rows = desk.in_doubt();
        assert!((3..=5).contains(&rows.len()), "{rows:?}");
        assert!(rows.is_subset(&mx.accepted(&desk).rows(1)), "the receiver took them");
        mx.kill();
        mx.revive(&desk, &[]);
        let (code, counts) = desk.send(&campaign);
        assert_eq!((code, count(&counts, "in_doubt")), (1, rows.len() as u64), "held: {counts}");
        let run = counts["run"].as_str().expect("its name").to_owned();
        assert_eq!(desk.in_doubt_of(&run), rows, "what was listed stays listed");
        Doubtful { desk, mx, campaign, run, rows }
    }

    fn doubt(&self, verb: &str, more: &[&str]) {
        let ran = self.desk.sealpost(&[&["doubt", verb, "--run", &self.run], more].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn a_row_sent_again_by_hand_bears_the_same_message_id() {
    let doubtful = Doubtful::new();
    let row = *doubtful.rows.first().expect("some");
    doubtful.doubt("resend", &["--row", &row.to_string()]);
    let (code, counts) = doubtful.desk.send(&doubtful.campaign);
    let left = doubtful.rows.len() as u64 - 1;
    assert_eq!((code, count(&counts, "in_doubt"), count(&counts, "rows")), (1, left, ROWS), "{counts}");
    let accepted = doubtful.mx.accepted(&doubtful.desk);
    assert_eq!((accepted.rows(2), accepted.ids_twice()), (BTreeSet::from([row]), 1), "that row alone, recognisably");

    doubtful.doubt("resend", &[]);
    let (code, counts) = doubtful.desk.send(&doubtful.campaign);
    assert_eq!((code, count(&counts, "delivered")), (0, ROWS), "{counts}");
    assert_eq!(doubtful.mx.accepted(&doubtful.desk).rows(2), doubtful.rows);
    assert!(doubtful.desk.in_doubt().is_empty());
}

#[test]
fn a_row_sent_again_and_refused_may_have_been_delivered_all_the_same() {
    let mut doubtful = Doubtful::new();
    let row = *doubtful.rows.first().expect("some");
    doubtful.doubt("resend", &["--row", &row.to_string()]);
    doubtful.mx.kill();
    doubtful.mx.revive(&doubtful.desk, &["--bounce", "100"]);
    let (code, counts) = doubtful.desk.send(&doubtful.campaign);
    assert_eq!((code, count(&counts, "bounced")), (1, 1), "{counts}");
    let report = |more: &[&str]| doubtful.desk.sealpost(&[&["report", &doubtful.campaign], more].concat());
    let json = report(&["--json"]).json();
    assert_eq!(json["doubted"], serde_json::json!({"bounced": 1}), "{json}");
    let text = report(&[]).stdout;
    assert!(text.contains("1  may have been delivered all the same: an earlier attempt was in doubt"), "{text}");
    let list = report(&["--list", "--json"]).stdout;
    let listed = list.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let doubted: Vec<_> = listed.filter(|row| row["doubted"] == true).map(|row| row["row"].clone()).collect();
    assert_eq!(doubted, [row], "{list}");
    let line = format!("row {row}: bounced: ");
    let list = report(&["--list"]).stdout;
    let of_row = list.lines().find(|text| text.starts_with(&line)).unwrap_or_else(|| panic!("{list}"));
    assert!(of_row.ends_with("(an earlier attempt was in doubt)"), "{of_row}");
}

#[test]
fn what_a_person_found_out_is_written_down() {
    let doubtful = Doubtful::new();
    let row = *doubtful.rows.last().expect("some");
    let settled = doubtful.desk.sealpost(&[
        "doubt",
        "settle",
        "--run",
        &doubtful.run,
        "--row",
        &row.to_string(),
        "--undelivered",
    ]);
    assert!(settled.stdout.starts_with("1 row settled as undelivered"), "{settled:?}");
    assert!(settled.stdout.contains(&format!("sealpost report CAMPAIGN --run {} --list", doubtful.run)), "{settled:?}");
    let named = doubtful.desk.sealpost(&["report", &doubtful.campaign, "--run", &doubtful.run, "--list"]);
    assert!(named.stdout.contains(&format!("row {row}: cancelled: settled_undelivered")), "{named:?}");
    doubtful.doubt("settle", &["--delivered"]);
    assert!(doubtful.desk.in_doubt().is_empty());
    let run = doubtful.desk.run_of("doubtful");
    let not = count(&run, "bounced") + count(&run, "cancelled");
    assert_eq!((adds_up(&run), count(&run, "delivered"), not), (ROWS, ROWS - 1, 1), "{run}");
    let (code, counts) = doubtful.desk.send(&doubtful.campaign);
    assert_eq!((code, count(&counts, "in_doubt")), (0, 0), "{counts}");
    assert!(doubtful.mx.accepted(&doubtful.desk).rows(2).is_empty(), "settling sends nothing");

    // Who has none may be sent to the next night, and nobody else.
    doubtful.desk.blast("doubtful", people(1..=ROWS + 1), "");
    let (code, counts) = doubtful.desk.send(&doubtful.campaign);
    assert_eq!((code, count(&counts, "delivered"), count(&counts, "duplicate")), (0, 2, ROWS - 1), "{counts}");
    assert_eq!(doubtful.mx.accepted(&doubtful.desk).rows(2), BTreeSet::from([row]));
}

#[test]
fn the_message_ids_listed_are_those_in_the_receiver_s_log() {
    let doubtful = Doubtful::new();
    let log = std::fs::read_to_string(doubtful.desk.path("mx.ledger")).expect("the receiver's log");
    let ids = || {
        let listed = doubtful.desk.sealpost(&["doubt", "list", "--json"]).json();
        let rows = listed["runs"][0]["rows"].as_array().expect("rows").clone();
        rows.into_iter().map(|row| (row["row"].clone(), row["message_id"].as_str().expect("an ID").to_owned()))
    };
    for (row, id) in ids() {
        assert!(log.contains(&format!("<{id}> r{row}@mail.example\n")), "row {row}: {id} in {log}");
    }
    // Of two domains it isn't known which a row went out with; what stands before the @ is right.
    let text = std::fs::read_to_string(doubtful.desk.path(&doubtful.campaign)).expect("written");
    let other = text.replace("notices@acme-health.example", "notices@other.example");
    doubtful.desk.write(&doubtful.campaign, other.as_bytes());
    let machine = std::fs::read_to_string(doubtful.desk.path("sealpost.toml")).expect("written");
    let more = "[dkim.\"other.example\"]\ned25519 = { selector = \"s2\", key = \"keys/s2.pem\" }\n";
    doubtful.desk.write("sealpost.toml", format!("{machine}\n{more}").as_bytes());
    let row = doubtful.rows.first().expect("some").to_string();
    doubtful.doubt("resend", &["--row", &row]);
    assert_eq!(doubtful.desk.send(&doubtful.campaign).0, 1);
    for (row, id) in ids() {
        assert!(!id.contains('@') && log.contains(&format!("<{id}@")), "row {row}: {id} in {log}");
    }
}

#[test]
fn rows_that_are_not_in_doubt_are_refused() {
    let doubtful = Doubtful::new();
    let row = (1..=ROWS).find(|row| !doubtful.rows.contains(row)).expect("most are delivered").to_string();
    for args in [
        &["doubt", "resend", "--run", &doubtful.run, "--row", &row][..],
        &["doubt", "settle", "--run", &doubtful.run, "--row", &row, "--undelivered"],
        &["doubt", "resend", "--run", "00000000000000aa"],
        &["doubt", "list", "--run", "00000000000000aa"],
        &["doubt", "resend", "--copy"],
        &["doubt", "settle", "--copy"],
    ] {
        let ran = doubtful.desk.sealpost(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
    }
    assert_eq!(doubtful.desk.in_doubt(), doubtful.rows, "nothing changed");
}
