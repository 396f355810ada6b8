//! Servers for every peer of the table, with the DNS and the policies that tell of them.

use super::case::{Case, Offer, Paper, Records, Sts, Zone};
use super::papers::{Issuer, Papers};
use super::policies::Policies;
use super::receiver::{Seen, StartTls, listen};
use super::stripper::strip;
use crate::support::process::Work;
use crate::support::receivers::cache;
use crate::support::world::tlsa;
use crate::support::{Desk, Signed, World, free_port, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct Stage {
    pub cases: Vec<&'static Case>,
    world: World,
    zones: Zones,
    policies: Policies,
    seen: BTreeMap<&'static str, Seen>,
    /// From when on peers have lost what they had.
    turned: Arc<AtomicBool>,
    places: Places,
    _old: Work,
}

/// What peers are made of.
struct Places {
    ca: Issuer,
    stranger: Issuer,
    smtp: u16,
    https: SocketAddr,
    /// The server that speaks TLS 1.1.
    old: SocketAddr,
}

impl Stage {
    pub fn set(cases: Vec<&'static Case>) -> Stage {
        let (ca, folder) = (Issuer::new("Test CA"), tempfile::tempdir().expect("a folder"));
        let (old_work, old) = old_server(&ca, folder.path());
        let https = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let places = Places { ca, stranger: Issuer::new("Somebody else"), smtp: free_port(), https, old };
        let names: Vec<_> = cases.iter().map(|case| format!("mta-sts.{}", domain(case))).collect();
        let policies = Policies::start(https, &places.ca.papers(&names, 2100));
        let (mut zones, mut seen, turned) = (Zones::default(), BTreeMap::new(), Arc::default());
        for (number, case) in (1..).zip(&cases) {
            let papers = places.papers(case);
            zones.tell(case, number, &papers, &places);
            seen.insert(case.domain, places.open(case, number, &papers, &turned));
            publish(case, &policies);
        }
        let world = zones.serve();
        cases.iter().filter(|case| case.records == Records::Servfail).for_each(|case| world.fail(&tlsa_zone(case)));
        Stage { cases, world, zones, policies, seen, turned, places, _old: old_work }
    }

    /// From here on the hosts, the man in the middle and the policy hosts do what they do.
    pub fn turn(&self) {
        self.turned.store(true, Ordering::SeqCst);
        self.cases.iter().filter(|case| case.changes()).for_each(|case| self.policies.down(&domain(case)));
        self.world.knot.change("open", &self.zones.of[&Where::Open].replace("id=1;", "id=2;"));
    }

    /// What the peer saw of whoever says EHLO with this name.
    pub fn seen(&self, case: &Case) -> &Seen {
        &self.seen[case.domain]
    }

    /// Makes the desk's EHLO begin with `name`, and all peers known to it.
    pub fn equip(&self, desk: &Desk, name: &str) {
        self.places.ca.write(&desk.path("ca.pem"));
        let domains: Vec<_> = self.cases.iter().map(|case| domain(case)).collect();
        let more = machine(&self.world, &domains, self.places.https, self.places.smtp);
        desk.light_of(&format!("{more}exclusive_confirm = \"2s\"\n"));
        let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
        desk.write("sealpost.toml", text.replace("ehlo = \"out.", &format!("ehlo = \"{name}.")).as_bytes());
    }
}

/// What a machine must know of the world, of the policy hosts of `domains`, and of the port of all servers; `[tls]` comes last.
pub fn machine(world: &World, domains: &[String], https: SocketAddr, smtp: u16) -> String {
    let hosts: String = domains.iter().map(|domain| format!("\"mta-sts.{domain}\" = \"{https}\"\n")).collect();
    format!(
        "[dns]\n{}[dns.static]\n{hosts}[smtp]\nport = {smtp}\n[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n\
         [tls]\nroots = [\"ca.pem\"]\n",
        world.dns()
    )
}

/// A campaign `NAME.toml` with a short letter to these recipients.
pub fn campaign(desk: &Desk, name: &str, recipients: impl Iterator<Item = String>, transport: &str) -> String {
    // What nobody can prove has to be said; and here many rows are meant to be dropped.
    let phi = if transport.contains("opportunistic") { "phi_in_clear = true" } else { "" };
    let file = desk.blast(name, recipients, &format!("[transport]\ndrop_brake = \"off\"\n{phi}\n{transport}\n"));
    // Words that are in nothing else.
    desk.write("line.hbs", b"This is a letter of sorts.\n");
    file
}

/// Rows of a campaign that were not delivered.
pub fn listed(desk: &Desk, campaign: &str) -> BTreeMap<usize, Value> {
    let ran = desk.sealpost(&["report", campaign, "--list", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let row = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        (usize::try_from(value["row"].as_u64().expect("a row")).expect("few"), value)
    };
    ran.stdout.lines().map(row).collect()
}

impl Places {
    fn papers(&self, case: &Case) -> Papers {
        let host = host(case);
        match case.papers {
            Paper::Valid => self.ca.papers(&[host], 2100),
            Paper::Expired => self.ca.papers(&[host], 2020),
            Paper::SelfSigned => Papers::self_signed(&host),
            Paper::WrongName => self.ca.papers(&["mx.another.signed".to_owned()], 2100),
            Paper::UnknownIssuer => self.stranger.papers(&[host], 2100),
        }
    }

    /// Opens the peer's server, with a man in the middle where there is one.
    fn open(&self, case: &Case, number: u8, papers: &Papers, turned: &Arc<AtomicBool>) -> Seen {
        let [front, behind] = [1, 2].map(|side| SocketAddr::from(([127, 1, side, number], self.smtp)));
        let (at, starttls) = match case.starttls {
            Offer::Always => (front, StartTls::Offered),
            Offer::Never => (front, StartTls::Missing),
            Offer::NoMore => (front, StartTls::Until(turned.clone())),
            Offer::Injected => (front, StartTls::Injected),
            Offer::Old => (front, StartTls::At(self.old)),
            Offer::Stripped | Offer::StrippedNow => (behind, StartTls::Offered),
        };
        match case.starttls {
            Offer::Stripped => strip(front, behind, Arc::new(AtomicBool::new(true))),
            Offer::StrippedNow => strip(front, behind, turned.clone()),
            _ => {}
        }
        listen(at, starttls, papers.server())
    }
}

/// A zone of the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Signed,
    Open,
    Tampered,
}

impl Where {
    /// Where the domain and its host are.
    fn of(zone: Zone) -> (Where, Where) {
        match zone {
            Zone::Signed => (Where::Signed, Where::Signed),
            Zone::Tampered => (Where::Tampered, Where::Tampered),
            Zone::Unsigned => (Where::Open, Where::Open),
            Zone::UnsignedMx => (Where::Open, Where::Signed),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Where::Signed => "signed",
            Where::Open => "open",
            Where::Tampered => "tampered",
        }
    }
}

/// The records of all zones.
#[derive(Default)]
struct Zones {
    of: BTreeMap<Where, String>,
}

impl Zones {
    /// What the DNS says of a peer.
    fn tell(&mut self, case: &Case, number: u8, papers: &Papers, places: &Places) {
        let (domain_in, host_in) = Where::of(case.zone);
        let name = case.domain;
        let domains = self.of.entry(domain_in).or_default();
        domains.push_str(&format!("{name} MX 10 {}.\n", host(case)));
        if case.policy != Sts::None {
            domains.push_str(&format!("_mta-sts.{name} TXT \"v=STSv1; id=1;\"\n"));
        }
        let hosts = self.of.entry(host_in).or_default();
        hosts.push_str(&format!("mx.{name} A 127.1.1.{number}\n"));
        let issuer = if case.papers == Paper::UnknownIssuer { &places.stranger } else { &places.ca };
        let other = |mut digest: Vec<u8>| {
            digest[0] ^= 1;
            digest
        };
        let (parameters, data) = match case.records {
            Records::None => return,
            Records::Ee => ([3, 1, 1], papers.key_digest()),
            Records::EeOfAnother => ([3, 1, 1], other(papers.key_digest())),
            Records::Ta => ([2, 0, 1], issuer.digest()),
            Records::TaOfAnother => ([2, 0, 1], other(issuer.digest())),
            Records::Unusable => ([1, 1, 1], papers.key_digest()),
            Records::Servfail => return hosts.push_str(&format!("_tcp.mx.{name} NS ns\n")),
        };
        hosts.push_str(&tlsa(&format!("mx.{name}"), places.smtp, parameters, &data));
    }

    fn serve(&self) -> World {
        let signed = |place| if place == Where::Open { Signed::No } else { Signed::Nsec };
        let zones: Vec<_> = self.of.iter().map(|(at, text)| (at.name(), signed(*at), text.as_str())).collect();
        let world = World::start(&zones);
        if self.of.contains_key(&Where::Tampered) {
            world.tamper("tampered", |line| {
                let is_record = line.contains(" TLSA 3 ");
                Some(if is_record { another_digest(line) } else { line.to_owned() })
            });
        }
        world
    }
}

/// The line of a TLSA record, whose last digit is another.
fn another_digest(line: &str) -> String {
    let last = if line.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &line[..line.len() - 1])
}

