//! What a shard owns: lanes, connections, and when rows move on.

use super::Run;
use super::conversation;
use super::drought::Drought;
use super::gauges::Gauges;
use super::group::{Group, GroupKey};
use super::lane::{Lane, LaneKey};
use super::shard::{Deps, Job, Rendered, Stop};
use crate::clock::Timestamp;
use crate::mail::{Class, Message, hint};
use crate::metrics::Stage;
use crate::render::Unrenderable;
use crate::smtp::{Fate, Verdict};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// What a shard's ready messages may take together: thousands of letters, hundreds with a statement in them.
const READY_OCTETS: usize = 64 << 20;
/// How long rows end by what another's attempt came to, a bounce or a drop; then it is tried again.
const ENDS_ROWS_FOR: Duration = Duration::from_secs(30);

pub(super) struct Owner {
    pub(super) deps: Deps,
    pub(super) gauges: Gauges,
    /// In order: what is done to all of them is done in the same order each time.
    pub(super) lanes: RefCell<BTreeMap<LaneKey, Rc<Lane>>>,
    /// Whose window and rate its lanes share.
    pub(super) groups: RefCell<BTreeMap<GroupKey, Rc<Group>>>,
    /// Rows in its lanes, in memory or spilled.
    pub(super) held: Cell<usize>,
    /// Of messages that wait for a session.
    pub(super) ready_octets: Cell<usize>,
    pub(super) connections: Cell<usize>,
    /// Lanes that wanted a session while all were taken, the longest waiting first.
    wanting: RefCell<VecDeque<Rc<Lane>>>,
    /// Rung for an idle session when a lane wants its place.
    wanted: Notify,
    pub(super) drought: Drought,
    /// Rung when the shard winds down. Sessions wait for this and not for the engine's own word, which wakes its hearers in
    /// any order.
    pub(super) winding_down: Notify,
    /// Rung when messages on a wire may be waited for no longer.
    pub(super) breaking_off: Notify,
    rendered: mpsc::UnboundedSender<Rendered>,
    /// When lanes without a session were last looked at.
    pub(super) looked_round: Cell<Timestamp>,
    /// When lanes were last looked at for rows that need not be in memory.
    pub(super) made_room: Cell<Timestamp>,
    /// When what was learned was last written down.
    pub(super) kept: Cell<Timestamp>,
}

impl Owner {
    pub(super) fn new(deps: Deps, rendered: mpsc::UnboundedSender<Rendered>) -> Owner {
        Owner {
            gauges: Gauges::of(&deps.metrics),
            deps,
            lanes: RefCell::default(),
            groups: RefCell::default(),
            held: Cell::new(0),
            ready_octets: Cell::new(0),
            connections: Cell::new(0),
            wanting: RefCell::default(),
            wanted: Notify::new(),
            drought: Drought::default(),
            winding_down: Notify::new(),
            breaking_off: Notify::new(),
            rendered,
            looked_round: Cell::new(Timestamp(0)),
            made_room: Cell::new(Timestamp(0)),
            kept: Cell::new(Timestamp(0)),
        }
    }

    pub(super) fn take(self: &Rc<Self>, job: Job) {
        if job.leaves() {
            return job.run.settle.let_go();
        }
        // Small sites see one session a run: which of equal hosts it meets first must not be the same every time.
        let now = self.deps.clock.now();
        let turn = usize::try_from(now.0).unwrap_or(0);
        let key = key(&job);
        let known = self.lanes.borrow().get(&key).cloned();
        let lane = known.unwrap_or_else(|| {
            let lane = Lane::new(key.clone(), &job, self.group(&job, now), turn, now);
            let lane = Rc::new(lane.within(self.allowance(&job.source, &job.route, now)));
            self.lanes.borrow_mut().insert(key, lane.clone());
            lane
        });
        lane.heed(&job.route, now);
        self.held.set(self.held.get() + 1);
        self.gauges.backlog.inc();
        lane.push(job);
        self.advance(&lane);
    }

