//! Rows that may have been delivered: listed, sent again, or settled by a person who knows.

use super::offline::{open_run, take, take_any};
use super::{Error, data_key, recovery};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::mail::{Kind, Outcome, RunId};
use crate::secret::{MasterKey, TokenKey};
use crate::store::{Manifest, Store, Tally};
use std::path::Path;

/// A row in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The campaign's name.
    pub campaign: String,
    /// The run.
    pub run: RunId,
    /// The row's number.
    pub row: u64,
    /// Since when.
    pub since: Timestamp,
    /// A closed label: `engine_died`, `power_lost`, `state_copied`, `stopped`, or what became of the connection.
    pub why: String,
    /// Attempts made, that one included.
    pub attempts: u32,
    /// What the receiver's log calls it ([`Manifest::message_id`]), where the token key is known.
    pub message_id: Option<String>,
}

/// Which rows of a run are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one in doubt.
    All,
    /// These.
    Rows(Vec<u64>),
}

/// What a person knows of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It was delivered.
    Delivered,
    /// It was not, and is not to be sent.
    Undelivered,
}

/// Rows in doubt, of `run` or of all runs. Of a run that an engine is at work on (`live`) only what that has recorded.
///
/// # Errors
/// There is no such run, or the store can't be read.
pub fn list(
    store: &Store,
    run: Option<RunId>,
    live: impl Fn(RunId) -> bool,
    token: Option<&TokenKey>,
) -> Result<Vec<Doubt>, Error> {
    if let Some(run) = run
        && store.manifest(run)?.is_none()
    {
        return Err(Error::NoRun { run: run.to_string() });
    }
    let mut doubts = Vec::new();
    for (id, manifest) in store.runs()?.into_iter().filter(|(id, _)| run.is_none_or(|run| run == *id)) {
        let doubt = |row, since, why: &str, attempts| Doubt {
            campaign: manifest.campaign.clone(),
            run: id,
            row,
            since,
            why: why.to_owned(),
            attempts,
            message_id: token.map(|token| manifest.message_id(token, id, row)),
        };
        store.scan_outcomes(id, None, |row, outcome| {
            if outcome.kind == Kind::InDoubt {
                doubts.push(doubt(row, outcome.at, &outcome.why(), outcome.attempts));
            }
        })?;
        if !live(id) {
            // What the last engine left, and no other has taken up yet.
            let leases = store.leases(id)?.into_iter().filter(|lease| lease.is_doubtful(store.boot()));
            let why = |boot| if boot == store.boot() { "engine_died" } else { "power_lost" };
            doubts.extend(leases.map(|lease| doubt(lease.ordinal, lease.first, why(lease.boot), 1)));
        }
    }
    doubts.sort_by_key(|doubt| (doubt.run, doubt.row));
    Ok(doubts)
}

/// Rows in doubt go out again with the next `sealpost send`, under the same Message-ID. Answers how many.
///
/// # Errors
/// An engine is at work, there is no such run or row in doubt, or the store can't be written.
pub fn resend(state_dir: &Path, master: &MasterKey, run: RunId, which: &Which) -> Result<usize, Error> {
    let (_lock, store) = take(state_dir)?;
    if store.manifest(run)?.is_some_and(|manifest| manifest.cancelled.is_some()) {
        // The rest of its input would go out with them.
        return Err(Error::RunCancelled { run });
    }
    some(run, resend_from(&store, master, run, which)?)
}

/// A person who decides about nothing was wrong about something.
fn some(run: RunId, rows: usize) -> Result<usize, Error> {
    if rows == 0 { Err(Error::NothingInDoubt { run }) } else { Ok(rows) }
}

/// [`resend`], for the holder of the lock.
pub(super) fn resend_from(store: &Store, master: &MasterKey, run: RunId, which: &Which) -> Result<usize, Error> {
    let rows = take_up(store, master, run, which)?;
    let again: Vec<_> = rows.iter().map(|(row, outcome)| (*row, outcome.at)).collect();
    if rows.is_empty() {
        return Ok(0);
    }
    // First: a row that waits in a run that is over is found by nobody.
    reopen(store, run)?;
    store.lease_again(run, &again)?;
    Ok(again.len())
}

