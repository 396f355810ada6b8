//! The policy file by HTTPS (RFC 8461 section 3.3).

use super::{Fault, Policy};
use crate::mail::is_exhausted;
use crate::resolve::{NoAddress, Resolver};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Fetches policies.
pub(super) struct Fetcher {
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
}

/// For all of a fetch. The RFC's minute is for whoever has nothing else to do; rows wait behind this one, and a host that needs
/// longer for a kilobyte is down.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// For one address, so that a dead one leaves time for the next.
const CONNECTED: Duration = Duration::from_secs(5);
/// What the RFC suggests.
pub(super) const LARGEST: usize = 64 << 10;
/// Of a response's status line and headers.
const LARGEST_HEAD: usize = 16 << 10;
const PATH: &str = "/.well-known/mta-sts.txt";

impl Fetcher {
    /// A fetcher that trusts whom `https` trusts.
    pub(super) fn new(resolver: Arc<dyn Resolver>, https: &ClientConfig) -> Fetcher {
        let mut https = https.clone();
        https.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session shows no certificate; a policy is worth what its certificate is worth now.
        https.resumption = Resumption::disabled();
        https.enable_early_data = false;
        Fetcher { resolver, tls: TlsConnector::from(Arc::new(https)) }
    }

    /// The policy of `domain` as its policy host has it now.
    ///
    /// # Errors
    /// What came in between.
    pub(super) async fn policy(&self, domain: &str) -> Result<Policy, Fault> {
        let file = timeout(PATIENCE, self.file(domain)).await.map_err(|_| Fault::TimedOut)??;
        Policy::parse(&file).map_err(Fault::Invalid)
    }

    async fn file(&self, domain: &str) -> Result<Vec<u8>, Fault> {
        let host = format!("mta-sts.{domain}");
        let name = ServerName::try_from(host.clone()).map_err(|_| Fault::NoAddress)?;
        let found = self.resolver.host_addresses(&host, 443).await.map_err(|trouble| match trouble {
            NoAddress::Exhausted => Fault::Exhausted,
            NoAddress::None | NoAddress::Denied | NoAddress::Failed | NoAddress::Bogus => Fault::NoAddress,
        })?;
        let stream = connect(&found.at).await?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| handshake_fault(&error))?;
        get(stream, &host).await
    }
}

/// The first of `addresses` that takes a connection.
async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Fault> {
    let mut fault = Fault::Unreachable;
    for address in addresses {
        match timeout(CONNECTED, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) if is_exhausted(&error) => fault = Fault::Exhausted,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(fault)
}

/// tokio-rustls hands rustls's error over inside an `io::Error`; this is where the fault is born for us.
fn handshake_fault(error: &io::Error) -> Fault {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => Fault::Certificate,
        _ => Fault::Handshake,
    }
}

/// One request, one response, whatever it is: neither redirects nor caches have a say (section 3.3).
async fn get(stream: TlsStream<TcpStream>, host: &str) -> Result<Vec<u8>, Fault> {
    let broken = |_| Fault::Broken;
    let mut http = http1::Builder::new();
    http.max_buf_size(LARGEST_HEAD);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // It ends with us, however we end.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(PATH)
        .header(HOST, host)
        .header(USER_AGENT, "sealpost")
        .header(ACCEPT, "text/plain")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Fault::NoAddress)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    match response.status() {
        StatusCode::OK if is_plain_text(response.headers()) => read(response.into_body()).await,
        StatusCode::OK => Err(Fault::MediaType),
        other => Err(Fault::Status(other.as_u16())),
    }
}

/// Whether it is `text/plain`, whatever its parameters (RFC 9110 section 8.3.1): no web server's error page or user's upload.
fn is_plain_text(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default();
    kind.trim_matches([' ', '\t']).eq_ignore_ascii_case("text/plain")
}

/// All of `body`, if that is not too much.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Fault> {
    let mut file = Vec::new();
    while let Some(frame) = body.frame().await {
        // Trailers are no part of it.
        let Ok(octets) = frame.map_err(|_| Fault::Broken)?.into_data() else { continue };
        if file.len() + octets.len() > LARGEST {
            return Err(Fault::TooLarge);
        }
        file.extend_from_slice(&octets);
    }
    Ok(file)
}
