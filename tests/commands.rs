//! The commands as an operator types them.

use crate::support::{Desk, Mx, root};

fn demo(args: &[&str]) -> crate::support::Ran {
    let desk = Desk::new();
    let config = root().join("config/demo/sealpost.toml");
    let campaign = root().join("config/demo/eob.toml");
    let common = ["--config", config.to_str().expect("UTF-8"), args[0], campaign.to_str().expect("UTF-8")];
    desk.sealpost(&[&common, &args[1..]].concat())
}

#[test]
fn the_demo_rehearses_every_claim_with_deferrals_and_bounces() {
    let ran = demo(&["rehearse", "--defer", "10", "--bounce", "5", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let counts = ran.json();
    assert_eq!(counts["rows"], 1267, "{counts}");
    let ended: u64 = ["delivered", "bounced"].iter().filter_map(|name| counts[name].as_u64()).sum();
    assert_eq!(ended, 1267, "{counts}");
    assert!(counts["bounced"].as_u64() > Some(30) && counts["messages_per_second"].as_f64() > Some(0.0), "{counts}");
}

#[test]
fn a_rehearsal_writes_its_report_and_marks_nothing() {
    let desk = Desk::new();
    desk.machine(9, "");
    let campaign = desk.small(20, "");
    let ran = desk.sealpost(&["rehearse", &campaign]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("report: rehearsal/small/report.txt"), "{ran:?}");
    let report = std::fs::read_to_string(desk.path("rehearsal/small/report.txt")).expect("written");
    assert!(report.contains("20  delivered"), "{report}");
    assert!(!desk.path("state").exists(), "nothing is marked sent");
}

#[test]
fn preview_shows_the_very_octets_that_are_sent() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(3, "");
    let eml = desk.sealpost(&["preview", &campaign, "--row", "2"]);
    assert_eq!(eml.code, 0, "{eml:?}");
    assert!(eml.stdout.contains("DKIM-Signature: v=1; a=rsa-sha256") && eml.stdout.contains("Hello Ann2."), "{eml:?}");
    let id =
        eml.stdout.lines().find_map(|line| line.strip_prefix("Message-ID: ")).expect("a Message-ID").trim().to_owned();
    assert_eq!(desk.send(&campaign).0, 0);
    let accepted = crate::support::receivers::ledger(&desk);
    assert!(accepted.contains(&id), "{id} in {accepted:?}");
    let file = desk.sealpost(&["preview", &campaign, "--part", "html", "-o", "row.html"]);
    assert_eq!((file.code, file.stdout.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(desk.path("row.html")).expect("written"), "Hello Ann1.\n");
    let beyond = desk.sealpost(&["preview", &campaign, "--row", "9"]);
    assert_eq!(beyond.code, 2);
    assert!(beyond.stderr.contains("small.csv: there is no row 9"), "{beyond:?}");
}

#[test]
fn preview_names_the_run_whose_message_it_shows() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(3, "");
    let preview = |more: &[&str]| {
        let ran = desk.sealpost(&[&["preview", &campaign, "--row", "2"], more].concat());
        let id = ran.stdout.lines().find_map(|line| line.strip_prefix("Message-ID: ")).map(|id| id.trim().to_owned());
        (ran, id.unwrap_or_default())
    };
    let run_of = |counts: serde_json::Value| counts["run"].as_str().expect("its name").to_owned();
    let (ran, first_id) = preview(&[]);
    assert!(ran.stderr.contains(", which `sealpost send` would open"), "{ran:?}");
    let first = run_of(desk.send(&campaign).1);
    let (ran, id) = preview(&[]);
    assert!(id == first_id && ran.stderr.contains(&format!("row 2 as in run {first}, which is over")), "{ran:?}");

    let again = desk.sealpost(&["send", &campaign, "--again", "--limit", "1", "--json"]);
    assert_eq!(again.code, 3, "{again:?}");
    let again = run_of(again.json());
    let (ran, id) = preview(&[]);
    assert!(ran.stderr.contains(&format!("row 2 as in run {again}, which `sealpost send` goes on with")), "{ran:?}");
    assert!(id != first_id && preview(&["--run", &again]).1 == id && preview(&["--run", &first]).1 == first_id);
    assert_eq!(desk.send(&campaign).0, 0);
    assert!(crate::support::receivers::ledger(&desk).contains(&id), "it is what was sent");

    desk.small_of(11..=13, "");
    let (ran, _) = preview(&["--run", &first]);
    assert_eq!((ran.code, &*ran.stdout), (2, ""), "its row 2 was somebody else: {ran:?}");
    assert!(ran.stderr.contains(first_id.trim_matches(['<', '>'])), "{ran:?}");
    let (ran, id) = preview(&[]);
    assert!(ran.code == 0 && id != first_id && ran.stderr.contains("would open"), "{ran:?}");
    assert_eq!(preview(&["--run", "00000000000000aa"]).0.code, 2);
    drop(mx);
}

#[test]
fn dry_run_and_check_count_without_sending() {
    let desk = Desk::new();
    desk.machine(9, "");
    let campaign = desk.small(1500, "");
    let dry = desk.sealpost(&["send", &campaign, "--dry-run", "--json"]).json();
    assert_eq!((&dry["rows"], &dry["good"]), (&1500.into(), &1500.into()), "{dry}");
    let check = desk.sealpost(&["check", &campaign, "--json"]).json();
    assert_eq!(check["rows"], 1000, "a sample: {check}");
    assert_eq!(desk.sealpost(&["check", &campaign, "--all", "--json"]).json()["rows"], 1500);
    assert!(!desk.path("state").exists(), "neither makes state");
}

#[test]
fn init_leaves_what_is_there_alone() {
    let desk = Desk::new();
    let before = std::fs::read(desk.path("sealpost-master.key")).expect("made");
    let again = desk.sealpost(&["init", ".", "--domain", "acme-health.example"]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("is there already and is left alone"), "{again:?}");
    assert_eq!(std::fs::read(desk.path("sealpost-master.key")).expect("made"), before);
    assert_eq!(desk.sealpost(&["init", "other", "--domain", "nonsense"]).code, 2);
}

#[test]
fn status_and_report_before_anything_was_sent() {
    let desk = Desk::new();
    desk.machine(9, "");
    let campaign = desk.small(1, "");
    let status = desk.sealpost(&["status"]);
    assert!(status.code == 0 && status.stdout.contains("nothing was sent from here yet"), "{status:?}");
    let report = desk.sealpost(&["report", &campaign]);
    assert!(report.code == 2 && report.stderr.contains("small has no such run"), "{report:?}");
}

#[test]
fn usage_errors_exit_with_2() {
    let desk = Desk::new();
    for args in [&["send"][..], &["sned", "x"], &["send", "x.toml", "--limit", "many"], &["status", "--log", "a=b=c"]] {
        assert_eq!(desk.sealpost(args).code, 2, "{args:?}");
    }
}
