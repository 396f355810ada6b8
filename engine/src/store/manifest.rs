//! What is known of a run as a whole.

use crate::clock::Timestamp;
use crate::mail::RunId;
use crate::secret::TokenKey;
use loader::{Mark, Shape};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Seconds from MAIL FROM to the reply to the final dot, below which that share of messages lies; read off a histogram's
/// bounds as Prometheus does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// Nine in ten.
    pub p90: f64,
    /// Ninety-nine in a hundred.
    pub p99: f64,
}

/// How far a run goes before a person sends it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// `--limit`: new rows of its input that were to be taken up.
    pub limit: Option<u64>,
    /// `--deadline`.
    pub deadline: Option<Timestamp>,
    /// `--until-empty`.
    pub until_empty: bool,
}

/// What a brake looks at and a person confirms: whom rows were for, and what stood in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DropCause {
    /// The provider's number; 0 is every provider.
    pub provider: u64,
    /// Its name; none of every provider.
    pub host: String,
    /// A closed label.
    pub reason: String,
}

/// A run was stopped by its brake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Braked {
    /// When.
    pub at: Timestamp,
    /// How many rows of how many, and for what.
    pub why: String,
    /// What rows were dropped for lately, or would have been: the last one first, then those of which there were most.
    pub causes: Vec<DropCause>,
}

/// A provider at which a run's rows wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldProvider {
    /// Since when.
    pub at: Timestamp,
    /// How many answers of how many, and what they said.
    pub why: String,
    /// Which provider, and for what.
    pub cause: DropCause,
}

/// Providers at which rows are dropped for one reason from which on the reason is confirmed everywhere: then it is a matter of
/// many small hosts, and nobody wants to be asked for each. So many of them, which had most, stay confirmed by themselves.
const EVERYWHERE: usize = 10;

/// A run's record. It holds no PHI.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The campaign's name.
    pub campaign: String,
    /// The input's path when the run was opened.
    pub input: String,
    /// What tells the input from others: SHA-256 over its length and ends, in hexadecimal.
    pub fingerprint: String,
    /// How many octets of the input were read, and their SHA-256: of all of it once it was read to its end.
    #[serde(default, with = "written_mark")]
    pub mark: Option<Mark>,
    /// The columns that rows in the store have; `None` is all of the input's.
    #[serde(default)]
    pub kept: Option<BTreeSet<String>>,
    /// When the run was opened.
    pub opened: Timestamp,
    /// When its last row was settled.
    pub finished: Option<Timestamp>,
    /// The highest ordinal read so far.
    pub read: u64,
    /// Whether the input was read to its end.
    pub read_all: bool,
    /// Seconds in which an engine worked on it.
    pub seconds: f64,
    /// How long messages took on the wire, for the last engine that sent any.
    #[serde(default)]
    pub latency: Option<Latency>,
    /// The input's columns and what is in them, so that a letter can be checked when the input is gone.
    #[serde(default)]
    pub columns: Vec<(String, Shape)>,
    /// The campaign's file, for an engine that takes the run up again by itself.
    #[serde(default)]
    pub campaign_file: Option<PathBuf>,
    /// What it was sent with last.
    #[serde(default)]
    pub bounds: Bounds,
    /// Whether a person paused it.
    #[serde(default)]
    pub paused: bool,
    /// When it was cancelled.
    #[serde(default)]
    pub cancelled: Option<Timestamp>,
    /// Providers whose rows were cancelled.
    #[serde(default)]
    pub cancelled_providers: Vec<String>,
    /// Sources whose rows were cancelled.
    #[serde(default)]
    pub cancelled_sources: Vec<String>,
    /// Whether keys that were delivered before are sent to again (`--again`).
    #[serde(default)]
    pub again: bool,
    /// The domains of From that it was opened with, and so of its Message-IDs. More than one where From was changed meanwhile.
    #[serde(default)]
    pub message_domains: Vec<String>,
    /// Whether every row without an outcome is in doubt, also those never read: the store is a copy, and the original may
    /// have sent them.
    #[serde(default)]
    pub copied: bool,
    /// Why its brake has stopped it; a person lets it go on.
    #[serde(default)]
    pub braked: Option<Braked>,
    /// What rows may be dropped for without a brake, since a person said so.
    #[serde(default)]
    pub confirmed_drops: Vec<DropCause>,
    /// When its brake stopped it last, once a person has let it go on: what was dropped until then is counted no more.
    #[serde(default)]
    pub brake_since: Option<Timestamp>,
    /// Providers at which a brake holds its rows.
    #[serde(default)]
    pub held_providers: Vec<HeldProvider>,
    /// Whether it was ever allowed that its PHI leaves in clear.
    #[serde(default)]
    pub phi_in_clear: bool,
}

