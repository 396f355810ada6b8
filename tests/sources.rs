//! Sources that warm up, and what is known of their names.

use crate::support::process::until;
use crate::support::receivers::{ledger, signal};
use crate::support::{Desk, Knot, Mx};
use engine::clock::{Clock, SystemClock, Zone};
use engine::plan::Machine;
use engine::resolve::Misgiving;
use engine::run::{Seen, introductions};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A zone in which it is about noon, and its date: no day ends while a test runs.
fn noon() -> (String, String) {
    let hour = SystemClock.now().seconds() / 3600 % 24;
    let zone = if hour <= 12 { format!("+{:02}:00", 12 - hour) } else { format!("-{:02}:00", hour - 12) };
    let today = Zone::parse(&zone).expect("a zone").day(SystemClock.now());
    (zone, today.to_string())
}

/// `sealpost.toml` with a warm source `a`, if it is wanted, and `b`, to which each provider owes `cap` messages today.
fn machine(desk: &Desk, mx: &Mx, warm: bool, cap: u32) {
    let (zone, today) = noon();
    desk.write("slow.toml", format!("[schedule.slow]\ncaps = [{cap}, 1000]\n").as_bytes());
    let b = format!(
        "name = \"b\"\nehlo = \"b.acme-health.example\"\nipv4 = \"127.0.0.5\"\n\
warmup = {{ since = \"{today}\", schedule = \"slow\" }}\n"
    );
    let warmup =
        format!("[limits]\nconnections_per_provider = 2\n[warmup]\nschedules = \"slow.toml\"\nzone = \"{zone}\"\n");
    desk.machine(mx.port, &warmup);
    let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
    let a = "name = \"a\"\nehlo = \"out.acme-health.example\"\n";
    let both = if warm { format!("{a}[[source]]\n{b}") } else { b };
    desk.write("sealpost.toml", text.replace(a, &both).as_bytes());
}

/// Delivered rows by the source that their session came from.
fn by_source(desk: &Desk, campaign: &str) -> BTreeMap<String, usize> {
    let listed = desk.sealpost(&["report", campaign, "--list", "--delivered", "--json"]).stdout;
    let mut sources = BTreeMap::new();
    for line in listed.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        *sources.entry(row["session"]["source"].as_str().expect("a name").to_owned()).or_default() += 1;
    }
    sources
}

#[test]
fn what_a_new_source_may_not_send_a_warm_one_sends() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    machine(&desk, &mx, true, 20);
    let campaign = desk.small(100, "");
    assert_eq!(desk.send(&campaign).1["delivered"], 100);
    assert_eq!(by_source(&desk, &campaign), [("a".to_owned(), 80), ("b".to_owned(), 20)].into());
    // The receiver has counted too.
    let said = std::fs::read_to_string(desk.path("transcript")).expect("there");
    let from_b = said.lines().filter(|line| *line == "EHLO b.acme-health.example").count();
    assert!(from_b > 0, "{said}");
    let sources = desk.sealpost(&["sources", "--json"]).json();
    let b = &sources["sources"][1];
    assert_eq!(
        (&b["name"], &b["warmup"]["day"], &b["warmup"]["cap"]),
        (&"b".into(), &1.into(), &20.into()),
        "{sources}"
    );
    let provider = &b["providers"][0];
    assert_eq!((&provider["provider"], &provider["sent_today"]), (&"127.0.0.1".into(), &20.into()), "{sources}");
    assert_eq!(sources["sources"][0]["warmup"], Value::Null, "{sources}");
    let text = desk.sealpost(&["sources"]).stdout;
    assert!(text.contains("warms up: day 1 of 2 (\"slow\""), "{text}");
    assert!(text.contains("127.0.0.1                                20 of 20 today"), "{text}");
}

#[test]
fn without_a_warm_source_rows_wait_for_tomorrow_and_the_engine_says_so() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    machine(&desk, &mx, false, 20);
    let campaign = desk.small(60, "");
    let engine = desk.start(&["send", &campaign]);
    until("an engine", || desk.status()["runs"].as_array().is_some_and(|runs| !runs.is_empty()));
    until("the day's last message", || desk.run_of("small")["tomorrow"] == 40);
    let run = desk.run_of("small");
    assert_eq!(
        (&run["delivered"], &run["waiting"], &run["state"]),
        (&20.into(), &40.into(), &"running".into()),
        "{run}"
    );
    let status = desk.sealpost(&["status"]).stdout;
    assert!(status.contains("40 of them wait for tomorrow: their sources warm up"), "{status}");
    assert!(desk.sealpost(&["sources"]).stdout.contains("20 of 20"), "while it is at work");
    assert_eq!(desk.sealpost(&["pause", "--source", "b"]).code, 0);
    assert!(desk.sealpost(&["sources"]).stdout.contains("b: b.acme-health.example, 127.0.0.5 (paused)"));
    engine.kill();
    // Another engine goes on with what the first has left of the day: nothing.
    let ran = desk.sealpost(&["send", &campaign, "--until-empty", "--json"]);
    assert_eq!((ran.code, &ran.json()["delivered"], &ran.json()["waiting"]), (3, &20.into(), &40.into()), "{ran:?}");
    assert_eq!(ledger(&desk).len(), 20);
}

