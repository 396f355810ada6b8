//! Handshakes with a server of our own, in memory.

use super::*;
use crate::mail::{Peer, TlsaRecord};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::client::ClientSessionStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsAcceptor;

static AUTHORITIES: AtomicU64 = AtomicU64::new(0);

const HOST: &str = "mx.a.example";

/// A certificate with what leads to its issuer.
struct Site {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    issuer: CertificateDer<'static>,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Two of one name would be told apart by their signatures alone.
    let number = AUTHORITIES.fetch_add(1, Ordering::SeqCst);
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("authority {number}"));
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// Signed by `issuer` for `name`, valid in these years.
fn signed_by(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str, years: (i32, i32)) -> Site {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(years.0, 1, 1), rcgen::date_time_ymd(years.1, 1, 1));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("signed");
    let issuer = issuer.der().clone();
    Site { chain: vec![certificate.der().clone(), issuer.clone()], key, issuer }
}

fn site() -> Site {
    signed_by(&authority(), HOST, (2020, 2099))
}

impl Site {
    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(suites::provider()))
            .with_protocol_versions(&suites::VERSIONS)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }

    fn record(&self, usage: u8, selector: u8, matching: u8) -> TlsaRecord {
        let certificate = if usage == 3 { &self.chain[0] } else { &self.issuer };
        let key;
        let selected: &[u8] = match selector {
            0 => certificate,
            _ if usage == 3 => {
                key = self.key.subject_public_key_info();
                &key
            }
            _ => {
                let parsed = rustls::server::ParsedCertificate::try_from(certificate).expect("a certificate");
                key = parsed.subject_public_key_info().to_vec();
                &key
            }
        };
        let data = match matching {
            0 => selected.to_vec(),
            1 => digest::digest(&digest::SHA256, selected).as_ref().to_vec(),
            _ => digest::digest(&digest::SHA512, selected).as_ref().to_vec(),
        };
        TlsaRecord { usage, selector, matching, data }
    }
}

fn trusting(root: &CertificateDer<'_>) -> Connector {
    Connector::new(&[Root::Der(root.to_vec())], None).expect("a connector")
}

fn terms<'a>(demand: &'a Demand, tlsa: &'a Tlsa) -> Terms<'a> {
    Terms { host: HOST, demand, tlsa, mx_trust: MxTrust::Plain, identified: false, looked_at: false }
}

/// What one handshake proves.
async fn meet(connector: &Connector, acceptor: &TlsAcceptor, demand: &Demand, tlsa: &Tlsa) -> Result<Proof, Trouble> {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let acceptor = acceptor.clone();
    let server = tokio::spawn(async move {
        // Tickets follow the handshake, and come with what is said next.
        if let Ok(mut stream) = acceptor.accept(theirs).await {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 hello\r\n").await.ok();
            stream.read_u8().await.ok();
        }
    });
    let demand = demand.raise(&tlsa.demand());
    let met = connector.connect(Box::new(ours), &terms(&demand, tlsa)).await;
    let proof = match met {
        Ok((mut stream, proof, _)) => {
            stream.read_u8().await.expect("a greeting");
            Ok(proof)
        }
        Err(trouble) => Err(trouble),
    };
    server.abort();
    proof
}

fn usable(records: &[TlsaRecord]) -> Tlsa {
    let tlsa = Tlsa::of(records.to_vec());
    assert!(matches!(tlsa, Tlsa::Usable(_)));
    tlsa
}

fn peer(met: &Result<Proof, Trouble>) -> Result<Option<Peer>, Trouble> {
    met.as_ref().map(|proof| proof.evidence().peer).map_err(|trouble| *trouble)
}

#[tokio::test]
async fn what_certificates_prove_to_a_root() {
    let issuer = authority();
    let cases = [
        (signed_by(&issuer, HOST, (2020, 2099)), Ok(Some(Peer::Pkix))),
        (signed_by(&issuer, "mx.b.example", (2020, 2099)), Err(TlsFault::NameMismatch)),
        (signed_by(&issuer, HOST, (2020, 2021)), Err(TlsFault::CertificateExpired)),
        (signed_by(&issuer, HOST, (2098, 2099)), Err(TlsFault::CertificateExpired)),
        (signed_by(&authority(), HOST, (2020, 2099)), Err(TlsFault::UnknownIssuer)),
    ];
    for (site, verified) in cases {
        let (connector, acceptor) = (trusting(issuer.der()), site.acceptor());
        let met = meet(&connector, &acceptor, &Demand::new(Level::Verified), &Tlsa::Absent).await;
        assert_eq!(peer(&met), verified.map_err(Trouble::Tls));
        let met = meet(&connector, &acceptor, &Demand::new(Level::Required), &Tlsa::Absent).await;
        assert_eq!(peer(&met), Ok(None), "encrypted, whoever it is");
    }
}

