//! The lanes of one provider from one source, which share its window of sessions and its rate.
//!
//! A token is spent at MAIL, by whoever writes it; a session that finds none waits in line for the next one, so that lanes of a
//! slow provider take turns. What was learned here outlives the process: see [`Throttle`].

use super::Job;
use super::lane::Lane;
use super::owner::Owner;
use crate::clock::Timestamp;
use crate::metrics::{Metrics, Pace};
use crate::route::ProviderId;
use crate::shaping::{Shape, Terms};
use crate::store::PaceRecord;
use crate::throttle::{Learned, Refusal, Throttle};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// A provider, and one of our sources.
pub(super) type GroupKey = (ProviderId, Arc<str>);

/// One group. It belongs to its shard's thread.
pub(super) struct Group {
    /// The provider's, for people.
    name: String,
    terms: RefCell<Arc<Terms>>,
    /// Of which edition of the shaping rules these are.
    edition: Cell<u64>,
    throttle: RefCell<Throttle>,
    /// Sessions of all its lanes, from connect to close.
    sessions: Cell<usize>,
    /// Those with a message on the wire.
    busy: Cell<usize>,
    /// Those that say goodbye for the sake of others.
    parting: Cell<usize>,
    /// Lanes that wanted a session while the window was full, by the weight of their campaigns, the longest waiting first.
    wanting: RefCell<BTreeMap<u32, VecDeque<Wanting>>>,
    /// Places that were given to such.
    given: Cell<u64>,
    /// Rung for its idle sessions when a lane wants a place.
    pub(super) wanted: Notify,
    /// Held by the session whose turn it is to wait for a token.
    turnstile: tokio::sync::Mutex<()>,
    /// Sessions that wait for a token.
    waiting: Cell<usize>,
    /// What was written down last.
    kept: RefCell<Option<Learned>>,
}

/// A lane that wants a session.
struct Wanting {
    lane: Weak<Lane>,
    /// Places that were given before it came.
    since: u64,
}

/// No session is opened for a message that can't be begun sooner than this: it would idle, and servers count open connections.
const SOON: Duration = Duration::from_secs(1);
/// Messages are made ahead for this long: at a slow provider a later one of more weight has its turn all the sooner.
const MADE_AHEAD: Duration = Duration::from_secs(2);
/// What was learned is written down again after this time, though nothing changed.
const STILL_TRUE: Duration = Duration::from_secs(600);
/// Messages that a session sends before it makes way for a lane of its group that has no session at all.
const FAIR_SHARE: u32 = 20;

impl Group {
    fn new(job: &Job, learned: Option<Learned>, now: Timestamp) -> Group {
        let terms = job.route.shape.terms.clone();
        let throttle = Throttle::new(terms.clone(), learned.clone(), now);
        Group {
            name: job.route.name().to_owned(),
            terms: RefCell::new(terms),
            edition: Cell::new(job.route.shape.edition),
            throttle: RefCell::new(throttle),
            sessions: Cell::new(0),
            busy: Cell::new(0),
            parting: Cell::new(0),
            wanting: RefCell::default(),
            given: Cell::new(0),
            wanted: Notify::new(),
            turnstile: tokio::sync::Mutex::new(()),
            waiting: Cell::new(0),
            kept: RefCell::new(learned),
        }
    }

    /// Rules may have been read anew: their newest edition holds.
    pub(super) fn heed(&self, Shape { edition, terms, .. }: &Shape, now: Timestamp) {
        if *edition >= self.edition.get() && !Arc::ptr_eq(&self.terms.borrow(), terms) {
            self.edition.set(*edition);
            self.throttle.borrow_mut().set_terms(terms.clone(), now);
            self.terms.replace(terms.clone());
        }
    }

    pub(super) fn messages_per_connection(&self) -> u32 {
        self.terms.borrow().messages_per_connection
    }

    /// Whether one session more fits the window.
    pub(super) fn has_room(&self, now: Timestamp) -> bool {
        self.sessions.get() < self.throttle.borrow().window(now)
    }

    /// Whether a message could be begun before long.
    pub(super) fn may_begin_soon(&self, now: Timestamp) -> bool {
        self.throttle.borrow().ready_at(now) <= now.after(SOON)
    }

    /// Whether a session could be opened now.
    #[cfg(test)]
    pub(super) fn may_connect(&self, now: Timestamp) -> bool {
        self.has_room(now) && self.may_begin_soon(now) && self.throttle.borrow().connects_at(now) <= now
    }

