//! Decides what a TLS fault means for the rows of an exclusive run, by what the host has shown before; and keeps that.
//!
//! Comes in: proofs and faults of sessions. Goes out: whether the row is dropped. Promise: a row is dropped only where the same
//! peer could not do what is demanded for [`TlsStanding::confirm`] at least, with no success in between; at once only where it has
//! never offered TLS at all.
//!
//! | fault | what the host has shown | what becomes of the row |
//! |---|---|---|
//! | no STARTTLS | never offered TLS | dropped at once: `no_starttls` |
//! | no STARTTLS | offered TLS before, or a policy or TLSA records promise it | deferred, then dropped: `lost_standing` |
//! | certificate, version, policy, TLSA | - | deferred, then dropped by its reason |
//! | somebody in between, our own certificate | - | deferred |
//! | the store can't be read or written | - | deferred |

use crate::clock::Timestamp;
use crate::mail::{Peer, TlsFault, Whose};
use crate::smtp::{Evidence, Fate};
use crate::store::{About, Error, Store};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whom a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An MX host, whatever domain's mail goes there.
    Host(&'a str),
    /// A domain, whose policy or MX records don't vouch for a host.
    Domain(&'a str),
}

impl<'a> Subject<'a> {
    /// Whom `fault` with this host, met on behalf of this domain, is about: another domain's mail goes to the same host.
    pub fn of(fault: TlsFault, host: &'a str, domain: &'a str) -> Subject<'a> {
        if fault.whose() == Whose::Domain { Subject::Domain(domain) } else { Subject::Host(host) }
    }

    fn place(&self) -> (About, &str) {
        match self {
            Subject::Host(name) => (About::Host, name),
            Subject::Domain(name) => (About::Domain, name),
        }
    }
}

/// What a host or domain has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// When TLS last came up.
    pub tls: Option<Timestamp>,
    /// The version that it had then.
    #[serde(default)]
    pub version: String,
    /// When the peer last proved its name, and how.
    pub proven: Option<(Timestamp, Peer)>,
    /// What stands in the way now.
    pub fault: Option<Fault>,
    /// What others have to mend, and was seen before it.
    #[serde(default)]
    beside: Vec<Fault>,
}

/// A fault that no success has followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its label.
    pub label: String,
    /// Who has to mend it: how long one has lasted says nothing of another's.
    #[serde(default)]
    whose: Whose,
    /// When it was first seen.
    pub since: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
}

/// What becomes of rows, and the fault by its right name.
pub type Judgement = (Fate, TlsFault);

/// What hosts have shown, kept in the store.
pub struct TlsStanding {
    store: Arc<Store>,
    confirm: Duration,
    /// One at a time reads, changes and writes a record.
    turn: Mutex<()>,
}

/// How often a success that changes nothing is written down.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// A fault that nobody has looked at for so long is a new one when it is seen again.
const STALE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

impl TlsStanding {
    /// TlsStanding kept in `store`; a fault is confirmed when it was seen again after `confirm`.
    pub fn new(store: Arc<Store>, confirm: Duration) -> TlsStanding {
        TlsStanding { store, confirm, turn: Mutex::default() }
    }

    /// TLS came up with the host.
    pub fn shown(&self, host: &str, evidence: &Evidence, now: Timestamp) {
        let _turn = self.turn.lock().expect("no holder panics");
        let Ok(before) = self.read(Subject::Host(host)) else { return };
        let after = before.clone().after(evidence, now);
        let unmended = before.fault == after.fault && before.beside == after.beside;
        let same = unmended && before.version == after.version;
        let fresh = before.tls.is_some_and(|tls| now.since(tls) < AGAIN_AFTER);
        let proven = before.proven.is_some() || after.proven.is_none();
        if !(same && fresh && proven) {
            self.write(Subject::Host(host), &after).ok();
        }
    }

