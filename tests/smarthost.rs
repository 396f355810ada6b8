//! A relay that asks who we are: Debian's Exim, with the logins of its own and of Cyrus SASL.

use crate::support::{Authority, Debian, Desk, Knot, Mx, Peer, free_port};
use serde_json::Value;
use std::path::PathBuf;

const NAME: &str = "relay.acme-health.example";

struct Relay {
    desk: Desk,
    exim: Debian,
    campaign: String,
}

impl Relay {
    /// A relay that is valid until `year` and takes `options`, and a campaign of five rows.
    fn start(year: i32, options: &[&str]) -> Relay {
        let desk = Desk::new();
        let authority = Authority::new();
        authority.write(&desk.path("ca.pem"));
        let exim = Debian::smarthost(&authority.leaf_until(NAME, year, &desk.path("")), options);
        desk.write("password", b"se cret\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(desk.path("password"), mode).expect("chmod");
        let campaign = desk.small(5, "[transport]\nlifetime = \"1s\"\n");
        Relay { desk, exim, campaign }
    }

    /// Sends, with `more` in `[smarthost]`.
    fn send(&self, more: &str) -> Value {
        machine(&self.desk, self.exim.port, more);
        self.desk.send(&self.campaign).1
    }

    /// Messages that Exim took after a login by `mechanism`.
    fn taken_from(&self, mechanism: &str) -> usize {
        let by = format!("A={mechanism}:acme");
        self.exim.log().lines().filter(|line| line.contains(" <= ") && line.contains(&by)).count()
    }

    /// Sends, and gives the first reason of the report with its hint.
    fn refused(&self, more: &str) -> (String, String) {
        let counts = self.send(more);
        assert_eq!(counts["expired"], 5, "{counts}");
        let report = self.desk.sealpost(&["report", &self.campaign, "--json"]).json();
        let text = |key: &str| report["reasons"][0][key].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("hint"))
    }
}

fn machine(desk: &Desk, port: u16, more: &str) {
    let smarthost = format!("[smarthost]\nhost = \"{NAME}\"\naddress = \"127.0.0.1\"\nport = {port}\n{more}\n");
    desk.machine_of(
        "",
        &format!("{smarthost}[tls]\nroots = [\"ca.pem\"]\n[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n"),
    );
}

const LOGIN: &str = "user = \"acme\"\npassword = { file = \"password\" }\n";

/// Hashing for SCRAM is outside the module of a `fips` build, which leaves it alone.
const BEST: &str = if cfg!(feature = "fips") { "PLAIN" } else { "SCRAM-SHA-256" };

#[test]
fn every_mechanism_logs_in_over_starttls_and_implicit_tls() {
    for (mechanism, implicit) in [("PLAIN", false), ("LOGIN", false), (BEST, false), (BEST, true)] {
        let mut options = vec!["--auth", "acme:se cret", "--mechanisms", mechanism];
        if implicit {
            options.push("--tls-on-connect");
        }
        let relay = Relay::start(2100, &options);
        let tls = if implicit { "tls = \"implicit\"\n" } else { "" };
        let counts = relay.send(&format!("{LOGIN}{tls}"));
        assert_eq!(counts["delivered"], 5, "{mechanism}: {counts}\n{}", relay.exim.log());
        let (word, _) = mechanism.split_once('-').unwrap_or((mechanism, ""));
        assert_eq!(relay.taken_from(&word.to_lowercase()), 5, "{}", relay.exim.log());
    }
}

#[test]
fn the_best_mechanism_is_chosen() {
    let relay = Relay::start(2100, &["--auth", "acme:se cret"]);
    assert_eq!(relay.send(LOGIN)["delivered"], 5);
    let (word, _) = BEST.split_once('-').unwrap_or((BEST, ""));
    assert_eq!(relay.taken_from(&word.to_lowercase()), 5, "{}", relay.exim.log());
}

