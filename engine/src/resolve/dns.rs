//! The DNS, by hickory on a thread of its own: shards and the router ask it from their own runtimes.

use super::{Addresses, Mx, MxHost, Nets, NoAddress, NoRoute, Place, Security};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Said, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Which addresses are used, and which first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Both, IPv4 first.
    Ipv4First,
    /// Both, IPv6 first.
    Ipv6First,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

/// How the DNS is asked.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Recursive resolvers; empty takes the system's (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// How long one query may take; it is made twice.
    pub timeout: Duration,
    /// Which addresses are used.
    pub family: Family,
    /// Where no MX host can be.
    pub deny: Nets,
    /// The port of MX hosts.
    pub port: u16,
    /// A domain of ours: below it stands what is asked to find out whether anybody answers.
    pub ours: Option<String>,
}

/// A resolver that can't be made.
#[derive(Debug, thiserror::Error)]
#[error("can't look up names: {0}")]
pub struct DnsError(String);

/// Bounds over TTLs: a zone with TTL 0 must not cost a query a row, and a mistake of a year must mend within a day.
/// RFC 2308 section 5 bounds negative answers at three hours.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const LONGEST_NEGATIVE: Duration = Duration::from_secs(3 * 3600);
/// An MX record that is added must be noticed, however long the address lives.
const LONGEST_IMPLICIT: Duration = Duration::from_secs(600);
/// Answers kept: a million recipients have some tens of thousands of domains.
const CACHED: u64 = 65_536;
/// Hosts of one domain that are looked at.
const MOST_HOSTS: usize = 32;

/// Asks name servers. Clones share one cache.
#[derive(Clone)]
pub struct Dns(Arc<Inner>);

