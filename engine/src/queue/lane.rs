//! The rows of one site that make one demand, and the sessions that serve them.

use super::Job;
use super::group::Group;
use super::line::{Line, next_turn};
use super::pace::Pace;
use crate::clock::Timestamp;
use crate::mail::{Message, RunId};
use crate::resolve::MxHost;
use crate::route::{Class, ProviderId, Route, SiteId};
use crate::smtp::{Source, Verdict};
use crate::warmup::Allowance;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a pooled connection serves: a site, from one of our sources, domains of one class, and whether they are exclusive. The
/// provider stands first: its lanes stand together, and one that other rules have given to another shard is another lane.
/// Credentials belong to the site, since a smarthost is one of its own.
pub(super) type LaneKey = (ProviderId, SiteId, Arc<str>, Class, bool);

/// One lane. All its fields belong to its shard's thread.
pub(super) struct Lane {
    pub(super) key: LaneKey,
    /// The newest that a row brought, or that newer rules make of that: hosts and their order are the same in all.
    pub(super) route: RefCell<Arc<Route>>,
    pub(super) source: Arc<Source>,
    /// What the source may send the provider today, where it warms up.
    pub(super) allowance: Option<Arc<Allowance>>,
    /// Whose window and rate it has.
    pub(super) group: Rc<Group>,
    pub(super) state: RefCell<State>,
    /// Whether it waits for a place in its group's window.
    pub(super) wants_session: Cell<bool>,
    /// Whether it waits for a place among the machine's connections.
    pub(super) wants_connection: Cell<bool>,
    /// Rung when a message is ready or the lane winds down.
    pub(super) bell: Notify,
}

/// What changes.
pub(super) struct State {
    /// Rows that wait for room on the wire, by run.
    pub(super) lines: Vec<Line>,
    /// How fast they go.
    pub(super) pace: Pace,
    pub(super) ready: VecDeque<(Job, Message)>,
    /// Ready, and their transactions are opened by sessions that still wait for the reply to another: they are begun, or stand
    /// where they stood, once that is settled.
    ahead: Vec<(Job, Message)>,
    /// Turns so far.
    turns: u64,
    /// Jobs on rayon or with the clerk.
    pub(super) rendering: usize,
    /// Messages made ahead for each session: more where sessions wait for them.
    pub(super) depth: usize,
    /// Sessions from connect to close.
    pub(super) sessions: usize,
    /// Sessions with a message on the wire.
    pub(super) busy: usize,
    /// How many sessions it had when one more could not be opened, and until when it is left at that.
    pub(super) session_cap: Option<(usize, Timestamp)>,
    /// Suspensions in a row.
    pub(super) failures: u32,
    /// Why nothing is sent, and until when.
    pub(super) suspended: Option<(Verdict, Timestamp)>,
    /// The handshake failed and TLS is not demanded: until when it is not tried again.
    avoid_tls: Option<Timestamp>,
    /// Until when its servers are given one message after the other: one of them lost its step in a pipeline.
    careful: Option<Timestamp>,
    /// Sessions begun so far: hosts of one preference take turns by it.
    begun: usize,
    /// Addresses that took no connection, and until when others go first.
    troubled: HashMap<SocketAddr, Timestamp>,
}

/// One to go out with the next round trip, one being made; and at most so many where signing and leasing take longer than a
/// message on the wire.
const DEPTH: usize = 2;
const MOST_DEPTH: usize = 16;

/// How long an address that took no connection goes last.
const TROUBLE_HOLDS: Duration = Duration::from_secs(60);

/// How long TLS that failed is not tried again where none is demanded.
const CLEAR_HOLDS: Duration = Duration::from_secs(600);

/// How long a server that lost its step in a pipeline is given one message after the other. It costs what was in the pipeline, and
/// often a timeout, to find out again.
const CARE_HOLDS: Duration = Duration::from_secs(600);

