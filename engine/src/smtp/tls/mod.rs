//! TLS 1.2 and 1.3 towards MX hosts, and the proof that it gives.
//!
//! 1. [`suites`] says which TLS is TLS, [`roots`] whom we trust;
//! 2. [`verifier`] asks a certificate what TLSA records say of it; rustls asks what a root says;
//! 3. [`tickets`] are sessions that can be resumed, each for the purpose under which it was proven;
//! 4. [`proof`] is what a session has proven, made here and nowhere else, and held against each message's demand;
//! 5. [`trouble`] names what went wrong.

mod proof;
mod roots;
mod suites;
#[cfg(test)]
mod tests;
mod tickets;
mod trouble;
mod verifier;

pub use proof::{Evidence, Proof};
pub use roots::{Identity, Root, RootsError, trusted};
pub(super) use trouble::{Trouble, refuses_our_certificate};

use super::Wire;
use crate::mail::{Demand, Level, MxTrust, TlsFault, Tlsa};
use aws_lc_rs::digest;
use roots::certificates;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore};
use std::sync::Arc;
use std::time::SystemTime;
use tickets::{Asked, Purpose, Purposes, Tickets, Ways};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use verifier::Unrooted;
use x509_cert::der::Decode;

/// What a handshake is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// The MX host's name.
    pub(super) host: &'a str,
    /// What is demanded of it.
    pub(super) demand: &'a Demand,
    /// What its TLSA records say.
    pub(super) tlsa: &'a Tlsa,
    /// How it is known that the domain's mail goes there.
    pub(super) mx_trust: MxTrust,
    /// Whether it is shown our certificate.
    pub(super) identified: bool,
    /// Whether its certificate is looked at, whatever is demanded.
    pub(super) looked_at: bool,
}

/// A connection, what it proves, and how its certificate falls short where that was only looked at.
type Connected = (TlsStream<Wire>, Proof, Option<TlsFault>);

/// Makes TLS connections; shared by all sessions, whose tickets it keeps.
#[derive(Clone)]
pub struct Connector {
    crypto: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    identity: Option<Arc<ClientConfig>>,
    purposes: Arc<Purposes>,
}

impl Connector {
    /// A connector that trusts `roots` and shows `identity` where a server is entered with a certificate.
    ///
    /// # Errors
    /// A root can't be read, or there is none; the identity can't be read, or its key is another's.
    pub fn new(roots: &[Root], identity: Option<&Identity>) -> Result<Connector, RootsError> {
        let (roots, crypto) = (Arc::new(trusted(roots)?), Arc::new(suites::provider()));
        let identified = |identity: &Identity| {
            let chain = certificates(&identity.certificate)?;
            let key =
                PrivateKeyDer::from_pem_file(&identity.key).map_err(|cause| RootsError::file(&identity.key, &cause))?;
            let config = builder(&crypto).with_root_certificates(roots.clone()).with_client_auth_cert(chain, key);
            config.map(Arc::new).map_err(|cause| RootsError::file(&identity.certificate, &cause))
        };
        let identity = identity.map(identified).transpose()?;
        Ok(Connector { crypto, roots, identity, purposes: Arc::default() })
    }

