//! What a probe has found.

use crate::clock::Timestamp;
use crate::mail::{Level, MxTrust, Peer};
use serde::{Deserialize, Serialize};

/// What was found of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The domain, as rows have it.
    pub domain: String,
    /// When.
    pub at: Timestamp,
    /// When somebody last asked; since then the engine may have looked again by itself.
    pub asked: Timestamp,
    /// The floor of TLS that was asked for; policies, TLSA records and the domain table may have raised it.
    pub floor: Level,
    /// How it is known that its mail goes to these hosts; `None` without a route.
    pub mx_trust: Option<MxTrust>,
    /// Its MTA-STS policy: a mode's word, `unknown`, or empty where there is none.
    pub policy: String,
    /// Its hosts, best first.
    pub hosts: Vec<HostFinding>,
    /// What would become of its rows.
    pub outlook: Outlook,
}

/// What was found of a host, for the mail of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFinding {
    /// Its name.
    pub host: String,
    /// Its TLSA records: `usable`, `unusable`, or empty where there are none.
    pub tlsa: String,
    /// The version of TLS that came up.
    pub version: Option<String>,
    /// How it has proven its name.
    pub peer: Option<Peer>,
    /// What would become of rows if it were the only host.
    pub outlook: Outlook,
}

/// What would become of rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// They would go out.
    Able,
    /// TLS can't be what is demanded, for this reason: an exclusive run drops them, another defers them.
    Unable(String),
    /// They would wait, for this reason.
    Waits(String),
    /// They would bounce, for this reason.
    Bounces(String),
}

impl Outlook {
    /// Of two hosts' outlooks the one that decides, as for a session that is to be opened: whoever can do it, then whatever
    /// leaves a row more of a chance, then the better host.
    #[must_use]
    pub fn or(self, second: Outlook) -> Outlook {
        let chance = |outlook: &Outlook| match outlook {
            Outlook::Able => 3,
            Outlook::Waits(_) => 2,
            Outlook::Unable(_) => 1,
            Outlook::Bounces(_) => 0,
        };
        if chance(&second) > chance(&self) { second } else { self }
    }

    /// Its word, and the reason, if there is one.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Outlook::Able => ("able", ""),
            Outlook::Unable(reason) => ("unable", reason),
            Outlook::Waits(reason) => ("waits", reason),
            Outlook::Bounces(reason) => ("bounces", reason),
        }
    }
}

impl Finding {
    /// The form in which it rests in the store.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain values")
    }

    /// Reads that form; none if it is damaged or of another version.
    pub fn decode(octets: &[u8]) -> Option<Finding> {
        serde_json::from_slice(octets).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Outlook::{Able, Bounces, Unable, Waits};

    #[test]
    fn rows_end_only_where_every_host_says_so() {
        let unable = || Unable("no_starttls".into());
        let waits = || Waits("timed_out".into());
        let cases = [
            (unable(), Able, Able),
            (Able, unable(), Able),
            (unable(), waits(), waits()),
            (waits(), unable(), waits()),
            (Bounces("no_mx_address".into()), unable(), unable()),
            (Unable("unknown_issuer".into()), unable(), Unable("unknown_issuer".into())),
        ];
        for (first, second, expected) in cases {
            assert_eq!(first.clone().or(second.clone()), expected, "{first:?} {second:?}");
        }
    }
}