impl Manifest {
    /// A run of which nothing was read.
    pub fn new(campaign: String, input: String, fingerprint: String, opened: Timestamp) -> Manifest {
        Manifest {
            campaign,
            input,
            fingerprint,
            mark: None,
            kept: None,
            opened,
            finished: None,
            read: 0,
            read_all: false,
            seconds: 0.0,
            latency: None,
            columns: Vec::new(),
            campaign_file: None,
            bounds: Bounds::default(),
            paused: false,
            cancelled: None,
            cancelled_providers: Vec::new(),
            cancelled_sources: Vec::new(),
            again: false,
            message_domains: Vec::new(),
            copied: false,
            braked: None,
            confirmed_drops: Vec::new(),
            brake_since: None,
            held_providers: Vec::new(),
            phi_in_clear: false,
        }
    }
}

impl Manifest {
    /// The same, once a person has said that it goes on. What the brake has stopped it for is confirmed with that.
    #[must_use]
    pub fn resumed(mut self) -> Manifest {
        self.paused = false;
        let Some(Braked { at, causes, .. }) = self.braked.take() else { return self };
        self.brake_since = Some(at);
        self.held_providers.clear();
        for cause in causes {
            if !self.confirmed_drops.contains(&cause) {
                self.confirmed_drops.push(cause);
            }
        }
        let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
        self.confirmed_drops.iter().for_each(|cause| *hosts.entry(cause.reason.clone()).or_default() += 1);
        for (reason, _) in hosts.into_iter().filter(|(_, hosts)| *hosts >= EVERYWHERE) {
            self.confirm_everywhere(reason);
        }
        self
    }

    fn confirm_everywhere(&mut self, reason: String) {
        let everywhere = DropCause { provider: 0, host: String::new(), reason };
        if self.confirmed_drops.contains(&everywhere) {
            return;
        }
        let mut kept = 0;
        self.confirmed_drops.retain(|cause| {
            kept += usize::from(cause.reason == everywhere.reason);
            cause.reason != everywhere.reason || kept <= EVERYWHERE
        });
        self.confirmed_drops.push(everywhere);
    }

    /// The Message-ID of a row of `run`, as a receiver's log has it. Only the part before the `@`, which is enough to find it,
    /// where From's domain was changed during the run.
    pub fn message_id(&self, token: &TokenKey, run: RunId, row: u64) -> String {
        let local = token.message_id(run, row);
        match self.message_domains.as_slice() {
            [domain] => format!("{local}@{domain}"),
            _ => local,
        }
    }
}

/// A mark as `[octets, "hexadecimal"]`.
mod written_mark {
    use data_encoding::HEXLOWER;
    use loader::Mark;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(mark: &Option<Mark>, serializer: S) -> Result<S::Ok, S::Error> {
        mark.map(|mark| (mark.octets, HEXLOWER.encode(&mark.digest))).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mark>, D::Error> {
        let Some((octets, text)) = Option::<(u64, String)>::deserialize(deserializer)? else { return Ok(None) };
        let digest = HEXLOWER.decode(text.as_bytes()).ok().and_then(|digest| digest.try_into().ok());
        digest.map(|digest| Some(Mark { octets, digest })).ok_or_else(|| D::Error::custom("no SHA-256 in hexadecimal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(provider: u64, reason: &str) -> DropCause {
        DropCause { provider, host: format!("mx{provider}.example"), reason: reason.into() }
    }

    #[test]
    fn who_resumes_a_run_confirms_what_its_brake_has_stopped_it_for() {
        let run = Manifest::new("c".into(), "i".into(), "f".into(), Timestamp(1));
        let braked = |causes| Some(Braked { at: Timestamp(2), why: "why".into(), causes });
        let few = vec![cause(1, "certificate_expired"), cause(2, "no_starttls")];
        let resumed = Manifest { paused: true, braked: braked(few.clone()), ..run }.resumed();
        assert_eq!((resumed.paused, &resumed.braked, &resumed.confirmed_drops), (false, &None, &few));
        assert_eq!(resumed.brake_since, Some(Timestamp(2)));
        let many = (2..=30).map(|provider| cause(provider, "no_starttls")).collect();
        let resumed = Manifest { braked: braked(many), ..resumed }.resumed();
        let everywhere = DropCause { provider: 0, host: String::new(), reason: "no_starttls".into() };
        let mut expected = vec![cause(1, "certificate_expired")];
        expected.extend((2..=11).map(|provider| cause(provider, "no_starttls")));
        expected.push(everywhere);
        assert_eq!(resumed.confirmed_drops, expected, "those that had most are free by themselves, too");
        assert_eq!(resumed.clone().resumed(), resumed);
        let large = vec![cause(99, "no_starttls")];
        expected.extend(large.clone());
        let resumed = Manifest { braked: braked(large), ..resumed }.resumed();
        assert_eq!(resumed.confirmed_drops, expected, "confirmed everywhere, and then by itself");
    }
}