    /// A configuration for HTTPS: the same roots and suites, and no tickets.
    pub fn https(&self) -> Arc<ClientConfig> {
        let mut config = builder(&self.crypto).with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// Does the handshake over `stream`. Beside the proof comes what keeps the certificate from proving the host's name to a root,
    /// where that was to be looked at: it changes nothing.
    ///
    /// # Errors
    /// How TLS fell short of the demand, or how the connection broke.
    pub(super) async fn connect(&self, stream: Wire, terms: &Terms<'_>) -> Result<Connected, Trouble> {
        let ways = self.ways(terms);
        let name = ServerName::try_from(terms.host.to_owned()).map_err(|_| Trouble::Tls(TlsFault::NameMismatch))?;
        let stream =
            TlsConnector::from(ways.config.clone()).connect(name.clone(), stream).await.map_err(Trouble::of)?;
        let proof = prove(stream.get_ref().1, &ways, terms).ok_or(Trouble::Tls(TlsFault::NoCommonVersion))?;
        match proof.shortfall(terms.demand) {
            None => {
                let unproven = terms.looked_at && proof.evidence().peer.is_none();
                let blemish = unproven.then(|| self.blemish(stream.get_ref().1, &name)).flatten();
                Ok((stream, proof, blemish))
            }
            Some(fault) => Err(Trouble::Tls(fault)),
        }
    }

    /// What keeps the peer's certificate from proving `name` to a root.
    fn blemish(&self, done: &ClientConnection, name: &ServerName<'_>) -> Option<TlsFault> {
        let (certificate, chain) = done.peer_certificates()?.split_first()?;
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.crypto.clone());
        let verified = verifier.build().ok()?.verify_server_cert(certificate, chain, name, &[], UnixTime::now());
        verified.err().map(|error| trouble::fault(&error))
    }

    fn ways(&self, terms: &Terms<'_>) -> Arc<Ways> {
        let asked = match terms.tlsa {
            Tlsa::Usable(records) => Asked::Dane(records.clone()),
            _ if terms.demand.level() >= Level::Verified => Asked::Pkix,
            _ => Asked::Any,
        };
        // Whoever sees our certificate must be proven to a root; smarthosts have no TLSA records here.
        let identified = terms.identified && asked == Asked::Pkix;
        let purpose = Purpose { host: terms.host.to_owned(), asked, mx_trust: terms.mx_trust, identified };
        self.purposes.of(purpose, |purpose| self.make(purpose))
    }

    fn make(&self, purpose: &Purpose) -> Ways {
        let tickets = Arc::new(Tickets::default());
        let custom = |verifier: Unrooted| {
            let dangerous = builder(&self.crypto).dangerous();
            dangerous.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
        };
        let mut config = match (&purpose.asked, &self.identity) {
            (Asked::Any, _) => custom(Unrooted::anybody(self.crypto.clone())),
            (Asked::Dane(records), _) => custom(Unrooted::named_by(records.clone(), self.crypto.clone())),
            (Asked::Pkix, Some(identified)) if purpose.identified => ClientConfig::clone(identified),
            (Asked::Pkix, _) => builder(&self.crypto).with_root_certificates(self.roots.clone()).with_no_client_auth(),
        };
        config.resumption = Resumption::store(tickets.clone());
        Ways { config: Arc::new(config), asked: purpose.asked.clone(), tickets }
    }
}

fn builder(crypto: &Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(crypto.clone())
        .with_protocol_versions(&suites::VERSIONS)
        .expect("our suites are for both versions")
}

/// What the handshake that was done has proven.
fn prove(done: &ClientConnection, ways: &Ways, terms: &Terms<'_>) -> Option<Proof> {
    let version = match done.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => return None,
    };
    let certificate = done.peer_certificates().and_then(<[_]>::first);
    let resumed = done.handshake_kind() == Some(HandshakeKind::Resumed);
    if let Some(end) = certificate.and_then(end_of).filter(|_| !resumed) {
        ways.tickets.end_by(end);
    }
    let suite = done.negotiated_cipher_suite()?.suite();
    Some(Proof::new(
        terms.host,
        Evidence {
            version,
            suite: suite.as_str().unwrap_or_default().to_owned(),
            key_exchange: done
                .negotiated_key_exchange_group()
                .map_or_else(String::new, |group| format!("{:?}", group.name())),
            peer: certificate.and_then(|certificate| ways.peer(certificate)),
            mx_trust: terms.mx_trust,
            fingerprint: certificate.map(fingerprint),
            resumed,
        },
    ))
}

fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    digest::digest(&digest::SHA256, certificate).as_ref().try_into().expect("SHA-256 has 32 octets")
}

/// When a certificate ends.
fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(parsed.tbs_certificate.validity.not_after.to_system_time())
}
