//! Decides what a verdict makes of a row, and records it: outcome or deferral in the store, counters, doubt.
//!
//! Comes in: verdicts of sessions, refusals of the gate, rows that can't be rendered. Promise: when a call returns, the row's
//! new standing is in the WAL; if the store refuses, the run is told to stop and the row stays where recovery finds it.

mod brake;
mod canary;
mod counters;
mod due;
mod halts;
mod shares;
mod window;

pub use brake::{Brake, FEW_DROPS};
pub use canary::{Canary, Flight};
pub use shares::Shares;
pub use window::Limits;

use self::counters::Counters;
use self::due::Due;
use crate::clock::{Clock, Timestamp};
use crate::mail::{Addressee, Kind, Outcome, Row, RunId};
use crate::metrics::{Metrics, Queue, Stage};
use crate::render::Unrenderable;
use crate::retry::Retry;
use crate::secret::DataKey;
use crate::smtp::{Fate, Verdict};
use crate::store::{Change, Leave, SessionRecord, Store, Tally};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a run does with deferral and doubt.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The back-off.
    pub retry: Retry,
    /// How long a row is tried.
    pub lifetime: Duration,
    /// Whether rows in doubt are sent again.
    pub resend_doubt: bool,
    /// Whether rows are marked before their last octets leave. Only rehearsals that measure what that costs go without.
    pub marks: bool,
}

/// Where a verdict was come by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Via<'a> {
    /// The provider's number.
    pub provider: u64,
    /// Its name.
    pub host: &'a str,
    /// The session, where there was one: its number in the store.
    pub session: Option<u64>,
}

/// The accounts of one run. Shared by the reader, the retry thread and all shards.
pub struct Settle {
    store: Arc<Store>,
    run: RunId,
    key: Arc<DataKey>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    metrics: Arc<Metrics>,
    counters: Counters,
    /// No deferred row is due before this: where the search for due rows begins, past what was taken and deleted.
    none_due_before: AtomicU64,
    /// The column whose value names a row to whoever writes it a letter.
    key_column: Option<String>,
    brake: Option<Brake>,
    shares: Option<Shares>,
    fault: Mutex<Option<String>>,
}

impl Settle {
    /// Accounts that go on from `tally`.
    pub fn new(
        store: Arc<Store>,
        run: RunId,
        key: Arc<DataKey>,
        clock: Arc<dyn Clock>,
        rules: Rules,
        metrics: Arc<Metrics>,
        tally: &Tally,
    ) -> Settle {
        let counters = Counters::default();
        counters.read.store(tally.read, Ordering::SeqCst);
        counters.deferred.store(tally.deferred, Ordering::SeqCst);
        // Other runs have theirs.
        metrics.rows(Queue::Deferred).add(i64::try_from(tally.deferred).unwrap_or(i64::MAX));
        for (kind, count) in &tally.ended {
            counters.ended(*kind).store(*count, Ordering::SeqCst);
        }
        let none_due_before = AtomicU64::new(0);
        let (key_column, brake, shares, fault) = (None, None, None, Mutex::default());
        Settle { store, run, key, clock, rules, metrics, counters, none_due_before, key_column, brake, shares, fault }
    }

    /// The same, with the column that names a row to whoever writes it a letter.
    #[must_use]
    pub fn known_by(mut self, key_column: &str) -> Settle {
        self.key_column = Some(key_column.to_owned());
        self
    }

    /// The same, under a brake.
    #[must_use]
    pub fn under(mut self, brake: Option<Brake>) -> Settle {
        self.brake = brake;
        self
    }

