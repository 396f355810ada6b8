//! What findings mean for a file.

use super::{Finding, Outlook};
use crate::clock::Timestamp;
use crate::mail::Level;
use std::collections::BTreeMap;

/// What would become of a file's rows, by what was found of their domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Rows of the file that would be sent, were all their hosts able.
    pub rows: u64,
    /// Rows that would go out.
    pub able: u64,
    /// Rows that TLS stands in the way of, by reason: an exclusive run drops them.
    pub unable: BTreeMap<String, Share>,
    /// Rows that would wait, by reason.
    pub waiting: BTreeMap<String, Share>,
    /// Rows that would bounce, by reason.
    pub bouncing: BTreeMap<String, Share>,
    /// Rows of domains of which nothing is known.
    pub unknown: u64,
    /// The oldest finding that counted.
    pub oldest: Option<Timestamp>,
}

/// Rows of one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// How many.
    pub rows: u64,
    /// The domains that have most of them.
    pub worst: Vec<(String, u64)>,
}

/// Domains named for a reason.
const NAMED: usize = 5;

impl Forecast {
    /// Of a file that has so many rows of each domain. Findings for another floor of TLS than `floor` say nothing.
    pub fn of(rows: &BTreeMap<String, u64>, floor: Level, findings: &BTreeMap<String, Finding>) -> Forecast {
        let mut forecast = Forecast::default();
        for (domain, rows) in rows {
            forecast.rows += rows;
            let Some(finding) = findings.get(domain).filter(|finding| finding.floor == floor) else {
                forecast.unknown += rows;
                continue;
            };
            forecast.oldest = Some(forecast.oldest.map_or(finding.at, |oldest| oldest.min(finding.at)));
            let (shares, reason) = match &finding.outlook {
                Outlook::Able => {
                    forecast.able += rows;
                    continue;
                }
                Outlook::Unable(reason) => (&mut forecast.unable, reason),
                Outlook::Waits(reason) => (&mut forecast.waiting, reason),
                Outlook::Bounces(reason) => (&mut forecast.bouncing, reason),
            };
            shares.entry(reason.clone()).or_default().add(domain, *rows);
        }
        forecast
    }

    /// Rows that TLS stands in the way of.
    pub fn dropped(&self) -> u64 {
        self.unable.values().map(|share| share.rows).sum()
    }
}

impl Share {
    fn add(&mut self, domain: &str, rows: u64) {
        self.rows += rows;
        let at = self.worst.partition_point(|(_, others)| *others >= rows);
        self.worst.insert(at, (domain.to_owned(), rows));
        self.worst.truncate(NAMED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(domain: &str, at: u64, floor: Level, outlook: Outlook) -> (String, Finding) {
        let finding = Finding {
            domain: domain.into(),
            at: Timestamp(at),
            asked: Timestamp(at),
            floor,
            mx_trust: None,
            policy: String::new(),
            hosts: Vec::new(),
            outlook,
        };
        (domain.into(), finding)
    }

    #[test]
    fn every_row_is_counted_once() {
        let unable = |reason: &str| Outlook::Unable(reason.into());
        let findings = BTreeMap::from([
            finding("able.example", 5, Level::Verified, Outlook::Able),
            finding("bare.example", 3, Level::Verified, unable("no_starttls")),
            finding("naked.example", 4, Level::Verified, unable("no_starttls")),
            finding("down.example", 9, Level::Verified, Outlook::Waits("timed_out".into())),
            finding("gone.example", 9, Level::Verified, Outlook::Bounces("no_such_domain".into())),
            finding("other.example", 1, Level::Required, Outlook::Able),
        ]);
        let names = ["able", "bare", "naked", "down", "gone", "other", "new"];
        let rows = names.iter().zip(1..).map(|(name, rows)| (format!("{name}.example"), rows)).collect();
        let forecast = Forecast::of(&rows, Level::Verified, &findings);
        assert_eq!((forecast.rows, forecast.able, forecast.dropped(), forecast.unknown), (28, 1, 5, 13));
        assert_eq!((forecast.waiting["timed_out"].rows, forecast.bouncing["no_such_domain"].rows), (4, 5));
        let worst: Vec<_> = forecast.unable["no_starttls"].worst.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(worst, ["naked.example", "bare.example"]);
        assert_eq!(forecast.oldest, Some(Timestamp(3)), "what says nothing is not old");
    }

    #[test]
    fn of_many_domains_the_worst_are_named() {
        let mut share = Share::default();
        (1..=20).for_each(|rows| share.add(&format!("d{rows}"), rows));
        assert_eq!(share.rows, 210);
        let rows: Vec<_> = share.worst.iter().map(|(_, rows)| *rows).collect();
        assert_eq!(rows, [20, 19, 18, 17, 16]);
    }
}
