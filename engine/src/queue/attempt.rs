//! Opening a session: hosts and addresses in order, what each must prove, and what falls short.

use super::lane::Lane;
use super::opened::Opened;
use super::owner::Owner;
use super::reporting::{self, Between};
use crate::condition::Condition;
use crate::mail::{Level, TlsFault, Tlsa};
use crate::resolve::{MxHost, NoAddress, Security};
use crate::route::Route;
use crate::smtp::{Fate, Policy, Scope, Session, Target, Timeouts, Verdict};
use crate::smtp::{of_address, of_machine, of_tls};
use crate::standing::Subject;
use std::net::SocketAddr;
use std::sync::Arc;

/// Addresses that one session tries: a domain with a hundred dead hosts must not hold one for an hour.
const MOST_ADDRESSES: usize = 10;

/// Tries the site's hosts and their addresses in order, until one takes a session; what took none a short while ago goes
/// last. If none does, the mildest refusal counts: rows end only where every host of the site says so. Where our own machine
/// is at its end, nothing else is tried.
pub(super) async fn open(owner: &Owner, lane: &Lane, avoid_tls: bool) -> Result<(Opened, Between), Verdict> {
    let route = lane.route.borrow().clone();
    let mut attempt = Attempt { owner, lane, route, avoid_tls, left: MOST_ADDRESSES, refusal: None };
    let mut troubled = Vec::new();
    for host in lane.hosts() {
        let (ill, well): (Vec<_>, _) =
            attempt.places(&host).await.into_iter().partition(|place| attempt.is_troubled(place));
        troubled.extend(ill);
        for place in well {
            if let Some(opened) = attempt.at(&place).await {
                return Ok((opened, place));
            }
        }
    }
    for place in troubled {
        if let Some(opened) = attempt.at(&place).await {
            return Ok((opened, place));
        }
    }
    Err(attempt.refusal.expect("a route has at least one host, and each has an address or a reason why not"))
}

/// An attempt to open a session, at one address after the other.
struct Attempt<'a> {
    owner: &'a Owner,
    lane: &'a Lane,
    route: Arc<Route>,
    avoid_tls: bool,
    /// Addresses that may still be tried.
    left: usize,
    refusal: Option<Verdict>,
}

