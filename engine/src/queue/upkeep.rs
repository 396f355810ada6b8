//! What a shard does between events: obeys orders, makes room, lets go.

use super::lane::{Lane, State};
use super::owner::Owner;
use super::run::Run;
use super::shard::Job;
use crate::clock::Timestamp;
use crate::mail::RunId;
use crate::route::{ProviderId, Route};
use crate::settle::Via;
use crate::smtp::{Fate, Verdict};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often lanes that rest are looked at: their suspension may be over, or what stopped the engine.
const ROUND: Duration = Duration::from_millis(250);
/// How often what was learned of providers is written down. What a crash takes is learned again.
const KEEP: Duration = Duration::from_secs(10);
/// For each lane so long between two looks at all of them: a look at one takes a hundredth of it, however many there are.
const BETWEEN_LOOKS: Duration = Duration::from_micros(20);
/// Rows that a site takes within this time wait in memory. Longer than any hiccup of a healthy one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows of a lane that stay in memory however slow it is; few in a simulation, whose rows are few.
const KEPT: usize = if cfg!(test) { 3 } else { 64 };

/// Rows of a suspended lane that are settled at once.
const AT_ONCE: usize = 256;

impl Owner {
    fn all_lanes(&self) -> Vec<Rc<Lane>> {
        self.lanes.borrow().values().cloned().collect()
    }

    /// An operator ordered something, shaping rules were read again, or a run leaves.
    pub(super) fn obey(self: &Rc<Self>) {
        for lane in self.all_lanes() {
            self.reshape(&lane);
            let leaving = leaving(&lane.state.borrow(), lane.route.borrow().provider);
            for run in leaving {
                self.part_with(&lane, run);
            }
            self.advance(&lane);
            lane.bell.notify_waiters();
        }
        self.breaking_off.notify_waiters();
    }

    /// What waits goes by the rules of now. Only where another rule named its provider it goes on by that: others share it.
    fn reshape(&self, lane: &Lane) {
        let route = lane.route.borrow().clone();
        if route.shape.edition == self.deps.shaping.edition() {
            return;
        }
        let shape = self.deps.shaping.shape(&route.domain, &route.hosts);
        if route.shape.group.is_none() || shape.group == route.shape.group {
            lane.heed(&Arc::new(Route { shape, ..Route::clone(&route) }), self.deps.clock.now());
        }
    }

    /// Looks after what no event looks after: rooms that are full, suspensions that are over.
    pub(super) fn look_round(self: &Rc<Self>) {
        let now = self.deps.clock.now();
        let lanes = u32::try_from(self.lanes.borrow().len()).unwrap_or(u32::MAX);
        if now.since(self.made_room.get()) < BETWEEN_LOOKS * lanes {
            return;
        }
        self.made_room.set(now);
        let round = now.since(self.looked_round.get()) >= ROUND;
        if round {
            self.looked_round.set(now);
        }
        if now.since(self.kept.get()) >= KEEP {
            self.kept.set(now);
            self.keep_learned();
        }
        for lane in self.all_lanes() {
            self.make_room(&lane, now);
            if round && lane.allowance.is_some() {
                let waits = !lane.has_allowance(now);
                lane.state.borrow_mut().lines.iter_mut().for_each(|line| line.waits_for_tomorrow(waits));
            }
            // Also beside an idle session, which looks for ready messages only: nobody else notices that a suspension is over.
            let unserved = |state: &State| state.sessions == 0 || state.ready.is_empty();
            let rests = |state: &State| unserved(state) && state.rendering == 0 && !state.is_empty();
            if round && rests(&lane.state.borrow()) {
                self.advance(&lane);
            }
        }
    }

    /// Where a run's room is full, rows that this lane would not send for a while go to the store.
    fn make_room(&self, lane: &Lane, now: Timestamp) {
        let paused = self.is_paused(lane);
        let state = &mut *lane.state.borrow_mut();
        for line in state.lines.iter_mut().filter(|line| line.run.room.is_full()) {
            // What waits for a canary must leave room to the row that it waits for.
            if paused || line.waits_for_canary() {
                line.keep(0);
                continue;
            }
            if line.in_memory() <= KEPT {
                continue;
            }
            let Some(soon) = state.pace.rows_in(PATIENCE, now) else { return };
            line.keep(soon.max(KEPT));
        }
    }