#[test]
fn a_killed_engine_leaves_no_second_allowance() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "20ms"]);
    machine(&desk, &mx, false, 300);
    let campaign = desk.small(1000, "[transport]\non_doubt = \"resend\"\n");
    for killed_at in [60, 140] {
        let mut engine = desk.spawn(&["send", &campaign]);
        until("some messages", || ledger(&desk).len() > killed_at);
        signal(engine.id(), "KILL");
        engine.wait().expect("dead");
    }
    let ran = desk.sealpost(&["send", &campaign, "--until-empty", "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let accepted = ledger(&desk).len();
    assert!(accepted <= 300, "{accepted}");
    // What each death took with it are the tickets that were out: some for each session.
    assert!(accepted > 150, "{accepted}");
    let sources = desk.sealpost(&["sources", "--json"]).json();
    assert_eq!(sources["sources"][0]["providers"][0]["sent_today"], 300, "{sources}");
}

#[test]
fn names_of_our_addresses_are_looked_at_as_receivers_do() {
    let knot = Knot::still();
    let forward = "good A 192.0.2.10\npool A 192.0.2.11\nmoved A 192.0.2.99\nbare A 192.0.2.13\nwrong A 192.0.2.99\n\
other A 192.0.2.11\nsix AAAA 2001:db8::10\n";
    knot.write("example", forward);
    let reverse = "10 PTR good.example.\n11 PTR pool.example.\n12 PTR moved.example.\n14 PTR good.example.\n";
    knot.write("2.0.192.in-addr.arpa", reverse);
    knot.write("8.b.d.0.1.0.0.2.ip6.arpa", "0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0 PTR six.example.\n");
    knot.start_again();
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ndnssec = \"off\"\ntimeout = \"1s\"\n", knot.port);
    let seen = |ehlo: &str, address: &str| {
        let text = format!(
            "state_dir = \"s\"\n[keys]\nmaster = {{ env = \"K\" }}\n[[source]]\nname = \"x\"\nehlo = \"{ehlo}\"\n{address}\n{dns}"
        );
        let machine = Machine::parse(Path::new("sealpost.toml"), &text).expect("good");
        introductions(&machine, &machine.sources).expect("a resolver").remove(0).seen
    };
    let misgivings = |ehlo: &str, address: &str| match seen(ehlo, address) {
        Seen::Looked(_, misgivings) => misgivings,
        other => panic!("{ehlo}: {other:?}"),
    };
    let cases: [(&str, &str, &[Misgiving]); 6] = [
        ("good.example", "ipv4 = \"192.0.2.10\"", &[]),
        ("six.example", "ipv6 = \"2001:db8::10\"", &[]),
        ("other.example", "ipv4 = \"192.0.2.11\"", &[Misgiving::OtherName]),
        ("wrong.example", "ipv4 = \"192.0.2.12\"", &[Misgiving::Unconfirmed, Misgiving::EhloElsewhere]),
        ("bare.example", "ipv4 = \"192.0.2.13\"", &[Misgiving::NoName]),
        ("nowhere.example", "ipv4 = \"192.0.2.14\"", &[Misgiving::Unconfirmed, Misgiving::EhloNowhere]),
    ];
    for (ehlo, address, expected) in cases {
        assert_eq!(misgivings(ehlo, address), expected, "{ehlo}");
    }
    assert_eq!(seen("good.example", "ipv4 = \"10.0.0.1\""), Seen::Spared("not a public address"));
    assert_eq!(seen("good.example", ""), Seen::Spared("the system chooses the address"));
    knot.fail("2.0.192.in-addr.arpa");
    assert!(matches!(seen("good.example", "ipv4 = \"192.0.2.10\""), Seen::Unknown(_)), "no answer is no finding");
}

#[test]
fn check_says_what_it_did_not_look_at() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    machine(&desk, &mx, true, 20);
    let ran = desk.sealpost(&["check", &desk.small(3, "")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("source a: names not checked: the DNS is not asked here"), "{ran:?}");
    assert!(ran.stdout.contains("source b at 127.0.0.5: names not checked:"), "{ran:?}");
}
