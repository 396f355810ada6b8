//! What domains can do, before anything is sent: probes, lists, forecasts.

mod sites;

use self::sites::Sites;
use crate::support::certificates::Authority;
use crate::support::hosts::Hosts;
use crate::support::mount::SmallDisk;
use crate::support::process::until;
use crate::support::receivers::signal;
use crate::support::world::tlsa;
use crate::support::{Desk, Mx, Peer, Ran, Signed, World};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const SHORT: &str = "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";

/// Sites on loopback by fixed routes: domain, the name its host must prove, and a port.
fn machine(desk: &Desk, routes: &[(&str, &str, u16)], tls: &str) {
    let route = |(domain, host, port): &(&str, &str, u16)| {
        format!("\"{domain}\" = {{ host = \"{host}\", address = \"127.0.0.1:{port}\" }}\n")
    };
    let routes: String = routes.iter().map(route).collect();
    // The DNS is not asked: everything else goes nowhere.
    let nowhere = "\"*\" = \"127.0.0.1:1\"\n";
    desk.machine_of("", &format!("[dns.static]\n{nowhere}{routes}[tls]\nroots = [\"ca.pem\"]\n{tls}\n{SHORT}"));
}

/// What a probe says of each domain: outlook and reason.
fn outlooks(probed: &Value) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let domains = probed["domains"].as_array().unwrap_or_else(|| panic!("no domains: {probed}")).iter();
    domains.map(|one| (text(&one["domain"]), (text(&one["outlook"]), text(&one["reason"])))).collect()
}

fn transcript(desk: &Desk, name: &str) -> String {
    std::fs::read_to_string(desk.path(name)).unwrap_or_default()
}

fn sessions(desk: &Desk, name: &str) -> usize {
    transcript(desk, name).lines().filter(|line| *line == "QUIT").count()
}

/// Rows by reason, of one outcome or outlook.
type Reasons = BTreeMap<String, u64>;

fn reasons(list: &Value, of: Option<&str>) -> Reasons {
    let list = list.as_array().unwrap_or_else(|| panic!("no reasons: {list}")).iter();
    let wanted = list.filter(|one| of.is_none_or(|of| one["outcome"] == of));
    wanted
        .map(|one| (one["reason"].as_str().expect("text").to_owned(), one["rows"].as_u64().expect("a count")))
        .collect()
}

