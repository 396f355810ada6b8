//! MX hosts on loopback, found by names of a zone.

use super::{Desk, Knot, Mx};
use serde_json::Value;
use std::collections::BTreeMap;

/// Three hosts: two on IPv4, one on IPv6, all at one port; their CAs are trusted.
pub struct Hosts {
    pub desk: Desk,
    _running: [Mx; 3],
    pub port: u16,
}

const NAMES: [&str; 3] = ["mx1", "mx2", "mx6"];

impl Hosts {
    pub fn start(args: &[&str]) -> Hosts {
        let desk = Desk::new();
        let one = Mx::named(&desk, "mx1", "127.0.0.2:0", args);
        let port = one.port;
        let two = Mx::named(&desk, "mx2", &format!("127.0.0.3:{port}"), args);
        let six = Mx::named(&desk, "mx6", &format!("[::1]:{port}"), args);
        Hosts { desk, _running: [one, two, six], port }
    }

    /// Asks `knot`, whose zones are unsigned; loopback is not denied.
    pub fn machine(&self, knot: &Knot, dns: &str, more: &str) {
        self.machine_by(&format!("servers = [\"127.0.0.1:{}\"]\ndnssec = \"off\"\n{dns}", knot.port), more);
    }

    /// Asks as `dns` says.
    pub fn machine_by(&self, dns: &str, more: &str) {
        let roots = "[tls]\nroots = [\"mx1.pem\", \"mx2.pem\", \"mx6.pem\"]\n";
        let dns = format!("[dns]\n{dns}\n[smtp]\nport = {}\n", self.port);
        self.desk.machine_of("", &format!("{dns}{roots}[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n{more}"));
    }

    /// Recipients taken by each host, by domain.
    pub fn taken(&self) -> BTreeMap<String, BTreeMap<&'static str, usize>> {
        let mut taken: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for name in NAMES {
            let said = std::fs::read_to_string(self.desk.path(&format!("{name}.transcript"))).unwrap_or_default();
            for line in said.lines().filter(|line| line.starts_with("RCPT TO")) {
                let domain = line.split('@').nth(1).and_then(|rest| rest.split('>').next()).expect("an address");
                *taken.entry(domain.to_owned()).or_default().entry(name).or_default() += 1;
            }
        }
        taken
    }

    /// Writes a campaign of so many rows to each domain.
    pub fn campaign(&self, rows: &[(&str, usize)], transport: &str) -> String {
        let campaign = self.desk.small(1, transport);
        let mut csv = "id,email,first_name\n".to_owned();
        for (domain, count) in rows {
            (0..*count).for_each(|row| csv.push_str(&format!("{domain}-{row},r{row}@{domain},Ann\n")));
        }
        self.desk.write("small.csv", csv.as_bytes());
        campaign
    }

    pub fn reasons(&self, campaign: &str) -> BTreeMap<(String, String), u64> {
        let report = self.desk.sealpost(&["report", campaign, "--json"]).json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let reasons = report["reasons"].as_array().expect("a list").iter();
        reasons
            .map(|one| ((text(&one["outcome"]), text(&one["reason"])), one["rows"].as_u64().expect("a count")))
            .collect()
    }
}