/// Records what a person knows of rows in doubt. Answers how many.
///
/// # Errors
/// As [`resend`].
pub fn settle(state_dir: &Path, master: &MasterKey, run: RunId, which: &Which, truth: Truth) -> Result<usize, Error> {
    let (_lock, store) = take(state_dir)?;
    some(run, settle_in(&store, master, run, which, truth)?)
}

/// [`settle`], for the holder of the lock.
pub(super) fn settle_in(
    store: &Store,
    master: &MasterKey,
    run: RunId,
    which: &Which,
    truth: Truth,
) -> Result<usize, Error> {
    let rows = take_up(store, master, run, which)?;
    let (kind, reason) = match truth {
        Truth::Delivered => (Kind::Delivered, "settled_delivered"),
        Truth::Undelivered => (Kind::Cancelled, "settled_undelivered"),
    };
    let now = SystemClock.now();
    let settled = |(row, doubt): (u64, Outcome)| {
        (row, Outcome { session: doubt.session, ..Outcome::new(kind, now, doubt.attempts, reason) })
    };
    let settled: Vec<_> = rows.into_iter().map(settled).collect();
    store.put_outcomes(run, &settled, &data_key(store, master, run)?)?;
    Ok(settled.len())
}

/// Settles what a copied state directory can't know, and makes it the one that sends. With `original_sent`, every row of an
/// open run that has not ended is in doubt; else the copy goes on as if it were the original. Answers how many runs are open.
///
/// # Errors
/// An engine is at work, or the store can't be written.
pub fn settle_copy(state_dir: &Path, master: &MasterKey, original_sent: bool) -> Result<usize, Error> {
    let (_lock, store) = take_any(state_dir)?;
    if store.copied(state_dir)?.is_none() {
        return Err(Error::NotCopied(state_dir.to_owned()));
    }
    let open: Vec<_> = store.runs()?.into_iter().filter(|(_, manifest)| manifest.finished.is_none()).collect();
    let (runs, now) = (open.len(), SystemClock.now());
    for (run, manifest) in open.into_iter().filter(|_| original_sent) {
        let key = data_key(&store, master, run)?;
        let read = Tally::of(&store, run, &manifest, false)?.read;
        // First: rows that were never read are found by the next engine.
        store.put_manifest(run, &Manifest { copied: true, read, ..manifest }, true)?;
        recovery::doubt_all(&store, run, &key, now)?;
        recovery::doubt_rest(&store, run, &key, read, now)?;
    }
    store.adopt(state_dir)?;
    Ok(runs)
}

/// The rows meant, each with its outcome; what the last engine left in doubt is recorded first.
fn take_up(store: &Store, master: &MasterKey, run: RunId, which: &Which) -> Result<Vec<(u64, Outcome)>, Error> {
    if store.manifest(run)?.is_none() {
        return Err(Error::NoRun { run: run.to_string() });
    }
    let key = data_key(store, master, run)?;
    super::offline::end_cancelled(store, master, SystemClock.now())?;
    recovery::take_up(store, run, &key, false)?;
    let mut rows = Vec::new();
    store.scan_outcomes(run, Some(&key), |row, outcome| {
        let meant = match which {
            Which::All => true,
            Which::Rows(rows) => rows.contains(&row),
        };
        if meant && outcome.kind == Kind::InDoubt {
            rows.push((row, outcome));
        }
    })?;
    if let Which::Rows(wanted) = which {
        let missing = wanted.iter().find(|wanted| rows.iter().all(|(row, _)| row != *wanted));
        if let Some(row) = missing {
            return Err(Error::NoDoubt { run, row: *row });
        }
    }
    Ok(rows)
}

/// A finished run has rows left again.
fn reopen(store: &Store, run: RunId) -> Result<(), Error> {
    if open_run(store, run).is_ok() {
        return Ok(());
    }
    if let Some(manifest) = store.manifest(run)? {
        store.put_manifest(run, &Manifest { finished: None, cancelled: None, ..manifest }, true)?;
    }
    Ok(())
}