impl Lane {
    /// A lane whose first session begins at the `turn`-th of equal hosts.
    pub(super) fn new(key: LaneKey, job: &Job, group: Rc<Group>, turn: usize, now: Timestamp) -> Lane {
        let (route, state) = (RefCell::new(job.route.clone()), RefCell::new(State::new(turn, now)));
        let [wants_session, wants_connection] = [Cell::new(false), Cell::new(false)];
        let (source, allowance, bell) = (job.source.clone(), None, Notify::new());
        Lane { key, route, source, allowance, group, state, wants_session, wants_connection, bell }
    }

    /// The same, whose source may send only so much.
    pub(super) fn within(self, allowance: Option<Arc<Allowance>>) -> Lane {
        Lane { allowance, ..self }
    }

    /// Goes by this route from now on, unless it was made by older rules.
    pub(super) fn heed(&self, route: &Arc<Route>, now: Timestamp) {
        self.group.heed(&route.shape, now);
        if route.shape.edition >= self.route.borrow().shape.edition {
            self.route.replace(route.clone());
        }
    }

    /// Takes a row in as the last of its run.
    pub(super) fn push(&self, job: Job) {
        self.line_of(job, Line::push);
    }

    /// Takes back a row that had its turn a moment ago.
    pub(super) fn put_back(&self, job: Job) {
        self.line_of(job, Line::push_front);
    }

    fn line_of(&self, job: Job, put: impl Fn(&mut Line, Job)) {
        // While it waits others may use its ticket, and go ahead in its place.
        let job = Job { ticket: None, flight: None, ..job };
        let lines = &mut self.state.borrow_mut().lines;
        let known = lines.iter().position(|line| line.run.id == job.run.id);
        let index = known.unwrap_or_else(|| {
            let canary = job.run.settle.canary(self.key.0.0, job.route.name());
            lines.push(Line::new(job.run.clone(), place(&self.key)).behind(canary));
            lines.len() - 1
        });
        put(&mut lines[index], job);
    }

    /// Whether its source may send its provider another message today.
    pub(super) fn has_allowance(&self, now: Timestamp) -> bool {
        self.allowance.as_ref().is_none_or(|allowance| allowance.has_room(now))
    }

    /// The row whose turn it is, with what it takes of the allowance; none where nothing is left of that.
    pub(super) fn next_to_send(&self, now: Timestamp) -> Option<Job> {
        let Some(allowance) = &self.allowance else { return self.next_row() };
        if !allowance.has_room(now) || self.state.borrow().lines.iter().all(|line| !line.has_turn()) {
            return None;
        }
        let ticket = allowance.take(now).ok()?;
        self.next_row().map(|job| Job { ticket, ..job })
    }

    /// The row whose turn it is.
    pub(super) fn next_row(&self) -> Option<Job> {
        let mut state = self.state.borrow_mut();
        let job = next_turn(&mut state.lines)?.pop_ahead(&self.route.borrow(), &self.source)?;
        state.turns += 1;
        Some(Job { turn: state.turns, ..job })
    }

    /// The next row of a run that is `meant`.
    pub(super) fn next_of(&self, meant: impl Fn(RunId) -> bool) -> Option<Job> {
        let mut state = self.state.borrow_mut();
        let mut lines = state.lines.iter_mut().filter(|line| !line.is_empty() && meant(line.run.id));
        lines.next()?.pop(&self.route.borrow(), &self.source)
    }

    /// The most that a run with rows here weighs.
    pub(super) fn weight(&self) -> u32 {
        let state = self.state.borrow();
        let waiting = state.lines.iter().filter(|line| line.has_turn()).map(|line| line.run.weight);
        waiting.chain(state.ready.iter().map(|(job, _)| job.run.weight)).max().unwrap_or(0)
    }

    /// Whether what falls short is dropped.
    pub(super) fn is_exclusive(&self) -> bool {
        self.key.4
    }

    /// The site's hosts in the order in which the next session tries them: by preference, hosts of one preference taking
    /// turns (RFC 5321 section 5.1).
    pub(super) fn hosts(&self) -> Vec<MxHost> {
        let mut state = self.state.borrow_mut();
        let turn = state.begun;
        state.begun = turn.wrapping_add(1);
        in_turn(&self.route.borrow().hosts, turn)
    }
}