#[test]
fn what_check_foresees_is_what_the_run_then_drops() {
    let sites = Sites::start();
    let desk = &sites.desk;
    let (campaign, rows) = sites.campaign("[transport]\nlifetime = \"6s\"\n");
    let checked = desk.sealpost(&["check", &campaign, "--probe", "--json"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let forecast = checked.json()["forecast"].clone();
    for name in ["transcript", "bare.transcript", "stranger.transcript"] {
        let said = transcript(desk, name);
        assert!(said.contains("EHLO"), "{name} was looked at");
        assert!(!["MAIL", "RCPT", "DATA", "AUTH"].iter().any(|verb| said.contains(verb)), "{name}: {said}");
    }
    let again = desk.sealpost(&["check", &campaign, "--json"]).json()["forecast"].clone();
    assert_eq!(again, forecast, "what was found is known without a probe");
    let for_people = desk.sealpost(&["check", &campaign]).stdout;
    assert!(
        for_people.contains("would be dropped: no_starttls: naked.example (42), bare.example (39)"),
        "{for_people}"
    );

    assert!(for_people.contains("more would be dropped than drop_brake allows (10 %)"), "{for_people}");
    assert_eq!(forecast["would_brake"], true);

    let (campaign, _) = sites.campaign("[transport]\ndrop_brake = \"off\"\nlifetime = \"6s\"\n");
    let (_, counts) = desk.send(&campaign);
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    let (foreseen, dropped) = (reasons(&forecast["unable"], None), reasons(&report["reasons"], Some("dropped")));
    assert_eq!(forecast["rows"], rows, "{forecast}");
    assert_eq!((&forecast["able"], &forecast["dropped"]), (&counts["delivered"], &counts["dropped"]), "{counts}");
    // Not within 1 %, but to the row and by reason.
    assert_eq!(foreseen, dropped, "{report}");
    assert_eq!(foreseen.len(), 6, "six ways to be unable: {foreseen:?}");
    assert_eq!(reasons(&forecast["waiting"], None).values().sum::<u64>(), counts["expired"].as_u64().unwrap_or(0));
}

#[test]
fn a_forecast_says_what_it_does_not_know_and_how_old_it_is() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let route = |domain| (domain, "mx.example.net", mx.port);
    machine(&desk, &[route("known.example"), route("new.example")], "");
    let campaign =
        desk.blast("two", ["a@known.example", "b@new.example", "c@new.example"].map(str::to_owned).into_iter(), "");
    assert!(desk.sealpost(&["check", &campaign, "--json"]).json()["forecast"].is_null(), "nothing was probed yet");
    assert_eq!(desk.sealpost(&["tls", "probe", "known.example"]).code, 0);
    let forecast = desk.sealpost(&["check", &campaign, "--json"]).json()["forecast"].clone();
    assert_eq!((&forecast["able"], &forecast["unknown"], &forecast["rows"]), (&1.into(), &2.into(), &3.into()));
    assert!(forecast["oldest"].as_str().is_some_and(|at| at.starts_with("20")), "{forecast}");
    // What holds for one floor says nothing of another.
    let text = transcript(&desk, &campaign) + "[transport]\ntls = \"authenticated\"\n";
    desk.write(&campaign, text.as_bytes());
    assert_eq!(desk.sealpost(&["check", &campaign, "--json"]).json()["forecast"]["unknown"], 3);
}

#[test]
fn many_domains_of_one_host_cost_it_one_session_and_an_engine_at_work_does_it_too() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let names: Vec<_> = (0..600).map(|number| format!("d{number}.example")).collect();
    let routes: Vec<_> = names.iter().map(|name| (name.as_str(), "mx.example.net", mx.port)).collect();
    machine(&desk, &routes, "refresh = \"0s\"\n");
    let campaign = desk.blast("all", names.iter().map(|name| format!("r@{name}")), "");
    let probed = desk.sealpost(&["tls", "probe", &campaign, "--json"]);
    let able = |probed: &Ran| (probed.code, probed.json()["asked"].clone(), probed.json()["able"].clone());
    assert_eq!(able(&probed), (0, 600.into(), 600.into()), "{probed:?}");
    assert_eq!(sessions(&desk, "transcript"), 1);

    let engine = desk.start(&["serve"]);
    until("the engine", || desk.status()["engine"] == "running" && desk.status()["pid"].is_u64());
    let probed = desk.sealpost(&["tls", "probe", &campaign, "--json"]);
    assert_eq!(able(&probed), (0, 600.into(), 600.into()), "{probed:?}");
    assert_eq!(sessions(&desk, "transcript"), 2, "three requests to the engine are one probe");
    let listed = desk.sealpost(&["tls", "list", "--json"]).json();
    assert_eq!(listed["probed"].as_array().map(Vec::len), Some(600));
    assert_eq!((&listed["hosts"][0]["name"], &listed["hosts"][0]["peer"]), (&"mx.example.net".into(), &"pkix".into()));
    let for_people = desk.sealpost(&["tls", "list"]).stdout;
    assert!(for_people.contains("mx.example.net") && for_people.contains("by pkix"), "{for_people}");
    drop(engine);
}

#[test]
fn one_address_has_two_sessions_at_a_time_whatever_its_names() {
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    let open = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = open.clone();
    let peer = Peer::start(move |_, line| {
        let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
        counted.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        // Whoever has heard all of it may be gone before we come to count.
        counted.0.fetch_sub(1, Ordering::SeqCst);
        line.greet(&[]);
        line.hear();
    });
    let names: Vec<_> = (0..30).map(|number| (format!("d{number}.example"), format!("mx.d{number}.example"))).collect();
    let routes: Vec<_> = names.iter().map(|(name, host)| (name.as_str(), host.as_str(), peer.port)).collect();
    machine(&desk, &routes, "");
    let domains: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    let probed = desk.sealpost(&[&["tls", "probe", "--json"], &domains[..]].concat());
    assert!(outlooks(&probed.json()).values().all(|(_, reason)| reason == "no_starttls"), "{probed:?}");
    assert_eq!(open.1.load(Ordering::SeqCst), 2);
}

#[test]
fn a_probe_that_is_interrupted_says_what_it_found() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let silent = Peer::start(|_, line| drop(line.hear()));
    let routes = [("able.example", "mx.able.example", mx.port), ("silent.example", "mx.silent.example", silent.port)];
    machine(&desk, &routes, "");
    let probe = desk.start(&["tls", "probe", "able.example", "silent.example", "--json"]);
    until("a session's end", || sessions(&desk, "transcript") == 1);
    std::thread::sleep(Duration::from_millis(200));
    signal(probe.id(), "INT");
    let ran = probe.end();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("1 domains were not looked at"), "{ran:?}");
    assert_eq!(outlooks(&ran.json()).into_keys().collect::<Vec<_>>(), ["able.example"]);
}

