//! The rows of one provider that make one demand, and the sessions that serve them.

use super::Job;
use crate::clock::Timestamp;
use crate::mail::{Level, Message};
use crate::resolve::MxHost;
use crate::route::{ProviderId, Route};
use crate::smtp::{Policy, Source, Verdict};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a pooled connection serves: a provider, from one of our sources, what is demanded there, and whether it is exclusive.
/// Credentials belong to the provider, since a smarthost is a site of its own.
pub(super) type LaneKey = (ProviderId, Arc<str>, Level, bool);

/// One lane. All its fields belong to its shard's thread.
pub(super) struct Lane {
    pub(super) key: LaneKey,
    /// The newest that a row brought: hosts and their order are the same in all.
    pub(super) route: RefCell<Arc<Route>>,
    pub(super) source: Arc<Source>,
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
    /// Sessions begun so far: hosts of one preference take turns by it.
    begun: usize,
    /// Addresses that took no connection, and until when others go first.
    troubled: HashMap<SocketAddr, Timestamp>,
}

/// How long an address that took no connection goes last.
const TROUBLE_HOLDS: Duration = Duration::from_secs(60);

impl Lane {
    /// A lane whose first session begins at the `turn`-th of equal hosts.
    pub(super) fn new(key: LaneKey, route: Arc<Route>, source: Arc<Source>, policy: Policy, turn: usize) -> Lane {
        let state = RefCell::new(State { begun: turn, ..State::default() });
        Lane { key, route: RefCell::new(route), source, policy, state, bell: Notify::new() }
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

    /// Whether a connection to `address` failed a short while ago.
    pub(super) fn is_troubled(&self, address: SocketAddr, now: Timestamp) -> bool {
        self.troubled.get(&address).is_some_and(|until| now < *until)
    }

    /// A connection to `address` failed.
    pub(super) fn trouble(&mut self, address: SocketAddr, now: Timestamp) {
        self.troubled.retain(|_, until| now < *until);
        self.troubled.insert(address, now.after(TROUBLE_HOLDS));
    }

    /// Whether no row waits here or is being rendered.
    pub(super) fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.ready.is_empty() && self.rendering == 0
    }

    /// Whether nothing is here and nothing was learned that a new lane would have to learn again.
    pub(super) fn is_forgettable(&self, now: Timestamp) -> bool {
        let idle = self.is_empty() && self.sessions == 0;
        let nothing_learned = self.failures == 0 && self.suspended.is_none() && !self.avoid_tls;
        idle && nothing_learned
            && self.most_sessions(now) == usize::MAX
            && self.troubled.values().all(|until| *until <= now)
    }

    /// Every job that is not on a wire or on rayon.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let ready = self.ready.drain(..).map(|(job, _)| job);
        ready.chain(self.backlog.drain(..)).collect()
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
}
