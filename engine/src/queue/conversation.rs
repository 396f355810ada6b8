//! The life of one session: open it, send ready messages over it, close it.

use super::Job;
use super::attempt::open;
use super::gauges;
use super::lane::Lane;
use super::opened::Opened;
use super::owner::Owner;
use super::reporting::{self, Carried};
use crate::condition::Condition;
use crate::mail::{Level, Message};
use crate::metrics::{Connection, Stage};
use crate::settle::Via;
use crate::smtp::{Proof, Scope, Verdict, of_stop};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a site that refused one session more is believed to take no more than it had.
const CAP_HOLDS: Duration = Duration::from_secs(60);
/// How often a session asks whether the engine may send again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Holds a session for `lane` until it has nothing more to do.
pub(super) async fn hold(owner: Rc<Owner>, lane: Rc<Lane>) {
    let avoid_tls = lane.state.borrow().avoid_tls;
    let (place, since) = (owner.gauges.opening(), Instant::now());
    let opened = tokio::select! {
        biased;
        opened = open(&owner, &lane, avoid_tls) => Some(opened),
        // Nothing is on the wire yet, so nothing is worth waiting for.
        () = owner.stops() => None,
    };
    match opened {
        Some(Ok((opened, between))) => {
            lane.state.borrow_mut().failures = 0;
            owner.deps.conditions.clear(Condition::Descriptors);
            owner.deps.metrics.took(Stage::Open, since.elapsed());
            let version = opened.session.proof().map_or("none", Proof::version);
            owner.deps.metrics.session(version);
            tracing::debug!(host = lane.route.borrow().name(), version, "session open");
            let meeting = reporting::meeting(&owner, &lane, &between, &opened.session);
            let mut carried = Carried::default();
            serve(&owner, &lane, opened, &place, &mut carried).await;
            reporting::ended(&owner, &lane, meeting, carried);
        }
        Some(Err(verdict)) if verdict.scope == Scope::Machine => owner.parched(&verdict).await,
        Some(Err(verdict)) => refused(&owner, &lane, verdict, avoid_tls),
        None => {}
    }
    drop(place);
    lane.state.borrow_mut().sessions -= 1;
    owner.hung_up(&lane);
}

/// Sends ready messages until there are none for a while, the session breaks, or it has had its share.
async fn serve(
    owner: &Rc<Owner>,
    lane: &Rc<Lane>,
    mut opened: Opened,
    place: &gauges::Place<'_>,
    carried: &mut Carried,
) {
    for _ in 0..owner.deps.limits.messages_per_connection {
        place.becomes(Connection::Idle);
        let next = tokio::select! {
            // A session that the server has left must not cost a message an attempt: look before taking one.
            biased;
            () = opened.session.disturbed() => return,
            next = next_ready(owner, lane) => Some(next),
            () = owner.gives_way(lane) => None,
            () = tokio::time::sleep(owner.deps.limits.idle_timeout) => None,
            () = owner.stops() => None,
        };
        let Some((job, message)) = next else { break };
        if !opened.session.proof().is_some_and(|proof| proof.satisfies(&job.route.demand)) {
            // Lanes are keyed by demand, so this does not happen; if it does, the message waits for a better session.
            lane.put_back(job);
            owner.gauges.backlog.inc();
            break;
        }
        let Some(number) = opened.keep(&job) else {
            // The run stops; the row stands where it stood.
            owner.let_go(&job);
            break;
        };
        if owner.deps.reports.is_some() {
            carried.note(job.row.to.domain(), &job.route);
        }
        lane.state.borrow_mut().busy += 1;
        place.becomes(Connection::Busy);
        owner.advance(lane);
        let (sent, started) = send(owner, &mut opened, &job, &message).await;
        let Some(verdict) = sent else {
            // First: whatever the server does now, nobody hears of it.
            drop(opened);
            lane.state.borrow_mut().busy -= 1;
            return broken_off(owner, lane, job, started, number);
        };
        settle(owner, lane, job, verdict, number);
        let rested = tokio::select! {
            biased;
            rested = opened.session.rest() => rested,
            () = owner.breaks_off() => false,
        };
        lane.state.borrow_mut().busy -= 1;
        if !rested {
            return;
        }
    }
    say_goodbye(owner, lane, opened).await;
}