#[tokio::test]
async fn the_proof_says_how_the_session_is_protected() {
    let site = site();
    let met = meet(&trusting(&site.issuer), &site.acceptor(), &Demand::new(Level::Verified), &Tlsa::Absent).await;
    let proof = met.expect("proven");
    let evidence = proof.evidence();
    assert_eq!((evidence.version, evidence.suite.as_str()), ("TLSv1.3", "TLS13_AES_256_GCM_SHA384"));
    assert_eq!(evidence.key_exchange, "X25519MLKEM768");
    assert_eq!(evidence.fingerprint, Some(fingerprint(&site.chain[0])));
    assert!(!evidence.resumed);
}

#[tokio::test]
async fn what_tlsa_records_prove() {
    // Neither roots nor dates nor names count beside a record of the certificate itself.
    let strange = signed_by(&authority(), "mx.b.example", (2020, 2021));
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        let tlsa = usable(&[strange.record(3, selector, matching)]);
        let met = meet(&trusting(&site().issuer), &strange.acceptor(), &Demand::new(Level::Opportunistic), &tlsa).await;
        assert_eq!(peer(&met), Ok(Some(Peer::DaneEe)), "3 {selector} {matching}");
    }
    // Below an authority both do.
    let issuer = authority();
    let good = signed_by(&issuer, HOST, (2020, 2099));
    for (selector, matching) in [(0, 0), (0, 1), (1, 1), (1, 2)] {
        let tlsa = usable(&[good.record(2, selector, matching)]);
        let met = meet(&trusting(&site().issuer), &good.acceptor(), &Demand::new(Level::Opportunistic), &tlsa).await;
        assert_eq!(peer(&met), Ok(Some(Peer::DaneTa)), "2 {selector} {matching}");
    }
    let cases = [
        (signed_by(&issuer, "mx.b.example", (2020, 2099)), TlsFault::NameMismatch),
        (signed_by(&issuer, HOST, (2020, 2021)), TlsFault::CertificateExpired),
        (site(), TlsFault::TlsaMismatch),
    ];
    for (site, fault) in cases {
        let tlsa = usable(&[good.record(2, 1, 1)]);
        // A root that vouches for it helps nobody whose zone says otherwise.
        let met = meet(&trusting(&site.issuer), &site.acceptor(), &Demand::new(Level::Opportunistic), &tlsa).await;
        assert_eq!(peer(&met), Err(Trouble::Tls(fault)));
    }
    // Not even where the zone itself shows the authority that nothing leads to.
    let (tlsa, stranger) = (usable(&[good.record(2, 0, 0)]), site());
    let met = meet(&trusting(&stranger.issuer), &stranger.acceptor(), &Demand::new(Level::Verified), &tlsa).await;
    assert_eq!(peer(&met), Err(Trouble::Tls(TlsFault::TlsaMismatch)));
    let mismatch = usable(&[good.record(3, 1, 1)]);
    let other = site();
    let met = meet(&trusting(&other.issuer), &other.acceptor(), &Demand::new(Level::Verified), &mismatch).await;
    assert_eq!(peer(&met), Err(Trouble::Tls(TlsFault::TlsaMismatch)));
}

#[tokio::test]
async fn an_authority_that_only_the_zone_shows_is_one() {
    let mut site = site();
    let tlsa = usable(&[site.record(2, 0, 0)]);
    site.chain.truncate(1);
    let met = meet(&trusting(&authority().der().clone()), &site.acceptor(), &Demand::new(Level::Required), &tlsa).await;
    assert_eq!(peer(&met), Ok(Some(Peer::DaneTa)));
}