impl Attempt<'_> {
    /// Where `host` is, as far as our source can go there.
    async fn places(&mut self, host: &MxHost) -> Vec<Between> {
        // No address helps a host whose name will not do, whatever it proves.
        if let Some(fault) = self.route.demand.excludes(&host.name, self.route.mx_trust, true) {
            self.fell_short((host, None), &Tlsa::Absent, of_tls(fault), fault);
            return Vec::new();
        }
        let addresses = match self.owner.deps.resolver.addresses(host).await {
            Ok(addresses) => addresses,
            Err(trouble) => {
                tracing::debug!(host = host.shown(), why = trouble.label(), "no address");
                if self.is_ours(trouble) {
                    self.refused(of_machine(trouble.label()));
                    return Vec::new();
                }
                if trouble == NoAddress::Bogus {
                    reporting::bogus(self.owner, self.lane, host);
                }
                // A smarthost that can't be found is our mistake, and no row pays for it.
                let waits = trouble.is_transient() || self.route.access.relays;
                self.refused(of_address(trouble.label(), waits));
                return Vec::new();
            }
        };
        let Some(tlsa) = self.tlsa(host, addresses.security).await else { return Vec::new() };
        let place = |address: SocketAddr| {
            let from = self.lane.source.towards(address.ip()).ok()?;
            Some(Between { host: host.clone(), address, from, tlsa: tlsa.clone() })
        };
        let places: Vec<_> = addresses.at.into_iter().filter_map(place).collect();
        if places.is_empty() {
            self.refused(of_address("no_source_address", true));
        }
        places
    }

    async fn at(&mut self, place: &Between) -> Option<Opened> {
        self.left = self.left.checked_sub(1)?;
        let limits = &self.owner.deps.limits;
        let timeouts = Timeouts { connect: limits.connect_timeout, command: limits.command_timeout };
        let policy = self.policy(place);
        let target = Target { address: place.address, host: &place.host.name, from: place.from };
        let (connector, metrics) = (&self.owner.deps.connector, self.owner.deps.metrics.clone());
        let dial = &*self.owner.deps.dial;
        match Session::open(dial, target, &policy, connector, timeouts, metrics).await {
            Ok(session) => {
                if let Some(proof) = session.proof().filter(|proof| proof.is_encrypted()) {
                    self.owner.deps.standing.shown(&place.host.name, proof.evidence(), self.owner.deps.clock.now());
                }
                self.owner.deps.standing.usable(&self.route.domain);
                let (source, now) = (&self.lane.source.name, self.owner.deps.clock.now());
                Some(Opened::new(session, target, source, self.route.mx_trust, now))
            }
            Err(verdict) => {
                tracing::debug!(host = place.host.shown(), why = verdict.why(), "no session");
                self.owner.deps.metrics.no_session(verdict.reason);
                if verdict.scope == Scope::Machine {
                    self.refused(verdict);
                    return None;
                }
                self.lane.state.borrow_mut().trouble(place.address, self.owner.deps.clock.now());
                match verdict.tls_fault() {
                    Some(fault) => self.fell_short((&place.host, Some(place)), &place.tlsa, verdict, fault),
                    None => self.refused(verdict),
                }
                None
            }
        }
    }

    fn policy(&self, place: &Between) -> Policy {
        let demand = self.route.demand.raise(&place.tlsa.demand());
        Policy {
            ehlo: self.lane.source.ehlo.clone(),
            // TLS that failed is not tried again where none is demanded; TLSA records demand it of their host.
            avoid_tls: self.avoid_tls && demand.level() == Level::Opportunistic,
            demand,
            tlsa: place.tlsa.clone(),
            mx_trust: self.route.mx_trust,
            looked_at: reporting::looks(self.owner, &self.route),
            careful: self.lane.state.borrow().is_careful(self.owner.deps.clock.now()),
            access: self.route.access.clone(),
            replies: self.route.shape.replies.clone(),
        }
    }

    /// What the host's TLSA records say; `None` where it can't be used. They are asked for only where the addresses are signed:
    /// elsewhere nothing would vouch for them, and asking breaks with some servers (RFC 7672 section 2.2.2).
    async fn tlsa(&mut self, host: &MxHost, security: Security) -> Option<Tlsa> {
        if security == Security::Insecure {
            return Some(Tlsa::Absent);
        }
        let tlsa = match self.owner.deps.resolver.tlsa(host).await {
            Ok(records) => Tlsa::of(records),
            Err(trouble) => {
                tracing::debug!(host = host.shown(), why = trouble.label(), "no TLSA answer");
                let ours = self.is_ours(trouble);
                if trouble == NoAddress::Bogus && !ours {
                    reporting::bogus(self.owner, self.lane, host);
                }
                // Nothing else proves this host (RFC 7672 section 2.1.2): it waits.
                self.refused(if ours { of_machine(trouble.label()) } else { of_address("tlsa_unknown", true) });
                return None;
            }
        };
        let dane = matches!(tlsa, Tlsa::Usable(_));
        if let Some(fault) = self.route.demand.excludes(&host.name, self.route.mx_trust, dane) {
            self.fell_short((host, None), &tlsa, of_tls(fault), fault);
            return None;
        }
        Some(tlsa)
    }

    /// A host can't do what is demanded. Where that is confirmed, and the run is exclusive, its rows are dropped.
    fn fell_short(&mut self, (host, at): (&MxHost, Option<&Between>), tlsa: &Tlsa, verdict: Verdict, fault: TlsFault) {
        reporting::fell_short(self.owner, self.lane, host, at, tlsa, fault);
        let subject = Subject::of(fault, &host.name, &self.route.domain);
        let now = self.owner.deps.clock.now();
        let promised = self.route.word.promises_tls() || *tlsa != Tlsa::Absent;
        let exclusive = self.lane.is_exclusive() && self.route.word.confirms(fault);
        let (fate, fault) = self.owner.deps.standing.judge(subject, fault, promised, exclusive, now);
        self.refused(verdict.judged(fate, fault));
    }

    /// Whether nobody else's servers are why a host has no address.
    fn is_ours(&self, trouble: NoAddress) -> bool {
        let dns_is_gone = || self.owner.deps.conditions.holds(Condition::Dns);
        let unanswered = matches!(trouble, NoAddress::Failed | NoAddress::Bogus);
        trouble == NoAddress::Exhausted || (unanswered && dns_is_gone())
    }

    fn is_troubled(&self, place: &Between) -> bool {
        self.lane.state.borrow().is_troubled(place.address, self.owner.deps.clock.now())
    }

    fn refused(&mut self, verdict: Verdict) {
        if verdict.scope == Scope::Machine {
            self.left = 0;
        }
        self.refusal = Some(milder(self.refusal.take(), verdict));
    }
}

/// Of two refusals the one that leaves a row more of a chance, and then the one of a host that was reached; of equal ones
/// the first, which the better host gave. What our own machine is to blame for is no refusal at all.
fn milder(first: Option<Verdict>, second: Verdict) -> Verdict {
    let chance = |verdict: &Verdict| match verdict.fate {
        Fate::Deferred => 2,
        Fate::Dropped => 1,
        _ => 0,
    };
    match first {
        _ if second.scope == Scope::Machine => second,
        Some(first) if first.scope == Scope::Machine => first,
        Some(first) if chance(&first) >= chance(&second) => first,
        _ => second,
    }
}