    /// A host that the domain vouches for took its session: what stood in the domain's way is over.
    pub fn usable(&self, domain: &str) {
        let _turn = self.turn.lock().expect("no holder panics");
        let subject = Subject::Domain(domain);
        if self.read(subject).is_ok_and(|shown| shown.fault.is_some()) {
            self.store.forget_shown(About::Domain, domain).ok();
        }
    }

    /// `fault` stands in the way of the subject's mail: what becomes of its rows. `promised`: it was said where nobody could
    /// forge it that there is TLS, by a policy or by TLSA records.
    pub fn judge(
        &self,
        subject: Subject<'_>,
        fault: TlsFault,
        promised: bool,
        exclusive: bool,
        now: Timestamp,
    ) -> Judgement {
        let _turn = self.turn.lock().expect("no holder panics");
        let Ok(mut shown) = self.read(subject) else { return (Fate::Deferred, fault) };
        let fault = match fault {
            TlsFault::NoStartTls if promised || shown.has_offered_tls() => TlsFault::LostStanding,
            fault => fault,
        };
        let since = shown.notice(fault, now);
        // What can't be remembered can't be confirmed either.
        if self.write(subject, &shown).is_err() || !exclusive || !fault.is_the_peers() {
            return (Fate::Deferred, fault);
        }
        let confirmed = fault == TlsFault::NoStartTls || now.since(since) >= self.confirm;
        (if confirmed { Fate::Dropped } else { Fate::Deferred }, fault)
    }

    fn read(&self, subject: Subject<'_>) -> Result<Shown, Error> {
        let (about, name) = subject.place();
        let found = self.store.shown(about, name)?;
        // A record of a later version, or a damaged one, says nothing; what is seen now replaces it.
        Ok(found.and_then(|record| serde_json::from_slice(&record).ok()).unwrap_or_default())
    }

    fn write(&self, subject: Subject<'_>, shown: &Shown) -> Result<(), Error> {
        let (about, name) = subject.place();
        self.store.put_shown(about, name, &serde_json::to_vec(shown).expect("plain values"))
    }
}

impl Shown {
    /// What it is once TLS came up so.
    fn after(self, evidence: &Evidence, now: Timestamp) -> Shown {
        let proven = evidence.peer.map(|peer| (now, peer));
        // A session that asked for no proof says nothing about a certificate that failed another.
        let mended = |fault: &Fault| proven.is_some() || is_about_tls_itself(&fault.label);
        let mut faults = self.fault.into_iter().chain(self.beside).filter(|fault| !mended(fault));
        Shown {
            tls: Some(now),
            version: evidence.version.to_owned(),
            proven: proven.or(self.proven),
            fault: faults.next(),
            beside: faults.collect(),
        }
    }

    /// A fault is seen; since when it is there.
    fn notice(&mut self, fault: TlsFault, now: Timestamp) -> Timestamp {
        let whose = fault.whose();
        let known = self.fault.take().into_iter().chain(self.beside.drain(..));
        let fresh = known.filter(|known| now.since(known.last) < STALE_AFTER);
        let (known, others): (Vec<_>, Vec<_>) = fresh.partition(|known| known.whose == whose);
        // Whatever it is called today: it could not be used all that time.
        let since = known.first().map_or(now, |known| known.since.min(now));
        self.fault = Some(Fault { label: fault.label().to_owned(), whose, since, last: now });
        self.beside = others;
        since
    }

    /// Whether there was TLS, or the host at least said that there was.
    fn has_offered_tls(&self) -> bool {
        let offered = |fault: &Fault| fault.whose != Whose::Domain && fault.label != TlsFault::NoStartTls.label();
        self.tls.is_some() || self.fault.iter().chain(&self.beside).any(offered)
    }
}

