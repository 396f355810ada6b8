//! Who did not get it, and why? A run's accounts read back from the store.

use crate::clock::Timestamp;
use crate::mail::{Kind, Outcome, RunId, hint};
use crate::secret::DataKey;
use crate::store::{Error, Latency, Manifest, Store, Tally};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

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
    pub reasons: BTreeMap<(Kind, String), u64>,
    /// Rows by outcome of which an attempt before the last was in doubt: they may have been delivered besides.
    pub doubted: BTreeMap<Kind, u64>,
    /// Delivered rows by number of attempts.
    pub attempts: BTreeMap<u32, u64>,
    /// Deferred rows by the reason they wait for.
    pub deferred: BTreeMap<String, u64>,
    /// When the first of them is due.
    pub next_due: Option<Timestamp>,
}

/// A row that ended without being delivered.
#[derive(Clone, Debug)]
pub struct Undelivered {
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
        store.scan_outcomes(run, None, |_, outcome| {
            *reasons.entry((outcome.kind, outcome.why())).or_default() += 1;
            if outcome.doubted {
                *doubted.entry(outcome.kind).or_default() += 1;
            }
            if outcome.kind == Kind::Delivered {
                *attempts.entry(outcome.attempts).or_default() += 1;
            }
        })?;
        let mut deferred = BTreeMap::new();
        let mut next_due = None;
        store.scan_deferred(run, |due, why| {
            *deferred.entry(why.to_owned()).or_default() += 1;
            // The family is ordered by time.
            next_due.get_or_insert(due);
        })?;
        Ok(Report { run, manifest, tally, reasons, doubted, attempts, deferred, next_due })
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
        let reasons = self
            .reasons
            .iter()
            .map(|((kind, why), rows)| with_hint(json!({"outcome": kind.word(), "reason": why, "rows": rows}), why));
        object.insert("reasons".into(), reasons.collect());
        let doubted = self.doubted.iter().map(|(kind, rows)| (kind.word().to_owned(), json!(rows)));
        object.insert("doubted".into(), Value::Object(doubted.collect()));
        let deferred = self.deferred.iter().map(|(why, rows)| with_hint(json!({"reason": why, "rows": rows}), why));
        object.insert("deferred_reasons".into(), deferred.collect());
        object.insert("next_due".into(), self.next_due.map(rfc3339).into());
        let attempts = self.attempts.iter().map(|(attempts, rows)| (attempts.to_string(), json!(rows)));
        object.insert("delivered_by_attempts".into(), Value::Object(attempts.collect()));
        Value::Object(object)
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
            reasons.iter().for_each(|((_, why), rows)| lines.extend(reason(why, **rows)));
            lines.extend(self.doubted.get(&kind).map(|rows| doubted(kind, *rows)));
        }
        if let Some(due) = self.next_due {
            lines.push(format!("{:>9}  deferred, the next attempt {}", self.tally.deferred, rfc3339(due)));
            self.deferred.iter().for_each(|(why, rows)| lines.extend(reason(why, *rows)));
        }
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

/// Every row that ended without being delivered, by ordinal. Texts may hold PHI and need the run's key.
///
/// # Errors
/// The store can't be read.
pub fn undelivered(store: &Store, run: RunId, key: &DataKey) -> Result<Vec<Undelivered>, Error> {
    let mut rows = Vec::new();
    store.scan_outcomes(run, Some(key), |row, outcome| {
        if outcome.kind != Kind::Delivered {
            rows.push(Undelivered { row, outcome });
        }
    })?;
    Ok(rows)
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

/// A reason with its rows, and what to do about it.
fn reason(why: &str, rows: u64) -> Vec<String> {
    let indent = " ".repeat(13);
    let hint = hint(why).map(|hint| format!("{indent}hint: {hint}"));
    std::iter::once(format!("{indent}{rows}  {why}")).chain(hint).collect()
}

fn with_hint(mut reason: Value, why: &str) -> Value {
    if let Some(hint) = hint(why) {
        reason["hint"] = hint.into();
    }
    reason
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