#[test]
fn a_wrong_password_waits_for_the_operator() {
    let relay = Relay::start(2100, &["--auth", "acme:another"]);
    let (reason, hint) = relay.refused(LOGIN);
    assert_eq!(reason, "535 auth_refused");
    assert!(hint.contains("correct [smarthost] user and password"), "{hint}");
    assert!(!relay.exim.log().contains("<="), "nothing was taken");
}

#[test]
fn a_wrong_password_is_told_with_a_hint_while_it_lasts() {
    let relay = Relay::start(2100, &["--auth", "acme:another"]);
    machine(&relay.desk, relay.exim.port, LOGIN);
    let ran = relay.desk.sealpost(&["send", &relay.campaign]);
    assert!(
        ran.stderr.contains("open -> suspended") && ran.stderr.contains("[smarthost] user and password"),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains("se cret") && !ran.stdout.contains("se cret"), "{ran:?}");
}

#[test]
fn an_expired_certificate_learns_no_password() {
    let relay = Relay::start(2020, &["--auth", "acme:se cret"]);
    let (reason, hint) = relay.refused(LOGIN);
    assert_eq!(reason, "certificate_expired");
    assert!(hint.contains("past its time"), "{hint}");
    assert!(!relay.exim.log().contains("A="), "{}", relay.exim.log());
}

#[test]
fn a_refused_sender_costs_no_row_its_message() {
    let relay = Relay::start(2100, &["--auth", "acme:se cret", "--sender-domain", "somebody-else.example"]);
    let (reason, hint) = relay.refused(LOGIN);
    assert_eq!(reason, "553 5.7.1 sender_refused");
    assert!(hint.contains("return_path"), "{hint}");
}

#[test]
fn a_client_certificate_is_shown_and_missed() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, key) = authority.leaf("acme.example", folder.path());
    let ca: PathBuf = folder.path().join("clients.pem");
    authority.write(&ca);
    let relay = Relay::start(2100, &["--client-ca", ca.to_str().expect("UTF-8")]);
    let (reason, hint) = relay.refused("");
    assert_eq!(reason, "client_certificate_refused");
    assert!(hint.contains("certificate"), "{hint}");
    // The same input again is another run under another name.
    let campaign = relay.desk.small(4, "");
    let identity = format!("certificate = \"{}\"\ncertificate_key = \"{}\"\n", ours.display(), key.display());
    machine(&relay.desk, relay.exim.port, &identity);
    let (_, counts) = relay.desk.send(&campaign);
    assert_eq!(counts["delivered"], 4, "{counts}\n{}", relay.exim.log());
    assert!(relay.exim.log().contains("CV=yes"), "{}", relay.exim.log());
}