fn is_about_tls_itself(label: &str) -> bool {
    [
        TlsFault::NoStartTls,
        TlsFault::LostStanding,
        TlsFault::NoCommonVersion,
        TlsFault::StartTlsRefused,
        TlsFault::HandshakeFailed,
        TlsFault::Injection,
    ]
    .iter()
    .any(|fault| fault.label() == label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::MxTrust;
    use crate::store::Settings;

    const CONFIRM: Duration = Duration::from_secs(1800);
    const HOST: Subject<'_> = Subject::Host("mx.a.example");

    struct Desk {
        standing: TlsStanding,
        _folder: tempfile::TempDir,
    }

    fn desk() -> Desk {
        let folder = tempfile::tempdir().expect("folder");
        let store = Arc::new(Store::open(folder.path(), &Settings::default()).expect("a store"));
        Desk { standing: TlsStanding::new(store, CONFIRM), _folder: folder }
    }

    fn minute(number: u64) -> Timestamp {
        Timestamp(1_000_000_000_000 + number * 60_000)
    }

    fn evidence(peer: Option<Peer>) -> Evidence {
        Evidence {
            version: "TLSv1.3",
            suite: String::new(),
            key_exchange: String::new(),
            peer,
            mx_trust: MxTrust::Plain,
            fingerprint: None,
            resumed: false,
        }
    }

    impl Desk {
        fn judge(&self, fault: TlsFault, at: u64) -> Judgement {
            self.standing.judge(HOST, fault, false, true, minute(at))
        }

        fn shown(&self, peer: Option<Peer>, at: u64) {
            self.standing.shown("mx.a.example", &evidence(peer), minute(at));
        }
    }

    #[test]
    fn who_never_had_tls_is_dropped_at_once() {
        let desk = desk();
        assert_eq!(desk.judge(TlsFault::NoStartTls, 0), (Fate::Dropped, TlsFault::NoStartTls));
        let relaxed = desk.standing.judge(HOST, TlsFault::NoStartTls, false, false, minute(1));
        assert_eq!(relaxed, (Fate::Deferred, TlsFault::NoStartTls), "nothing is dropped where that was not asked for");
    }

    #[test]
    fn who_had_tls_or_promises_it_is_under_attack_until_that_is_confirmed() {
        let desk = desk();
        desk.shown(None, 0);
        assert_eq!(desk.judge(TlsFault::NoStartTls, 10), (Fate::Deferred, TlsFault::LostStanding));
        assert_eq!(desk.judge(TlsFault::NoStartTls, 39), (Fate::Deferred, TlsFault::LostStanding));
        assert_eq!(desk.judge(TlsFault::NoStartTls, 40), (Fate::Dropped, TlsFault::LostStanding));
        let promised = desk.standing.judge(Subject::Host("mx.b.example"), TlsFault::NoStartTls, true, true, minute(0));
        assert_eq!(promised, (Fate::Deferred, TlsFault::LostStanding));
    }

    #[test]
    fn a_fault_of_the_certificate_is_confirmed_by_time_and_not_by_its_name() {
        let desk = desk();
        assert_eq!(desk.judge(TlsFault::CertificateExpired, 0), (Fate::Deferred, TlsFault::CertificateExpired));
        assert_eq!(desk.judge(TlsFault::UnknownIssuer, 29), (Fate::Deferred, TlsFault::UnknownIssuer));
        assert_eq!(desk.judge(TlsFault::CertificateExpired, 30), (Fate::Dropped, TlsFault::CertificateExpired));
        let other = desk.standing.judge(Subject::Domain("mx.a.example"), TlsFault::StsMismatch, true, true, minute(30));
        assert_eq!(other.0, Fate::Deferred, "a domain of that name is another matter");
    }

    #[test]
    fn a_domain_that_does_not_vouch_for_a_host_says_nothing_of_anothers() {
        let desk = desk();
        let judge = |domain, at| {
            let subject = Subject::of(TlsFault::StsMismatch, "mx.a.example", domain);
            desk.standing.judge(subject, TlsFault::StsMismatch, true, true, minute(at)).0
        };
        assert_eq!((judge("a.example", 0), judge("b.example", 40)), (Fate::Deferred, Fate::Deferred));
        desk.standing.usable("b.example");
        assert_eq!((judge("a.example", 80), judge("b.example", 80)), (Fate::Dropped, Fate::Deferred));
        assert_eq!(Subject::of(TlsFault::NameMismatch, "mx.a.example", "a.example"), HOST);
    }

    #[test]
    fn a_success_in_between_begins_anew_if_it_proves_what_was_missing() {
        let desk = desk();
        desk.judge(TlsFault::CertificateExpired, 0);
        desk.shown(None, 10);
        assert_eq!(desk.judge(TlsFault::CertificateExpired, 30).0, Fate::Dropped, "nobody asked for the name then");
        desk.shown(Some(Peer::Pkix), 31);
        assert_eq!(desk.judge(TlsFault::CertificateExpired, 61).0, Fate::Deferred);
        desk.shown(None, 62);
        for fault in [TlsFault::NoStartTls, TlsFault::HandshakeFailed] {
            desk.judge(fault, 63);
            desk.shown(None, 80);
            assert_eq!(desk.judge(fault, 100).0, Fate::Deferred, "{fault}");
            desk.shown(None, 101);
        }
    }

    #[test]
    fn what_is_not_the_peers_doing_drops_nobody() {
        for fault in [TlsFault::Injection, TlsFault::ClientCertificate] {
            let desk = desk();
            desk.judge(fault, 0);
            assert_eq!(desk.judge(fault, 6000), (Fate::Deferred, fault));
        }
    }

    #[test]
    fn what_others_have_to_mend_makes_a_hosts_fault_no_older() {
        for others in [TlsFault::StsMismatch, TlsFault::MxUnproven, TlsFault::Injection, TlsFault::ClientCertificate] {
            let desk = desk();
            // A domain's policy does not name the host, and another domain's mail goes there.
            desk.judge(others, 0);
            assert_eq!(desk.judge(TlsFault::CertificateExpired, 60).0, Fate::Deferred, "{others}");
            desk.judge(others, 80);
            assert_eq!(desk.judge(TlsFault::UnknownIssuer, 89).0, Fate::Deferred, "{others}");
            assert_eq!(desk.judge(TlsFault::CertificateExpired, 90).0, Fate::Dropped, "{others} makes it no younger");
            let confirmed = if others.is_the_peers() { Fate::Dropped } else { Fate::Deferred };
            assert_eq!(desk.judge(others, 90).0, confirmed, "{others}");
        }
    }

    #[test]
    fn who_said_that_there_is_tls_is_not_dropped_at_once_without_it() {
        for fault in [TlsFault::CertificateExpired, TlsFault::NoCommonVersion, TlsFault::Injection] {
            let desk = desk();
            desk.judge(fault, 0);
            assert_eq!(desk.judge(TlsFault::NoStartTls, 1), (Fate::Deferred, TlsFault::LostStanding), "{fault}");
            assert_eq!(desk.judge(TlsFault::NoStartTls, 2), (Fate::Deferred, TlsFault::LostStanding), "{fault}");
            assert_eq!(desk.judge(TlsFault::NoStartTls, 31), (Fate::Dropped, TlsFault::LostStanding), "{fault}");
        }
        let desk = desk();
        desk.judge(TlsFault::StsMismatch, 0);
        assert_eq!(
            desk.judge(TlsFault::NoStartTls, 1),
            (Fate::Dropped, TlsFault::NoStartTls),
            "a policy's fault is none"
        );
    }

    #[test]
    fn a_fault_that_nobody_has_seen_for_a_week_is_a_new_one() {
        let desk = desk();
        desk.judge(TlsFault::UnknownIssuer, 0);
        assert_eq!(desk.judge(TlsFault::UnknownIssuer, 8 * 24 * 60).0, Fate::Deferred);
    }

    #[test]
    fn a_clock_that_was_ahead_confirms_nothing_early() {
        let desk = desk();
        desk.judge(TlsFault::UnknownIssuer, 500);
        assert_eq!(desk.judge(TlsFault::UnknownIssuer, 0).0, Fate::Deferred);
        assert_eq!(desk.judge(TlsFault::UnknownIssuer, 30).0, Fate::Dropped);
    }
}
