//! The DNS, by hickory on a thread of its own: shards and the router ask it from their own runtimes.

mod config;

pub use config::{DnsConfig, DnsError, Family};

use self::config::{configure, name_server};
use super::dnssec::{Dnssec, Provider, anchors};
use super::proof::{Found, MOST_CNAMES, Nothing, found, nothing};
use super::{Addresses, Mx, MxHost, NoAddress, NoRoute, Place, Security, TlsaRecord};
use hickory_resolver::Resolver;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{IntoName, Name, RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// An MX record that is added must be noticed, however long the address lives.
const LONGEST_IMPLICIT: Duration = Duration::from_secs(600);
/// Hosts of one domain that are looked at.
const MOST_HOSTS: usize = 32;

/// Asks name servers. Clones share one cache.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    resolver: Resolver<Provider>,
    config: DnsConfig,
    runtime: Option<Runtime>,
    /// Questions asked to find out whether anybody answers.
    asked: AtomicU64,
}

impl Drop for Inner {
    /// The last user may be a task of another runtime, where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Dns {
    /// Starts the thread that asks.
    ///
    /// # Errors
    /// The system's configuration names no usable server, the thread can't start, or the trust anchors can't be read.
    pub fn start(config: DnsConfig) -> Result<Dns, DnsError> {
        let fail = |cause: &dyn std::fmt::Display| DnsError::Resolver(cause.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("dns")
            .enable_all()
            .build()
            .map_err(|cause| fail(&cause))?;
        let provider = Provider { inner: TokioRuntimeProvider::default(), dnssec: config.dnssec };
        let mut builder = if config.servers.is_empty() {
            Resolver::builder(provider).map_err(|cause| fail(&cause))?
        } else {
            let servers = config.servers.iter().map(name_server).collect();
            Resolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider)
        };
        configure(builder.options_mut(), &config);
        if let (Dnssec::Validate, Some(path)) = (config.dnssec, &config.anchors) {
            builder = builder.with_trust_anchor(Arc::new(anchors(path)?));
        }
        let resolver = builder.build().map_err(|cause| fail(&cause))?;
        Ok(Dns(Arc::new(Inner { resolver, config, runtime: Some(runtime), asked: AtomicU64::new(0) })))
    }

    /// The MX hosts of `domain`, or the domain itself where it has addresses and no MX (RFC 5321 section 5.1).
    pub(super) async fn mx(&self, domain: &str) -> Result<Mx, NoRoute> {
        let found = match self.ask(domain, RecordType::MX).await {
            Ok(found) => found,
            // A server that has no MX record says so at once, or denies the whole name.
            Err(Nothing::Denied { exists: true, security }) => return self.implicit_mx(domain, security).await,
            Err(nothing) => return Err(nothing.into()),
        };
        let mut hosts: Vec<MxHost> = Vec::new();
        let mut null = false;
        for record in &found.records {
            let RData::MX(mx) = record else { continue };
            let name = mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            null |= name.is_empty();
            if !name.is_empty() {
                hosts.push(self.host(name, mx.preference));
            }
        }
        if hosts.is_empty() {
            return if null { Err(NoRoute::NullMx) } else { self.implicit_mx(domain, found.security).await };
        }
        // A host named twice keeps its best preference; answers come in any order.
        hosts.sort_by(|a, b| (&a.name, a.preference).cmp(&(&b.name, b.preference)));
        hosts.dedup_by(|later, first| later.name == first.name);
        hosts.sort_by(|a, b| (a.preference, &a.name).cmp(&(b.preference, &b.name)));
        hosts.truncate(MOST_HOSTS);
        Ok(Mx { hosts, valid_until: Some(found.valid_until), security: found.security })
    }

    /// Where `host` listens; addresses in denied networks are left out if `public`.
    pub(super) async fn addresses(&self, host: &str, port: u16, public: bool) -> Result<Addresses, NoAddress> {
        let (first, second) = match self.0.config.family {
            Family::Ipv4 => (self.of(host, RecordType::A).await, Ok(None)),
            Family::Ipv6 => (self.of(host, RecordType::AAAA).await, Ok(None)),
            Family::Ipv4First => tokio::join!(self.of(host, RecordType::A), self.of(host, RecordType::AAAA)),
            Family::Ipv6First => tokio::join!(self.of(host, RecordType::AAAA), self.of(host, RecordType::A)),
        };
        // Of two failures the one that our machine is to blame for, then the bogus one.
        let trouble = [&first, &second].into_iter().filter_map(|found| found.as_ref().err().copied());
        let trouble = trouble.map(NoAddress::from).max_by_key(|trouble| match trouble {
            NoAddress::Exhausted => 2,
            NoAddress::Bogus => 1,
            _ => 0,
        });
        let found: Vec<Found> = [first, second].into_iter().filter_map(|found| found.ok().flatten()).collect();
        let all: Vec<IpAddr> = found.iter().flat_map(|found| &found.records).filter_map(RData::ip_addr).collect();
        let denied = |address: &IpAddr| public && self.0.config.deny.contains(*address);
        let at: Vec<_> =
            all.iter().filter(|address| !denied(address)).map(|address| SocketAddr::new(*address, port)).collect();
        match (at.is_empty(), trouble, all.is_empty()) {
            (false, ..) => Ok(Addresses { at, security: self.of_host(host, &found).await? }),
            // One family may answer where the other failed: nothing is certain before both did.
            (true, Some(trouble), _) => Err(trouble),
            (true, None, true) => Err(NoAddress::None),
            (true, None, false) => Err(NoAddress::Denied),
        }
    }