#[test]
fn a_smarthost_that_cannot_be_found_costs_no_row_its_message() {
    let knot = Knot::start("example", "", &[]);
    let desk = Desk::new();
    let dns = format!("[dns]\nservers = [\"127.0.0.1:{}\"]\ndnssec = \"off\"\n", knot.port);
    let smarthost = "[smarthost]\nhost = \"gone.example\"\n";
    desk.machine_of("", &format!("{dns}{smarthost}[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n"));
    let campaign = desk.small(5, "[transport]\nlifetime = \"1s\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!(counts["expired"], 5, "{counts}");
    let report = desk.sealpost(&["report", &campaign]).stdout;
    assert!(report.contains("no_mx_address") && report.contains("hint: "), "{report}");
}

#[test]
fn a_smarthost_without_starttls_costs_no_row_its_message() {
    let peer = Peer::start(|_, line| {
        line.greet(&["PIPELINING"]);
        line.take_everything();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    machine(&desk, peer.port, "");
    let campaign = desk.small(5, "[transport]\nlifetime = \"1s\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!((counts["expired"].as_u64(), counts["dropped"].as_u64()), (Some(5), Some(0)), "{counts}");
    assert!(!peer.heard("MAIL"));
}

#[test]
fn a_certificate_key_that_others_can_read_is_refused() {
    let desk = Desk::new();
    let (certificate, key) = Authority::new().leaf("acme.example", &desk.path(""));
    let identity = format!("certificate = \"{}\"\ncertificate_key = \"{}\"\n", certificate.display(), key.display());
    machine(&desk, free_port(), &identity);
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("chmod");
    let campaign = desk.small(1, "");
    let ran = desk.sealpost(&["send", &campaign]);
    assert!(ran.code == 2 && ran.stderr.contains("others can read") && ran.stderr.contains("chmod 600"), "{ran:?}");
}

#[test]
fn a_smarthost_beside_a_route_for_everything_is_a_contradiction() {
    let desk = Desk::new();
    let smarthost = "[smarthost]\nhost = \"relay.acme.example\"\n[dns.static]\n\"*\" = \"127.0.0.1:2525\"\n";
    desk.machine_of("", smarthost);
    let campaign = desk.small(1, "");
    let ran = desk.sealpost(&["check", &campaign]);
    assert!(
        ran.code == 2 && ran.stderr.contains("both take everything") && ran.stderr.contains("hint: take"),
        "{ran:?}"
    );
}

#[test]
fn auth_is_never_said_in_clear() {
    let peer = Peer::start(|_, line| {
        line.greet(&["AUTH PLAIN LOGIN", "PIPELINING"]);
        line.take_everything();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.write("password", b"se cret\n");
    std::fs::set_permissions(desk.path("password"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("chmod");
    machine(&desk, peer.port, LOGIN);
    // Even where the campaign would be content with clear text.
    let campaign = desk
        .small(3, "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\nlifetime = \"1s\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!(counts["expired"], 3, "{counts}");
    assert!(!peer.heard("AUTH") && !peer.heard("MAIL"), "{:?}", peer.said());
    assert!(peer.heard("EHLO"));
}

#[test]
fn two_sources_take_turns_from_their_own_addresses() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    let second =
        "ipv4 = \"127.0.0.5\"\n[[source]]\nname = \"b\"\nehlo = \"b.acme-health.example\"\nipv4 = \"127.0.0.6\"\n";
    let routes = format!("[dns.static]\n\"*\" = \"127.0.0.1:{}\"\n[tls]\nroots = [\"ca.pem\"]\n", mx.port);
    desk.machine_of(second, &routes);
    let campaign = desk.small(40, "");
    assert_eq!(desk.send(&campaign).1["delivered"], 40);
    let said = std::fs::read_to_string(desk.path("transcript")).expect("a transcript");
    for (from, ehlo) in [("127.0.0.5", "out.acme-health.example"), ("127.0.0.6", "b.acme-health.example")] {
        assert!(said.contains(&format!("FROM {from}")) && said.contains(&format!("EHLO {ehlo}")), "{said}");
    }
    let campaign = desk.small_of(41..=50, "[transport]\nsources = [\"b\"]\n");
    let before = said.len();
    assert_eq!(desk.send(&campaign).1["delivered"], 10);
    let said = std::fs::read_to_string(desk.path("transcript")).expect("a transcript");
    let since = &said[before..];
    assert!(since.contains("FROM 127.0.0.6") && !since.contains("FROM 127.0.0.5"), "the pool alone: {since}");
}

#[test]
fn a_source_that_is_not_there_and_an_address_that_is_not_ours() {
    let desk = Desk::new();
    desk.machine(free_port(), "");
    let campaign = desk.small(3, "[transport]\nsources = [\"z\"]\n");
    let ran = desk.sealpost(&["send", &campaign]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("sources names \"z\"") && ran.stderr.contains("hint: its sources are: a"), "{ran:?}");
    desk.machine_of("ipv4 = \"192.0.2.77\"", "[dns.static]\n\"*\" = \"127.0.0.1:9\"\n");
    let campaign = desk.small(3, "");
    let ran = desk.sealpost(&["send", &campaign]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("can't send from 192.0.2.77") && ran.stderr.contains("hint: "), "{ran:?}");
}
