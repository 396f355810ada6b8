//! A real authoritative server (Knot) says where mail goes.

use crate::support::Knot;
use crate::support::hosts::Hosts;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ZONE: &str = "\
mx1      A     127.0.0.2
mx2      A     127.0.0.3
dead     A     127.0.0.9
both     A     127.0.0.2
both     AAAA  ::1
cn       CNAME mx1
plain    MX    10 mx1
prefer   MX    10 mx1
prefer   MX    20 mx2
spread   MX    10 mx1
spread   MX    10 mx2
nomx     A     127.0.0.3
alias    CNAME plain
mxalias  MX    10 cn
broken   MX    5  dead
broken   MX    10 mx2
six      MX    10 both
null     MX    0  .
nodata   TXT   \"no mail here\"
ghost    MX    10 nobody
";

/// What becomes of a domain's rows: the hosts that take them, or outcome and reason.
type Fate = Result<&'static [&'static str], (&'static str, &'static str)>;

/// Domain, rows, and their fate. Counts differ where only the report can tell which domain it speaks of.
const TABLE: [(&str, usize, Fate); 13] = [
    ("plain.example", 20, Ok(&["mx1"])),
    ("prefer.example", 20, Ok(&["mx1"])),
    ("spread.example", 200, Ok(&["mx1", "mx2"])),
    ("nomx.example", 20, Ok(&["mx2"])),
    ("alias.example", 20, Ok(&["mx1"])),
    ("mxalias.example", 20, Ok(&["mx1"])),
    ("broken.example", 20, Ok(&["mx2"])),
    ("six.example", 20, Ok(&["mx6"])),
    ("null.example", 1, Err(("bounced", "null_mx"))),
    ("nx.example", 2, Err(("bounced", "no_such_domain"))),
    ("nodata.example", 3, Err(("bounced", "no_mail_host"))),
    ("ghost.example", 4, Err(("bounced", "no_mx_address"))),
    ("servfail.example", 5, Err(("expired", "dns_failed"))),
];

#[test]
fn a_table_of_domains_and_what_becomes_of_their_rows() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", ZONE, &["servfail.example"]);
    hosts.machine(&knot, "deny_nets = []\nfamily = \"ipv6-first\"\ntimeout = \"1s\"", "");
    let rows: Vec<_> = TABLE.iter().map(|(domain, rows, _)| (*domain, *rows)).collect();
    let campaign = hosts.campaign(&rows, "[transport]\nlifetime = \"2s\"\n");
    let (_, counts) = hosts.desk.send(&campaign);
    let (taken, reasons) = (hosts.taken(), hosts.reasons(&campaign));
    for (domain, rows, expected) in TABLE {
        let at = taken.get(domain);
        println!("{domain:18} {rows:4} rows  expected {expected:?}  taken by {at:?}");
        match expected {
            Ok(names) => {
                let at = at.unwrap_or_else(|| panic!("nobody took {domain}: {reasons:?}"));
                assert_eq!(at.keys().copied().collect::<Vec<_>>(), names, "{domain}");
                assert_eq!(at.values().sum::<usize>(), rows, "{domain}");
            }
            Err((outcome, reason)) => {
                assert!(at.is_none(), "{domain}");
                assert_eq!(
                    reasons.get(&(outcome.into(), reason.into())),
                    Some(&(rows as u64)),
                    "{domain}: {reasons:?}"
                );
            }
        }
    }
    assert_eq!(counts["delivered"], 340, "{counts}");
    let spread = &taken["spread.example"];
    assert!(spread.values().all(|count| *count >= 20), "equal preference is spread: {spread:?}");
}

#[test]
fn look_ups_into_our_own_networks_wait_and_reach_nobody() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", ZONE, &[]);
    hosts.machine(&knot, "", "");
    let rows = [("plain.example", 5), ("six.example", 6), ("nomx.example", 7)];
    let campaign = hosts.campaign(&rows, "[transport]\nlifetime = \"1s\"\n");
    let (_, counts) = hosts.desk.send(&campaign);
    assert_eq!(counts["expired"], 18, "{counts}");
    assert_eq!(hosts.reasons(&campaign), [(("expired".into(), "denied_address".into()), 18)].into());
    assert!(hosts.taken().is_empty());
}

