//! The rows of one provider that make one demand, and the sessions that serve them.

use super::Job;
use crate::clock::Timestamp;
use crate::mail::Message;
use crate::route::Route;
use crate::smtp::{Policy, Verdict};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// One lane. All its fields belong to its shard's thread.
pub(super) struct Lane {
    pub(super) route: Arc<Route>,
    pub(super) policy: Policy,
    pub(super) state: RefCell<State>,
    /// Rung when a message is ready or the lane winds down.
    pub(super) bell: Notify,
}

/// What changes.
#[derive(Default)]
pub(super) struct State {
    pub(super) backlog: VecDeque<Job>,
    pub(super) ready: VecDeque<(Job, Message)>,
    /// Jobs on rayon.
    pub(super) rendering: usize,
    /// Sessions from connect to close.
    pub(super) sessions: usize,
    /// Sessions with a message on the wire.
    pub(super) busy: usize,
    /// How many sessions the site lets us have, once it refused one more, and until when we believe it.
    pub(super) session_cap: Option<(usize, Timestamp)>,
    /// Suspensions in a row.
    pub(super) failures: u32,
    /// Why nothing is sent, and until when.
    pub(super) suspended: Option<(Verdict, Timestamp)>,
    /// The handshake failed and TLS is not demanded: don't try again.
    pub(super) avoid_tls: bool,
}

impl Lane {
    pub(super) fn new(route: Arc<Route>, policy: Policy) -> Lane {
        Lane { route, policy, state: RefCell::default(), bell: Notify::new() }
    }
}

impl State {
    /// Why nothing may be sent at `now`; a suspension whose time has come is lifted.
    pub(super) fn suspension(&mut self, now: Timestamp) -> Option<(Verdict, Timestamp)> {
        if self.suspended.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.suspended = None;
        }
        self.suspended.clone()
    }

    /// How many sessions the site is believed to take at `now`.
    pub(super) fn most_sessions(&self, now: Timestamp) -> usize {
        match self.session_cap {
            Some((most, until)) if now < until => most,
            _ => usize::MAX,
        }
    }

    /// Whether no row waits here or is being rendered.
    pub(super) fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.ready.is_empty() && self.rendering == 0
    }

    /// Every job that is not on a wire or on rayon.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let ready = self.ready.drain(..).map(|(job, _)| job);
        ready.chain(self.backlog.drain(..)).collect()
    }
}
