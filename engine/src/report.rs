//! Who did not get it, and why? A run's accounts read back from the store.

use crate::clock::Timestamp;
use crate::mail::{Class, Kind, MxTrust, Outcome, Peer, RunId, hint};
use crate::secret::DataKey;
use crate::store::{Error, Latency, Manifest, SessionRecord, Store, Tally};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// A run's accounts.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// What is known of it as a whole.
    pub manifest: Manifest,
    /// Where its rows stand.
    pub tally: Tally,
    /// Outcomes by kind and reason (reply codes or closed labels; no PHI).
    pub reasons: BTreeMap<(Kind, Why), u64>,
    /// Rows by outcome of which an attempt before the last was in doubt: they may have been delivered besides.
    pub doubted: BTreeMap<Kind, u64>,
    /// Delivered rows by number of attempts.
    pub attempts: BTreeMap<u32, u64>,
    /// Delivered rows by how they travelled.
    pub travelled: BTreeMap<Travelled, u64>,
    /// Deferred rows by the reason they wait for.
    pub deferred: BTreeMap<Why, u64>,
    /// When the first of them is due.
    pub next_due: Option<Timestamp>,
}

/// Reply codes or a closed label, and the word of the refusal's class where there was one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Why {
    /// Codes and label.
    pub why: String,
    /// The class's word.
    pub class: Option<String>,
}

/// How rows travelled, as reports count it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Travelled {
    /// `TLSv1.3`, `TLSv1.2`, `none`; empty where it was not recorded.
    pub version: String,
    /// The cipher suite.
    pub suite: String,
    /// The group of the key exchange.
    pub key_exchange: String,
    /// How the peer had proven its name.
    pub peer: Option<Peer>,
    /// How it was known that the domain's mail goes there.
    pub mx_trust: MxTrust,
}

/// A row that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its ordinal.
    pub row: u64,
    /// How it ended.
    pub outcome: Outcome,
}