    pub(super) fn rendered(self: &Rc<Self>, Rendered { key, job, result }: Rendered) {
        let Some(lane) = self.lanes.borrow().get(&key).cloned() else { return self.let_go(&job) };
        lane.state.borrow_mut().rendering -= 1;
        self.gauges.rendering.dec();
        match result {
            Ok(_) if job.leaves() => self.let_go(&job),
            Ok(message) => {
                self.ready_octets.set(self.ready_octets.get() + message.octets().len());
                lane.state.borrow_mut().add_ready(job, message);
                self.gauges.ready.inc();
                lane.bell.notify_one();
            }
            Err(fault) => {
                job.run.settle.unrenderable(&job.row, &fault);
                self.settled(&lane);
            }
        }
        self.advance(&lane);
    }

    /// Moves a lane's rows on as far as there is room: settled if it is suspended, else to rayon, and to new sessions.
    pub(super) fn advance(self: &Rc<Self>, lane: &Rc<Lane>) {
        if *self.deps.stop.borrow() != Stop::No {
            return;
        }
        let now = self.deps.clock.now();
        self.cancel_waiting(lane);
        let suspension = lane.state.borrow_mut().suspension(now);
        if let Some((verdict, until)) = suspension {
            // It is our address that is not wanted: another of the campaign's may be.
            if verdict.class == Class::Reputation && self.may_send(lane) && self.rotate(lane, now) {
                return;
            }
            return self.postpone(lane, &verdict, until);
        }
        if !self.may_send(lane) {
            return;
        }
        self.pass_on(lane, now);
        self.render_ahead(lane, now);
        let mut state = lane.state.borrow_mut();
        let idle = state.sessions - state.busy;
        if state.ready.len() <= idle || state.sessions >= state.most_sessions(now) || !lane.group.may_begin_soon(now) {
            return;
        }
        if !lane.group.has_room(now) {
            drop(state);
            return lane.group.wants(lane);
        }
        if self.connections.get() == self.deps.limits.connections || self.drought.holds() {
            if !lane.wants_connection.replace(true) {
                self.wanting.borrow_mut().push_back(lane.clone());
                self.wanted.notify_waiters();
            }
            return;
        }
        if !lane.group.connect(now) {
            return;
        }
        state.sessions += 1;
        self.connections.set(self.connections.get() + 1);
        tokio::task::spawn_local(conversation::hold(self.clone(), lane.clone()));
    }

    /// Whether another message may be begun here.
    pub(super) fn may_send(&self, lane: &Lane) -> bool {
        !self.deps.conditions.stop_sending() && !self.is_paused(lane)
    }

    /// Whether an operator has paused this provider or source.
    pub(super) fn is_paused(&self, lane: &Lane) -> bool {
        self.deps.controls.borrow().pause(&lane.route.borrow(), &lane.source.name)
    }

    /// Gives rayon as many rows as the lane's sessions will want: some for each, and some to open one for.
    fn render_ahead(self: &Rc<Self>, lane: &Rc<Lane>, now: Timestamp) {
        loop {
            let state = lane.state.borrow();
            let ahead = state.ready.len() + state.rendering;
            // Letters with files in them are large: past the bound each lane has one at a time.
            let many = self.ready_octets.get() > READY_OCTETS && ahead > 0;
            if many || ahead >= (state.depth * (state.sessions + 1)).min(lane.group.most_ready()) {
                return;
            }
            drop(state);
            let Some(job) = lane.next_to_send(now) else { return };
            self.gauges.backlog.dec();
            lane.state.borrow_mut().rendering += 1;
            self.gauges.rendering.inc();
            self.render(job);
        }
    }

