//! A run that an engine is at work on: the real gate, accounts and lines, and what of it is in memory.

use super::rig::{ROWS, Rig};
use super::state::{At, RUNS, RunState};
use super::world::{KEPT, LIFETIME, RETRY};
use crate::clock::Timestamp;
use crate::gate::{self, Gate, Sent};
use crate::mail::{Origin, Row};
use crate::queue::{Job, Line, Run};
use crate::run::record::Record;
use crate::run::recovery::{self, Known, LeftOver};
use crate::run::{data_key, index_key};
use crate::secret::DataKey;
use crate::settle::{Rules, Settle};
use crate::store::{Family, Store, Tally};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A lane's places in the backlog.
const PLACES: [u64; 2] = [3, 4];

pub(super) struct Live {
    pub(super) run: Arc<Run>,
    pub(super) record: Arc<Record>,
    pub(super) gate: Gate,
    pub(super) known: Known,
    /// Rows that go out again, and when they were first tried.
    pub(super) again: BTreeMap<u64, Timestamp>,
    key: DataKey,
    /// How far the backlog of the last engine was fed; `None` once all of it is.
    left_over: Option<Option<(u64, u64)>>,
    horizon: u64,
    pub(super) next_chunk: usize,
    lines: [Line; 2],
    /// What the lines should hold, in order.
    pub(super) queues: [VecDeque<u64>; 2],
    /// Rows that had their turn.
    pub(super) wire: Vec<Job>,
}

impl Live {
    /// What `Engine::begin` does, but for the threads. Answers how many rows were in doubt besides.
    pub(super) fn begin(rig: &Rig, store: &Arc<Store>, index: usize, resend: bool, again: bool) -> (Live, usize) {
        let (id, now) = (RUNS[index], rig.now());
        let manifest = store.manifest(id).expect("readable").expect("made");
        let key = data_key(store, &rig.master, id).expect("a key");
        store.reschedule(id, now.after(RETRY.furthest()), |ordinal| RETRY.soon(now, ordinal)).expect("rescheduled");
        let left = recovery::take_up(store, id, &key, resend).expect("taken up");
        let before = Tally::of(store, id, &manifest, false).expect("readable");
        let rules = Rules { retry: RETRY, lifetime: LIFETIME, resend_doubt: resend, marks: true };
        let shared = Arc::new(data_key(store, &rig.master, id).expect("a key"));
        let settle = Settle::new(store.clone(), id, shared, rig.clock.clone(), rules, rig.metrics.clone(), &before);
        let run = rig.run(index, settle);
        let index_key = index_key(store, &rig.master).expect("a key");
        let keys = Sent::new(store.clone(), index_key, "eob", id, KEPT, again);
        let gate_rules = gate::Rules { recipient: "email".into(), key: "id".into() };
        let known = recovery::known(store, id, &[Family::Outcome, Family::Deferred, Family::Backlog]);
        let LeftOver { again, in_doubt, horizon } = left;
        let live = Live {
            record: Record::new(store.clone(), id, manifest),
            gate: Gate::new(gate_rules, Box::new(keys)),
            known: known.expect("readable"),
            again,
            key,
            left_over: Some(None),
            horizon,
            next_chunk: 0,
            lines: PLACES.map(|place| Line::new(run.clone(), place)),
            queues: Default::default(),
            wire: Vec::new(),
            run,
        };
        (live, in_doubt)
    }

    /// The rows in memory or in the backlog of a lane.
    pub(super) fn held(&self) -> BTreeSet<u64> {
        let wire = self.wire.iter().map(|job| job.row.ordinal);
        self.queues.iter().flatten().copied().chain(wire).collect()
    }

    pub(super) fn is_queued(&self, ordinal: u64) -> bool {
        self.queues.iter().flatten().any(|queued| *queued == ordinal)
    }

    /// A row came in and is in hand: it goes to its lane.
    pub(super) fn push(&mut self, rig: &Rig, row: Row) -> Result<(), String> {
        if self.held().contains(&row.ordinal) {
            return Err(format!("row {} of {} is taken up while it is in hand", row.ordinal, self.run.id));
        }
        let lane = lane(row.ordinal);
        self.queues[lane].push_back(row.ordinal);
        let place = self.run.room.squeeze_in();
        self.lines[lane].push(Job {
            row,
            route: rig.route.clone(),
            source: rig.source.clone(),
            run: self.run.clone(),
            place,
            turn: 0,
            ticket: None,
            flight: None,
        });
        Ok(())
    }