impl Report {
    /// Reads the accounts of `run`; `live` if an engine is at work on it.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn read(store: &Store, run: RunId, manifest: Manifest, live: bool) -> Result<Report, Error> {
        let tally = Tally::of(store, run, &manifest, live)?;
        let mut reasons = BTreeMap::new();
        let (mut attempts, mut doubted) = (BTreeMap::new(), BTreeMap::new());
        let mut over: HashMap<Option<u64>, u64> = HashMap::new();
        store.scan_outcomes(run, None, |_, outcome| {
            *reasons.entry((outcome.kind, Why::of(outcome.why(), outcome.class))).or_default() += 1;
            if outcome.doubted {
                *doubted.entry(outcome.kind).or_default() += 1;
            }
            if outcome.kind == Kind::Delivered {
                *attempts.entry(outcome.attempts).or_default() += 1;
                *over.entry(outcome.session).or_default() += 1;
            }
        })?;
        let travelled = travelled(store, over)?;
        let mut deferred = BTreeMap::new();
        let mut next_due = None;
        store.scan_deferred(run, |due, why| {
            *deferred.entry(Why::waiting(why)).or_default() += 1;
            // The family is ordered by time.
            next_due.get_or_insert(due);
        })?;
        Ok(Report { run, manifest, tally, reasons, doubted, attempts, travelled, deferred, next_due })
    }

    /// The accounts as one JSON object.
    pub fn json(&self) -> Value {
        let mut object = counts(&self.manifest.campaign, self.run, &self.tally);
        object.insert("input".into(), self.manifest.input.clone().into());
        object.insert("fingerprint".into(), self.manifest.fingerprint.clone().into());
        let whole = self.manifest.mark.filter(|_| self.manifest.read_all);
        object.insert("sha256".into(), whole.map(|mark| HEXLOWER.encode(&mark.digest)).into());
        object.insert("opened".into(), rfc3339(self.manifest.opened).into());
        object.insert("finished".into(), self.manifest.finished.map(rfc3339).into());
        object.insert("seconds".into(), rounded(self.manifest.seconds));
        latency_into(&mut object, self.manifest.latency);
        object.insert("phi_in_clear".into(), self.manifest.phi_in_clear.into());
        object.insert("braked".into(), self.braked().into());
        let held = self.manifest.held_providers.iter().map(|held| held.why.clone());
        object.insert("held".into(), held.collect());
        let travelled = self.travelled.iter().map(|(way, rows)| way.json(*rows));
        object.insert("delivered_over".into(), travelled.collect());
        let reasons =
            self.reasons.iter().map(|((kind, why), rows)| why.json(json!({"outcome": kind.word(), "rows": rows})));
        object.insert("reasons".into(), reasons.collect());
        let doubted = self.doubted.iter().map(|(kind, rows)| (kind.word().to_owned(), json!(rows)));
        object.insert("doubted".into(), Value::Object(doubted.collect()));
        let deferred = self.deferred.iter().map(|(why, rows)| why.json(json!({"rows": rows})));
        object.insert("deferred_reasons".into(), deferred.collect());
        object.insert("next_due".into(), self.next_due.map(rfc3339).into());
        let attempts = self.attempts.iter().map(|(attempts, rows)| (attempts.to_string(), json!(rows)));
        object.insert("delivered_by_attempts".into(), Value::Object(attempts.collect()));
        Value::Object(object)
    }

    /// Why its brake has stopped it, if it has.
    fn braked(&self) -> Option<String> {
        let open = self.manifest.finished.is_none() && self.manifest.cancelled.is_none();
        self.manifest.braked.as_ref().filter(|_| open).map(|braked| braked.why.clone())
    }

    /// How delivered rows travelled, and what was said about that.
    fn about_transport(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.travelled.is_empty() {
            lines.push(String::new());
            lines.extend(self.travelled.iter().map(|(way, rows)| format!("{rows:>9}  delivered over {way}")));
        }
        if self.manifest.phi_in_clear {
            lines.push("\nPHI was allowed to leave in clear ([transport] phi_in_clear)".into());
        }
        lines.extend(self.braked().map(|why| format!("\nstopped by its brake: {why}")));
        lines.extend(self.manifest.held_providers.iter().map(|held| format!("held by its brake {}", held.why)));
        lines
    }

    /// The accounts as text.
    pub fn text(&self) -> String {
        let mut lines = vec![
            format!("campaign   {}", self.manifest.campaign),
            format!("run        {}", self.run),
            format!("input      {}", self.manifest.input),
            format!("opened     {}", rfc3339(self.manifest.opened)),
            format!("finished   {}", self.manifest.finished.map_or_else(|| "not yet".to_owned(), rfc3339)),
            String::new(),
            format!("{:>9}  rows read", self.tally.read),
        ];
        for kind in Kind::ALL {
            let count = self.tally.count(kind);
            if count == 0 {
                continue;
            }
            lines.push(format!("{count:>9}  {}", kind.word().replace('_', " ")));
            let reasons: Vec<_> = self.reasons.iter().filter(|((of, why), _)| *of == kind && !why.is_empty()).collect();
            reasons.iter().for_each(|((_, why), rows)| lines.extend(why.lines(**rows)));
            lines.extend(self.doubted.get(&kind).map(|rows| doubted(kind, *rows)));
        }
        if let Some(due) = self.next_due {
            lines.push(format!("{:>9}  deferred, the next attempt {}", self.tally.deferred, rfc3339(due)));
            self.deferred.iter().for_each(|(why, rows)| lines.extend(why.lines(*rows)));
        }
        lines.extend(self.about_transport());
        if self.tally.waiting > 0 {
            lines.push(format!("{:>9}  waiting", self.tally.waiting));
        }
        if let Some(Latency { p50, p90, p99 }) = self.manifest.latency {
            let millis = |seconds: f64| seconds * 1000.0;
            let (p50, p90, p99) = (millis(p50), millis(p90), millis(p99));
            lines.push(format!(
                "\na message took {p50:.1} ms on the wire; 90 % less than {p90:.1}, 99 % less than {p99:.1}"
            ));
        }
        let later: u64 = self.attempts.iter().filter(|(attempts, _)| **attempts > 1).map(|(_, rows)| rows).sum();
        if later > 0 {
            lines.push(format!("\n{later} delivered after more than one attempt"));
        }
        lines.join("\n") + "\n"
    }
}

impl std::fmt::Display for Travelled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version.as_str() {
            "" => return f.write_str("a session of which nothing was recorded"),
            "none" => f.write_str("clear text")?,
            version => write!(f, "{version} {} {}", self.suite, self.key_exchange)?,
        }
        let peer = self.peer.map_or("unproven", Peer::word);
        write!(f, ", peer {peer}, MX by {}", self.mx_trust.word())
    }
}

/// Rows that ended as `wanted`, by ordinal. Texts and addressees may be PHI; without the run's key they stay sealed.
///
/// # Errors
/// The store can't be read.
pub fn ended(
    store: &Store,
    run: RunId,
    key: Option<&DataKey>,
    wanted: impl Fn(Kind) -> bool,
) -> Result<Vec<Ended>, Error> {
    let mut rows = Vec::new();
    store.scan_outcomes(run, key, |row, outcome| {
        if wanted(outcome.kind) {
            rows.push(Ended { row, outcome });
        }
    })?;
    Ok(rows)
}

