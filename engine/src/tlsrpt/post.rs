//! The HTTPS request that carries a report (RFC 8460 section 5.4).

use super::postman::Undeliverable;
use crate::resolve::Resolver;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one address.
const CONNECTED: Duration = Duration::from_secs(10);
/// Of a response's status line and headers.
const LARGEST_HEAD: usize = 16 << 10;

/// Posts `report`, which is compressed, to `uri`. Redirects are not followed. The RFC allows to overlook a certificate that
/// proves nothing; we don't: who stands in the way of mail would like to read what is said of him.
pub(super) async fn post(
    resolver: &dyn Resolver,
    tls: &TlsConnector,
    uri: &str,
    report: Vec<u8>,
) -> Result<(), Undeliverable> {
    let uri: Uri = uri.parse().map_err(|_| Undeliverable::Address)?;
    let host = uri.host().ok_or(Undeliverable::Address)?.to_ascii_lowercase();
    let name = ServerName::try_from(host.clone()).map_err(|_| Undeliverable::Address)?;
    let port = uri.port_u16().unwrap_or(443);
    let found = resolver.host_addresses(&host, port).await.map_err(|trouble| Undeliverable::Dns(trouble.label()))?;
    let stream = connect(&found.at).await.ok_or(Undeliverable::Unreachable)?;
    let stream = tls.connect(name, stream).await.map_err(|_| Undeliverable::Tls)?;
    let mut http = http1::Builder::new();
    http.max_buf_size(LARGEST_HEAD);
    let (mut sender, connection) =
        http.handshake(TokioIo::new(stream)).await.map_err(|_| Undeliverable::Unreachable)?;
    // It ends with us, however we end.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::post(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.rsplit('@').next().unwrap_or_default())
        .header(USER_AGENT, "sealpost")
        .header(CONTENT_TYPE, "application/tlsrpt+gzip")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(report)))
        .map_err(|_| Undeliverable::Address)?;
    let response = sender.send_request(request).await.map_err(|_| Undeliverable::Unreachable)?;
    if response.status().is_success() { Ok(()) } else { Err(Undeliverable::Status(response.status().as_u16())) }
}

/// The first of `addresses` that takes a connection.
async fn connect(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECTED, TcpStream::connect(address)).await {
            return Some(stream);
        }
    }
    None
}