    /// The TLSA records of `host` at `port` (RFC 7672 section 2.2.3).
    ///
    /// They stand below the host's name, or, where it is an alias and the whole way is secure, below the name at its end, which
    /// is asked first. Where the way is insecure only from some CNAME on, the host's own name is the one to ask below; where it
    /// is insecure from the start, none is asked.
    pub(super) async fn tlsa(&self, host: &str, port: u16) -> Result<Vec<TlsaRecord>, NoAddress> {
        if self.0.config.dnssec == Dnssec::Off {
            return Ok(Vec::new());
        }
        let Some(found) = self.of_either(host).await? else { return Ok(Vec::new()) };
        let of_all = found.security;
        let end = found.name.clone();
        if self.of_host(host, &[found]).await? == Security::Insecure {
            return Ok(Vec::new());
        }
        let expanded = (of_all == Security::Secure && end != host).then_some(end);
        for base in expanded.iter().map(String::as_str).chain([host]) {
            let found = self.of(&format!("_{port}._tcp.{base}"), RecordType::TLSA).await?;
            if let Some(found) = found.filter(|found| found.security == Security::Secure) {
                return Ok(found.records.iter().filter_map(tlsa_record).collect());
            }
        }
        Ok(Vec::new())
    }

    /// The TXT records of `name`.
    pub(super) async fn txt(&self, name: &str) -> Result<Vec<String>, NoRoute> {
        let found = self.of(name, RecordType::TXT).await?;
        let text = |record: &RData| match record {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(found.map(|found| found.records.iter().filter_map(text).collect()).unwrap_or_default())
    }

    /// The names that PTR records at `name` give.
    pub(super) async fn names(&self, name: &str) -> Result<Vec<String>, NoRoute> {
        let found = self.of(name, RecordType::PTR).await?;
        let text = |record: &RData| match record {
            RData::PTR(ptr) => Some(ptr.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
            _ => None,
        };
        Ok(found.map(|found| found.records.iter().filter_map(text).collect()).unwrap_or_default())
    }

    /// The addresses of `name`, of the same family as `like`, denied or not.
    pub(super) async fn addresses_of(&self, name: &str, like: IpAddr) -> Result<Vec<IpAddr>, NoRoute> {
        let kind = if like.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        let found = self.of(name, kind).await?;
        Ok(found.map(|found| found.records.iter().filter_map(RData::ip_addr).collect()).unwrap_or_default())
    }

    /// Waits on a runtime of our own.
    pub(super) fn wait_for<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime().block_on(answer)
    }

    /// Whether a name server has an answer, of whatever kind, to a question that nobody has asked before.
    pub(super) async fn says_anything(&self) -> bool {
        let Some(ours) = &self.0.config.ours else { return false };
        match self.ask(&self.unheard(ours), RecordType::A).await {
            // Our own domain may be what is broken: whether any signatures get here is for the root to say.
            Err(Nothing::Unknown(NoRoute::Bogus)) => self.root_is_proven().await.is_ok(),
            Err(Nothing::Unknown(_)) => false,
            Ok(_) | Err(Nothing::Denied { .. }) => true,
        }
    }

    /// Whether signatures get here whole; for whoever starts an engine, on no runtime of his own.
    ///
    /// # Errors
    /// They don't ([`NoRoute::Bogus`]), or nobody answers.
    pub fn signatures_arrive(&self) -> Result<(), NoRoute> {
        self.wait_for(self.root_is_proven())
    }

    /// Whether the root's denial of a name that nobody has asked for is secure.
    async fn root_is_proven(&self) -> Result<(), NoRoute> {
        match self.ask(&self.unheard(""), RecordType::A).await {
            Err(Nothing::Denied { security: Security::Secure, .. }) => Ok(()),
            Err(Nothing::Unknown(trouble)) => Err(trouble),
            _ => Err(NoRoute::Bogus),
        }
    }

    /// A name below `zone` that is in nobody's cache.
    fn unheard(&self, zone: &str) -> String {
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed);
        format!("sealpost-{:x}-{asked:x}.{zone}", std::process::id()).trim_end_matches('.').to_owned()
    }

