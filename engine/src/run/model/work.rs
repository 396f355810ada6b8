//! What is done to the real parts, and to the model by rules of its own.

use super::live::Live;
use super::ops::{Case, Op, Says};
use super::rig::{ROWS, verdict};
use super::state::{At, RUNS, State};
use super::world::{Done, KEPT, LIFETIME, RETRY, World};
use crate::clock::Timestamp;
use crate::gate::Verdict;
use crate::mail::{Kind, Row};
use crate::run::doubt::{self, Truth, Which};
use crate::run::offline;
use crate::settle::Via;
use crate::smtp::Fate;
use crate::store::{Hold, Leave, Manifest, Reservation};
use std::time::Duration;

impl World {
    /// What an engine does.
    pub(super) fn work(&mut self, op: Op) -> Done {
        match op {
            Op::Read { run } => self.read(run),
            Op::Lease { most, synced } => self.lease(most, synced),
            Op::Start { pick } => self.start(pick),
            Op::Settle { pick, fate } => self.settle(pick, fate),
            Op::PutBack { pick } => {
                if let Some((run, at)) = self.pick(pick, |_| true) {
                    let live = self.lives[run].as_mut().expect("picked");
                    let job = live.wire.remove(at);
                    // Started never becomes leased.
                    let started =
                        self.state.runs[run].row(job.row.ordinal).lease.is_some_and(|(hold, _)| hold == Hold::Started);
                    if started { live.wire.insert(at, job) } else { live.put_back(job) }
                }
                Ok(())
            }
            Op::Postpone { run, lane, seconds } => self.postpone(run, lane, seconds),
            Op::Keep { run, lane, most } => {
                if let Some(live) = &mut self.lives[run] {
                    live.keep(lane, most);
                }
                Ok(())
            }
            Op::TakeDue { run, most } => self.take_due(run, most),
            Op::Finish { run } => self.finish(run),
            Op::Cancel { run } => self.cancel(run),
            Op::Clock { .. }
            | Op::Stop
            | Op::Person { .. }
            | Op::Die { .. }
            | Op::PowerLoss { .. }
            | Op::DieIn { .. } => Ok(()),
        }
    }

    fn read(&mut self, index: usize) -> Done {
        let World { lives, rig, store, state, case, .. } = self;
        let Some(live) = &mut lives[index] else { return Ok(()) };
        if live.feed(rig, store, 2)?.is_some() {
            return Ok(());
        }
        let Some(batch) = rig.inputs[index].get(live.next_chunk) else { return Ok(()) };
        live.next_chunk += 1;
        let (now, last) = (rig.now(), batch.first + batch.len() as u64 - 1);
        let expected = self::claims(state, index, batch.first..=last, case, now);
        let verdicts = live
            .gate
            .judge(batch, 0..batch.len(), now, |ordinal| live.known.contains(ordinal))
            .map_err(|error| error.to_string())?;
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        for verdict in verdicts {
            match verdict {
                Verdict::Admitted(row) => admitted.push(row),
                Verdict::Refused(ordinal, outcome) => refused.push((ordinal, outcome)),
                Verdict::Known(_) => {}
            }
        }
        let found: Vec<_> = admitted.iter().map(|row| row.ordinal).collect();
        if found != expected {
            return Err(format!("admitted of run {index}: {found:?}, should be {expected:?}"));
        }
        live.record
            .change(false, |manifest| manifest.read = manifest.read.max(last))
            .map_err(|error| error.to_string())?;
        live.run.settle.refuse(&refused, last);
        state.runs[index].read = state.runs[index].read.max(last);
        refused.iter().for_each(|(ordinal, outcome)| state.runs[index].end(*ordinal, outcome.kind));
        for row in admitted {
            self.admit(index, row)?;
        }
        Ok(())
    }

    fn admit(&mut self, index: usize, mut row: Row) -> Done {
        self.check_once(index, row.ordinal)?;
        let live = self.lives[index].as_mut().expect("it reads");
        row.first_attempt = live.again.get(&row.ordinal).copied();
        row.doubted = row.first_attempt.is_some();
        live.run.settle.take_in_hand();
        live.push(&self.rig, row)
    }