fn publish(case: &Case, policies: &Policies) {
    let (domain, host) = (domain(case), host(case));
    let elsewhere = format!("elsewhere.{domain}");
    match case.policy {
        Sts::None | Sts::Down => {}
        Sts::Of(mode) => policies.serve(&domain, mode, &host),
        Sts::Elsewhere(mode) => policies.serve(&domain, mode, &elsewhere),
        Sts::DownNow => policies.serve(&domain, "enforce", &host),
        Sts::DownNowElsewhere => policies.serve(&domain, "enforce", &elsewhere),
    }
}

/// The peer's domain.
pub fn domain(case: &Case) -> String {
    format!("{}.{}", case.domain, Where::of(case.zone).0.name())
}

/// What is delegated where TLSA look-ups fail and no others.
fn tlsa_zone(case: &Case) -> String {
    format!("_tcp.{}", host(case))
}

fn host(case: &Case) -> String {
    format!("mx.{}.{}", case.domain, Where::of(case.zone).1.name())
}

/// Starts `old.py`, whose certificate nobody gets to see.
fn old_server(ca: &Issuer, folder: &Path) -> (Work, SocketAddr) {
    let pem = folder.join("old.pem");
    ca.papers(&["mx.old.signed".to_owned()], 2100).write(&pem);
    let mut command = Command::new(cache().join("venv/bin/python"));
    command.arg(root().join("tests/sealed/old.py")).arg(pem);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("Python; `make test` installs it");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("its port");
    let port: u16 = line.trim().parse().unwrap_or_else(|_| panic!("no port: {line}"));
    (Work::of(child), SocketAddr::from(([127, 0, 0, 1], port)))
}
