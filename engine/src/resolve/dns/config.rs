//! How the DNS is asked: what the operator says, and what hickory is told.

use crate::resolve::Nets;
use crate::resolve::dnssec::Dnssec;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverOpts};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Who looks at signatures.
    pub dnssec: Dnssec,
    /// Keys of the root that take the place of IANA's: a file of DNSKEY records.
    pub anchors: Option<PathBuf>,
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
pub enum DnsError {
    /// The system names no usable server, or has no thread for us.
    #[error("can't look up names: {0}")]
    Resolver(String),
    /// The root's keys can't be read.
    #[error("{}: {why}", path.display())]
    Anchors {
        /// Their file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Bounds over TTLs: a zone with TTL 0 must not cost a query a row, and a mistake of a year must mend within a day.
/// RFC 2308 section 5 bounds negative answers at three hours.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const LONGEST_NEGATIVE: Duration = Duration::from_secs(3 * 3600);
/// With a denial that it has validated hickory does not give its TTL on, but keeps it for the shortest. Most hosts have no IPv6
/// address and no TLSA record: each new connection would ask again. The router holds on to a failure for as long.
const SHORTEST_PROVEN: Duration = Duration::from_secs(30);
/// Answers kept: a million recipients have some tens of thousands of domains.
const CACHED: u64 = 65_536;

pub(super) fn name_server(address: &SocketAddr) -> NameServerConfig {
    let port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![port(ConnectionConfig::udp()), port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

pub(super) fn configure(options: &mut ResolverOpts, config: &DnsConfig) {
    options.timeout = config.timeout;
    // Repeated once.
    options.attempts = 1;
    options.cache_size = CACHED;
    options.positive_min_ttl = Some(SHORTEST);
    options.positive_max_ttl = Some(LONGEST);
    options.negative_min_ttl = Some(if config.dnssec == Dnssec::Validate { SHORTEST_PROVEN } else { SHORTEST });
    options.negative_max_ttl = Some(LONGEST_NEGATIVE);
    // /etc/hosts says where this machine's friends are, not where mail goes.
    options.use_hosts_file = ResolveHosts::Never;
    options.try_tcp_on_error = true;
    options.validate = config.dnssec == Dnssec::Validate;
    // What is secure is so by every CNAME on the way.
    options.preserve_intermediates = true;
    // On one TCP connection; over UDP each query has a socket of its own.
    options.max_active_requests = 256;
}