/// Where a lane's rows lie in the store's backlog: a name that every engine gives to the same lane, and to no other. The
/// provider is part of it: while rules change, two shards may each have a lane of one site.
fn place((provider, site, source, class, exclusive): &LaneKey) -> u64 {
    let name = format!("{:016x} {:016x} {source} {class:?} {exclusive}", provider.0, site.0);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    // Zero is the place of rows that are due and not yet routed.
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("SHA-256 has 32 octets")).max(1)
}

/// `hosts`, best first, those of each preference rotated by `turn`.
fn in_turn(hosts: &[MxHost], turn: usize) -> Vec<MxHost> {
    let mut ordered = Vec::with_capacity(hosts.len());
    for equals in hosts.chunk_by(|a, b| a.preference == b.preference) {
        let (before, after) = equals.split_at(turn % equals.len());
        ordered.extend(after.iter().chain(before).cloned());
    }
    ordered
}

impl State {
    fn new(turn: usize, now: Timestamp) -> State {
        State {
            lines: Vec::new(),
            pace: Pace::new(now),
            ready: VecDeque::new(),
            ahead: Vec::new(),
            turns: 0,
            rendering: 0,
            depth: DEPTH,
            sessions: 0,
            busy: 0,
            session_cap: None,
            failures: 0,
            suspended: None,
            avoid_tls: None,
            careful: None,
            begun: turn,
            troubled: HashMap::new(),
        }
    }

