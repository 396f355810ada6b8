//! The life of one session: open it, send ready messages over it, close it.

use super::Job;
use super::lane::Lane;
use super::shard::{Owner, Stop};
use crate::mail::{Level, Message};
use crate::smtp::{Fate, Scope, Session, Timeouts, Verdict};
use std::rc::Rc;

/// Holds a session for `lane` until it has nothing more to do.
pub(super) async fn hold(owner: Rc<Owner>, lane: Rc<Lane>) {
    match open(&owner, &lane).await {
        Ok(session) => {
            {
                let mut state = lane.state.borrow_mut();
                state.established += 1;
                state.failures = 0;
            }
            serve(&owner, &lane, session).await;
            lane.state.borrow_mut().established -= 1;
        }
        Err(verdict) => refused(&owner, &lane, verdict),
    }
    lane.state.borrow_mut().sessions -= 1;
    owner.hung_up();
    owner.advance(&lane);
}

/// Tries the site's hosts and their addresses in order, until one takes a session.
async fn open(owner: &Owner, lane: &Lane) -> Result<Session, Verdict> {
    let limits = &owner.deps.limits;
    let timeouts = Timeouts { connect: limits.connect_timeout, command: limits.command_timeout };
    let mut first_refusal = None;
    for host in &lane.route.hosts {
        for address in &host.addresses {
            let mut policy = lane.policy.clone();
            policy.avoid_tls = lane.state.borrow().avoid_tls;
            match Session::open(*address, &host.name, policy, &owner.deps.connector, timeouts).await {
                Ok(session) => return Ok(session),
                Err(verdict) => {
                    tracing::debug!(host = host.name, ?verdict, "no session");
                    first_refusal.get_or_insert(verdict);
                }
            }
        }
    }
    Err(first_refusal.expect("a route has at least one host with an address"))
}

/// Sends ready messages until there are none for a while, the session breaks, or it has had its share.
async fn serve(owner: &Rc<Owner>, lane: &Rc<Lane>, mut session: Session) {
    let mut stop = owner.deps.stop.clone();
    for _ in 0..owner.deps.limits.messages_per_connection {
        let next = tokio::select! {
            next = next_ready(lane) => Some(next),
            () = session.disturbed() => return,
            () = tokio::time::sleep(owner.deps.limits.idle_timeout) => None,
            _ = stop.wait_for(|stop| *stop == Stop::Gracefully) => None,
        };
        let Some((job, message)) = next else { break };
        if !session.proof().is_some_and(|proof| proof.satisfies(job.route.demand)) {
            // Lanes are keyed by demand, so this does not happen; if it does, the message waits for a better session.
            lane.state.borrow_mut().ready.push_front((job, message));
            break;
        }
        lane.state.borrow_mut().busy += 1;
        owner.advance(lane);
        let envelope = job.run.press.envelope(&job.row, message.octets().len());
        let started = || job.run.settle.started(job.row.ordinal);
        let (verdict, goes_on) = session.send(&envelope, job.route.demand, message.octets(), started).await;
        settle(owner, lane, job, verdict);
        lane.state.borrow_mut().busy -= 1;
        if !goes_on {
            return;
        }
    }
    session.quit().await;
}

async fn next_ready(lane: &Lane) -> (Job, Message) {
    loop {
        if let Some(ready) = lane.state.borrow_mut().ready.pop_front() {
            return ready;
        }
        lane.bell.notified().await;
    }
}

fn settle(owner: &Rc<Owner>, lane: &Rc<Lane>, job: Job, verdict: Verdict) {
    let suspends = verdict.scope == Scope::Site;
    job.run.settle.settle(job.row, &verdict);
    owner.settled();
    if suspends {
        owner.suspend(lane, verdict);
    }
}

/// No session could be opened. If others are open, the site only takes no more of them; else nobody gets through.
fn refused(owner: &Rc<Owner>, lane: &Rc<Lane>, verdict: Verdict) {
    let established = lane.state.borrow().established;
    if established > 0 && verdict.fate == Fate::Deferred {
        lane.state.borrow_mut().most_sessions = Some(established);
        return;
    }
    if lane.policy.demand.level() == Level::Opportunistic && verdict.is_tls() && !lane.state.borrow().avoid_tls {
        lane.state.borrow_mut().avoid_tls = true;
        return;
    }
    owner.suspend(lane, verdict);
}