    /// No other row with this one's key was delivered, is in doubt, or is on its way.
    fn check_once(&self, index: usize, ordinal: u64) -> Done {
        if self.case.again || self.rig.now() > self.began.after(KEPT) {
            return Ok(());
        }
        let key = self.case.key(index, ordinal);
        for (other, run) in self.state.runs.iter().enumerate() {
            let held = self.lives[other].as_ref().map(Live::held).unwrap_or_default();
            for row in (1..=ROWS).filter(|row| self.case.key(other, *row) == key && (other, *row) != (index, ordinal)) {
                let taken = match run.row(row).at {
                    At::Ended(kind) => matches!(kind, Kind::Delivered | Kind::InDoubt),
                    At::Nowhere => held.contains(&row) || run.row(row).lease.is_some(),
                    At::Backlog | At::Deferred(_) => true,
                };
                if taken {
                    return Err(format!(
                        "key {key} of row {row} of run {other} goes to row {ordinal} of run {index} too"
                    ));
                }
            }
        }
        Ok(())
    }

    fn lease(&mut self, most: usize, synced: bool) -> Done {
        let (now, boot) = (self.rig.now(), self.store.boot());
        let mut group = Vec::new();
        for turn in 0..most {
            let (index, lane) = (turn % 2, turn / 2 % 2);
            let Some(live) = &mut self.lives[index] else { continue };
            if let Some(mut job) = live.pop(&self.rig, lane)? {
                job.row.first_attempt.get_or_insert(now);
                group.push(Leave::of(RUNS[index], &job.row, now));
                self.state.runs[index].lease(job.row.ordinal, Hold::Leased, boot);
                // What was promised of an earlier lease says nothing of this one.
                self.ghost.promised.remove(&(index, job.row.ordinal));
                live.wire.push(job);
            }
        }
        let promises = synced && !group.is_empty();
        self.store.lease(group.into_iter(), synced).map_err(|error| error.to_string())?;
        if promises {
            // The WAL is one: what was leased before is on the disk with it.
            for (index, live) in self.lives.iter().enumerate() {
                let leased = live.iter().flat_map(|live| &live.wire).map(|job| (index, job.row.ordinal));
                self.ghost.promised.extend(leased);
            }
        }
        Ok(())
    }

    /// One of the rows that had their turn, and whose lease is such.
    pub(super) fn pick(&self, pick: usize, which: impl Fn(Hold) -> bool) -> Option<(usize, usize)> {
        let mut rows = Vec::new();
        for (index, live) in self.lives.iter().enumerate() {
            for (at, job) in live.iter().flat_map(|live| live.wire.iter().enumerate()) {
                let lease = self.state.runs[index].row(job.row.ordinal).lease;
                if lease.is_some_and(|(hold, _)| which(hold)) {
                    rows.push((index, at));
                }
            }
        }
        (!rows.is_empty()).then(|| rows[pick % rows.len()])
    }

    fn start(&mut self, pick: usize) -> Done {
        let Some((index, at)) = self.pick(pick, |hold| hold == Hold::Leased) else { return Ok(()) };
        let live = self.lives[index].as_ref().expect("picked");
        let row = &live.wire[at].row;
        if !live.run.settle.started(row) {
            return Err("the mark was refused".into());
        }
        self.state.runs[index].lease(row.ordinal, Hold::Started, self.store.boot());
        self.ghost.may_have.insert((index, row.ordinal));
        Ok(())
    }

    fn settle(&mut self, pick: usize, fate: Fate) -> Done {
        let sent = matches!(fate, Fate::Delivered | Fate::InDoubt);
        let Some((index, at)) = self.pick(pick, |hold| hold == Hold::Started || !sent) else { return Ok(()) };
        let live = self.lives[index].as_mut().expect("picked");
        let row = live.wire.remove(at).row;
        let settle_row = row.clone();
        live.run.settle.settle(settle_row, &verdict(fate), Via::default());
        if !sent {
            self.ghost.may_have.remove(&(index, row.ordinal));
        }
        match fate {
            Fate::Delivered => self.end(index, &row, Kind::Delivered),
            Fate::Bounced => self.end(index, &row, Kind::Bounced),
            Fate::Dropped => self.end(index, &row, Kind::Dropped),
            Fate::InDoubt if !self.case.resend => self.end(index, &row, Kind::InDoubt),
            Fate::InDoubt => {
                self.ghost.may_have.remove(&(index, row.ordinal));
                self.defer(index, &row, Kind::InDoubt, Timestamp(0));
                let stand = self.state.runs[index].row(row.ordinal);
                if stand.at != At::Ended(Kind::InDoubt) {
                    self.state.runs[index].lease(row.ordinal, Hold::Again, self.store.boot());
                }
            }
            Fate::Deferred => self.defer(index, &row, Kind::Expired, Timestamp(0)),
        }
        Ok(())
    }