    /// Why nothing may be sent at `now`; a suspension whose time has come is lifted.
    pub(super) fn suspension(&mut self, now: Timestamp) -> Option<(Verdict, Timestamp)> {
        if self.suspended.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.suspended = None;
        }
        self.suspended.clone()
    }

    /// How many sessions it may have at `now`, as far as its own troubles go.
    pub(super) fn most_sessions(&self, now: Timestamp) -> usize {
        match self.session_cap {
            Some((most, until)) if now < until => most,
            _ => usize::MAX,
        }
    }

    /// Whether a connection to `address` failed a short while ago.
    pub(super) fn is_troubled(&self, address: SocketAddr, now: Timestamp) -> bool {
        self.troubled.get(&address).is_some_and(|until| now < *until)
    }

    /// A connection to `address` failed.
    pub(super) fn trouble(&mut self, address: SocketAddr, now: Timestamp) {
        self.troubled.retain(|_, until| now < *until);
        self.troubled.insert(address, now.after(TROUBLE_HOLDS));
    }

    /// A message is ready, behind those whose turn was before: of two threads that render, either may be first.
    pub(super) fn add_ready(&mut self, job: Job, message: Message) {
        let before = self.ready.iter().rev().take_while(|(other, _)| other.turn > job.turn).count();
        self.ready.insert(self.ready.len() - before, (job, message));
    }

    /// A session opens the transaction of a ready message ahead; it is named by its turn.
    pub(super) fn open_ahead(&mut self, job: Job, message: Message) {
        self.ahead.push((job, message));
    }

    /// The message of this turn, if it is still open ahead: its lane may have been suspended since, or its run have left.
    pub(super) fn claim(&mut self, turn: u64) -> Option<(Job, Message)> {
        let at = self.ahead.iter().position(|(job, _)| job.turn == turn)?;
        Some(self.ahead.swap_remove(at))
    }

    /// Messages that are made: ready, or open ahead.
    pub(super) fn made(&self) -> impl Iterator<Item = &(Job, Message)> {
        self.ready.iter().chain(&self.ahead)
    }

    /// A server lost its step in a pipeline.
    pub(super) fn take_care(&mut self, now: Timestamp) {
        self.careful = Some(now.after(CARE_HOLDS));
    }

    /// TLS failed where it is not demanded: for a while it is gone without, since a fault or somebody in between may pass.
    pub(super) fn go_without_tls(&mut self, now: Timestamp) {
        self.avoid_tls = Some(now.after(CLEAR_HOLDS));
    }

    /// Whether TLS is not even tried.
    pub(super) fn avoids_tls(&self, now: Timestamp) -> bool {
        self.avoid_tls.is_some_and(|until| now < until)
    }

    /// Whether its servers are given one message after the other.
    pub(super) fn is_careful(&self, now: Timestamp) -> bool {
        self.careful.is_some_and(|until| now < until)
    }

    /// A session found nothing ready: if rows wait, more of them are made ahead.
    pub(super) fn starved(&mut self) {
        if self.lines.iter().any(|line| !line.is_empty()) {
            self.depth = (self.depth + 1).min(MOST_DEPTH);
        }
    }

    /// Whether no row waits here or is being rendered.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.iter().all(Line::is_empty) && self.made().next().is_none() && self.rendering == 0
    }

    /// Whether nothing is here and nothing was learned that a new lane would have to learn again.
    pub(super) fn is_forgettable(&self, now: Timestamp) -> bool {
        let idle = self.is_empty() && self.sessions == 0;
        let nothing_learned = self.failures == 0 && self.suspended.is_none() && !self.avoids_tls(now);
        idle && nothing_learned
            && self.most_sessions(now) == usize::MAX
            && !self.is_careful(now)
            && self.troubled.values().all(|until| *until <= now)
    }

    /// Calls `each` with domain and route of the first `most` rows that wait in memory for a session.
    pub(super) fn each_route(&self, most: usize, mut each: impl FnMut(&str, &Arc<Route>)) {
        let waiting = self.lines.iter().flat_map(Line::first);
        let jobs = self.ready.iter().map(|(job, _)| job).chain(waiting);
        jobs.take(most).for_each(|job| each(job.row.to.domain(), &job.route));
    }

    /// Every job in memory that is not on a wire or on rayon, of runs that go on.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let (ready, others): (Vec<_>, Vec<_>) = self.ready.drain(..).partition(|(job, _)| job.run.goes_on());
        self.ready = others.into();
        let made: Vec<_> = ready.into_iter().chain(self.ahead.extract_if(.., |(job, _)| job.run.goes_on())).collect();
        let lines = self.lines.iter_mut().filter(|line| line.run.goes_on()).flat_map(Line::take_memory);
        made.into_iter().map(|(job, _)| job).chain(lines).collect()
    }

    /// Every job of `run` in memory that is not on a wire or on rayon; its line is gone.
    pub(super) fn part_with(&mut self, run: RunId) -> Vec<Job> {
        let (mut theirs, others): (Vec<_>, Vec<_>) = self.ready.drain(..).partition(|(job, _)| job.run.id == run);
        self.ready = others.into();
        theirs.extend(self.ahead.extract_if(.., |(job, _)| job.run.id == run));
        let lines = self.lines.extract_if(.., |line| line.run.id == run);
        let waiting: Vec<_> = lines.flat_map(|mut line| line.abandon()).collect();
        theirs.into_iter().map(|(job, _)| job).chain(waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::Place;

    #[test]
    fn hosts_of_one_preference_take_turns_and_worse_ones_wait() {
        let host = |name: &str, preference| MxHost { name: name.into(), preference, place: Place::Named(25) };
        let hosts = [host("a", 5), host("b", 10), host("c", 10), host("d", 10), host("e", 20)];
        let order = |turn| in_turn(&hosts, turn).iter().map(|host| host.name.clone()).collect::<String>();
        assert_eq!([order(0), order(1), order(2), order(3)], ["abcde", "acdbe", "adbce", "abcde"]);
    }

    #[test]
    fn tls_that_failed_is_tried_again_before_long() {
        let (mut state, now) = (State::new(0, Timestamp(1_000_000)), Timestamp(1_000_000));
        assert!(!state.avoids_tls(now));
        state.go_without_tls(now);
        assert!(state.avoids_tls(now) && !state.avoids_tls(now.after(CLEAR_HOLDS)));
    }
}