/// A session as one JSON object.
pub fn session_json(number: u64, session: &SessionRecord) -> Value {
    json!({
        "session": number, "at": rfc3339(session.at), "host": session.host, "address": session.address,
        "source": session.source, "version": session.version, "suite": session.suite,
        "key_exchange": session.key_exchange, "peer": session.peer.map(Peer::word),
        "mx_trust": session.mx_trust.word(), "certificate": session.certificate, "resumed": session.resumed,
    })
}

/// Rows by session, counted by how these travelled.
fn travelled(store: &Store, over: HashMap<Option<u64>, u64>) -> Result<BTreeMap<Travelled, u64>, Error> {
    let mut travelled = BTreeMap::new();
    for (number, rows) in over {
        let session = number.map(|number| store.session(number)).transpose()?.flatten();
        *travelled.entry(Travelled::of(session)).or_default() += rows;
    }
    Ok(travelled)
}

impl Travelled {
    fn json(&self, rows: u64) -> Value {
        let Travelled { version, suite, key_exchange, peer, mx_trust } = self;
        if version.is_empty() {
            return json!({"version": null, "rows": rows});
        }
        json!({
            "version": version, "suite": suite, "key_exchange": key_exchange, "peer": peer.map(Peer::word),
            "mx_trust": mx_trust.word(), "rows": rows,
        })
    }

    fn of(session: Option<SessionRecord>) -> Travelled {
        let (mx_trust, text) = (MxTrust::Plain, String::new);
        let unknown = Travelled { version: text(), suite: text(), key_exchange: text(), peer: None, mx_trust };
        session.map_or(unknown, |SessionRecord { version, suite, key_exchange, peer, mx_trust, .. }| Travelled {
            version,
            suite,
            key_exchange,
            peer,
            mx_trust,
        })
    }
}

/// The counts that every JSON of ours has, in the words of `docs/OPERATIONS.md`.
pub fn counts(campaign: &str, run: impl std::fmt::Display, tally: &Tally) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("campaign".into(), campaign.into());
    object.insert("run".into(), run.to_string().into());
    object.insert("rows".into(), tally.read.into());
    for kind in Kind::ALL {
        object.insert(kind.word().into(), tally.count(kind).into());
    }
    object.insert("deferred".into(), tally.deferred.into());
    object.insert("waiting".into(), tally.waiting.into());
    object
}

/// Rows of which an earlier attempt was in doubt.
fn doubted(kind: Kind, rows: u64) -> String {
    let perhaps = if kind == Kind::Delivered { "may have come twice" } else { "may have been delivered all the same" };
    format!("{}{rows}  {perhaps}: an earlier attempt was in doubt", " ".repeat(13))
}

impl Why {
    /// Of an outcome.
    pub fn of(why: String, class: Option<Class>) -> Why {
        Why { why, class: class.map(|class| class.word().to_owned()) }
    }

    /// As it stands in the store with a row that waits.
    fn waiting(why: &str) -> Why {
        let (why, class) = why.split_once('\t').map_or((why, None), |(why, class)| (why, Some(class.to_owned())));
        Why { why: why.to_owned(), class }
    }

    fn is_empty(&self) -> bool {
        self.why.is_empty()
    }

    /// With its rows, and what to do about it.
    fn lines(&self, rows: u64) -> Vec<String> {
        let indent = " ".repeat(13);
        let hint = hint(&self.why).map(|hint| format!("{indent}hint: {hint}"));
        std::iter::once(format!("{indent}{rows}  {self}")).chain(hint).collect()
    }

    fn json(&self, mut reason: Value) -> Value {
        reason["reason"] = self.why.clone().into();
        reason["class"] = self.class.clone().into();
        if let Some(hint) = hint(&self.why) {
            reason["hint"] = hint.into();
        }
        reason
    }
}

/// `550 5.1.1 (mailbox unknown)`.
impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)?;
        match &self.class {
            Some(class) if class != "unknown" => write!(f, " ({})", class.replace('_', " ")),
            _ => Ok(()),
        }
    }
}

/// How long messages took on the wire, as far as any were sent.
pub fn latency_into(object: &mut Map<String, Value>, latency: Option<Latency>) {
    let Some(Latency { p50, p90, p99 }) = latency else { return };
    object.insert("send_seconds".into(), json!({"p50": p50, "p90": p90, "p99": p99}));
}

/// Seconds with three decimals.
pub fn rounded(seconds: f64) -> Value {
    json!((seconds * 1000.0).round() / 1000.0)
}

/// A time as RFC 3339 writes it, in UTC.
pub fn rfc3339(at: Timestamp) -> String {
    let at = i64::try_from(at.0).ok().and_then(chrono::DateTime::from_timestamp_millis);
    at.map_or_else(String::new, |at| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}