    fn end(&mut self, index: usize, row: &Row, kind: Kind) {
        self.state.runs[index].end(row.ordinal, kind);
    }

    /// `or` is how it ends where its life is over.
    fn defer(&mut self, index: usize, row: &Row, or: Kind, until: Timestamp) {
        let now = self.rig.now();
        let end = row.first_attempt.map_or(now, |first| first.min(now)).after(LIFETIME);
        if now >= end {
            return self.end(index, row, or);
        }
        let (state, boot) = (&mut self.state.runs[index], self.store.boot());
        let stand = super::state::Stand { at: At::Deferred(end), ..state.row(row.ordinal) };
        state.set(row.ordinal, stand);
        state.take_back(row.ordinal, boot);
        let most = now.after(RETRY.longest.mul_f64(1.2)).max(until).min(end);
        self.loose.insert((index, row.ordinal), (now.max(until.min(end)), most));
    }

    fn postpone(&mut self, index: usize, lane: usize, seconds: u64) -> Done {
        let until = self.rig.now().after(Duration::from_secs(seconds));
        let Some(live) = &mut self.lives[index] else { return Ok(()) };
        let Some(job) = live.pop(&self.rig, lane)? else { return Ok(()) };
        let row = job.row;
        live.run.settle.postpone(row.clone(), &verdict(Fate::Deferred), until, Via::default());
        self.defer(index, &row, Kind::Expired, until);
        Ok(())
    }

    pub(super) fn take_due(&mut self, index: usize, most: usize) -> Done {
        let World { lives, rig, state, .. } = self;
        let Some(live) = &mut lives[index] else { return Ok(()) };
        let rows = live.run.settle.take_due(most);
        let mut expected = state.runs[index].due(rig.now());
        expected.truncate(most);
        let found: Vec<_> = rows.iter().map(|row| row.ordinal).collect();
        if found != expected {
            return Err(format!("due of run {index}: {found:?}, should be {expected:?}"));
        }
        for row in rows {
            let stand = super::state::Stand { at: At::Backlog, ..state.runs[index].row(row.ordinal) };
            if stand.doubted != row.doubted {
                return Err(format!("row {} of run {index} is doubted or not against {stand:?}", row.ordinal));
            }
            state.runs[index].set(row.ordinal, stand);
            live.push(rig, row)?;
        }
        // Neither past a row that waits, nor over what was taken and deleted before.
        let (from, first) = (live.run.settle.looks_from(), state.runs[index].first_due());
        let expected = first.map_or(rig.now(), |first| first.min(rig.now()));
        if from != expected {
            return Err(format!("run {index} looks for due rows from {from:?} on, should be {expected:?}"));
        }
        Ok(())
    }

    fn finish(&mut self, index: usize) -> Done {
        let Some(live) = &self.lives[index] else { return Ok(()) };
        if !live.is_read() || live.run.settle.tally().left() > 0 || !live.run.settle.is_at_rest() {
            return Ok(());
        }
        let now = self.rig.now();
        let over = |manifest: &mut Manifest| (manifest.read_all, manifest.finished) = (true, Some(now));
        live.record.change(true, over).map_err(|error| error.to_string())?;
        self.store.clear(RUNS[index]).map_err(|error| error.to_string())?;
        self.state.runs[index].finished = true;
        self.lives[index] = None;
        Ok(())
    }