    /// Settles what waits in a suspended lane by the verdict that suspended it. Rows in the store wait there for a lane that
    /// works, unless the verdict ends them. What an operator has paused is left as it is: he may want none of it to be dropped.
    pub(super) fn postpone(&self, lane: &Lane, verdict: &Verdict, until: Timestamp) {
        if self.is_paused(lane) {
            return;
        }
        let mut jobs = self.drain(lane);
        if matches!(verdict.fate, Fate::Dropped | Fate::Bounced) {
            while let Some(job) = lane.next_row() {
                self.gauges.backlog.dec();
                jobs.push(job);
                if jobs.len() >= AT_ONCE {
                    break;
                }
            }
        }
        let route = lane.route.borrow().clone();
        let via = Via { provider: route.provider.0, host: route.name(), session: None };
        for job in jobs {
            job.run.settle.postpone(job.row, verdict, until, via);
            self.settled(lane);
        }
    }

    /// Ends what an operator has cancelled here, paused or not; of rows in the store some at a time.
    pub(super) fn cancel_waiting(&self, lane: &Lane) {
        let controls = self.deps.controls.borrow().clone();
        if controls.cancelled_providers.is_empty() && controls.cancelled_sources.is_empty() {
            return;
        }
        let is_cancelled = |run| controls.cancel(run, &lane.route.borrow(), &lane.source.name);
        for _ in 0..AT_ONCE {
            let Some(job) = lane.next_of(is_cancelled) else { return };
            self.gauges.backlog.dec();
            job.run.settle.cancelled(&job.row);
            self.settled(lane);
        }
    }

    /// Every job of `lane` in memory that is not on a wire or on rayon, of runs that go on.
    fn drain(&self, lane: &Lane) -> Vec<Job> {
        self.counted(lane, State::drain)
    }

    /// Lets go of the rows of `run` that wait in `lane`.
    fn part_with(&self, lane: &Lane, run: RunId) {
        let before = waiting(&lane.state.borrow());
        let jobs = self.counted(lane, |state| state.part_with(run));
        let spilled = before - waiting(&lane.state.borrow()) - jobs.len();
        self.held.set(self.held.get() - spilled);
        jobs.into_iter().for_each(|job| self.let_go(&job));
    }

    /// Does something to a lane's rows and sets the counts right after it.
    fn counted<T>(&self, lane: &Lane, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lane.state.borrow_mut();
        let before = (lines(&state), state.made().count(), octets(&state));
        let done = change(&mut state);
        self.gauges.backlog.sub((before.0 - lines(&state)) as i64);
        self.gauges.ready.sub((before.1 - state.made().count()) as i64);
        self.left_ready(before.2 - octets(&state));
        done
    }

    pub(super) fn let_go(&self, job: &Job) {
        job.run.settle.let_go();
        self.held.set(self.held.get() - 1);
    }

    /// Lets go of everything that is not on a wire.
    pub(super) fn wind_down(&self) {
        for lane in self.all_lanes() {
            let runs: BTreeSet<_> = runs(&lane.state.borrow()).map(|run| run.id).collect();
            runs.into_iter().for_each(|run| self.part_with(&lane, run));
            lane.bell.notify_waiters();
        }
        self.winding_down.notify_waiters();
        self.breaking_off.notify_waiters();
    }
}

/// The runs that have rows here.
fn runs(state: &State) -> impl Iterator<Item = &Arc<Run>> {
    let of_lines = state.lines.iter().map(|line| &line.run);
    of_lines.chain(state.made().map(|(job, _)| &job.run))
}

fn leaving(state: &State, provider: ProviderId) -> BTreeSet<RunId> {
    runs(state).filter(|run| run.leaves_at(provider)).map(|run| run.id).collect()
}

fn lines(state: &State) -> usize {
    state.lines.iter().map(|line| line.len()).sum()
}

fn waiting(state: &State) -> usize {
    lines(state) + state.made().count()
}

fn octets(state: &State) -> usize {
    state.made().map(|(_, message)| message.octets().len()).sum()
}
