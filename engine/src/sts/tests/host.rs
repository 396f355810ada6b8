//! A policy host: a real HTTPS server on loopback that says what a test tells it to.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What it does with a connection.
#[derive(Clone)]
pub enum Act {
    /// Answers these octets and closes.
    Say(Vec<u8>),
    /// Does no handshake. The test's time passes by itself from then on.
    Mute,
    /// Answers these octets, and then nothing more. The same.
    Stall(Vec<u8>),
    /// Waits until it is let go, then answers these octets.
    Hold(Vec<u8>),
    /// Speaks no TLS.
    Plain,
}

/// Whom its certificate is for, and who signed it.
pub enum Identity {
    /// A CA that is trusted, for these names.
    Of(Vec<String>),
    /// The same, until the year before last.
    Expired(Vec<String>),
    /// A CA that nobody trusts.
    Stranger(Vec<String>),
}

pub struct PolicyHost {
    pub address: SocketAddr,
    /// Trusts whom tests trust.
    pub trust: ClientConfig,
    pub act: Mutex<Act>,
    /// The request's text, behind the name that the handshake was for.
    pub last: Mutex<String>,
    /// Requests so far.
    pub asked: AtomicUsize,
    /// Connections so far.
    pub connected: AtomicUsize,
    /// Lets go of what is held.
    pub release: Semaphore,
    held: AtomicUsize,
    /// The most that were held at once.
    pub most_held: AtomicUsize,
    acceptor: TlsAcceptor,
}

impl PolicyHost {
    pub async fn start(identity: Identity, act: Act) -> Arc<PolicyHost> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (trust, acceptor) = certified(identity);
        let host = Arc::new(PolicyHost {
            address: listener.local_addr().expect("bound"),
            trust,
            act: Mutex::new(act),
            last: Mutex::default(),
            asked: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            release: Semaphore::new(0),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
            acceptor,
        });
        let serving = host.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connected.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        host
    }

    pub fn say(&self, act: Act) {
        *self.act.lock().expect("not poisoned") = act;
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let act = self.act.lock().expect("not poisoned").clone();
        match act {
            Act::Mute => {
                tokio::time::pause();
                std::future::pending().await
            }
            Act::Plain => {
                stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
            }
            Act::Say(_) | Act::Stall(_) | Act::Hold(_) => self.answer(stream, act).await,
        }
    }

    async fn answer(&self, stream: TcpStream, act: Act) {
        let Ok(mut stream) = self.acceptor.accept(stream).await else { return };
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(octet) = stream.read_u8().await else { return };
            request.push(octet);
        }
        let name = stream.get_ref().1.server_name().unwrap_or_default().to_owned();
        *self.last.lock().expect("not poisoned") = name + "\r\n" + &String::from_utf8_lossy(&request);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (Act::Say(octets) | Act::Stall(octets) | Act::Hold(octets)) = &act else { return };
        if matches!(act, Act::Hold(_)) {
            let held = self.held.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_held.fetch_max(held, Ordering::SeqCst);
            self.release.acquire().await.expect("open").forget();
            self.held.fetch_sub(1, Ordering::SeqCst);
        }
        stream.write_all(octets).await.ok();
        if matches!(act, Act::Stall(_)) {
            stream.flush().await.ok();
            tokio::time::pause();
            std::future::pending::<()>().await;
        }
        stream.shutdown().await.ok();
    }
}

/// A response of 200 that carries `body` as a policy.
pub fn ok(body: &str) -> Vec<u8> {
    response("200 OK", "Content-Type: text/plain\r\n", body)
}

pub fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn certified(identity: Identity) -> (ClientConfig, TlsAcceptor) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (authority, root) = authority();
    let (stranger, _) = self::authority();
    let (names, issuer, ends) = match identity {
        Identity::Of(names) => (names, authority, 2100),
        Identity::Expired(names) => (names, authority, 2024),
        Identity::Stranger(names) => (names, stranger, 2100),
    };
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(ends, 1, 1);
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("both")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("its own key");
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (client, TlsAcceptor::from(Arc::new(server)))
}

fn authority() -> (Issuer<'static, KeyPair>, CertificateDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("a certificate").der().clone();
    (Issuer::new(params, key), root)
}