struct Inner {
    resolver: TokioResolver,
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
    /// The system's configuration names no usable server, or the thread can't start.
    pub fn start(config: DnsConfig) -> Result<Dns, DnsError> {
        let fail = |cause: &dyn std::fmt::Display| DnsError(cause.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("dns")
            .enable_all()
            .build()
            .map_err(|cause| fail(&cause))?;
        let provider = TokioRuntimeProvider::default();
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder(provider).map_err(|cause| fail(&cause))?
        } else {
            let servers = config.servers.iter().map(name_server).collect();
            TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider)
        };
        configure(builder.options_mut(), &config);
        let resolver = builder.build().map_err(|cause| fail(&cause))?;
        Ok(Dns(Arc::new(Inner { resolver, config, runtime: Some(runtime), asked: AtomicU64::new(0) })))
    }

    /// The MX hosts of `domain`, or the domain itself where it has addresses and no MX (RFC 5321 section 5.1).
    pub(super) async fn mx(&self, domain: &str) -> Result<Mx, NoRoute> {
        let found = match self.ask(domain, RecordType::MX).await {
            Ok(lookup) => lookup,
            // A server that has no MX record says so at once, or denies the whole name.
            Err(NoRoute::NoMailHost) => return self.implicit_mx(domain).await,
            Err(trouble) => return Err(trouble),
        };
        let mut hosts: Vec<MxHost> = Vec::new();
        let mut null = false;
        for record in found.answers() {
            let RData::MX(mx) = &record.data else { continue };
            let name = mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            null |= name.is_empty();
            if !name.is_empty() {
                hosts.push(self.host(name, mx.preference));
            }
        }
        if hosts.is_empty() {
            return if null { Err(NoRoute::NullMx) } else { self.implicit_mx(domain).await };
        }
        // A host named twice keeps its best preference; answers come in any order.
        hosts.sort_by(|a, b| (&a.name, a.preference).cmp(&(&b.name, b.preference)));
        hosts.dedup_by(|later, first| later.name == first.name);
        hosts.sort_by(|a, b| (a.preference, &a.name).cmp(&(b.preference, &b.name)));
        hosts.truncate(MOST_HOSTS);
        Ok(Mx { hosts, valid_until: Some(found.valid_until()), security: Security::Insecure })
    }

    /// Where `host` listens; addresses in denied networks are left out if `public`.
    pub(super) async fn addresses(&self, host: &str, port: u16, public: bool) -> Result<Addresses, NoAddress> {
        let (first, second) = match self.0.config.family {
            Family::Ipv4 => (self.of(host, RecordType::A).await, Ok(Vec::new())),
            Family::Ipv6 => (self.of(host, RecordType::AAAA).await, Ok(Vec::new())),
            Family::Ipv4First => tokio::join!(self.of(host, RecordType::A), self.of(host, RecordType::AAAA)),
            Family::Ipv6First => tokio::join!(self.of(host, RecordType::AAAA), self.of(host, RecordType::A)),
        };
        let failed = first.is_err() || second.is_err();
        let exhausted = [&first, &second].into_iter().any(|found| *found == Err(NoRoute::Exhausted));
        let all = [first.unwrap_or_default(), second.unwrap_or_default()].concat();
        let denied = |address: &IpAddr| public && self.0.config.deny.contains(*address);
        let usable: Vec<_> =
            all.iter().filter(|address| !denied(address)).map(|address| SocketAddr::new(*address, port)).collect();
        match (usable.is_empty(), failed, all.is_empty()) {
            (false, _, _) => Ok(Addresses { at: usable, security: Security::Insecure }),
            (true, _, _) if exhausted => Err(NoAddress::Exhausted),
            // One family may answer where the other failed: nothing is certain before both did.
            (true, true, _) => Err(NoAddress::Failed),
            (true, false, true) => Err(NoAddress::None),
            (true, false, false) => Err(NoAddress::Denied),
        }
    }

    /// Whether a name server has an answer, of whatever kind, to a question that nobody has asked before.
    pub(super) async fn says_anything(&self) -> bool {
        let Some(ours) = &self.0.config.ours else { return false };
        let asked = self.0.asked.fetch_add(1, Ordering::Relaxed);
        let name = format!("sealpost-{:x}-{asked:x}.{ours}", std::process::id());
        !self.ask(&name, RecordType::A).await.is_err_and(|trouble| trouble.is_transient())
    }

    async fn implicit_mx(&self, domain: &str) -> Result<Mx, NoRoute> {
        let (four, six) = tokio::join!(self.ask(domain, RecordType::A), self.ask(domain, RecordType::AAAA));
        let found = match (four, six) {
            (Ok(found), _) | (_, Ok(found)) => found,
            (Err(one), Err(other)) => return Err(if one.is_transient() { one } else { other }),
        };
        let place = Place::Implicit(self.0.config.port);
        let hosts = vec![MxHost { name: domain.to_owned(), preference: 0, place }];
        let until = found.valid_until().min(Instant::now() + LONGEST_IMPLICIT);
        Ok(Mx { hosts, valid_until: Some(until), security: Security::Insecure })
    }

    fn host(&self, name: String, preference: u16) -> MxHost {
        MxHost { name, preference, place: Place::Named(self.0.config.port) }
    }

    /// The addresses of `host` of one family; none is an answer, no answer is an error.
    async fn of(&self, host: &str, kind: RecordType) -> Result<Vec<IpAddr>, NoRoute> {
        match self.ask(host, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()),
            Err(trouble) if trouble.is_transient() => Err(trouble),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// One query, made on the resolver's own runtime: its connections live there. A name is always whole: a search list has
    /// no place in the routing of mail.
    async fn ask(&self, name: &str, kind: RecordType) -> Result<Lookup, NoRoute> {
        let resolver = self.0.resolver.clone();
        let whole = format!("{name}.");
        let runtime = self.0.runtime.as_ref().expect("it is there until the last handle goes");
        let asked = runtime.spawn(async move { resolver.lookup(whole, kind).await });
        match asked.await {
            Ok(Ok(lookup)) => Ok(lookup),
            Ok(Err(error)) => {
                let trouble = trouble(&error);
                tracing::debug!(%kind, why = trouble.label(), "nothing found");
                Err(trouble)
            }
            Err(_) => Err(NoRoute::Failed),
        }
    }
}

fn trouble(error: &NetError) -> NoRoute {
    match error {
        NetError::Timeout => NoRoute::TimedOut,
        NetError::Io(error) if crate::mail::is_exhausted(error) => NoRoute::Exhausted,
        _ if error.is_nx_domain() => NoRoute::NoSuchDomain,
        // RFC 2308 section 2.2: name servers and no SOA is a referral, by a server that does not look up for us.
        NetError::Dns(Said::NoRecordsFound(none)) if none.soa.is_none() && none.ns.is_some() => NoRoute::Failed,
        _ if error.is_no_records_found() => NoRoute::NoMailHost,
        _ => NoRoute::Failed,
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn configure(options: &mut ResolverOpts, config: &DnsConfig) {
    options.timeout = config.timeout;
    // Repeated once.
    options.attempts = 1;
    options.cache_size = CACHED;
    options.positive_min_ttl = Some(SHORTEST);
    options.positive_max_ttl = Some(LONGEST);
    options.negative_min_ttl = Some(SHORTEST);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE);
    // /etc/hosts says where this machine's friends are, not where mail goes.
    options.use_hosts_file = ResolveHosts::Never;
    options.try_tcp_on_error = true;
    // On one TCP connection; over UDP each query has a socket of its own.
    options.max_active_requests = 256;
}
