//! Shaping rules, by the real binary: what they make of a domain, and what an engine does when they change.

use crate::support::hosts::Hosts;
use crate::support::process::until;
use crate::support::receivers::signal;
use crate::support::{Desk, Knot, Mx};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

const ZONE: &str = "\
one      MX    10 in.a.big
one      MX    50 backup.small
two      MX    10 in.b.big
three    MX    10 mx.small
torn     MX    10 in.a.big
torn     MX    10 mx.small
in.a.big A     127.0.0.2
in.b.big A     127.0.0.3
mx.small A     127.0.0.2
backup.small A 127.0.0.3
";

const RULES: &str = r#"[default]
connections = 7
[[provider]]
name = "big"
mx = ["big.example"]
connections = 3
rate = ["50/s", "100000/day"]
replies = [{ text = "Slow down", class = "rate" }]
tls_note = "a note about TLS"
[provider.source]
connections = "its postmaster's page, 2026-11"
"#;

fn explained(desk: &Desk, domain: &str) -> Value {
    let ran = desk.sealpost(&["shaping", "explain", domain, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

#[test]
fn a_domain_is_explained_by_its_hosts_its_rule_and_whose_word_each_number_is() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", ZONE, &[]);
    hosts.machine(&knot, "deny_nets = []", "[shaping]\nfile = \"shaping.toml\"\n");
    let desk = &hosts.desk;
    desk.write("shaping.toml", RULES.as_bytes());

    let one = explained(desk, "One.example");
    assert_eq!(
        (&one["provider"], &one["line"], &one["matched"]),
        (&"big".into(), &4.into(), &json!({"by": "mx", "line": 5}))
    );
    assert!(one["because"].as_str().is_some_and(|why| why.contains("in.a.big.example ends in big.example")), "{one}");
    assert_eq!(one["left_out"], json!([{"host": "backup.small.example", "preference": 50, "provider": null}]));
    let by = |value: Value, by: &str, line: Value, source: Value| json!({"value": value, "by": by, "line": line, "source": source});
    assert_eq!(
        one["terms"],
        json!({
            "connections": by(3.into(), "rules", 6.into(), "its postmaster's page, 2026-11".into()),
            "first_window": by(3.into(), "connections", Value::Null, Value::Null),
            "messages_per_connection": by(1000.into(), "limits", Value::Null, Value::Null),
            "rate": by("50/s and 100000/day".into(), "rules", 7.into(), Value::Null),
            "connection_rate": by("unbounded".into(), "nobody", Value::Null, Value::Null),
        })
    );
    assert_eq!(one["replies"], json!([{"text": "slow down", "class": "rate", "line": 8}]));
    assert_eq!(
        (&explained(desk, "two.example")["provider"], &one["engine_has_other_rules"]),
        (&"big".into(), &Value::Null)
    );
    let three = explained(desk, "three.example");
    assert_eq!((&three["provider"], &three["terms"]["connections"]["value"]), (&Value::Null, &7.into()));
    assert_eq!(explained(desk, "torn.example")["matched"]["by"], "divided");

    let text = desk.sealpost(&["shaping", "explain", "one.example"]).stdout;
    for line in [
        "  hosts     10 in.a.big.example · 50 backup.small.example",
        "  left out  backup.small.example (nobody's): only hosts of the best preference decide",
        "(its postmaster's page, 2026-11)",
        "  messages_per_connection  1000         [limits] of sealpost.toml",
        "  a reply with \"slow down\" is rate (line 8)",
        "  tls       a note about TLS",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let ran = desk.sealpost(&["shaping", "explain", "nowhere.example"]);
    assert!(ran.code == 2 && ran.stderr.contains("nowhere.example: no_such_domain"), "{ran:?}");
}

#[test]
fn what_is_routed_by_hand_has_the_machine_s_limits_alone() {
    let desk = Desk::new();
    desk.machine(9, "[limits]\nconnections_per_provider = 50\n");
    let found = explained(&desk, "gmail.com");
    assert_eq!((&found["provider"], &found["matched"]["by"]), (&Value::Null, &"limits".into()));
    assert_eq!(found["terms"]["connections"]["value"], 50);
    assert_eq!(
        (&found["terms"]["rate"]["value"], &found["file"]),
        (&"unbounded".into(), &"built-in shaping.toml".into())
    );
}

#[test]
fn a_file_is_checked_and_the_built_in_rules_are_shown() {
    let desk = Desk::new();
    let shown = desk.sealpost(&["shaping", "show"]);
    desk.write("shaping.toml", shown.stdout.as_bytes());
    let ran = desk.sealpost(&["shaping", "check", "shaping.toml"]);
    assert!(ran.code == 0 && ran.stdout.contains("shaping.toml is good") && ran.stdout.contains("google"), "{ran:?}");

    desk.machine(9, "[shaping]\nfile = \"shaping.toml\"\n");
    desk.write("shaping.toml", b"[[provider]]\nname = \"google\"\nmx = [\".google.com.\"]\n");
    let campaign = desk.small(1, "");
    for command in [&["shaping", "check"][..], &["send", &campaign], &["serve"], &["check", &campaign]] {
        let ran = desk.sealpost(command);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains("shaping.toml:3: \".google.com.\" begins with a dot, and would match nobody"),
            "{ran:?}"
        );
        assert!(ran.stderr.contains("hint: write \"google.com"), "{ran:?}");
    }
}

/// What an engine says on stderr, as it says it.
struct Said(Arc<Mutex<String>>);

impl Said {
    fn by(child: &mut Child) -> Said {
        let said = Arc::new(Mutex::new(String::new()));
        let (heard, stderr) = (said.clone(), BufReader::new(child.stderr.take().expect("piped")));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().expect("no holder panics").push_str(&format!("{line}\n"));
            }
        });
        Said(said)
    }

    fn wait_for(&self, words: &str) {
        until(words, || self.0.lock().expect("no holder panics").contains(words));
    }
}

