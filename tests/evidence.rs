//! How messages travelled and who did not get one, as it is known afterwards.

use crate::support::process::until;
use crate::support::{Desk, Mx, receivers};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

#[test]
fn each_delivered_row_shows_how_it_travelled() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(40, "");
    assert_eq!(desk.send(&campaign).1["delivered"], 40);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    let over = report["delivered_over"].as_array().expect("a list");
    let rows: u64 = over.iter().map(|way| way["rows"].as_u64().expect("a count")).sum();
    assert_eq!(rows, 40, "{report}");
    for way in over {
        assert_eq!(
            (&way["version"], &way["peer"], &way["mx_trust"]),
            (&"TLSv1.3".into(), &"pkix".into(), &"static".into())
        );
        assert!(way["suite"].as_str().is_some_and(|suite| suite.starts_with("TLS13_AES")), "{report}");
        assert_eq!(way["key_exchange"], "X25519MLKEM768", "{report}");
    }
    let text = desk.sealpost(&["report", &campaign]).stdout;
    assert!(text.contains("delivered over TLSv1.3 TLS13_AES"), "{text}");
    assert!(text.contains("X25519MLKEM768, peer pkix, MX by static"), "{text}");

    let listed = desk.sealpost(&["report", &campaign, "--list", "--delivered", "--json"]).stdout;
    let listed: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(listed.len(), 40);
    let mut sessions = BTreeSet::new();
    for row in &listed {
        let session = &row["session"];
        assert_eq!((&row["outcome"], &session["host"]), (&"delivered".into(), &"127.0.0.1".into()), "{row}");
        assert_eq!((&session["address"], &session["source"]), (&format!("127.0.0.1:{}", mx.port).into(), &"a".into()));
        assert!(session["certificate"].as_str().is_some_and(|digest| digest.len() == 64), "{row}");
        assert!(session["at"].as_str().is_some_and(|at| at.starts_with("20")), "{row}");
        sessions.insert(session["session"].as_u64().expect("a number"));
    }
    let encrypted = mx.totals()["encrypted"].as_u64().expect("a count");
    assert!(!sessions.is_empty() && sessions.len() as u64 <= encrypted, "{sessions:?} of {encrypted}");
    assert!(desk.sealpost(&["report", &campaign, "--list"]).stdout.is_empty(), "delivered rows only where asked for");
}

/// The rows that were delivered, each with its session's host.
fn delivered(desk: &Desk, campaign: &str) -> Vec<Value> {
    let listed = desk.sealpost(&["report", campaign, "--list", "--delivered", "--json"]).stdout;
    let rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.filter(|row| row["outcome"] == "delivered").map(|row| row["session"]["host"].clone()).collect()
}

#[test]
fn what_a_killed_engine_delivered_shows_how_it_travelled() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "20ms"]);
    desk.machine(mx.port, "");
    let campaign = desk.small(300, "[transport]\non_doubt = \"resend\"\n");
    let mut engine = desk.spawn(&["send", &campaign]);
    until("some messages", || receivers::ledger(&desk).len() > 50);
    receivers::signal(engine.id(), "KILL");
    engine.wait().expect("dead");
    let before = delivered(&desk, &campaign);
    assert!(before.len() > 30 && before.iter().all(|host| host == "127.0.0.1"), "{before:?}");
    assert_eq!(desk.send(&campaign).1["delivered"], 300);
    let after = delivered(&desk, &campaign);
    assert!(after.len() == 300 && after.iter().all(|host| host == "127.0.0.1"), "{after:?}");
}

#[test]
fn whom_dropped_rows_were_for_is_said_on_request_only() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--no-starttls"]);
    desk.machine(mx.port, "");
    let campaign = desk.small(20, "");
    assert_eq!(desk.send(&campaign).1["dropped"], 20);
    // The file is gone by the time that letters are written.
    std::fs::remove_file(desk.path("small.csv")).expect("removed");

    let text = desk.sealpost(&["report", &campaign, "--undeliverable"]).stdout;
    assert!(text.contains("20  dropped: no_starttls") && text.contains("rows 1-20\n"), "{text}");
    let json = desk.sealpost(&["report", &campaign, "--undeliverable", "--json"]).stdout;
    assert_eq!(json.lines().count(), 20);
    assert!(!text.contains("@") && !json.contains("@") && !json.contains("\"key\""), "{text}{json}");

    let plain = desk.sealpost(&["report", &campaign, "--undeliverable", "--plain"]).stdout;
    let mut lines = plain.lines();
    assert_eq!(lines.next(), Some("row,outcome,reason,class,at,doubted,address,key"));
    let last = lines.next_back().expect("rows");
    assert!(
        last.starts_with("20,dropped,no_starttls,tls,20") && last.ends_with(",false,r20@mail.example,20"),
        "{last}"
    );
    let ask = ["report", &campaign, "--undeliverable", "--output", "letters.json", "--json"];
    let ran = desk.sealpost(&ask);
    assert!(ran.code == 0 && ran.stdout.is_empty() && !ran.stderr.contains("@"), "{ran:?}");
    let written = std::fs::read_to_string(desk.path("letters.json")).expect("written");
    let first: Value = serde_json::from_str(written.lines().next().expect("rows")).expect("JSON");
    assert_eq!((&first["address"], &first["key"]), (&"r1@mail.example".into(), &"1".into()));
    let mode = std::fs::metadata(desk.path("letters.json")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = desk.sealpost(&ask);
    assert!(again.code == 2 && again.stderr.contains("letters.json: File exists"), "never overwritten: {again:?}");
}

#[test]
fn phi_leaves_in_clear_only_where_somebody_has_said_so() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--no-starttls"]);
    desk.machine(mx.port, "");
    let clear = "[transport]\nexclusive = false\ntls = \"opportunistic\"\n";
    let campaign = desk.small(3, clear);
    for command in ["check", "send"] {
        let ran = desk.sealpost(&[command, &campaign]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains("small.toml:16: tls = \"opportunistic\" may send PHI in clear: column \""),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("hint: ") && ran.stderr.contains("phi_in_clear = true"), "{ran:?}");
    }
    let public =
        |text: &str| text.replace("key = \"id\"", "key = \"id\"\npublic = [\"id\", \"email\", \"first_name\"]");
    let text = std::fs::read_to_string(desk.path(&campaign)).expect("written");
    desk.write(&campaign, public(&text).as_bytes());
    assert_eq!(desk.send(&campaign).1["delivered"], 3, "nothing of it is PHI");
    assert_eq!(desk.run_of("small")["phi_in_clear"], false);

    let campaign = desk.small_of(4..=6, &format!("{clear}phi_in_clear = true\n"));
    assert_eq!(desk.send(&campaign).1["delivered"], 3);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(
        (&report["phi_in_clear"], &report["delivered_over"][0]["version"]),
        (&true.into(), &"none".into()),
        "{report}"
    );
    assert_eq!(desk.run_of("small")["phi_in_clear"], true);
    for command in [&["status"][..], &["report", &campaign]] {
        let said = desk.sealpost(command).stdout;
        assert!(said.contains("phi_in_clear"), "{said}");
    }
    let idle = desk.small_of(7..=9, "[transport]\nphi_in_clear = true\n");
    let ran = desk.sealpost(&["check", &idle]);
    assert!(ran.code == 2 && ran.stderr.contains("phi_in_clear = true says nothing unless"), "{ran:?}");
}