    /// The same, under brakes that look at what servers answer.
    #[must_use]
    pub fn watched_by(mut self, shares: Shares) -> Settle {
        self.shares = Some(shares);
        self
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records that the last octets of this row's message are about to leave. `false`: they must not.
    pub fn started(&self, row: &Row) -> bool {
        let now = self.clock.now();
        let put = || self.store.start(&Leave::of(self.run, row, now), now);
        !self.rules.marks || self.recorded(self.metrics.time(Stage::Mark, put))
    }

    /// A row came into the engine.
    pub fn take_in_hand(&self) {
        self.counters.in_hand.fetch_add(1, Ordering::SeqCst);
    }

    /// A row left the engine unsettled: it stands in the input or the store as before.
    pub fn let_go(&self) {
        self.counters.in_hand.fetch_sub(1, Ordering::SeqCst);
    }

    /// Moves rows to the backlog at `place`; whoever holds them may then forget them. `false`: the store failed.
    pub fn spill(&self, place: u64, rows: &mut [&mut Row]) -> bool {
        self.recorded(self.store.spill(self.run, place, rows, &self.key))
    }

    /// The first rows of the backlog at `place` behind turn `after`; whoever asks knows that there are some. They stay there
    /// until they are settled. None if the store failed.
    pub fn unspill(&self, place: u64, after: u64, most: usize) -> Vec<Row> {
        let read = self.store.unspill(self.run, place, after, most, &self.key);
        let gone = || crate::store::Error::Damaged { family: "backlog", run: self.run, ordinal: 0 };
        let found = read.and_then(|rows| if rows.is_empty() { Err(gone()) } else { Ok(rows) });
        found.map_err(|error| self.complain(&error)).unwrap_or_default()
    }

    /// Ends a row that an operator cancelled.
    pub fn cancelled(&self, row: &Row) {
        self.end(row, Outcome::new(Kind::Cancelled, self.clock.now(), row.attempts, "cancelled"));
    }

    /// Rows that are due again, taken into the engine.
    pub fn take_due(&self, most: usize) -> Vec<Row> {
        let now = self.clock.now();
        // A row deferred while we look lowers the bound on its own account; we only ever lower it too.
        let from = Timestamp(self.none_due_before.swap(u64::MAX, Ordering::SeqCst));
        let taken = self.store.take_due(self.run, from, now, most, &self.key);
        let Ok((rows, next)) = taken.map_err(|error| self.complain(&error)) else { return Vec::new() };
        self.none_due_before.fetch_min(next.0, Ordering::SeqCst);
        let count = rows.len() as u64;
        self.counters.in_hand.fetch_add(count, Ordering::SeqCst);
        self.counters.deferred.fetch_sub(count, Ordering::SeqCst);
        self.metrics.rows(Queue::Deferred).sub(i64::try_from(count).unwrap_or(i64::MAX));
        rows
    }

    /// Where the next search for due rows begins.
    #[cfg(test)]
    pub(crate) fn looks_from(&self) -> Timestamp {
        Timestamp(self.none_due_before.load(Ordering::SeqCst))
    }

    /// Keeps how a session travels, before anything is sent over it; its number. `None`: the store failed, and nothing may be.
    pub fn keep_session(&self, session: &SessionRecord) -> Option<u64> {
        self.store.put_session(session).map_err(|error| self.complain(&error)).ok()
    }

    /// Settles a row after an attempt.
    pub fn settle(&self, mut row: Row, verdict: &Verdict, via: Via<'_>) {
        let (now, tried) = (self.clock.now(), row.attempts > 0);
        row.attempts += 1;
        if verdict.is_refusal() {
            self.metrics.refused(verdict.class);
        }
        if let Some(shares) = &self.shares {
            shares.note(verdict, tried, via, now);
        }
        let end = |kind| self.end(&row, outcome(kind, now, &row, verdict, via));
        match verdict.fate {
            Fate::Delivered => end(Kind::Delivered),
            Fate::Bounced => end(Kind::Bounced),
            Fate::Dropped if self.may_drop(verdict, via) => end(Kind::Dropped),
            Fate::InDoubt if !self.rules.resend_doubt => end(Kind::InDoubt),
            Fate::InDoubt | Fate::Deferred | Fate::Dropped => self.defer(row, verdict, Due::InTurn, via),
        }
    }

    /// Settles a row that was not tried, because its provider is suspended by `verdict` until then.
    pub fn postpone(&self, row: Row, verdict: &Verdict, until: Timestamp, via: Via<'_>) {
        let end = |kind| self.end(&row, outcome(kind, self.clock.now(), &row, verdict, via));
        match verdict.fate {
            Fate::Dropped if self.may_drop(verdict, via) => end(Kind::Dropped),
            Fate::Bounced => end(Kind::Bounced),
            _ => self.defer(row, verdict, Due::NotBefore(until), via),
        }
    }

    /// Gives a row back that was refused together with all others, because they came too fast: it has lost nothing but its place,
    /// and is due at `until`.
    pub fn hold(&self, row: Row, verdict: &Verdict, until: Timestamp, via: Via<'_>) {
        self.metrics.refused(verdict.class);
        self.defer(row, verdict, Due::At(until), via);
    }

    /// Settles a row whose domain could not be looked up for now.
    pub fn unroutable(&self, mut row: Row, reason: &'static str) {
        row.attempts += 1;
        self.defer(row, &crate::smtp::of_address(reason, true), Due::InTurn, Via::default());
    }

    /// Settles a row that makes no message.
    pub fn unrenderable(&self, row: &Row, fault: &Unrenderable) {
        let mut outcome = Outcome::new(Kind::Invalid, self.clock.now(), row.attempts, fault.reason);
        outcome.text.clone_from(&fault.detail);
        self.end(row, outcome);
    }

    /// Records what the gate refused of a batch, and that the input was read up to `read`.
    pub fn refuse(&self, refused: &[(u64, Outcome)], read: u64) {
        let before = self.counters.read.fetch_max(read, Ordering::SeqCst);
        self.metrics.read.inc_by(read.saturating_sub(before));
        if refused.is_empty() || self.recorded(self.store.put_outcomes(self.run, refused, &self.key)) {
            for (_, outcome) in refused {
                self.counters.ended(outcome.kind).fetch_add(1, Ordering::SeqCst);
                self.metrics.ended(outcome.kind);
            }
        }
    }

    /// The counts now.
    pub fn tally(&self) -> Tally {
        let ended: BTreeMap<_, _> = Kind::ALL
            .into_iter()
            .map(|kind| (kind, self.counters.ended(kind).load(Ordering::SeqCst)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let deferred = self.counters.deferred.load(Ordering::SeqCst);
        let read = self.counters.read.load(Ordering::SeqCst);
        let waiting = read.saturating_sub(ended.values().sum::<u64>() + deferred);
        Tally { read, ended, deferred, waiting }
    }

    /// Whether no row is in the engine.
    pub fn is_idle(&self) -> bool {
        self.counters.in_hand.load(Ordering::SeqCst) == 0
    }

    /// Whether no more than these many rows are in the engine.
    pub fn is_idle_but_for(&self, rows: u64) -> bool {
        self.counters.in_hand.load(Ordering::SeqCst) <= rows
    }

    /// Whether no row is in the engine and none waits for a time.
    pub fn is_at_rest(&self) -> bool {
        // A row that becomes due is in hand before it stops being deferred, and one that is deferred is so before it leaves
        // our hands: looked for on both sides of the hand, it is seen.
        let none_deferred = || self.counters.deferred.load(Ordering::SeqCst) == 0;
        none_deferred() && self.is_idle() && none_deferred() && self.is_idle()
    }

    /// Why the run must stop, if the store failed it.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().expect("no holder panics").clone()
    }

    fn defer(&self, mut row: Row, verdict: &Verdict, due: Due, via: Via<'_>) {
        let now = self.clock.now();
        // A first attempt ahead of us was dated by a clock that was wrong; it must not prolong the row's life.
        let first = row.first_attempt.map_or(now, |first| first.min(now));
        row.first_attempt = Some(first);
        let was_tried = matches!(due, Due::InTurn);
        let luck = self.run.0 ^ row.ordinal.rotate_left(32) ^ u64::from(row.attempts);
        let next = self.rules.retry.next(now, first, self.rules.lifetime, row.attempts, luck);
        let Some(due) = next.map(|next| due.after(next).min(first.after(self.rules.lifetime))) else {
            let kind = if verdict.fate == Fate::InDoubt { Kind::InDoubt } else { Kind::Expired };
            return self.end(&row, outcome(kind, now, &row, verdict, via));
        };
        row.doubted |= verdict.fate == Fate::InDoubt;
        if let Some(shares) = self.shares.as_ref().filter(|_| was_tried) {
            shares.comes_back(verdict, due, via);
        }
        // Counted first: once it is written, the retry thread may take it up.
        self.counters.deferred.fetch_add(1, Ordering::SeqCst);
        if self.put(&row, &Change::Deferred { due, why: &verdict.why_it_waits() }) {
            self.none_due_before.fetch_min(due.0, Ordering::SeqCst);
            self.metrics.deferrals.inc();
            self.metrics.rows(Queue::Deferred).inc();
        } else {
            self.counters.deferred.fetch_sub(1, Ordering::SeqCst);
        }
        self.let_go();
    }

    /// Ends a row.
    pub fn end(&self, row: &Row, outcome: Outcome) {
        let addressee = outcome.kind.is_undeliverable().then(|| self.addressee(row));
        let outcome = Outcome { doubted: row.doubted, addressee, ..outcome };
        if let Some(brake) = self.brake.as_ref().filter(|_| brake::counts(outcome.kind)) {
            brake.note(self.counters.read.load(Ordering::SeqCst));
        }
        if self.put(row, &Change::Ended(&outcome)) {
            self.counters.ended(outcome.kind).fetch_add(1, Ordering::SeqCst);
            self.metrics.ended(outcome.kind);
        }
        self.let_go();
    }

    /// Whom a letter goes to: once the row has ended, nothing else of it is left in the store.
    fn addressee(&self, row: &Row) -> Addressee {
        let key = self.key_column.as_ref().and_then(|column| row.fields.0.get(column));
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Addressee { to: row.to.as_str().to_owned(), key: key.map(text).unwrap_or_default() }
    }

    fn put(&self, row: &Row, change: &Change<'_>) -> bool {
        let settle = || self.store.settle(self.run, row, change, &self.key);
        self.recorded(self.metrics.time(Stage::Settle, settle))
    }

    fn recorded(&self, written: Result<(), crate::store::Error>) -> bool {
        match written {
            Ok(()) => true,
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    /// Remembers why the run must stop.
    pub fn complain(&self, error: &crate::store::Error) {
        tracing::error!(%error, "the store failed; the run stops");
        self.fault.lock().expect("no holder panics").get_or_insert_with(|| error.to_string());
    }
}

/// Its deferred rows are no longer this engine's.
impl Drop for Settle {
    fn drop(&mut self) {
        let deferred = *self.counters.deferred.get_mut();
        self.metrics.rows(Queue::Deferred).sub(i64::try_from(deferred).unwrap_or(i64::MAX));
    }
}

fn outcome(kind: Kind, at: Timestamp, row: &Row, verdict: &Verdict, via: Via<'_>) -> Outcome {
    Outcome {
        kind,
        at,
        attempts: row.attempts,
        code: verdict.code,
        enhanced: verdict.enhanced,
        class: verdict.told_class().filter(|_| kind != Kind::Delivered),
        doubted: row.doubted,
        reason: verdict.reason.to_owned(),
        text: if kind == Kind::Delivered { String::new() } else { verdict.text.clone() },
        session: via.session,
        addressee: None,
    }
}