    /// Takes the place of a session, and its token, if there are both.
    pub(super) fn connect(&self, now: Timestamp) -> bool {
        let may = self.throttle.borrow_mut().connect(now).is_ok();
        self.sessions.set(self.sessions.get() + usize::from(may));
        may
    }

    /// A session ended.
    pub(super) fn hung_up(&self) {
        self.sessions.set(self.sessions.get() - 1);
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.get()
    }

    pub(super) fn becomes_busy(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(super) fn is_done(&self) {
        self.busy.set(self.busy.get() - 1);
    }

    /// How many messages may wait to be begun, whatever the sessions would want.
    pub(super) fn most_ready(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
        let ahead = |rate: f64| ((rate * MADE_AHEAD.as_secs_f64()).min(1e6) as usize).max(1);
        self.throttle.borrow().ceiling().map_or(usize::MAX, ahead)
    }

    /// A lane would have a session, were there room.
    pub(super) fn wants(&self, lane: &Rc<Lane>) {
        if lane.wants_session.replace(true) {
            return;
        }
        let waits = Wanting { lane: Rc::downgrade(lane), since: self.given.get() };
        self.wanting.borrow_mut().entry(lane.weight()).or_default().push_back(waits);
        self.wanted.notify_waiters();
    }

    /// The lane whose turn it is for a session: with each place that others get it earns the weight of its campaigns, so that a
    /// password reset is before a blast, and nobody waits for ever. Of equal weight the first has earned most.
    pub(super) fn next_wanting(&self) -> Option<Rc<Lane>> {
        let mut wanting = self.wanting.borrow_mut();
        let given = self.given.get();
        self.given.set(given + 1);
        while let Some(weight) = earned_most(&wanting, given) {
            let line = wanting.get_mut(&weight)?;
            let lane = line.pop_front().and_then(|first| first.lane.upgrade());
            if line.is_empty() {
                wanting.remove(&weight);
            }
            if let Some(lane) = lane {
                lane.wants_session.set(false);
                return Some(lane);
            }
        }
        None
    }

    /// Whether a lane of it waits for a session, and has something to send. Those that have sent it meanwhile wait no longer.
    pub(super) fn is_wanted(&self) -> bool {
        let mut wanting = self.wanting.borrow_mut();
        for line in wanting.values_mut() {
            while let Some(first) = line.front() {
                let lane = first.lane.upgrade();
                if lane.as_ref().is_some_and(|lane| !lane.state.borrow().is_empty()) {
                    break;
                }
                lane.iter().for_each(|lane| lane.wants_session.set(false));
                line.pop_front();
            }
        }
        wanting.retain(|_, line| !line.is_empty());
        !wanting.is_empty()
    }

    /// Whether a session of `lane` that has carried so many messages ends for the sake of others: the window has become smaller, or
    /// a lane has no session at all.
    pub(super) fn parts(&self, lane: &Lane, carried: u32, now: Timestamp) -> bool {
        let staying = self.sessions.get() - self.parting.get();
        let parts =
            staying > self.throttle.borrow().window(now) || (self.parting.get() == 0 && self.makes_way(lane, carried));
        self.parting.set(self.parting.get() + usize::from(parts));
        parts
    }

    /// It has said goodbye.
    pub(super) fn parted(&self) {
        self.parting.set(self.parting.get() - 1);
    }

    fn makes_way(&self, lane: &Lane, carried: u32) -> bool {
        let left_out = |other: &Wanting| {
            let other = other.lane.upgrade();
            other.is_some_and(|other| !std::ptr::eq(&*other, lane) && other.state.borrow().sessions == 0)
        };
        let may = carried >= FAIR_SHARE || lane.state.borrow().sessions > 1;
        may && self.wanting.borrow().values().filter_map(VecDeque::front).any(left_out)
    }

    /// Spends a token. Where sessions wait for one, only those that had their `turn` there get it.
    pub(super) fn take(&self, turn: Turn, now: Timestamp) -> bool {
        (turn == Turn::Had || self.waiting.get() == 0) && self.throttle.borrow_mut().take(now).is_ok()
    }

    /// Gives back a token for which there was no message after all.
    pub(super) fn give_back(&self, now: Timestamp) {
        self.throttle.borrow_mut().give_back(now, now);
    }

    /// Returns when this session's turn has come and there is a token.
    pub(super) async fn turn(&self, owner: &Owner) {
        let _waits = Waits::new(&self.waiting);
        let _turn = self.turnstile.lock().await;
        loop {
            let now = owner.deps.clock.now();
            let ready = self.throttle.borrow().ready_at(now);
            if ready <= now {
                return;
            }
            tokio::time::sleep(ready.since(now)).await;
        }
    }

    /// A server answered a message without a complaint about our pace.
    pub(super) fn accepted(&self, now: Timestamp) {
        // The session that asks has its answer, and is busy no longer.
        self.throttle.borrow_mut().accepted(self.busy.get() + 1, now);
    }

    /// Of a message whose MAIL was written nobody said a word.
    pub(super) fn unanswered(&self, now: Timestamp) {
        self.throttle.borrow_mut().unanswered(now);
    }

    /// A server refused all of us.
    pub(super) fn refused(&self, what: Refusal, now: Timestamp) {
        let refused = usize::from(what == Refusal::Connection);
        self.throttle.borrow_mut().refused(what, self.sessions.get() - refused, now);
    }

    /// Until when nothing is to be begun.
    pub(super) fn held_until(&self, now: Timestamp) -> Timestamp {
        self.throttle.borrow().held_until(now)
    }

    /// No session could be opened, and none is open.
    pub(super) fn failed(&self, now: Timestamp) {
        self.throttle.borrow_mut().failed(now);
    }

    /// Says in metrics how fast it is sent to.
    fn show(&self, metrics: &Metrics, source: &str, now: Timestamp) {
        let throttle = self.throttle.borrow();
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        let window = throttle.window(now) as f64;
        let held_seconds = throttle.held_until(now).since(now).as_secs_f64();
        metrics.providers.pace(&self.name, source, Pace { window, rate: throttle.ceiling(), held_seconds });
    }

    /// What was learned since it was last written down, or holds for so long that it must not look old.
    fn news(&self, now: Timestamp) -> Option<PaceRecord> {
        let learned = self.throttle.borrow().learned(now)?;
        let is_known =
            |kept: &Learned| now.since(kept.at) < STILL_TRUE && Learned { at: kept.at, ..learned.clone() } == *kept;
        if self.kept.borrow().as_ref().is_some_and(is_known) {
            return None;
        }
        self.kept.replace(Some(learned.clone()));
        let learned = serde_json::to_value(learned).expect("plain values");
        Some(PaceRecord { name: self.name.clone(), learned })
    }

    /// Whether a new group would know no less: no lane, and all tokens are there.
    fn is_forgettable(self: &Rc<Group>, now: Timestamp) -> bool {
        Rc::strong_count(self) == 1 && self.throttle.borrow().is_at_rest(now)
    }
}

impl Owner {
    /// The group of a row's provider and source, which begins with what engines before have learned.
    pub(super) fn group(&self, job: &Job, now: Timestamp) -> Rc<Group> {
        let key = (job.route.provider, job.source.name.clone());
        if let Some(group) = self.groups.borrow().get(&key) {
            return group.clone();
        }
        let record = self.deps.store.pace(key.0.0, &key.1).unwrap_or_else(|error| {
            tracing::warn!(%error, "what was learned of a provider can't be read; it is learned anew");
            None
        });
        let learned = record.and_then(|record| serde_json::from_value(record.learned).ok());
        let group = Rc::new(Group::new(job, learned, now));
        self.groups.borrow_mut().insert(key, group.clone());
        group
    }