/// Sends a message: what became of it, if it was waited for, and whether its last octets may have left.
async fn send(owner: &Rc<Owner>, opened: &mut Opened, job: &Job, message: &Message) -> (Option<Verdict>, bool) {
    let envelope = job.run.press.envelope(&job.row, message.octets().len());
    let started = Cell::new(false);
    let mark = || {
        started.set(job.run.settle.started(&job.row));
        started.get()
    };
    let since = Instant::now();
    owner.gauges.in_flight.inc();
    let sent = tokio::select! {
        biased;
        verdict = opened.session.send(&envelope, &job.route.demand, message.octets(), mark) => Some(verdict),
        () = owner.breaks_off_of(&job.run) => None,
    };
    owner.gauges.in_flight.dec();
    // What was refused by ourselves never touched the wire.
    if sent.as_ref().is_some_and(|verdict| verdict.code.is_some()) {
        owner.deps.metrics.took(Stage::Send, since.elapsed());
    }
    (sent, started.get())
}

/// On its way out it takes no message: those that are ready need another.
async fn say_goodbye(owner: &Rc<Owner>, lane: &Rc<Lane>, opened: Opened) {
    lane.state.borrow_mut().busy += 1;
    owner.advance(lane);
    tokio::select! {
        biased;
        () = opened.session.quit() => {}
        () = owner.breaks_off() => {}
    }
    lane.state.borrow_mut().busy -= 1;
}

/// The next message, once there is one and messages may be begun.
async fn next_ready(owner: &Rc<Owner>, lane: &Rc<Lane>) -> (Job, Message) {
    loop {
        if !owner.may_send(lane) {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        if let Some(ready) = take_ready(owner, lane) {
            return ready;
        }
        lane.state.borrow_mut().starved();
        // What was ready may have gone back to its line, because its run was paused: another's rows take its place.
        owner.advance(lane);
        lane.bell.notified().await;
    }
}

/// The first ready message of a run that goes on. One of a paused run goes back to its line, one of a leaving run is let go.
fn take_ready(owner: &Owner, lane: &Lane) -> Option<(Job, Message)> {
    loop {
        let (job, message) = lane.state.borrow_mut().ready.pop_front()?;
        owner.gauges.ready.dec();
        owner.left_ready(message.octets().len());
        if job.run.goes_on() {
            return Some((job, message));
        } else if job.run.leaves() {
            owner.let_go(&job);
        } else {
            lane.put_back(job);
            owner.gauges.backlog.inc();
        }
    }
}

/// A message whose server was waited for long enough. Only where its last octets may have left is it in doubt; else its row
/// stands where it stood.
fn broken_off(owner: &Rc<Owner>, lane: &Rc<Lane>, job: Job, started: bool, session: u64) {
    if started { settle(owner, lane, job, of_stop(), session) } else { owner.let_go(&job) }
}

fn settle(owner: &Rc<Owner>, lane: &Rc<Lane>, job: Job, verdict: Verdict, session: u64) {
    let suspends = verdict.scope == Scope::Site;
    owner.deps.metrics.providers.attempt(job.route.name(), verdict.fate.word());
    let via = Via { provider: job.route.provider.0, host: job.route.name(), session: Some(session) };
    job.run.settle.settle(job.row, &verdict, via);
    owner.settled(lane);
    if suspends {
        owner.suspend(lane, verdict);
    }
}

/// No session could be opened. While others are open or still opening, the site only takes no more of them, whatever it said
/// to this one; the last to fail knows that nobody gets through.
fn refused(owner: &Rc<Owner>, lane: &Rc<Lane>, verdict: Verdict, avoided_tls: bool) {
    let mut state = lane.state.borrow_mut();
    if lane.route.borrow().demand.level() == Level::Opportunistic && verdict.is_tls() && !avoided_tls {
        state.avoid_tls = true;
        return;
    }
    let others = state.sessions - 1;
    if others > 0 {
        state.session_cap = Some((others, owner.deps.clock.now().after(CAP_HOLDS)));
        return;
    }
    state.session_cap = None;
    drop(state);
    owner.suspend(lane, verdict);
}
