//! The life of one session: open it, send ready messages over it, close it.

use super::Job;
use super::ahead::{Ahead, Lacks, Letter, give_back, may_begin, take_ready};
use super::attempt::open;
use super::gauges;
use super::group::Turn;
use super::lane::Lane;
use super::opened::Opened;
use super::owner::Owner;
use super::reporting::{self, Carried};
use crate::condition::Condition;
use crate::mail::Level;
use crate::metrics::{Connection, Stage};
use crate::settle::Via;
use crate::smtp::{Fate, Leaving, Proof, Scope, Sent, Verdict, of_stop};
use crate::throttle::Refusal;
use crate::warmup::Ticket;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a lane that could not open a session more is left with those that it has.
const CAP_HOLDS: Duration = Duration::from_secs(60);
/// A server that hears MAIL says something sooner than this.
const SILENCE: Duration = Duration::from_secs(5);
/// How often a session asks whether the engine may send again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Holds a session for `lane` until it has nothing more to do.
pub(super) async fn hold(owner: Rc<Owner>, lane: Rc<Lane>) {
    let avoid_tls = lane.state.borrow().avoids_tls(owner.deps.clock.now());
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
            tracing::debug!(host = lane.route.borrow().host(), version, "session open");
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
    let mut ahead = None::<Ahead>;
    let most = lane.group.messages_per_connection();
    for number in 1..=most {
        let letter = match ahead.take() {
            Some(ahead) => ahead.claim(owner),
            None => match next_letter(owner, lane, &mut opened, place).await {
                Ok(next) => next,
                Err(Gone) => return,
            },
        };
        let Some(letter) = letter.and_then(|letter| proven(owner, lane, &opened, letter)) else { break };
        let Some(session) = opened.keep(&letter.job) else {
            // The run stops; the row stands where it stood.
            lane.group.give_back(owner.deps.clock.now());
            owner.let_go(&letter.job);
            break;
        };
        if owner.deps.reports.is_some() {
            carried.note(letter.job.row.to.domain(), &letter.job.route);
        }
        lane.state.borrow_mut().busy += 1;
        lane.group.becomes_busy();
        place.becomes(Connection::Busy);
        owner.advance(lane);
        let since = owner.deps.clock.now();
        let sending = send(owner, lane, &mut opened, &letter, number < most).await;
        let took = owner.deps.clock.now().since(since);
        ahead = sending.ahead;
        lane.group.is_done();
        let Some(sent) = sending.sent else {
            // First: whatever the server does now, nobody hears of it.
            drop(opened);
            lane.state.borrow_mut().busy -= 1;
            return broken_off(owner, lane, letter.job, sending.started, session);
        };
        lane.state.borrow_mut().busy -= 1;
        concluded(owner, lane, &opened, letter, (sent, took), session);
        if !opened.session.is_open() {
            return;
        }
        if lane.group.parts(lane, number, owner.deps.clock.now()) {
            say_goodbye(owner, lane, opened).await;
            return lane.group.parted();
        }
    }
    say_goodbye(owner, lane, opened).await;
}

/// The server has left.
struct Gone;

/// The next message, once there is one; `None` where the session should end.
async fn next_letter(
    owner: &Rc<Owner>,
    lane: &Rc<Lane>,
    opened: &mut Opened,
    place: &gauges::Place<'_>,
) -> Result<Option<Letter>, Gone> {
    // What was refused leaves a reply due, which need not be waited for.
    if opened.session.takes_more()
        && may_begin(owner, lane)
        && let Ok(letter) = take_ready(owner, lane, Turn::NotHad)
    {
        return Ok(Some(letter));
    }
    lane.state.borrow_mut().busy += 1;
    let rested = tokio::select! {
        biased;
        rested = opened.session.rest() => rested,
        () = owner.breaks_off() => false,
    };
    lane.state.borrow_mut().busy -= 1;
    if !rested {
        return Err(Gone);
    }
    place.becomes(Connection::Idle);
    tokio::select! {
        // A session that the server has left must not cost a message an attempt: look before taking one.
        biased;
        () = opened.session.disturbed() => Err(Gone),
        next = next_ready(owner, lane) => Ok(Some(next)),
        () = owner.gives_way(lane) => Ok(None),
        () = tokio::time::sleep(owner.deps.limits.idle_timeout) => Ok(None),
        () = owner.stops() => Ok(None),
    }
}

/// The message, if the session's proof satisfies what it demands. Lanes are keyed by demand, so it does; if not, the message waits
/// for a better session.
fn proven(owner: &Owner, lane: &Lane, opened: &Opened, letter: Letter) -> Option<Letter> {
    if opened.session.proof().is_some_and(|proof| proof.satisfies(&letter.job.route.demand)) {
        return Some(letter);
    }
    lane.group.give_back(owner.deps.clock.now());
    lane.put_back(letter.job);
    owner.gauges.backlog.inc();
    None
}

/// How sending a message went.
struct Sending {
    /// What became of it, if that was waited for.
    sent: Option<Sent>,
    /// Whether its last octets may have left.
    started: bool,
    /// The message whose transaction was opened with its end.
    ahead: Option<Ahead>,
}