    /// Writes down what was learned of providers, and forgets those that are at rest.
    pub(super) fn keep_learned(&self) {
        let now = self.deps.clock.now();
        self.groups.borrow_mut().retain(|(provider, source), group| {
            let kept = group.news(now).map(|news| self.deps.store.put_pace(provider.0, source, &news));
            if let Some(Err(error)) = kept {
                tracing::warn!(%error, "what was learned of a provider can't be written down");
            }
            group.show(&self.deps.metrics, source, now);
            !group.is_forgettable(now)
        });
    }
}

/// The weight whose first lane has earned most.
fn earned_most(wanting: &BTreeMap<u32, VecDeque<Wanting>>, given: u64) -> Option<u32> {
    let earned = |weight: u32, line: &VecDeque<Wanting>| {
        let waited = line.front().map_or(0, |first| given - first.since) + 1;
        waited * u64::from(weight.max(1))
    };
    wanting.iter().max_by_key(|(weight, line)| earned(**weight, line)).map(|(weight, _)| *weight)
}

/// Whether a session has waited for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has.
    Had,
    /// It comes straight from its last message.
    NotHad,
}

/// One that waits; dropped, it waits no longer.
struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn new(waiting: &'a Cell<usize>) -> Waits<'a> {
        waiting.set(waiting.get() + 1);
        Waits(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
