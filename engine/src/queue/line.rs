//! The rows of one run that wait in one lane, in the order in which they came: the first in memory, the rest, where the site
//! is slow, sealed in the store.

use super::{Job, Run};
use crate::route::Route;
use crate::settle::Canary;
use crate::smtp::Source;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One run's rows in a lane: `front`, then what was spilled, then `back`.
pub(crate) struct Line {
    pub(super) run: Arc<Run>,
    front: VecDeque<Job>,
    /// Rows in the store, and the turn of the last one read back from there.
    spilled: u64,
    last_turn: u64,
    /// Up to this turn nothing is read back from the store, whatever stands there: what was given out may be on a wire, and what
    /// the last engine left the reader brings.
    given: u64,
    /// Rows on their way to the store.
    back: Vec<Job>,
    /// Where the spilled ones lie.
    place: u64,
    /// What smooth weighted round robin owes it.
    credit: i64,
    /// How many of its rows the run counts among those that wait for tomorrow.
    tomorrow: u64,
    /// What goes ahead of the run's other rows for the provider.
    canary: Option<Arc<Canary>>,
}

/// Rows written to the store, or read back, at once; few in a simulation, whose rows are few.
const CHUNK: usize = if cfg!(test) { 4 } else { 64 };

impl Line {
    pub(crate) fn new(run: Arc<Run>, place: u64) -> Line {
        let (front, back) = (VecDeque::new(), Vec::new());
        Line { run, front, spilled: 0, last_turn: 0, given: 0, back, place, credit: 0, tomorrow: 0, canary: None }
    }

    /// The same, of which some rows go ahead.
    pub(super) fn behind(mut self, canary: Option<Arc<Canary>>) -> Line {
        self.canary = canary;
        self
    }

    /// Rows that wait here, wherever they are.
    pub(crate) fn len(&self) -> usize {
        self.in_memory() + usize::try_from(self.spilled).unwrap_or(usize::MAX)
    }

    pub(crate) fn in_memory(&self) -> usize {
        self.front.len() + self.back.len()
    }

