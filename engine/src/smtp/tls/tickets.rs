//! Sessions that can be resumed (RFC 8446 section 2.2), each only where it proves what a whole handshake would prove again.

use super::verifier::proven_by;
use crate::mail::{MxTrust, Peer, TlsaRecord};
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

/// What a ticket is good for. What changes in it (a policy's demand, the TLSA records) makes another key, so that tickets of
/// before are never found again; roots change with the process, which takes its tickets with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Purpose {
    pub(super) host: String,
    pub(super) asked: Asked,
    pub(super) mx_trust: MxTrust,
    /// Whether our own certificate was shown.
    pub(super) identified: bool,
}

/// What the peer was asked to prove.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    /// Nothing.
    Any,
    /// Its name, to a root.
    Pkix,
    /// What these records say.
    Dane(Arc<[TlsaRecord]>),
}

/// How long a ticket is believed, whatever the server says: the roots, the dates and the records are looked at daily.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Purposes remembered. A big campaign has tens of thousands of hosts, of which most get a session or two.
const MOST_PURPOSES: usize = 4096;
/// Tickets of one purpose: servers give two a session, and a provider has a few sessions.
const MOST_TICKETS: usize = 8;

/// How to connect for one purpose, and the tickets that came of it.
pub(super) struct Ways {
    pub(super) config: Arc<ClientConfig>,
    pub(super) asked: Asked,
    pub(super) tickets: Arc<Tickets>,
}

impl Ways {
    /// How a peer that got through with `certificate`, in this session or in the one that it goes on from, has proven its name.
    pub(super) fn peer(&self, certificate: &CertificateDer<'_>) -> Option<Peer> {
        match &self.asked {
            Asked::Any => None,
            Asked::Pkix => Some(Peer::Pkix),
            Asked::Dane(records) => Some(proven_by(records, certificate)),
        }
    }
}

/// All of them, the most recently used kept.
#[derive(Default)]
pub(super) struct Purposes(Mutex<HashMap<Purpose, (Arc<Ways>, Instant)>>);

impl Purposes {
    /// The ways for `purpose`, made by `make` where there are none.
    pub(super) fn of(&self, purpose: Purpose, make: impl FnOnce(&Purpose) -> Ways) -> Arc<Ways> {
        let mut known = self.0.lock().expect("no holder panics");
        let now = Instant::now();
        if let Some((ways, used)) = known.get_mut(&purpose) {
            *used = now;
            return ways.clone();
        }
        if known.len() >= MOST_PURPOSES {
            forget_older_half(&mut known);
        }
        let ways = Arc::new(make(&purpose));
        known.insert(purpose, (ways.clone(), now));
        ways
    }
}

fn forget_older_half(known: &mut HashMap<Purpose, (Arc<Ways>, Instant)>) {
    let mut times: Vec<_> = known.values().map(|(_, used)| *used).collect();
    times.sort_unstable();
    let middle = times[times.len() / 2];
    known.retain(|_, (_, used)| *used > middle);
}

/// Tickets of one purpose.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    group: Option<NamedGroup>,
    tls12: Option<(Tls12ClientSessionValue, Instant)>,
    tls13: VecDeque<(Tls13ClientSessionValue, Instant)>,
    /// When the first of the certificates that they stand for ends.
    until: Option<SystemTime>,
}

impl Tickets {
    /// A whole handshake was done with a certificate that ends then. Of the machines behind one name each may have another, and a
    /// ticket does not say whose it is: all of them end with the first.
    pub(super) fn end_by(&self, end: SystemTime) {
        let mut kept = self.kept();
        if kept.until.is_some_and(|until| until <= SystemTime::now()) {
            (kept.tls12, kept.until) = (None, None);
            kept.tls13.clear();
        }
        kept.until = Some(kept.until.map_or(end, |until| until.min(end)));
    }

    #[cfg(test)]
    pub(super) fn until(&self) -> Option<SystemTime> {
        self.kept().until
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no holder panics")
    }
}

impl Kept {
    fn is_good(&self, since: Instant) -> bool {
        since.elapsed() < LIFETIME && self.until.is_none_or(|until| SystemTime::now() < until)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.kept().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept().tls12 = Some((value, Instant::now()));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let kept = self.kept();
        let (value, since) = kept.tls12.as_ref()?;
        kept.is_good(*since).then(|| value.clone())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.kept().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut kept = self.kept();
        if kept.tls13.len() == MOST_TICKETS {
            kept.tls13.pop_front();
        }
        kept.tls13.push_back((value, Instant::now()));
    }

    /// Each is given once (RFC 8446 appendix C.4), the newest first.
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.kept();
        let (value, since) = kept.tls13.pop_back()?;
        if kept.is_good(since) {
            return Some(value);
        }
        kept.tls13.clear();
        None
    }
}
