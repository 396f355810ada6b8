//! Rules, checked; and which of them a destination falls under.
//!
//! What is more specific wins, and one rule alone: what it leaves out is `[default]`'s, never another rule's.
//!
//! 1. `domains`: the recipient's domain itself. Not where a smarthost takes the mail: whoever is limited there is the smarthost.
//! 2. `sites`: an MX host by its whole name.
//! 3. `mx`: the longest suffix, by whole labels, of an MX host's name.
//! 4. `[default]`, for hosts that the DNS names. What the operator routes himself (`[dns.static]`, `[smarthost]`) has `[limits]`
//!    alone unless a rule names it: whom one has an agreement with is no stranger.
//!
//! Of the MX hosts those of the best preference decide: they get nearly all mail, and a backup that somebody else runs must not
//! take a domain out of its provider's limits. They have to agree: a domain whose best hosts belong to different providers is in
//! nobody's window for certain, and counts as a stranger.

use super::read;
use super::spec::{Reasons, Spec};
use super::terms::{Bounds, ReplyPattern};
use crate::mail::Mistake;
use crate::resolve::{MxHost, Place};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of rules without a mistake.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) path: PathBuf,
    pub(super) digest: String,
    pub(super) default: Spec,
    pub(super) rules: Vec<Rule>,
    pub(super) names: Names,
}

/// A rule: whom it groups, and what they are given.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The provider's name.
    pub name: Arc<str>,
    /// Where it stands in the file.
    pub line: usize,
    /// What its replies mean, the first that matches.
    pub replies: Arc<[ReplyPattern]>,
    /// What is known of its TLS, for people.
    pub tls_note: Option<String>,
    /// Whatever else people should know.
    pub note: Option<String>,
    pub(super) spec: Spec,
}

/// A rule by the names that it stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) domains: BTreeMap<String, Entry>,
    pub(super) sites: BTreeMap<String, Entry>,
    pub(super) suffixes: BTreeMap<String, Entry>,
}

/// Which rule a name stands in, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) rule: usize,
    pub(super) line: usize,
}

/// Why a destination falls under a rule, or under none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The rule names the domain, on this line.
    Domain(usize),
    /// It names the host.
    Site {
        /// The best host.
        host: String,
        /// Where it is named.
        line: usize,
    },
    /// It names a suffix of the host's name.
    Suffix {
        /// The best host.
        host: String,
        /// The longest suffix that a rule has.
        suffix: String,
        /// Where that stands.
        line: usize,
    },
    /// No rule names it.
    Stranger,
    /// Its best hosts fall under different rules, or some under none.
    Divided,
    /// No rule names it, and the operator routes it himself.
    ByHand,
}

/// Under which rule a destination falls.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// None: `[default]`, or `[limits]` alone for what is routed by hand.
    pub rule: Option<&'a Rule>,
    /// Why.
    pub why: Why,
    /// Whether the operator routes it himself.
    pub by_hand: bool,
    pub(super) index: Option<usize>,
}

impl Rules {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// It can't be read, or the first mistake in it, with its line.
    pub fn read(path: &Path) -> Result<Rules, Mistake> {
        let hint = "`sealpost shaping show` prints rules to start from";
        let text = std::fs::read_to_string(path)
            .map_err(|cause| Mistake::new(path, format!("can't be read: {cause}")).hint(hint))?;
        Rules::parse(path, &text)
    }

    /// Checks `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// The first mistake in it, with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Rules, Mistake> {
        read::rules(path, text)
    }

    /// The rules that this program was built with.
    pub fn built_in() -> Rules {
        Rules::parse(Path::new(BUILT_IN_NAME), BUILT_IN).expect("a test reads them")
    }

    /// The file they were read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The rules, in the file's order.
    pub fn providers(&self) -> &[Rule] {
        &self.rules
    }

    /// Under which rule mail to `domain` falls, whose MX hosts these are, best first.
    pub fn find(&self, domain: &str, hosts: &[MxHost]) -> Found<'_> {
        let relayed = hosts.iter().any(|host| matches!(host.place, Place::Relay(_) | Place::RelayAt(_)));
        let by_hand = relayed || hosts.iter().all(|host| matches!(host.place, Place::Fixed(_)));
        let found =
            |entry: Entry, why| Found { rule: self.rules.get(entry.rule), why, by_hand, index: Some(entry.rule) };
        if let Some(entry) = self.names.domains.get(domain).filter(|_| !relayed) {
            return found(*entry, Why::Domain(entry.line));
        }
        let mut best = deciding(hosts).map(|host| self.of_host(&host.name));
        let first = best.next().flatten();
        let rule = first.as_ref().map(|(entry, _)| entry.rule);
        let divided = !best.all(|other| other.map(|(entry, _)| entry.rule) == rule);
        match first {
            Some((entry, why)) if !divided => found(entry, why),
            _ => {
                let why = match (divided, by_hand) {
                    (true, _) => Why::Divided,
                    (false, true) => Why::ByHand,
                    (false, false) => Why::Stranger,
                };
                Found { rule: None, why, by_hand, index: None }
            }
        }
    }

    /// The terms of those who fall under `rule`, or under none, each with whose word it is. Strangers get what `[default]` says
    /// where the rule says nothing; what is routed by hand is no stranger.
    pub fn reasons(&self, rule: Option<&Rule>, by_hand: bool, bounds: Bounds) -> Reasons {
        let default = (!by_hand).then_some(&self.default);
        let specs: Vec<_> = rule.map(|rule| &rule.spec).into_iter().chain(default).collect();
        Reasons::of(&specs, bounds)
    }

    /// The rule of an MX host.
    pub fn provider_of(&self, host: &str) -> Option<&Rule> {
        self.of_host(&host.to_ascii_lowercase()).and_then(|(entry, _)| self.rules.get(entry.rule))
    }

    fn of_host(&self, host: &str) -> Option<(Entry, Why)> {
        if let Some(entry) = self.names.sites.get(host) {
            return Some((*entry, Why::Site { host: host.to_owned(), line: entry.line }));
        }
        // The end of an address means nothing, and a suffix is never one.
        let (suffix, entry) = suffixes(host).find_map(|suffix| Some((suffix, self.names.suffixes.get(suffix)?)))?;
        let why = Why::Suffix { host: host.to_owned(), suffix: suffix.to_owned(), line: entry.line };
        Some((*entry, why))
    }
}

/// The hosts of the best preference.
pub fn deciding(hosts: &[MxHost]) -> impl Iterator<Item = &MxHost> {
    let best = hosts.iter().map(|host| host.preference).min();
    hosts.iter().filter(move |host| Some(host.preference) == best)
}

/// A name and what follows each of its dots: the longest first.
pub(super) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |rest| rest.split_once('.').map(|(_, rest)| rest))
}

/// What the built-in file is called in errors and explanations.
const BUILT_IN_NAME: &str = "built-in shaping.toml";
/// The rules that this program is built with, as text.
pub const BUILT_IN: &str = include_str!("../../../config/shaping.toml");
