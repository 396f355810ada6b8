//! What sessions say to domains that ask for TLS reports. Without `[tls.reports]` there is no book, and nothing is done here.
//!
//! A session that came up counts for each domain of which it carried a message, and for the newest of its lane where it carried
//! none; one that didn't, counts for each domain of which a message waits for it in memory. A smarthost is no domain's host.

use super::lane::Lane;
use super::owner::Owner;
use crate::mail::{TlsFault, Tlsa};
use crate::resolve::MxHost;
use crate::route::Route;
use crate::smtp::{Proof, Session};
use crate::sts::{Mode, Standing};
use crate::tlsrpt::{Ending, Meeting, Records};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Between whom a session is.
pub(super) struct Between {
    pub(super) host: MxHost,
    pub(super) address: SocketAddr,
    pub(super) from: Option<IpAddr>,
    pub(super) tlsa: Tlsa,
}

/// Routes of the domains that a session is for, each domain once.
#[derive(Default)]
pub(super) struct Carried(Vec<Arc<Route>>);

/// Domains that one session counts for, and rows that are looked at for them: a session carries a thousand messages at most.
const MOST: usize = 1000;

impl Carried {
    /// A message for `domain` goes by `route`. One that was read back from the store goes by its lane's, which may be another
    /// domain's: it is passed over.
    pub(super) fn note(&mut self, domain: &str, route: &Arc<Route>) {
        let new =
            *domain == *route.domain && self.0.len() < MOST && self.0.iter().all(|known| known.domain != route.domain);
        if new {
            self.0.push(route.clone());
        }
    }
}

/// Whether a certificate that nobody demands is looked at: the policy is in `testing`, and somebody may want to hear of it.
pub(super) fn looks(owner: &Owner, route: &Route) -> bool {
    let testing =
        |standing: &Standing| matches!(standing, Standing::Policy(known) if known.policy().mode() == Mode::Testing);
    owner.deps.reports.is_some() && testing(&route.standing)
}

/// How a session that is open will count; `None` where it is none that can be reported on.
pub(super) fn meeting(owner: &Owner, lane: &Lane, between: &Between, session: &Session) -> Option<Meeting> {
    // One that avoids TLS stands for an earlier one, in which TLS failed.
    if owner.deps.reports.is_none() || lane.state.borrow().avoids_tls(owner.deps.clock.now()) {
        return None;
    }
    let encrypted = session.proof().is_some_and(Proof::is_encrypted);
    let ending = if encrypted { Ending::Encrypted(session.blemish()) } else { Ending::Clear };
    Some(of(between, Records::Known(between.tlsa.clone()), ending))
}

/// A session has ended.
pub(super) fn ended(owner: &Owner, lane: &Lane, meeting: Option<Meeting>, carried: Carried) {
    let Some(meeting) = meeting else { return };
    let mut routes = carried.0;
    if routes.is_empty() {
        routes.push(lane.route.borrow().clone());
    }
    routes.iter().for_each(|route| note(owner, route, &meeting));
}

/// TLS with `host` fell short, at this address if it came to a connection.
pub(super) fn fell_short(
    owner: &Owner,
    lane: &Lane,
    host: &MxHost,
    at: Option<&Between>,
    tlsa: &Tlsa,
    fault: TlsFault,
) {
    let (records, ending) = (Records::Known(tlsa.clone()), Ending::FellShort(fault));
    failed(
        owner,
        lane,
        match at {
            Some(between) => of(between, records, ending),
            None => nowhere(host, records, ending),
        },
    );
}

/// Nothing vouches for what the DNS says of `host`.
pub(super) fn bogus(owner: &Owner, lane: &Lane, host: &MxHost) {
    failed(owner, lane, nowhere(host, Records::Bogus, Ending::Bogus));
}

fn failed(owner: &Owner, lane: &Lane, meeting: Meeting) {
    if owner.deps.reports.is_none() {
        return;
    }
    let mut waiting = Carried::default();
    let newest = lane.route.borrow().clone();
    waiting.note(&newest.domain, &newest);
    lane.state.borrow().each_route(MOST, |domain, route| waiting.note(domain, route));
    waiting.0.iter().for_each(|route| note(owner, route, &meeting));
}

fn note(owner: &Owner, route: &Route, meeting: &Meeting) {
    if let Some(book) = owner.deps.reports.as_ref().filter(|_| !route.access.relays) {
        book.note(&route.domain, &route.standing, meeting);
    }
}

fn of(between: &Between, tlsa: Records, ending: Ending) -> Meeting {
    let Between { host, address, from, .. } = between;
    Meeting { receiving_ip: Some(address.ip()), sending_ip: *from, ..nowhere(host, tlsa, ending) }
}

fn nowhere(host: &MxHost, tlsa: Records, ending: Ending) -> Meeting {
    Meeting { host: host.name.clone(), receiving_ip: None, sending_ip: None, tlsa, ending }
}
