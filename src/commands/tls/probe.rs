//! `sealpost tls probe`: what domains and their hosts can do.

use crate::args::{Args, TlsProbe};
use crate::failure::{Failure, ROWS_LEFT, SETTLED, UNDELIVERED};
use crate::output::outln;
use crate::probing::{Probed, probe};
use engine::clock::{Clock, SystemClock};
use engine::mail::{Address, Level, Peer, rows as counted};
use engine::plan::Campaign;
use engine::probe::{Finding, HostFinding, Outlook};
use engine::report::rfc3339;
use engine::run::Blueprint;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What is looked at.
struct Asked {
    floor: Level,
    /// Domains, with the rows of each where they are a campaign's.
    domains: BTreeMap<String, Option<u64>>,
}

/// Looks at the hosts of domains, or of a campaign's.
pub fn run(args: &Args, options: &TlsProbe) -> Result<u8, Failure> {
    let machine = crate::commands::machine(args)?;
    let asked = asked(options)?;
    let domains = asked.domains.keys().cloned().collect();
    let Probed { findings, all } = probe(&machine, asked.floor, domains)?;
    let able = findings.values().filter(|finding| finding.outlook == Outlook::Able).count();
    let rows = |finding: &Finding| asked.domains.get(&finding.domain).copied().flatten();
    if args.json {
        let domains: Vec<_> = findings.values().map(|finding| object(finding, rows(finding))).collect();
        let tls = asked.floor.word();
        outln!("{}", json!({"tls": tls, "asked": asked.domains.len(), "able": able, "domains": domains}));
    } else {
        findings.values().for_each(|finding| show(finding, rows(finding)));
        outln!("{able} of {} domains can do what is demanded ({})", findings.len(), asked.floor.word());
    }
    if !all {
        eprintln!("stopped: {} domains were not looked at", asked.domains.len() - findings.len());
        return Ok(ROWS_LEFT);
    }
    Ok(if able == findings.len() { SETTLED } else { UNDELIVERED })
}

fn asked(options: &TlsProbe) -> Result<Asked, Failure> {
    let is_file = |target: &str| Path::new(target).extension().is_some_and(|ending| ending == "toml");
    if let [file] = options.targets.as_slice()
        && is_file(file)
    {
        let campaign = Campaign::read(Path::new(file))?;
        let floor = options.tls.unwrap_or(campaign.transport.demand.level());
        let domains = Blueprint::new(campaign)?.domains(SystemClock.now())?;
        return Ok(Asked { floor, domains: domains.into_iter().map(|(domain, rows)| (domain, Some(rows))).collect() });
    }
    let domain = |target: &String| {
        let parsed = Address::parse(&format!("postmaster@{target}")).ok().filter(|_| !target.contains('@'));
        let hint = "name domains, or one campaign file (.toml)";
        let none = || Failure::usage(format!("\"{target}\" is no domain"), Some(hint.into()));
        Ok((parsed.ok_or_else(none)?.domain().to_owned(), None))
    };
    let domains = options.targets.iter().map(domain).collect::<Result<_, Failure>>()?;
    Ok(Asked { floor: options.tls.unwrap_or(Level::Verified), domains })
}

/// A finding as JSON.
pub fn object(finding: &Finding, rows: Option<u64>) -> Value {
    let host = |host: &HostFinding| {
        let (outlook, reason) = host.outlook.words();
        json!({
            "host": host.host, "tlsa": host.tlsa, "version": host.version, "peer": host.peer.map(Peer::word),
            "outlook": outlook, "reason": reason,
        })
    };
    let (outlook, reason) = finding.outlook.words();
    let mut object = json!({
        "domain": finding.domain, "at": rfc3339(finding.at), "tls": finding.floor.word(),
        "mx_trust": finding.mx_trust.map(|trust| trust.word()), "policy": finding.policy,
        "outlook": outlook, "reason": reason, "hosts": finding.hosts.iter().map(host).collect::<Vec<_>>(),
    });
    if let Some(rows) = rows {
        object["rows"] = rows.into();
    }
    object
}

/// A finding for people: the domain, then a line for each of its hosts.
pub fn show(finding: &Finding, rows: Option<u64>) {
    let (outlook, reason) = finding.outlook.words();
    let rows = rows.map_or_else(String::new, |rows| format!(" ({})", counted(rows)));
    let trust = finding.mx_trust.map_or("-", |trust| trust.word());
    let policy = or_dash(&finding.policy);
    outln!("{}{rows}: {outlook} {reason}", finding.domain);
    outln!("  mx_trust {trust}, policy {policy}, at {}", rfc3339(finding.at));
    for host in &finding.hosts {
        let (outlook, reason) = host.outlook.words();
        let version = host.version.as_deref().unwrap_or("-");
        let (tlsa, peer) = (or_dash(&host.tlsa), host.peer.map_or("-", Peer::word));
        outln!("  {:<40} tlsa {tlsa:<8} {version:<7} {peer:<7} {outlook} {reason}", host.host);
    }
}

fn or_dash(word: &str) -> &str {
    if word.is_empty() { "-" } else { word }
}