#[test]
fn a_host_that_had_tls_and_has_none_has_lost_its_standing() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let port = mx.port;
    machine(&desk, &[("mail.example", "mx.mail.example", port)], "");
    let probe = || {
        let ran = desk.sealpost(&["tls", "probe", "mail.example", "--json"]);
        (ran.code, outlooks(&ran.json())["mail.example"].clone())
    };
    assert_eq!(probe(), (0, ("able".into(), String::new())));
    drop(mx);
    let _stripped = Mx::named(&desk, "stripped", &format!("127.0.0.1:{port}"), &["--no-starttls"]);
    assert_eq!(probe(), (1, ("unable".into(), "lost_standing".into())));
    let host = desk.sealpost(&["tls", "list", "--json"]).json()["hosts"][0].clone();
    assert_eq!((&host["fault"], &host["version"]), (&"lost_standing".into(), &"TLSv1.3".into()), "{host}");
    // A run takes it for an attack, too: its rows wait to see it confirmed.
    let campaign = desk.small(2, "[transport]\nlifetime = \"2s\"\n");
    assert_eq!(desk.send(&campaign).1["expired"], 2);
}

#[test]
fn dnssec_and_tlsa_records_are_asked_for_as_a_run_does() {
    let hosts = Hosts::start(&[]);
    let records = "mx1 A 127.0.0.2\nmx2 A 127.0.0.3\nplain MX 10 mx1\nother MX 10 mx2\nboth MX 10 mx2\nboth MX 20 mx1\nnull MX 0 .\n";
    let wrong = tlsa("mx2", hosts.port, [3, 1, 1], &[7; 32]);
    let world = World::start(&[
        ("signed", Signed::Nsec, &format!("{records}{wrong}")),
        ("open", Signed::No, records),
        ("bare", Signed::Stripped, records),
    ]);
    hosts.machine_by(&world.dns(), "");
    let domains = ["plain.signed", "other.signed", "both.signed", "null.signed", "plain.open", "plain.bare", "nx.open"];
    let probe = |level: &str| {
        let ran = hosts.desk.sealpost(&[&["tls", "probe", "--json", "--tls", level], &domains[..]].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        ran.json()
    };
    let probed = probe("verified");
    let word = |outlook: &str, reason: &str| (outlook.to_owned(), reason.to_owned());
    let expected = [
        ("both.signed", word("able", "")),
        ("null.signed", word("bounces", "null_mx")),
        ("nx.open", word("bounces", "no_such_domain")),
        ("other.signed", word("unable", "tlsa_mismatch")),
        ("plain.bare", word("waits", "dnssec_bogus")),
        ("plain.open", word("able", "")),
        ("plain.signed", word("able", "")),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(domain, word)| (domain.to_owned(), word)).into();
    assert_eq!(outlooks(&probed), expected, "{probed}");
    let both = probed["domains"].as_array().expect("a list").iter().find(|one| one["domain"] == "both.signed");
    let both = both.expect("it was asked for");
    assert_eq!((&both["mx_trust"], &both["hosts"][0]["tlsa"]), (&"dnssec".into(), &"usable".into()), "{both}");
    assert_eq!((&both["hosts"][1]["peer"], &both["hosts"][1]["version"]), (&"pkix".into(), &"TLSv1.3".into()));
    // The same hosts, but nothing says that the domain's mail goes there.
    let authenticated = outlooks(&probe("authenticated"));
    assert_eq!(authenticated["plain.open"], word("unable", "mx_unproven"));
    assert_eq!(authenticated["plain.signed"], word("able", ""));
}

#[test]
fn what_was_probed_is_looked_at_again_while_an_engine_lives() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let port = mx.port;
    machine(&desk, &[("mail.example", "mx.mail.example", port)], "refresh = \"1s\"\n");
    assert_eq!(desk.sealpost(&["tls", "probe", "mail.example"]).code, 0);
    let engine = desk.start(&["serve"]);
    until("another look", || sessions(&desk, "transcript") >= 3);
    drop(mx);
    let _stripped = Mx::named(&desk, "stripped", &format!("127.0.0.1:{port}"), &["--no-starttls"]);
    let listed = || desk.sealpost(&["tls", "list", "--json"]).json();
    until("the news", || listed()["probed"][0]["reason"] == "lost_standing");
    assert!(!transcript(&desk, "transcript").contains("MAIL"));
    signal(engine.id(), "TERM");
    assert_eq!(engine.end().code, 0, "it ends with the engine");
}