/// Sends a message, and where there is `more` to come, opens the next one's transaction with its end.
async fn send(owner: &Rc<Owner>, lane: &Rc<Lane>, opened: &mut Opened, letter: &Letter, more: bool) -> Sending {
    let Letter { job, message, envelope } = letter;
    let (mut started, mut ahead) = (false, None);
    let more = more && opened.session.pipelines();
    let leaving = |leaving: &mut Leaving<'_>| {
        started = job.run.settle.started(&job.row);
        if started && more {
            ahead = Ahead::open(owner, lane, leaving);
        }
        started
    };
    let since = Instant::now();
    owner.gauges.in_flight.inc();
    let sent = tokio::select! {
        biased;
        sent = opened.session.send(envelope, &job.route.demand, message.octets(), leaving) => Some(sent),
        () = owner.breaks_off_of(&job.run) => None,
    };
    owner.gauges.in_flight.dec();
    // What was refused by ourselves never touched the wire.
    if matches!(&sent, Some(Sent::Settled(verdict)) if verdict.code.is_some()) {
        owner.deps.metrics.took(Stage::Send, since.elapsed());
    }
    Sending { sent, started, ahead }
}

/// A message was answered, or the server left without a word of it.
fn concluded(
    owner: &Rc<Owner>,
    lane: &Rc<Lane>,
    opened: &Opened,
    letter: Letter,
    (sent, took): (Sent, Duration),
    session: u64,
) {
    let (lost_step, verdict) = match &sent {
        Sent::Settled(verdict) => (verdict.lost_step(), verdict),
        // It said something for good, of something; or it heard nothing, and in the end lost patience with us.
        Sent::Back(verdict) => (verdict.lost_step() || verdict.fate == Fate::Bounced || took > SILENCE, verdict),
    };
    if lost_step && opened.session.pipelines() {
        tracing::info!(
            host = lane.route.borrow().host(),
            why = verdict.why(),
            "pipelined -> one message after the other"
        );
        lane.state.borrow_mut().take_care(owner.deps.clock.now());
    }
    match sent {
        Sent::Settled(verdict) => settle(owner, lane, letter.job, verdict, session),
        Sent::Back(verdict) => {
            heard(owner, lane, &verdict);
            give_back(owner, lane, letter);
        }
    }
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
async fn next_ready(owner: &Rc<Owner>, lane: &Rc<Lane>) -> Letter {
    let mut turn = Turn::NotHad;
    loop {
        if !owner.may_send(lane) {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        match take_ready(owner, lane, std::mem::replace(&mut turn, Turn::NotHad)) {
            Ok(letter) => return letter,
            Err(Lacks::Token) => {
                lane.group.turn(owner).await;
                turn = Turn::Had;
                continue;
            }
            Err(Lacks::Message) => {}
        }
        lane.state.borrow_mut().starved();
        // What was ready may have gone back to its line, because its run was paused: another's rows take its place.
        owner.advance(lane);
        lane.bell.notified().await;
    }
}

/// A message whose server was waited for long enough. Only where its last octets may have left is it in doubt; else its row
/// stands where it stood.
fn broken_off(owner: &Rc<Owner>, lane: &Rc<Lane>, job: Job, started: bool, session: u64) {
    if started {
        return settle(owner, lane, job, of_stop(), session);
    }
    lane.group.unanswered(owner.deps.clock.now());
    owner.let_go(&job);
}

fn settle(owner: &Rc<Owner>, lane: &Rc<Lane>, mut job: Job, verdict: Verdict, session: u64) {
    if verdict.scope != Scope::Pace {
        // Whatever came of it, the provider has seen it.
        job.ticket.take().into_iter().for_each(Ticket::spend);
    }
    let suspends = verdict.scope == Scope::Site;
    owner.deps.metrics.providers.attempt(job.route.name(), verdict.fate.word());
    let via = Via { provider: job.route.provider.0, host: job.route.name(), session: Some(session) };
    heard(owner, lane, &verdict);
    match verdict.scope {
        // All of us are refused: the row has lost nothing but its place.
        Scope::Pace => job.run.settle.hold(job.row, &verdict, lane.group.held_until(owner.deps.clock.now()), via),
        _ => job.run.settle.settle(job.row, &verdict, via),
    }
    owner.settled(lane);
    owner.admit(&lane.group);
    if suspends {
        owner.suspend(lane, verdict);
    }
}

/// What a verdict says of the provider's pace.
fn heard(owner: &Owner, lane: &Lane, verdict: &Verdict) {
    let now = owner.deps.clock.now();
    match verdict.code {
        Some(_) if verdict.scope == Scope::Pace => {
            lane.group.refused(Refusal::Rate, now);
            owner.deps.metrics.providers.refused(lane.route.borrow().name(), "rate");
        }
        Some(_) => lane.group.accepted(now),
        None => lane.group.unanswered(now),
    }
}

/// No session could be opened. A site that says that there are too many gives its group a smaller window. Else, while others of
/// the lane are open or still opening, it is left with those; the last to fail knows that nobody gets through.
fn refused(owner: &Rc<Owner>, lane: &Rc<Lane>, verdict: Verdict, avoided_tls: bool) {
    let now = owner.deps.clock.now();
    let mut state = lane.state.borrow_mut();
    if lane.route.borrow().demand.level() == Level::Opportunistic && verdict.is_tls() && !avoided_tls {
        return state.go_without_tls(now);
    }
    let others = state.sessions - 1;
    if verdict.code == Some(421) && lane.group.sessions() > 1 {
        lane.group.refused(Refusal::Connection, now);
        return owner.deps.metrics.providers.refused(lane.route.borrow().name(), "connection");
    }
    if others > 0 {
        state.session_cap = Some((others, now.after(CAP_HOLDS)));
        return;
    }
    state.session_cap = None;
    drop(state);
    // One site of many says nothing of its provider, nor does what a domain demands of TLS: others there demand less.
    if lane.group.sessions() == 1 && !verdict.is_tls() {
        lane.group.failed(now);
    }
    owner.suspend(lane, verdict);
}