/// Waits until some host has taken a message.
fn underway(hosts: &Hosts) {
    let end = Instant::now() + Duration::from_secs(20);
    while hosts.taken().is_empty() {
        assert!(Instant::now() < end, "nothing was sent");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends 1,000 rows slowly (more than wait between reader and wire), changes the zone in the middle, and gives what each host took.
fn changed_in_mid_run(before: &str, after: &str) -> BTreeMap<&'static str, usize> {
    let hosts = Hosts::start(&["--latency", "4ms"]);
    let knot = Knot::start("example", before, &[]);
    let slow = "[limits]\nconnections_per_provider = 1\nmessages_per_connection = 20\nrows_in_memory = 8\n";
    hosts.machine(&knot, "deny_nets = []", slow);
    let campaign = hosts.campaign(&[("ttl.example", 1000)], "");
    let run = hosts.desk.spawn(&["send", &campaign, "--json"]);
    underway(&hosts);
    knot.change("example", after);
    let ran = crate::support::Ran::from(run.wait_with_output().expect("it ends"));
    assert_eq!(ran.json()["delivered"], 1000, "{ran:?}");
    hosts.taken().remove("ttl.example").expect("delivered")
}

#[test]
fn an_mx_whose_ttl_expires_in_mid_run_is_asked_for_again() {
    let hosts = "mx1 A 127.0.0.2\nmx2 A 127.0.0.3\n";
    let taken = changed_in_mid_run(&format!("{hosts}ttl 1 MX 10 mx1\n"), &format!("{hosts}ttl 1 MX 10 mx2\n"));
    assert!(taken.get("mx1") > Some(&0) && taken.get("mx2") > Some(&0), "{taken:?}");
}

#[test]
fn an_address_whose_ttl_expires_in_mid_run_is_asked_for_again() {
    let mx = "ttl MX 10 mx\n";
    let taken = changed_in_mid_run(&format!("{mx}mx 1 A 127.0.0.2\n"), &format!("{mx}mx 1 A 127.0.0.3\n"));
    assert!(taken.get("mx1") > Some(&0) && taken.get("mx2") > Some(&0), "{taken:?}");
}

#[test]
fn a_thousand_rows_of_one_domain_ask_once() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", ZONE, &[]);
    hosts.machine(&knot, "deny_nets = []", "");
    let campaign = hosts.campaign(&[("plain.example", 1000), ("nx.example", 1000)], "");
    let (_, counts) = hosts.desk.send(&campaign);
    assert_eq!((counts["delivered"].as_u64(), counts["bounced"].as_u64()), (Some(1000), Some(1000)), "{counts}");
    // MX twice, A and AAAA of the one host; a query may be repeated when an answer is slow.
    let queries = knot.queries("example");
    assert!((3..=8).contains(&queries), "{queries} queries");
}

#[test]
fn a_name_server_that_is_gone_defers_and_no_row_is_lost() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", ZONE, &[]);
    hosts.machine(&knot, "deny_nets = []\ntimeout = \"300ms\"", "");
    drop(knot);
    let campaign = hosts.campaign(&[("plain.example", 9)], "[transport]\nlifetime = \"1s\"\n");
    let (_, counts) = hosts.desk.send(&campaign);
    assert_eq!(counts["expired"], 9, "{counts}");
    let reasons = hosts.reasons(&campaign);
    assert!(reasons.keys().all(|(_, reason)| reason.starts_with("dns_")), "{reasons:?}");
}

