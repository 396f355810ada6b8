//! Signs and sends finished messages: lettre's pooled transport, mail-auth's signatures. What a Rust programmer would write.
//!
//! A thread a connection, since lettre's own transport blocks; the pool keeps the connections (`PoolConfig`).

use lettre::address::Envelope;
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SmtpTransport, Transport};
use mail_auth::common::crypto::{RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::error::Error;
use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};

type Signer = DkimSigner<RsaKey<Sha256>, Done>;

/// What our own signatures cover.
const HEADERS: [&str; 8] = ["From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"];

fn main() -> Result<(), Box<dyn Error>> {
    let connections: usize = told("PEER_CONNECTIONS")?.parse()?;
    let folder = told("PEER_MESSAGES")?;
    let list = std::fs::read_to_string(format!("{folder}/list"))?;
    let lines: Vec<&str> = list.lines().collect();
    let (transport, signer) = (transport(connections)?, signer()?);
    println!("ready");
    let mut word = String::new();
    std::io::stdin().lock().read_line(&mut word)?;
    if word.trim() != "go" {
        return Err("no word to begin".into());
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(line) = lines.get(next.fetch_add(1, Ordering::Relaxed)) {
            send(&folder, line, &transport, &signer).map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    Ok(())
}

fn told(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set"))
}

fn transport(connections: usize) -> Result<SmtpTransport, Box<dyn Error>> {
    let ca = Certificate::from_pem(&std::fs::read(told("PEER_CA")?)?)?;
    let tls = TlsParameters::builder(told("PEER_SINK_HOST")?)
        .certificate_store(CertificateStore::None)
        .add_root_certificate(ca)
        .build_rustls()?;
    Ok(SmtpTransport::builder_dangerous("127.0.0.1")
        .port(told("PEER_SINK_PORT")?.parse()?)
        .hello_name(ClientId::Domain(format!("out.{}", told("PEER_DOMAIN")?)))
        .tls(Tls::Required(tls))
        .pool_config(PoolConfig::new().max_size(u32::try_from(connections)?))
        .build())
}

fn signer() -> Result<Signer, Box<dyn Error>> {
    let key = PrivateKeyDer::from_pem_file(told("PEER_KEY")?)?;
    let key = RsaKey::<Sha256>::from_key_der(key).map_err(|error| error.to_string())?;
    Ok(DkimSigner::from_key(key)
        .domain(told("PEER_DOMAIN")?)
        .selector(told("PEER_SELECTOR")?)
        .headers(HEADERS)
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed))
}

/// Sends the message of a line of the list: number, sender and recipient, tabs between.
fn send(folder: &str, line: &str, transport: &SmtpTransport, signer: &Signer) -> Result<(), Box<dyn Error>> {
    let [number, sender, recipient] = line.split('\t').collect::<Vec<_>>().try_into().map_err(|_| "a bad line")?;
    let message = std::fs::read(format!("{folder}/{number}.eml"))?;
    let mut signed = signer.sign(&message).map_err(|error| error.to_string())?.to_header().into_bytes();
    signed.extend_from_slice(&message);
    let envelope = Envelope::new(Some(sender.parse()?), vec![recipient.parse()?])?;
    transport.send_raw(&envelope, &signed)?;
    Ok(())
}