async fn resumes(connector: &Connector, acceptor: &TlsAcceptor, demand: &Demand, tlsa: &Tlsa) -> bool {
    meet(connector, acceptor, demand, tlsa).await.expect("proven").evidence().resumed
}

#[tokio::test]
async fn a_ticket_is_good_for_what_was_proven_with_it_and_nothing_else() {
    let site = site();
    let (connector, acceptor) = (trusting(&site.issuer), site.acceptor());
    let (required, verified) = (Demand::new(Level::Required), Demand::new(Level::Verified));
    let (one, other) = (usable(&[site.record(3, 1, 1)]), usable(&[site.record(3, 0, 1)]));
    for (demand, tlsa) in
        [(&required, &Tlsa::Absent), (&verified, &Tlsa::Absent), (&verified, &one), (&verified, &other)]
    {
        assert!(
            !resumes(&connector, &acceptor, demand, tlsa).await,
            "nothing was proven before for {demand:?} {tlsa:?}"
        );
        assert!(resumes(&connector, &acceptor, demand, tlsa).await);
    }
    let again = meet(&connector, &acceptor, &verified, &one).await.expect("proven");
    assert_eq!((again.evidence().peer, again.evidence().resumed), (Some(Peer::DaneEe), true), "the proof goes with it");
    assert_eq!(again.evidence().fingerprint, Some(fingerprint(&site.chain[0])));
    assert!(!resumes(&trusting(&site.issuer), &acceptor, &verified, &Tlsa::Absent).await, "other roots, other tickets");
}

#[tokio::test]
async fn a_ticket_ends_with_its_certificate() {
    let site = site();
    let (connector, acceptor) = (trusting(&site.issuer), site.acceptor());
    let verified = Demand::new(Level::Verified);
    assert!(!resumes(&connector, &acceptor, &verified, &Tlsa::Absent).await);
    connector.ways(&terms(&verified, &Tlsa::Absent)).tickets.end_by(SystemTime::UNIX_EPOCH);
    assert!(!resumes(&connector, &acceptor, &verified, &Tlsa::Absent).await);
}

#[tokio::test]
async fn tickets_end_with_the_first_certificate_of_a_hosts_machines() {
    let issuer = authority();
    let machines = [2097, 2099, 2098].map(|end| signed_by(&issuer, HOST, (2020, end)));
    let (connector, verified) = (trusting(issuer.der()), Demand::new(Level::Verified));
    for machine in &machines {
        assert!(!resumes(&connector, &machine.acceptor(), &verified, &Tlsa::Absent).await, "another machine's ticket");
    }
    let until = connector.ways(&terms(&verified, &Tlsa::Absent)).tickets.until();
    assert_eq!(until, end_of(&machines[0].chain[0]));
}

/// Of two machines behind one name, each with a record of its own, the one that was met last says nothing of the other.
#[tokio::test]
async fn a_resumed_session_is_proven_as_its_own_certificate_was() {
    let issuer = authority();
    let [itself, below] = [(); 2].map(|()| signed_by(&issuer, HOST, (2020, 2099)));
    let tlsa = usable(&[itself.record(3, 1, 1), below.record(2, 1, 1)]);
    let (connector, demand) = (trusting(&site().issuer), tlsa.demand());
    let (first, second) = (itself.acceptor(), below.acceptor());
    assert_eq!(peer(&meet(&connector, &first, &demand, &tlsa).await), Ok(Some(Peer::DaneEe)));
    assert_eq!(peer(&meet(&connector, &second, &demand, &tlsa).await), Ok(Some(Peer::DaneTa)));
    // The second machine's tickets lie on top.
    let (tickets, name) =
        (&connector.ways(&terms(&demand, &tlsa)).tickets, ServerName::try_from(HOST).expect("a name"));
    (0..2).for_each(|_| drop(tickets.take_tls13_ticket(&name).expect("two a session")));
    let again = meet(&connector, &first, &demand, &tlsa).await.expect("proven");
    assert_eq!((again.evidence().peer, again.evidence().resumed), (Some(Peer::DaneEe), true));
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_fault_of_tls() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    drop(theirs);
    let demand = Demand::new(Level::Verified);
    let met = trusting(&site().issuer).connect(Box::new(ours), &terms(&demand, &Tlsa::Absent)).await;
    assert!(matches!(met, Err(Trouble::Connection(_))));
}