/// A domain without MX is somebody's own: it is named neither in the log nor in a metric.
#[test]
fn a_domain_without_mx_has_no_name_outside() {
    let hosts = Hosts::start(&[]);
    let knot = Knot::start("example", "canary A 127.0.0.9\nbroken A 127.0.0.3\n", &[]);
    let port = crate::support::free_port();
    let metrics = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\nlinger = \"20s\"\n");
    hosts.machine(&knot, "deny_nets = []", &metrics);
    let rows = [("canary.example", 30), ("broken.example", 30)];
    let campaign = hosts.campaign(&rows, "[transport]\nlifetime = \"1s\"\n");
    let run = hosts.desk.spawn(&["send", &campaign, "--json", "--log", "trace"]);
    let end = Instant::now() + Duration::from_secs(20);
    let seen = loop {
        assert!(Instant::now() < end, "never settled");
        std::thread::sleep(Duration::from_millis(100));
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let text = crate::support::receivers::get(port, "/metrics");
            if text.contains("outcome=\"expired\"} 30") && text.contains("outcome=\"delivered\"} 30") {
                break text;
            }
        }
    };
    crate::support::receivers::signal(run.id(), "TERM");
    let ran = crate::support::Ran::from(run.wait_with_output().expect("it ends"));
    assert!(seen.contains("provider=\"domain-without-mx\""), "{seen}");
    for said in [&seen, &ran.stderr] {
        assert!(!said.contains("canary") && !said.contains("broken.example"), "{said}");
    }
    assert!(ran.stderr.contains("open -> suspended"), "{ran:?}");
}

/// The exposition once it holds `text`.
fn exposition_with(port: u16, text: &str) -> String {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < end, "no exposition with {text}");
        std::thread::sleep(Duration::from_millis(50));
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let body = crate::support::receivers::get(port, "/metrics");
            if body.contains(text) {
                return body;
            }
        }
    }
}

#[test]
fn a_name_server_that_dies_in_mid_run_costs_no_attempt() {
    let hosts = Hosts::start(&["--latency", "4ms"]);
    let domains: Vec<_> = (0..400).map(|number| format!("d{number}.example")).collect();
    let records: String = (0..400).map(|number| format!("d{number} MX 10 mx1\n")).collect();
    let knot = Knot::start("example", &format!("mx1 A 127.0.0.2\n{records}"), &[]);
    let port = crate::support::free_port();
    let slow = "[limits]\nconnections_per_provider = 1\nrows_in_memory = 8\n";
    let metrics = format!("{slow}[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    hosts.machine(&knot, "deny_nets = []\ntimeout = \"1s\"", &metrics);
    let rows: Vec<_> = domains.iter().map(|domain| (domain.as_str(), 2)).collect();
    let campaign = hosts.campaign(&rows, "");
    let run = hosts.desk.spawn(&["send", &campaign, "--json"]);
    underway(&hosts);
    knot.stop();
    exposition_with(port, "sealpost_condition{what=\"dns\"} 1");
    // Rows whose route was known go out; then nothing moves.
    std::thread::sleep(Duration::from_secs(3));
    let standing = hosts.taken();
    std::thread::sleep(Duration::from_secs(1));
    let still = exposition_with(port, "sealpost_condition{what=\"dns\"} 1");
    assert_eq!(hosts.taken(), standing, "nothing more is sent");
    assert!(
        standing.len() < 400 && still.contains("sealpost_deferrals_total 0"),
        "{} domains: {still}",
        standing.len()
    );
    knot.start_again();
    let ran = crate::support::Ran::from(run.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.json()["delivered"].as_u64()), (0, Some(800)), "{ran:?}");
    for word in ["the engine waits", "the engine goes on"] {
        assert_eq!(ran.stderr.matches(word).count(), 1, "{word}: {ran:?}");
    }
    let report = hosts.desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({"1": 800}), "{report}");
}

/// Three in a row, and nothing that gets through: the control tells them from a DNS that is gone.
#[test]
fn several_domains_with_broken_servers_are_deferred_while_the_dns_is_there() {
    let hosts = Hosts::start(&[]);
    let broken = ["s1.example", "s2.example", "s3.example"];
    let knot = Knot::start("example", ZONE, &broken);
    hosts.machine(&knot, "deny_nets = []\ntimeout = \"1s\"", "");
    let campaign = hosts.campaign(&broken.map(|domain| (domain, 2)), "[transport]\nlifetime = \"1s\"\n");
    let ran = hosts.desk.sealpost(&["send", &campaign, "--json"]);
    assert_eq!(ran.json()["expired"], 6, "{ran:?}");
    assert!(!ran.stderr.contains("the engine waits"), "{ran:?}");
}
