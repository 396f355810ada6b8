//! A message whose transaction is opened while the one before it has yet to be settled. Until then it stays its lane's, as one
//! that is ready: a suspension, a pause or a cancellation finds it there, and whatever the session meets, it has cost nothing.

use super::Job;
use super::group::Turn;
use super::lane::Lane;
use super::owner::Owner;
use super::shard::Stop;
use crate::clock::Timestamp;
use crate::mail::Message;
use crate::smtp::{Envelope, Leaving};
use std::rc::Rc;

/// A message that has its session, and what is said of it before its content.
pub(super) struct Letter {
    pub(super) job: Job,
    pub(super) message: Message,
    pub(super) envelope: Envelope,
}

impl Letter {
    pub(super) fn new(job: Job, message: Message) -> Letter {
        let envelope = job.run.press.envelope(&job.row, message.octets().len());
        Letter { job, message, envelope }
    }
}

/// One that is open ahead. If it is dropped it is ready again.
pub(super) struct Ahead {
    lane: Rc<Lane>,
    turn: u64,
    opened: Timestamp,
    envelope: Option<Envelope>,
}

impl Ahead {
    /// Opens the next ready message of `lane`, if there is one that may go on, with the end of the one that leaves.
    pub(super) fn open(owner: &Owner, lane: &Rc<Lane>, leaving: &mut Leaving<'_>) -> Option<Ahead> {
        if !may_begin(owner, lane) {
            return None;
        }
        let (job, message) = next_ready(owner, lane, Turn::NotHad).ok()?;
        let letter = Letter::new(job, message);
        leaving.open_ahead(&letter.envelope, &letter.job.route.demand);
        let Letter { job, message, envelope } = letter;
        let turn = job.turn;
        lane.state.borrow_mut().open_ahead(job, message);
        Some(Ahead { lane: lane.clone(), turn, opened: owner.deps.clock.now(), envelope: Some(envelope) })
    }

    /// The message, now that the one before it is settled, if it may still be sent.
    pub(super) fn claim(mut self, owner: &Owner) -> Option<Letter> {
        if !may_begin(owner, &self.lane) || self.is_held(owner) {
            return None;
        }
        let (job, message) = self.lane.state.borrow_mut().claim(self.turn)?;
        let (job, message) = if_it_goes_on(owner, &self.lane, job, message)?;
        leaves_ready(owner, &message);
        Some(Letter { job, message, envelope: self.envelope.take()? })
    }
}

impl Ahead {
    /// Whether the message before it has taught us to wait.
    fn is_held(&self, owner: &Owner) -> bool {
        let now = owner.deps.clock.now();
        self.lane.group.held_until(now) > now
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if self.envelope.is_some() {
            // Its MAIL is on the wire: the token is spent.
            self.lane.group.unanswered(self.opened);
        }
        let mut state = self.lane.state.borrow_mut();
        if let Some((job, message)) = state.claim(self.turn) {
            state.add_ready(job, message);
            self.lane.bell.notify_one();
        }
    }
}

/// Why nothing can be begun.
pub(super) enum Lacks {
    /// Messages are there, but no token, or others wait for it.
    Token,
    Message,
}

/// The first ready message of a run that goes on, for a session that sends it now; its token is spent.
pub(super) fn take_ready(owner: &Owner, lane: &Lane, turn: Turn) -> Result<Letter, Lacks> {
    let (job, message) = next_ready(owner, lane, turn)?;
    leaves_ready(owner, &message);
    Ok(Letter::new(job, message))
}

/// A message that was begun in vain: the server has not said a word of it.
pub(super) fn give_back(owner: &Owner, lane: &Lane, letter: Letter) {
    let Letter { job, message, .. } = letter;
    if *owner.deps.stop.borrow() != Stop::No || job.leaves() {
        return owner.let_go(&job);
    }
    owner.gauges.ready.inc();
    owner.ready_octets.set(owner.ready_octets.get() + message.octets().len());
    lane.state.borrow_mut().add_ready(job, message);
    lane.bell.notify_one();
}

/// Whether another message may be begun in `lane`.
pub(super) fn may_begin(owner: &Owner, lane: &Lane) -> bool {
    *owner.deps.stop.borrow() == Stop::No && owner.may_send(lane)
}

/// The first of a run that goes on, its token spent; it still counts as ready.
fn next_ready(owner: &Owner, lane: &Lane, turn: Turn) -> Result<(Job, Message), Lacks> {
    if lane.state.borrow().ready.is_empty() {
        return Err(Lacks::Message);
    }
    let now = owner.deps.clock.now();
    if !lane.group.take(turn, now) {
        return Err(Lacks::Token);
    }
    loop {
        let Some((job, message)) = lane.state.borrow_mut().ready.pop_front() else { break };
        if let Some((job, message)) = if_it_goes_on(owner, lane, job, message) {
            return Ok((job, message));
        }
    }
    lane.group.give_back(now);
    Err(Lacks::Message)
}

/// A ready message, unless its run is paused, or it was made yesterday and today's allowance is used, and it goes back to its
/// line; or its run leaves, and it is let go.
fn if_it_goes_on(owner: &Owner, lane: &Lane, mut job: Job, message: Message) -> Option<(Job, Message)> {
    let now = owner.deps.clock.now();
    if job.goes_on() && job.ticket.as_mut().is_none_or(|ticket| ticket.holds(now)) {
        return Some((job, message));
    }
    leaves_ready(owner, &message);
    if job.leaves() {
        owner.let_go(&job);
    } else {
        lane.put_back(job);
        owner.gauges.backlog.inc();
    }
    None
}

fn leaves_ready(owner: &Owner, message: &Message) {
    owner.gauges.ready.dec();
    owner.left_ready(message.octets().len());
}
