//! `sealpost tls list`: what the store knows of domains, hosts and policies, at rest and while an engine is at work.

use super::tls::probe::{object, show};
use crate::args::Args;
use crate::failure::{Failure, SETTLED};
use crate::output::outln;
use crate::stored;
use engine::clock::Timestamp;
use engine::probe::Finding;
use engine::report::rfc3339;
use engine::standing::Shown;
use engine::store::{About, Store};
use engine::sts::{Kept, Mode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that family `tls` holds.
#[derive(Default)]
struct Known {
    hosts: BTreeMap<String, Shown>,
    domains: BTreeMap<String, Shown>,
    policies: BTreeMap<String, Kept>,
    findings: BTreeMap<String, Finding>,
}

/// Lists it.
pub fn list(args: &Args) -> Result<u8, Failure> {
    let state_dir = &super::machine(args)?.state_dir;
    let known = match stored::observe(state_dir)? {
        Some((store, ..)) => Known::of(&store, state_dir)?,
        None => Known::default(),
    };
    if args.json {
        outln!("{}", known.json());
    } else {
        known.show();
    }
    Ok(SETTLED)
}

/// What probes have found, by domain.
pub fn findings(state_dir: &Path) -> Result<BTreeMap<String, Finding>, Failure> {
    match stored::observe(state_dir)? {
        Some((store, ..)) => scan(&store, state_dir, About::Finding, Finding::decode),
        None => Ok(BTreeMap::new()),
    }
}

/// Records of one kind; one that is damaged or of another version is passed over, as an engine would.
fn scan<T>(
    store: &Store,
    state_dir: &Path,
    about: About,
    decode: impl Fn(&[u8]) -> Option<T>,
) -> Result<BTreeMap<String, T>, Failure> {
    let mut found = BTreeMap::new();
    let scanned = store.scan_shown(about, |name, octets| {
        found.extend(decode(octets).map(|record| (name.to_owned(), record)));
    });
    scanned.map_err(|error| stored::unreadable(state_dir, error))?;
    Ok(found)
}

impl Known {
    fn of(store: &Store, state_dir: &Path) -> Result<Known, Failure> {
        let shown = |octets: &[u8]| serde_json::from_slice(octets).ok();
        Ok(Known {
            hosts: scan(store, state_dir, About::Host, shown)?,
            domains: scan(store, state_dir, About::Domain, shown)?,
            policies: scan(store, state_dir, About::Policy, Kept::decode)?,
            findings: scan(store, state_dir, About::Finding, Finding::decode)?,
        })
    }

    fn json(&self) -> Value {
        let shown = |(name, shown): (&String, &Shown)| {
            json!({
                "name": name, "tls": shown.tls.map(rfc3339), "version": shown.version,
                "proven": shown.proven.map(|(at, _)| rfc3339(at)), "peer": shown.proven.map(|(_, peer)| peer.word()),
                "fault": shown.fault.as_ref().map(|fault| &fault.label),
                "since": shown.fault.as_ref().map(|fault| rfc3339(fault.since)),
                "last": shown.fault.as_ref().map(|fault| rfc3339(fault.last)),
            })
        };
        let policy = |(domain, kept): (&String, &Kept)| {
            let mx: Vec<_> = kept.policy().mx().iter().map(ToString::to_string).collect();
            json!({
                "domain": domain, "mode": mode(kept.policy().mode()), "mx": mx, "id": kept.id().to_string(),
                "fetched": rfc3339(kept.fetched()), "until": rfc3339(kept.until()),
            })
        };
        json!({
            "hosts": self.hosts.iter().map(shown).collect::<Vec<_>>(),
            "domains": self.domains.iter().map(shown).collect::<Vec<_>>(),
            "policies": self.policies.iter().map(policy).collect::<Vec<_>>(),
            "probed": self.findings.values().map(|finding| object(finding, None)).collect::<Vec<_>>(),
        })
    }

    fn show(&self) {
        let Known { hosts, domains, policies, findings } = self;
        outln!("hosts: {}", hosts.len());
        hosts.iter().for_each(|(name, shown)| outln!("  {name:<40} {}", about(shown)));
        outln!("domains that no host can serve: {}", domains.len());
        domains.iter().for_each(|(name, shown)| outln!("  {name:<40} {}", about(shown)));
        outln!("MTA-STS policies: {}", policies.len());
        for (domain, kept) in policies {
            let (fetched, until) = (rfc3339(kept.fetched()), rfc3339(kept.until()));
            outln!("  {domain:<40} {}, fetched {fetched}, holds until {until}", mode(kept.policy().mode()));
        }
        outln!("domains probed: {}", findings.len());
        findings.values().for_each(|finding| show(finding, None));
    }
}

fn about(shown: &Shown) -> String {
    let at = |at: Option<Timestamp>| at.map_or_else(|| "never".into(), rfc3339);
    let tls = format!("TLS {} {}", at(shown.tls), shown.version);
    let proven = match shown.proven {
        Some((at, peer)) => format!(", proven {} by {}", rfc3339(at), peer.word()),
        None => ", never proven".into(),
    };
    let fault = shown.fault.as_ref().map_or_else(String::new, |fault| {
        format!("; {} since {}, last seen {}", fault.label, rfc3339(fault.since), rfc3339(fault.last))
    });
    format!("{}{proven}{fault}", tls.trim_end())
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Testing => "testing",
        Mode::None => "none",
    }
}