    fn render(&self, mut job: Job) {
        let key = key(&job);
        let (clerk, rendered, metrics) = (self.deps.clerk.clone(), self.rendered.clone(), self.deps.metrics.clone());
        let coming = self.deps.signing.expect();
        self.deps.pool.spawn(move || {
            let (now, press) = (job.run.settle.now(), &job.run.press);
            // A template engine that panics over one row must cost that row, not the run.
            let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let content = metrics.time(Stage::Render, || press.render(&mut job.row, now))?;
                let unsigned = press.prepare(&content, now);
                Ok((content, unsigned))
            }));
            let broken = |_| Err(Unrenderable { reason: "render", detail: "it broke the renderer".into() });
            match made.unwrap_or_else(broken) {
                Ok((content, unsigned)) => coming.sign(unsigned, move |signatures| {
                    clerk.take(Rendered { key, job, result: Ok(Message::sealed(signatures, &content)) }, &rendered);
                }),
                Err(fault) => {
                    drop(coming);
                    clerk.take(Rendered { key, job, result: Err(fault) }, &rendered);
                }
            }
        });
    }

    /// Suspends a lane by a verdict that every session there would meet. Sessions that fail together are one failure: a
    /// suspension in force is neither counted again nor prolonged.
    pub(super) fn suspend(self: &Rc<Self>, lane: &Rc<Lane>, verdict: Verdict) {
        let now = self.deps.clock.now();
        let mut state = lane.state.borrow_mut();
        if state.suspension(now).is_none() {
            state.failures += 1;
            let route = lane.route.borrow();
            let wait = self.deps.retry.wait(state.failures, route.site.0);
            let ends_rows = matches!(verdict.fate, Fate::Bounced | Fate::Dropped);
            let until = now.after(if ends_rows { wait.min(ENDS_ROWS_FOR) } else { wait });
            let host = route.host();
            let seconds = until.since(now).as_secs();
            let (why, hint) = (verdict.why(), hint(&verdict.why()));
            tracing::warn!(host, why, seconds, hint, "open -> suspended");
            state.suspended = Some((verdict, until));
        }
        drop(state);
        self.advance(lane);
    }

    /// Returns when `lane` has nothing to send and another lane wants the place of its idle session.
    pub(super) async fn gives_way(&self, lane: &Lane) {
        // Nothing else runs between the question and the wait: a shard is one thread.
        while !lane.state.borrow().is_empty() || (self.wanting.borrow().is_empty() && !lane.group.is_wanted()) {
            tokio::select! {
                biased;
                () = self.wanted.notified() => {}
                () = lane.group.wanted.notified() => {}
            }
        }
    }

    /// Returns when the engine stops.
    pub(super) async fn stops(&self) {
        while *self.deps.stop.borrow() == Stop::No {
            self.winding_down.notified().await;
        }
    }

    /// Returns when servers are waited for no longer.
    pub(super) async fn breaks_off(&self) {
        while *self.deps.stop.borrow() != Stop::AtOnce {
            self.breaking_off.notified().await;
        }
    }

    /// Returns when messages of `run` are waited for no longer.
    pub(super) async fn breaks_off_of(&self, run: &Run) {
        while !run.breaks_off() && *self.deps.stop.borrow() != Stop::AtOnce {
            self.breaking_off.notified().await;
        }
    }

    /// Messages of so many octets are no longer ready: they went to a wire, or were let go.
    pub(super) fn left_ready(&self, octets: usize) {
        self.ready_octets.set(self.ready_octets.get() - octets);
    }

    /// A row of `lane` was settled.
    pub(super) fn settled(&self, lane: &Lane) {
        self.held.set(self.held.get() - 1);
        lane.state.borrow_mut().pace.settled();
    }

    /// A session of `lane` ended. Its place goes to the lane that waited longest, of its provider and then of all, and only then
    /// back to this one.
    pub(super) fn hung_up(self: &Rc<Self>, lane: &Rc<Lane>) {
        self.connections.set(self.connections.get() - 1);
        lane.group.hung_up();
        self.admit(&lane.group);
        // One that waited may have got a place since, or have nothing left to send: ask until the place is taken.
        while self.connections.get() < self.deps.limits.connections && !self.drought.holds() {
            let Some(next) = self.wanting.borrow_mut().pop_front() else { break };
            next.wants_connection.set(false);
            self.advance(&next);
        }
        self.advance(lane);
        // A million recipients have tens of thousands of sites; most get a message or two.
        if lane.state.borrow().is_forgettable(self.deps.clock.now()) {
            self.lanes.borrow_mut().remove(&lane.key);
        }
    }

    /// Lanes that wait for a place in the window of `group` take what there is.
    pub(super) fn admit(self: &Rc<Self>, group: &Group) {
        while group.has_room(self.deps.clock.now()) {
            let Some(next) = group.next_wanting() else { return };
            self.advance(&next);
        }
    }
}

fn key(job: &Job) -> LaneKey {
    // A smarthost that falls short is not the recipient's fault: its rows wait.
    let exclusive = job.run.exclusive && !job.route.access.relays;
    (job.route.provider, job.route.site, job.source.name.clone(), job.route.class.clone(), exclusive)
}