#[test]
fn the_table_of_domains_raises_the_floor_of_one_domain() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    Authority::new().write(&desk.path("ca.pem"));
    let route = |domain| (domain, "mx.example.net", mx.port);
    let table = "exclusive_confirm = \"0s\"\n[tls.domains]\n\"strict.example\" = \"verified\"\n\"lax.example\" = \"opportunistic\"\n";
    machine(&desk, &[route("strict.example"), route("lax.example"), route("mail.example")], table);
    let to = ["a@strict.example", "b@lax.example", "c@mail.example", "d@STRICT.example"].map(str::to_owned);
    let campaign = desk.blast("floors", to.into_iter(), "[transport]\ntls = \"required\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!((&counts["delivered"], &counts["dropped"]), (&2.into(), &2.into()), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(reasons(&report["reasons"], Some("dropped")), [("unknown_issuer".to_owned(), 2)].into(), "{report}");
    let said = transcript(&desk, "transcript");
    assert!(said.contains("@lax.example") && !said.to_lowercase().contains("@strict.example"), "{said}");
}

#[test]
fn a_table_of_domains_that_names_no_domain_is_refused_with_its_line() {
    let desk = Desk::new();
    machine(&desk, &[], "[tls.domains]\n\"*.partner.example\" = \"verified\"\n");
    let ran = desk.sealpost(&["status"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("in [tls.domains] is no domain") && ran.stderr.contains("hint: "), "{ran:?}");
}

#[test]
fn servers_are_asked_to_require_tls_where_the_campaign_says_so() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(3, "");
    assert_eq!(desk.send(&campaign).1["delivered"], 3);
    assert!(!transcript(&desk, "transcript").contains("REQUIRETLS"), "off by default");
    let campaign = desk.small_of(4..=7, "[transport]\nrequiretls = true\n");
    assert_eq!(desk.send(&campaign).1["delivered"], 4);
    let said = transcript(&desk, "transcript");
    assert_eq!(
        said.lines().filter(|line| line.starts_with("MAIL") && line.ends_with(" REQUIRETLS")).count(),
        4,
        "{said}"
    );
}

/// A row is dropped for what its host does now, however long the back-off is.
#[test]
fn a_host_that_was_mended_gets_its_rows_although_others_were_dropped_for_it() {
    let desk = Desk::new();
    let bare = Mx::start(&desk, &["--no-starttls"]);
    Authority::new().write(&desk.path("ca.pem"));
    machine(&desk, &[("mail.example", "mx.mail.example", bare.port)], "");
    desk.write("sealpost.toml", transcript(&desk, "sealpost.toml").replace("\"1s\"", "\"10m\"").as_bytes());
    let engine = desk.start(&["serve"]);
    until("the engine", || desk.status()["engine"] == "running");
    let send = |name: &str| {
        let campaign =
            desk.blast(name, [format!("{name}@mail.example")].into_iter(), "[transport]\ntls = \"required\"\n");
        desk.send(&campaign).1
    };
    assert_eq!(send("before")["dropped"], 1);
    let port = bare.port;
    drop(bare);
    let _mended = Mx::named(&desk, "mended", &format!("127.0.0.1:{port}"), &[]);
    std::thread::sleep(Duration::from_secs(31));
    let counts = send("after");
    assert_eq!(counts["delivered"], 1, "{counts}");
    signal(engine.id(), "TERM");
}

#[test]
fn an_engine_that_is_looking_at_hosts_ends_although_its_disk_is_full() {
    let desk = Desk::new();
    let disk = SmallDisk::mount(&desk.path("state"), 64);
    let mx = Mx::start(&desk, &[]);
    // What is found is more than RocksDB has room for in advance.
    let names: Vec<_> = (0..2000).map(|number| format!("d{number}.example")).collect();
    let routes: Vec<_> = names.iter().map(|name| (name.as_str(), "mx.example.net", mx.port)).collect();
    machine(&desk, &routes, "refresh = \"1s\"\n");
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(desk.sealpost(&[&["tls", "probe"], &names[..]].concat()).code, 0);
    let mut engine = desk.start(&["serve"]);
    until("another look", || sessions(&desk, "transcript") >= 3);
    let (mut looks, mut since) = (0, Instant::now());
    until("a write that waits for room", || {
        // Also what the engine gives up to be able to write is taken.
        disk.fill("filler", 0);
        let now = sessions(&desk, "transcript");
        if now > looks {
            (looks, since) = (now, Instant::now());
        }
        since.elapsed() > Duration::from_secs(5)
    });
    signal(engine.id(), "TERM");
    until("its end", || engine.has_ended());
    disk.clear("filler");
}