    /// Rows whose turn comes before any in the store.
    pub(super) fn first(&self) -> impl Iterator<Item = &Job> {
        self.front.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether its rows wait for tomorrow, because their source has sent all that it may today.
    pub(super) fn waits_for_tomorrow(&mut self, waits: bool) {
        let rows = if waits { self.len() as u64 } else { 0 };
        self.run.tomorrow.fetch_add(rows, Ordering::SeqCst);
        self.run.tomorrow.fetch_sub(std::mem::replace(&mut self.tomorrow, rows), Ordering::SeqCst);
    }

    /// Takes a row in as the last; one that was tried and is waited for, before those that wait.
    pub(crate) fn push(&mut self, job: Job) {
        if job.row.attempts > 0 && self.awaits_canary() {
            return self.front.insert(self.tried(), job);
        }
        if self.spilled == 0 {
            self.front.push_back(job);
            return;
        }
        self.back.push(job);
        if self.back.len().is_multiple_of(CHUNK) {
            self.spill_back();
        }
    }

    /// Takes a row back that was first a moment ago.
    pub(crate) fn push_front(&mut self, job: Job) {
        let place = if job.row.attempts > 0 { 0 } else { self.tried() };
        self.front.insert(place, job);
    }

    /// How many of the first rows were tried before, and go before all others while a canary is awaited.
    fn tried(&self) -> usize {
        let tried = || self.front.iter().take_while(|job| job.row.attempts > 0).count();
        if self.awaits_canary() { tried() } else { 0 }
    }

    /// The row that came first. Those in the store find their way by `route` and `source`, which are the lane's.
    pub(crate) fn pop(&mut self, route: &Arc<Route>, source: &Arc<Source>) -> Option<Job> {
        if self.front.is_empty() {
            self.refill(route, source);
        }
        let job = self.front.pop_front()?;
        self.given = self.given.max(self.turn_of(&job).unwrap_or(0));
        Some(job)
    }

    /// A row's turn among those that stand in the store for this line.
    fn turn_of(&self, job: &Job) -> Option<u64> {
        job.row.origin.place().filter(|(place, _)| *place == self.place).map(|(_, turn)| turn)
    }

    /// Keeps the first `most` rows in memory and moves the others to the store.
    pub(crate) fn keep(&mut self, most: usize) {
        if self.spilled > 0 {
            self.spill_back();
            if most == 0 {
                self.unread();
            }
            return;
        }
        // What others wait for is not to be behind them.
        let most = most.max(self.tried());
        // By the chunk, and all of it where nothing is to be sent.
        let slack = if most == 0 { 0 } else { CHUNK };
        if self.front.len() > most + slack {
            self.back.extend(self.front.split_off(most));
            let mut spilled = true;
            while spilled && !self.back.is_empty() {
                let rest = self.back.split_off(self.back.len().min(CHUNK));
                spilled = self.spill_back();
                self.back.extend(rest);
            }
        }
    }

    /// Forgets rows that were read back from the store, where they still are, and were not given out yet.
    fn unread(&mut self) {
        while let Some(turn) = self.front.back().and_then(|job| self.turn_of(job)).filter(|turn| *turn > self.given) {
            self.front.pop_back();
            self.last_turn = turn - 1;
            self.spilled += 1;
        }
    }

    /// Moves `back` to the store. A store that fails tells the run, which then leaves: until it does its rows stay here, where
    /// whoever counts them finds them.
    fn spill_back(&mut self) -> bool {
        let mut rows: Vec<_> = self.back.iter_mut().map(|job| &mut job.row).collect();
        let done = self.run.settle.spill(self.place, &mut rows);
        if done {
            if self.spilled == 0 {
                self.last_turn = before(&self.back).unwrap_or(self.last_turn);
                self.given = self.given.max(self.last_turn);
            }
            self.spilled += self.back.len() as u64;
            self.back.clear();
        }
        done
    }

    fn refill(&mut self, route: &Arc<Route>, source: &Arc<Source>) {
        if self.spilled > 0 {
            // None where the store failed, and told the run: the rows stay counted until it leaves.
            for row in self.run.settle.unspill(self.place, self.last_turn, CHUNK) {
                self.last_turn = row.origin.place().map_or(self.last_turn, |(_, turn)| turn);
                self.spilled = self.spilled.saturating_sub(1);
                let place = self.run.room.squeeze_in();
                let (route, source, run) = (route.clone(), source.clone(), self.run.clone());
                self.front.push_back(Job { row, route, source, run, place, turn: 0, ticket: None, flight: None });
            }
        }
        if self.spilled == 0 {
            self.front.extend(self.back.drain(..));
        }
    }

    /// Every row in memory; those in the store are let go, where they stay.
    pub(crate) fn abandon(&mut self) -> Vec<Job> {
        (0..self.spilled).for_each(|_| self.run.settle.let_go());
        self.spilled = 0;
        self.front.drain(..).chain(self.back.drain(..)).collect()
    }

    /// Every row in memory. Those in the store stay in the line.
    pub(super) fn take_memory(&mut self) -> Vec<Job> {
        self.front.drain(..).chain(self.back.drain(..)).collect()
    }

    /// A run paused or leaving has no turn, nor has a row that waits for those ahead.
    pub(super) fn has_turn(&self) -> bool {
        !self.is_empty() && self.run.goes_on() && !self.waits_for_canary()
    }

    /// Whether its rows wait for those ahead.
    pub(super) fn waits_for_canary(&self) -> bool {
        self.awaits_canary() && !self.is_ahead()
    }

    fn awaits_canary(&self) -> bool {
        self.canary.as_ref().is_some_and(|canary| canary.is_awaited())
    }

    /// Whether the first row goes ahead: it did before, or there is room.
    fn is_ahead(&self) -> bool {
        self.tried() > 0 || self.canary.as_ref().is_none_or(|canary| canary.has_room(self.run.settle.now()))
    }

    /// The row whose turn it is; while others wait for it, it knows that.
    pub(super) fn pop_ahead(&mut self, route: &Arc<Route>, source: &Arc<Source>) -> Option<Job> {
        let job = self.pop(route, source)?;
        Some(Job { flight: self.canary.as_ref().and_then(Canary::fly), ..job })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.run.tomorrow.fetch_sub(self.tomorrow, Ordering::SeqCst);
    }
}

/// The turn before the first of these. What stands here up to that is not to be read back: rows on a wire, and those that
/// the last engine left, which the reader brings.
fn before(jobs: &[Job]) -> Option<u64> {
    let (_, first) = jobs.first()?.row.origin.place()?;
    Some(first.saturating_sub(1))
}

/// Whose turn it is: smooth weighted round robin over the runs that have rows here, by their campaigns' priority, so that a
/// blast and a password reset share a site as their weights say, however many rows each has.
pub(super) fn next_turn(lines: &mut [Line]) -> Option<&mut Line> {
    let mut total = 0;
    let mut chosen: Option<usize> = None;
    for index in 0..lines.len() {
        if !lines[index].has_turn() {
            continue;
        }
        let weight = i64::from(lines[index].run.weight);
        lines[index].credit += weight;
        total += weight;
        if chosen.is_none_or(|best| lines[index].credit > lines[best].credit) {
            chosen = Some(index);
        }
    }
    let line = &mut lines[chosen?];
    line.credit -= total;
    Some(line)
}