    async fn implicit_mx(&self, domain: &str, denial: Security) -> Result<Mx, NoRoute> {
        let (four, six) = tokio::join!(self.ask(domain, RecordType::A), self.ask(domain, RecordType::AAAA));
        let found = match (four.map_err(NoRoute::from), six.map_err(NoRoute::from)) {
            (Ok(found), _) | (_, Ok(found)) => found,
            (Err(one), Err(other)) => return Err(if one.is_transient() { one } else { other }),
        };
        let place = Place::Implicit(self.0.config.port);
        let hosts = vec![MxHost { name: domain.to_owned(), preference: 0, place }];
        let until = found.valid_until.min(Instant::now() + LONGEST_IMPLICIT);
        // CNAMEs on the way to the denial are those on the way to the address.
        Ok(Mx { hosts, valid_until: Some(until), security: denial.and(found.security) })
    }

    fn host(&self, name: String, preference: u16) -> MxHost {
        MxHost { name, preference, place: Place::Named(self.0.config.port) }
    }

    /// What DNSSEC says of what stands at `host` itself, where its addresses were found.
    async fn of_host(&self, host: &str, found: &[Found]) -> Result<Security, NoRoute> {
        if found.iter().all(|found| found.first == Security::Secure) {
            return Ok(Security::Secure);
        }
        // A resolver's AD bit is about the whole way; an alias of its own may be secure all the same.
        if self.0.config.dnssec == Dnssec::TrustAd && found.iter().any(|found| found.name != host) {
            let alias = self.of(host, RecordType::CNAME).await?;
            return Ok(alias.map_or(Security::Insecure, |alias| alias.first));
        }
        Ok(Security::Insecure)
    }

    /// Addresses of `host` of whichever family has some.
    async fn of_either(&self, host: &str) -> Result<Option<Found>, NoRoute> {
        let kinds = match self.0.config.family {
            Family::Ipv4 => &[RecordType::A][..],
            Family::Ipv6 => &[RecordType::AAAA],
            Family::Ipv4First => &[RecordType::A, RecordType::AAAA],
            Family::Ipv6First => &[RecordType::AAAA, RecordType::A],
        };
        let mut none = Ok(None);
        for kind in kinds {
            match self.of(host, *kind).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                trouble => none = trouble,
            }
        }
        none
    }

    /// What `name` has of one kind; none is an answer, no answer is an error.
    async fn of(&self, name: &str, kind: RecordType) -> Result<Option<Found>, NoRoute> {
        self.ask(name, kind).await.map_or_else(Nothing::or_none, |found| Ok(Some(found)))
    }

    /// What `name` has of one kind. A name is always whole: a search list has no place in the routing of mail.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Found, Nothing> {
        let name = format!("{name}.").into_name().map_err(|_| Nothing::Unknown(NoRoute::Failed))?;
        let answer = match self.ask_once(&name, kind).await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.ask_step_by_step(&name, kind).await,
            Err(nothing) => Err(nothing),
        };
        answer.inspect_err(|none| tracing::debug!(%kind, why = NoRoute::from(*none).label(), "nothing found"))
    }

    /// The same where the answer to one question is not whole: CNAMEs are followed by a question each. What was left out must
    /// not pass for unsigned, or whoever cuts an answer short could make a signed host look like an unsigned one.
    async fn ask_step_by_step(&self, name: &Name, kind: RecordType) -> Result<Found, Nothing> {
        let (mut at, mut way): (Name, Option<Found>) = (name.clone(), None);
        for _ in 0..=MOST_CNAMES {
            match self.ask_once(&at, RecordType::CNAME).await {
                Ok(Some(alias)) => {
                    let Some(RData::CNAME(next)) = alias.records.first() else { break };
                    at = next.0.clone();
                    way = Some(Found::after(way, alias));
                }
                // It is the end, and what is kept of it is a part of an answer that was put together.
                Err(Nothing::Denied { .. }) => self.0.resolver.clear_lookup_cache(at.clone(), kind),
                Ok(None) => break,
                Err(nothing) => return Err(nothing),
            }
            if let Some(found) = self.ask_once(&at, kind).await? {
                return Ok(Found::after(way, found));
            }
        }
        Err(Nothing::Unknown(NoRoute::Failed))
    }

    /// One query, made on the resolver's own runtime: its connections live there. `None` is an answer that is not whole.
    async fn ask_once(&self, name: &Name, kind: RecordType) -> Result<Option<Found>, Nothing> {
        let (resolver, dnssec, asked) = (self.0.resolver.clone(), self.0.config.dnssec, name.clone());
        match self.runtime().spawn(async move { resolver.lookup(asked, kind).await }).await {
            Ok(Ok(lookup)) => found(&lookup, name, kind, dnssec),
            Ok(Err(error)) => Err(nothing(&error, dnssec)),
            Err(_) => Err(Nothing::Unknown(NoRoute::Failed)),
        }
    }

    fn runtime(&self) -> &Runtime {
        self.0.runtime.as_ref().expect("it is there until the last handle goes")
    }
}

fn tlsa_record(record: &RData) -> Option<TlsaRecord> {
    let RData::TLSA(TLSA { cert_usage, selector, matching, cert_data, .. }) = record else { return None };
    Some(TlsaRecord {
        usage: (*cert_usage).into(),
        selector: (*selector).into(),
        matching: (*matching).into(),
        data: cert_data.clone(),
    })
}