/// An engine, and what it says.
fn engine(desk: &Desk, args: &[&str]) -> (Child, Said) {
    let mut command = desk.command(&[args, &["--log", "info"]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut engine = command.spawn().expect("it runs");
    let said = Said::by(&mut engine);
    (engine, said)
}

#[test]
fn sighup_takes_good_rules_into_force_and_leaves_bad_ones_alone() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "20ms"]);
    let rule = |name: &str, connections: &str| {
        let text = format!("[[provider]]\nname = \"{name}\"\nsites = [\"127.0.0.1\"]\nconnections = {connections}\n");
        desk.write("shaping.toml", text.as_bytes());
    };
    rule("partner", "2");
    desk.machine(mx.port, "[shaping]\nfile = \"shaping.toml\"\n");
    let (mut engine, said) = engine(&desk, &["serve"]);
    said.wait_for("at work in");
    let digest = |desk: &Desk| explained(desk, "mail.example")["engine_has_other_rules"].clone();
    assert_eq!(digest(&desk), false);
    let ran = desk.sealpost(&["pause", "--provider", "127.0.0.1"]);
    assert!(ran.stderr.contains("127.0.0.1 is partner's"), "{ran:?}");
    assert_eq!(desk.status()["paused"], json!([{"provider": "partner"}]));
    assert_eq!(desk.sealpost(&["resume", "--provider", "127.0.0.1"]).code, 0, "by a host's name, too");

    rule("friend", "3");
    assert_eq!(digest(&desk), true, "the engine has not read it");
    signal(engine.id(), "HUP");
    said.wait_for("shaping rules were read again: ");
    assert_eq!(digest(&desk), false);
    assert_eq!(desk.sealpost(&["pause", "--provider", "partner"]).code, 2, "nobody is called that any more");
    assert_eq!(desk.sealpost(&["pause", "--provider", "friend"]).code, 0);

    rule("enemy", "0");
    signal(engine.id(), "HUP");
    said.wait_for("shaping.toml:4: connections must be at least 1");
    said.wait_for("ERROR");
    assert_eq!(desk.sealpost(&["pause", "--provider", "enemy"]).code, 2, "the old rules stay");
    assert_eq!(desk.sealpost(&["resume", "--provider", "friend"]).code, 0);

    // It is a configuration's mistake for whoever begins now, and none for the engine.
    let campaign = desk.small(40, "");
    assert_eq!(desk.sealpost(&["send", &campaign]).code, 2);
    rule("friend", "3");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, &counts["delivered"]), (0, &40.into()), "{counts}");
    signal(engine.id(), "TERM");
    assert!(engine.wait().expect("it ends").success());
}

#[test]
fn a_provider_that_is_paused_stays_so_when_its_rule_is_gone() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--latency", "50ms"]);
    desk.write("shaping.toml", b"[[provider]]\nname = \"partner\"\nsites = [\"127.0.0.1\"]\n");
    let narrow = "[limits]\nconnections_per_provider = 1\n[shaping]\nfile = \"shaping.toml\"\n";
    desk.machine(mx.port, narrow);
    let campaign = desk.small(300, "");
    let (mut engine, said) = engine(&desk, &["send", &campaign]);
    until("a message", || desk.status()["runs"][0]["delivered"].as_u64() > Some(0));
    assert_eq!(desk.sealpost(&["cancel", "--provider", "127.0.0.1"]).code, 2, "more than was named is not ended");
    let ran = desk.sealpost(&["pause", "--provider", "partner"]);
    assert!(ran.code == 0 && ran.stderr.is_empty(), "{ran:?}");

    desk.write("shaping.toml", b"");
    signal(engine.id(), "HUP");
    said.wait_for("shaping rules were read again: ");
    assert_eq!(desk.status()["paused"], json!([{"provider": "127.0.0.1"}, {"provider": "partner"}]));
    let delivered = || desk.run_of("small")["delivered"].as_u64().expect("a count");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = delivered();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(delivered(), before, "its site is still paused");
    assert_eq!(desk.sealpost(&["cancel", "--run", desk.run_of("small")["run"].as_str().expect("a name")]).code, 0);
    assert!(engine.wait().expect("it ends").success());
}

/// All rows wait at one provider when its rule changes: none is routed any more.
#[test]
fn what_waits_goes_by_the_rules_that_were_read_again() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let rate = |rate: &str| {
        let rule = format!("[[provider]]\nname = \"partner\"\nsites = [\"127.0.0.1\"]\nrate = \"{rate}\"\n");
        desk.write("shaping.toml", rule.as_bytes());
    };
    rate("1/h");
    desk.machine(mx.port, "[shaping]\nfile = \"shaping.toml\"\n");
    let campaign = desk.small(60, "");
    let (mut engine, said) = engine(&desk, &["send", &campaign]);
    until("a message", || desk.status()["runs"][0]["delivered"] == 1);
    until("all other rows", || desk.run_of("small")["waiting"] == 59);
    rate("100/s");
    signal(engine.id(), "HUP");
    said.wait_for("shaping rules were read again: ");
    assert!(engine.wait().expect("it ends").success());
    assert_eq!(mx.totals()["accepted"], 60);
}