    fn cancel(&mut self, index: usize) -> Done {
        // What is in memory is let go, but for what is on a wire: that is in doubt then.
        if self.lives[index].take().is_some() {
            let now = self.rig.now();
            offline::abandon(&self.store, &self.rig.master, RUNS[index], now).map_err(|error| error.to_string())?;
            self.state.runs[index].cancel(self.store.boot());
        }
        Ok(())
    }

    /// The engine stops: leases that were not started go, unless something is still on a wire.
    pub(super) fn stop(&mut self) -> Done {
        self.step(Some(Op::Stop), |world| {
            for (index, id) in RUNS.into_iter().enumerate() {
                let Some(_) = world.lives[index].take() else { continue };
                let state = &mut world.state.runs[index];
                if !state.ordinals(|stand| matches!(stand.lease, Some((Hold::Started, _)))).is_empty() {
                    continue;
                }
                let leased = state.ordinals(|stand| matches!(stand.lease, Some((Hold::Leased, _))));
                let leases = world.store.leases(id).map_err(|error| error.to_string())?;
                let leases = leases.into_iter().filter(|lease| leased.contains(&lease.ordinal));
                world.store.forget_leases(id, leases).map_err(|error| error.to_string())?;
                leased.into_iter().for_each(|ordinal| state.take_back(ordinal, world.store.boot()));
            }
            Ok(())
        })
    }

    /// `sealpost doubt`, while no engine is at work.
    pub(super) fn person(&mut self, index: usize, says: Says) -> Done {
        let (id, master, boot) = (RUNS[index], &self.rig.master, self.store.boot());
        let state = &mut self.state.runs[index];
        state.recover(boot, false);
        let rows = state.ordinals(|stand| stand.at == At::Ended(Kind::InDoubt));
        let done = match says {
            Says::Resend => doubt::resend_from(&self.store, master, id, &Which::All),
            Says::Delivered => doubt::settle_in(&self.store, master, id, &Which::All, Truth::Delivered),
            Says::Undelivered => doubt::settle_in(&self.store, master, id, &Which::All, Truth::Undelivered),
        };
        let done = done.map_err(|error| error.to_string())?;
        let decided = !rows.is_empty();
        if done != rows.len() {
            return Err(format!("{done} rows were in doubt, should be {rows:?}"));
        }
        for ordinal in rows {
            match says {
                Says::Resend => {
                    state.set(ordinal, super::state::UNREAD);
                    state.lease(ordinal, Hold::Again, boot);
                }
                Says::Delivered => {
                    state.set(ordinal, super::state::UNREAD);
                    state.end(ordinal, Kind::Delivered);
                }
                Says::Undelivered => {
                    state.set(ordinal, super::state::UNREAD);
                    state.end(ordinal, Kind::Cancelled);
                    self.ghost.may_have.remove(&(index, ordinal));
                }
            }
        }
        // Nothing in doubt, nothing changed.
        if says == Says::Resend && decided {
            (state.finished, state.cancelled) = (false, if state.finished { false } else { state.cancelled });
        }
        Ok(())
    }
}

/// Which rows of a batch are admitted, and who has their keys then.
fn claims(
    state: &mut State,
    index: usize,
    rows: std::ops::RangeInclusive<u64>,
    case: &Case,
    now: Timestamp,
) -> Vec<u64> {
    let mut admitted = Vec::new();
    for ordinal in rows.filter(|ordinal| state.runs[index].row(*ordinal).at == At::Nowhere).collect::<Vec<_>>() {
        let key = case.key(index, ordinal);
        let run = RUNS[index];
        let (free, kept) = match state.keys.get(&key) {
            None => (true, false),
            Some(found) if found.run == run => {
                if found.ordinal == ordinal {
                    admitted.push(ordinal);
                }
                continue;
            }
            Some(found) => {
                let other = &state.runs[1 - index];
                let holds = found.kept
                    || match other.row(found.ordinal).at {
                        At::Ended(kind) => matches!(kind, Kind::Delivered | Kind::InDoubt),
                        _ => !other.finished,
                    };
                let holds = holds && now.since(found.at) <= KEPT;
                (!holds || (case.again && index == 1), holds)
            }
        };
        if free {
            state.keys.insert(key, Reservation { run, ordinal, at: now, kept });
            admitted.push(ordinal);
        }
    }
    admitted
}