    /// The next rows that the last engine left in the backlog, as `Feed::left_over` finds them; `None` if there are no more.
    pub(super) fn feed(&mut self, rig: &Rig, store: &Store, most: usize) -> Result<Option<()>, String> {
        let Some(after) = self.left_over else { return Ok(None) };
        let rows = store.backlog_from(self.run.id, after, most, &self.key).map_err(|error| error.to_string())?;
        self.left_over = rows.last().map(|last| last.origin.place());
        if rows.is_empty() {
            return Ok(None);
        }
        let horizon = self.horizon;
        for mut row in rows.into_iter().filter(|row| row.origin.place().is_some_and(|(_, turn)| turn < horizon)) {
            row.doubted |= self.again.contains_key(&row.ordinal);
            self.run.settle.take_in_hand();
            self.push(rig, row)?;
        }
        Ok(Some(()))
    }

    pub(super) fn keep(&mut self, lane: usize, most: usize) {
        self.lines[lane].keep(most);
    }

    /// The row whose turn it is.
    pub(super) fn pop(&mut self, rig: &Rig, lane: usize) -> Result<Option<Job>, String> {
        let job = self.lines[lane].pop(&rig.route, &rig.source);
        let (expected, found) = (self.queues[lane].pop_front(), job.as_ref().map(|job| job.row.ordinal));
        if expected != found {
            return Err(format!("{}: the turn is {found:?}'s, and should be {expected:?}'s", self.run.id));
        }
        Ok(job)
    }

    pub(super) fn put_back(&mut self, job: Job) {
        let lane = lane(job.row.ordinal);
        self.queues[lane].push_front(job.row.ordinal);
        self.lines[lane].push_front(job);
    }

    /// What the accounts and the lines say, against the model.
    pub(super) fn check(&self, state: &RunState) -> Result<(), String> {
        let (settle, held) = (&self.run.settle, self.held());
        if let Some(fault) = settle.fault() {
            return Err(format!("{}: {fault}", self.run.id));
        }
        if settle.tally() != state.tally() {
            return Err(format!("{}: counted {:?}, should be {:?}", self.run.id, settle.tally(), state.tally()));
        }
        if settle.is_idle() != held.is_empty() {
            return Err(format!("{}: idle: {}, in hand: {held:?}", self.run.id, settle.is_idle()));
        }
        for (line, queue) in self.lines.iter().zip(&self.queues) {
            if line.len() != queue.len() {
                return Err(format!("{}: a line counts {}, should be {queue:?}", self.run.id, line.len()));
            }
        }
        let ended = |ordinal: &&u64| matches!(state.row(**ordinal).at, At::Ended(_) | At::Deferred(_));
        held.iter().find(ended).map_or(Ok(()), |row| Err(format!("{}: row {row} is settled and in hand", self.run.id)))
    }

    /// Whether nothing is left to be read.
    pub(super) fn is_read(&self) -> bool {
        self.left_over.is_none() && self.next_chunk as u64 * super::rig::CHUNK >= ROWS
    }
}

fn lane(ordinal: u64) -> usize {
    (ordinal % 2) as usize
}

/// Rows of a lane stand in the backlog in the order of their turns, as far as this engine put them there.
pub(super) fn in_order(rows: &[Row], queue: &VecDeque<u64>, horizon: u64) -> bool {
    let turn = |row: &Row| match row.origin {
        Origin::Backlog { turn, provider } if provider != 0 && turn >= horizon => Some(turn),
        _ => None,
    };
    let mut turns: Vec<_> = rows.iter().filter_map(|row| Some((turn(row)?, row.ordinal))).collect();
    turns.sort_unstable();
    let stored: Vec<_> = turns.into_iter().map(|(_, ordinal)| ordinal).filter(|row| queue.contains(row)).collect();
    let queued: Vec<_> = queue.iter().copied().filter(|row| stored.contains(row)).collect();
    stored == queued
}

impl Live {
    pub(super) fn check_order(&self, store: &Store) -> Result<(), String> {
        let rows = store.backlog_from(self.run.id, None, 1000, &self.key).map_err(|error| error.to_string())?;
        match self.queues.iter().find(|queue| !in_order(&rows, queue, self.horizon)) {
            None => Ok(()),
            Some(queue) => Err(format!("{}: the backlog is not in the order of {queue:?}", self.run.id)),
        }
    }
}
