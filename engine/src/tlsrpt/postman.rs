//! Brings reports to whom they are for.

use super::letter::letter;
use super::post::post;
use super::report::Report;
use super::rua::Place;
use crate::clock::Timestamp;
use crate::mail::{Address, Demand, Level, Message, MxTrust, Tlsa};
use crate::metrics::{Config, Metrics};
use crate::resolve::{MxHost, Place as HostPlace, Resolver};
use crate::sign::Signer;
use crate::smtp::{Access, Connector, Envelope, Fate, Policy, Sent, Session, Source, Target, Tcp, Timeouts, Verdict};
use rustls::client::Resumption;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsConnector;

/// Who sends reports: `[tls.reports]`.
#[derive(Clone, Debug)]
pub struct Sender {
    /// `organization-name`.
    pub organization: String,
    /// `contact-info`.
    pub contact: String,
    /// The address that mail with reports comes from.
    pub from: Address,
}

/// Sends reports, over sessions that no message of a row ever sees.
pub struct Postman {
    resolver: Arc<dyn Resolver>,
    connector: Connector,
    https: TlsConnector,
    relay: Access,
    source: Source,
    signer: Signer,
    sender: Sender,
    metrics: Arc<Metrics>,
}

/// Why a report was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Undeliverable {
    /// The address is none that anything can be sent to.
    #[error("no such address")]
    Address,
    /// The DNS knows no host for it.
    #[error("{0}")]
    Dns(&'static str),
    /// No host took a connection, or it broke.
    #[error("unreachable")]
    Unreachable,
    /// TLS with a web server failed.
    #[error("tls_failed")]
    Tls,
    /// The web server said no.
    #[error("http {0}")]
    Status(u16),
    /// The mail server said no, with these codes.
    #[error("{why}")]
    Refused {
        /// Codes and closed labels.
        why: String,
        /// Whether it said so for good.
        final_word: bool,
    },
    /// It took too long.
    #[error("timed_out")]
    TimedOut,
}

impl Undeliverable {
    /// Whether it would be the same later.
    pub fn is_final(&self) -> bool {
        matches!(self, Undeliverable::Address | Undeliverable::Refused { final_word: true, .. })
    }
}

/// For one report to one place.
const PATIENCE: Duration = Duration::from_secs(120);
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(10), command: Some(Duration::from_secs(60)) };
/// Hosts tried, and addresses of each.
const MOST: usize = 3;

impl Postman {
    /// One that finds hosts by `resolver`, and is `source` and `sender` to them; a smarthost is entered as `relay` says.
    pub fn new(
        resolver: Arc<dyn Resolver>,
        connector: Connector,
        (source, relay): (Source, Access),
        signer: Signer,
        sender: Sender,
    ) -> Postman {
        let mut https = rustls::ClientConfig::clone(&connector.https());
        https.alpn_protocols = vec![b"http/1.1".to_vec()];
        https.resumption = Resumption::disabled();
        // What reports cost is nobody's throughput.
        let metrics = Arc::new(Metrics::new(Config { providers: 0 }));
        let https = TlsConnector::from(Arc::new(https));
        Postman { resolver, connector, https, relay, source, signer, sender, metrics }
    }

    /// Who sends.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Where reports about `domain` are wanted.
    ///
    /// # Errors
    /// Nobody could say.
    pub async fn places(&self, domain: &str) -> Result<Vec<Place>, Undeliverable> {
        match self.resolver.txt(&format!("_smtp._tls.{domain}")).await {
            Ok(records) => Ok(super::places(&records)),
            Err(trouble) if trouble.is_transient() => Err(Undeliverable::Dns(trouble.label())),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Sends `report` to `place`.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn deliver(&self, report: &Report, place: &Place, now: Timestamp) -> Result<(), Undeliverable> {
        let work = async {
            match place {
                Place::Mail(address) => self.mail(report, address, now).await,
                Place::Web(uri) => post(&*self.resolver, &self.https, uri, report.gzip()).await,
            }
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or(Err(Undeliverable::TimedOut))
    }

    async fn mail(&self, report: &Report, to: &str, now: Timestamp) -> Result<(), Undeliverable> {
        let to = Address::parse(to).map_err(|_| Undeliverable::Address)?;
        let message = letter(report, to.as_str(), &self.sender, &self.signer, now);
        let envelope = Envelope {
            sender: self.sender.from.as_str().to_owned(),
            recipient: to.as_str().to_owned(),
            size: message.octets().len(),
            id: report.id.split('@').next().unwrap_or_default().to_owned(),
            utf8: false,
            requiretls: false,
        };
        let mx = self.resolver.mx(to.domain()).await.map_err(|trouble| Undeliverable::Dns(trouble.label()))?;
        let mut last = Undeliverable::Unreachable;
        for host in mx.hosts.iter().take(MOST) {
            match self.at(host, &envelope, &message).await {
                Err(trouble) if !trouble.is_final() => last = trouble,
                settled => return settled,
            }
        }
        Err(last)
    }

    async fn at(&self, host: &MxHost, envelope: &Envelope, message: &Message) -> Result<(), Undeliverable> {
        let found = self.resolver.addresses(host).await.map_err(|trouble| Undeliverable::Dns(trouble.label()))?;
        let mut last = Undeliverable::Unreachable;
        for address in found.at.into_iter().take(MOST) {
            match self.talk(host, address, envelope, message).await {
                Err(trouble) if !trouble.is_final() => last = trouble,
                settled => return settled,
            }
        }
        Err(last)
    }

    /// TLS where it works, else clear text (section 5.3): a report tells of TLS that doesn't.
    async fn talk(
        &self,
        host: &MxHost,
        address: SocketAddr,
        envelope: &Envelope,
        message: &Message,
    ) -> Result<(), Undeliverable> {
        let from = self.source.towards(address.ip()).map_err(|_| Undeliverable::Unreachable)?;
        let target = Target { address, host: &host.name, from };
        let mut policy = self.policy(host);
        let mut opened = self.open(target, &policy).await;
        if policy.demand.level() == Level::Opportunistic && opened.as_ref().err().is_some_and(Verdict::is_tls) {
            policy.avoid_tls = true;
            opened = self.open(target, &policy).await;
        }
        let mut session = opened.map_err(|verdict| Undeliverable::Refused { why: verdict.why(), final_word: false })?;
        let (Sent::Settled(verdict) | Sent::Back(verdict)) =
            session.send(envelope, &policy.demand, message.octets(), |_| true).await;
        if session.rest().await {
            session.quit().await;
        }
        match verdict.fate {
            Fate::Delivered => Ok(()),
            fate => Err(Undeliverable::Refused { why: verdict.why(), final_word: fate == Fate::Bounced }),
        }
    }

    async fn open(&self, target: Target<'_>, policy: &Policy) -> Result<Session, Verdict> {
        Session::open(&Tcp, target, policy, &self.connector, TIMEOUTS, self.metrics.clone()).await
    }

    fn policy(&self, host: &MxHost) -> Policy {
        let relayed = matches!(host.place, HostPlace::Relay(_) | HostPlace::RelayAt(_));
        let access = if relayed { self.relay.clone() } else { Access::default() };
        // Who learns our password must have proven who it is.
        let demand = Demand::new(if access.needs_proof() { Level::Verified } else { Level::Opportunistic });
        Policy {
            ehlo: self.source.ehlo.clone(),
            demand,
            tlsa: Tlsa::Absent,
            mx_trust: MxTrust::Plain,
            avoid_tls: false,
            looked_at: false,
            careful: false,
            access,
            replies: [].into(),
        }
    }
}
