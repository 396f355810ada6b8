//! `sealpost.toml` as written. Every default has its reason in `config/sealpost.toml`.

use super::machine_tables::{MetricsTable, ShapingTable, SigningTable, StoreTable};
use super::tls_reports::ReportsTable;
use crate::mail::Level;
use crate::resolve::{Dnssec, Family};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;

/// A time span as people write it: `300ms`, `5m`, `48h`, `1h 10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Span).map_err(|_| {
            de::Error::custom(format!("\"{text}\" is no time span: write it like \"90s\", \"5m\" or \"48h\""))
        })
    }
}

/// `sealpost.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineFile {
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// Who we are to the servers we send to.
    #[serde(default)]
    pub source: Vec<SourceTable>,
    /// Signing keys by `d=` domain.
    #[serde(default)]
    pub dkim: BTreeMap<String, DkimTable>,
    /// Where the master key is.
    pub keys: KeysTable,
    /// How domains are found.
    #[serde(default)]
    pub dns: DnsTable,
    /// A relay that takes everything the DNS would otherwise be asked for.
    pub smarthost: Option<SmarthostTable>,
    /// SMTP itself.
    #[serde(default)]
    pub smtp: SmtpTable,
    /// Whom we trust.
    #[serde(default)]
    pub tls: TlsTable,
    /// When deferred rows are tried again.
    #[serde(default)]
    pub retry: RetryTable,
    /// Bounds.
    #[serde(default)]
    pub limits: LimitsTable,
    /// How fast whom may be sent to.
    #[serde(default)]
    pub shaping: ShapingTable,
    /// How signatures are made.
    #[serde(default)]
    pub signing: SigningTable,
    /// What Prometheus sees.
    #[serde(default)]
    pub metrics: MetricsTable,
    /// What survives a crash.
    #[serde(default)]
    pub store: StoreTable,
}

/// `[[source]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTable {
    /// Its name, by which campaigns choose it and metrics tell it from others.
    pub name: Spanned<String>,
    /// The name given in EHLO.
    pub ehlo: Spanned<String>,
    /// Our address towards IPv4 hosts.
    pub ipv4: Option<Ipv4Addr>,
    /// Our address towards IPv6 hosts.
    pub ipv6: Option<Ipv6Addr>,
}

/// `[dkim."domain"]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimTable {
    /// The RSA-2048 key (RFC 6376, RFC 8301).
    pub rsa: Option<DkimKeyTable>,
    /// The Ed25519 key (RFC 8463).
    pub ed25519: Option<DkimKeyTable>,
}

/// One signing key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimKeyTable {
    /// The `s=` selector.
    pub selector: String,
    /// A PKCS #8 PEM file, readable by its owner only.
    pub key: Spanned<PathBuf>,
}

/// `[keys]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysTable {
    /// The key that wraps all others.
    pub master: Spanned<MasterTable>,
}

/// Where the master key is; exactly one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterTable {
    /// A file, readable by its owner only.
    pub file: Option<PathBuf>,
    /// An environment variable.
    pub env: Option<String>,
}

/// `[dns]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsTable {
    /// Recursive resolvers, `address` or `address:port`; empty takes the system's.
    pub servers: Vec<Spanned<String>>,
    /// How long a query may take; it is made twice.
    pub timeout: Spanned<Span>,
    /// Who looks at signatures.
    pub dnssec: Spanned<Dnssec>,
    /// Keys of the root that take the place of IANA's.
    pub trust_anchors: Option<Spanned<PathBuf>>,
    /// Which addresses of MX hosts are used, and which first.
    pub family: Family,
    /// Networks in which no MX host can be; `None` is the list of the reference file.
    pub deny_nets: Option<Vec<Spanned<String>>>,
    /// Fixed routes by domain; `"*"` is every other domain.
    #[serde(rename = "static")]
    pub routes: BTreeMap<String, Spanned<RouteTable>>,
}

impl Default for DnsTable {
    fn default() -> Self {
        DnsTable {
            servers: Vec::new(),
            timeout: Spanned::new(0..0, Span(Duration::from_secs(5))),
            dnssec: Spanned::new(0..0, Dnssec::Validate),
            trust_anchors: None,
            family: Family::Ipv4First,
            deny_nets: None,
            routes: BTreeMap::new(),
        }
    }
}

/// `[smarthost]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmarthostTable {
    /// Its name, which its certificate must prove.
    pub host: Spanned<String>,
    /// Where it is, if not where the DNS says.
    pub address: Option<IpAddr>,
    /// Its port.
    #[serde(default = "submission")]
    pub port: u16,
    /// How TLS begins; `None` takes what goes with the port.
    pub tls: Option<TlsStart>,
    /// Who we are to it.
    pub user: Option<Spanned<String>>,
    /// Our password there.
    pub password: Option<Spanned<MasterTable>>,
    /// Our certificate and what leads to its issuer, PEM.
    pub certificate: Option<Spanned<PathBuf>>,
    /// The certificate's key, PEM.
    pub certificate_key: Option<Spanned<PathBuf>>,
}

/// RFC 6409.
fn submission() -> u16 {
    587
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsStart {
    /// By command, in a session that began in clear (port 587).
    Starttls,
    /// With the connection (port 465, RFC 8314).
    Implicit,
}

/// A fixed route: `"host:port"`, or the name that the certificate must prove with the address to connect to.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum RouteTable {
    /// `"127.0.0.1:2525"`.
    Address(String),
    /// `{ host = "mx.gmail.example", address = "127.0.0.1:2525" }`.
    Named(NamedRouteTable),
}

/// A fixed route to a named host.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedRouteTable {
    /// The MX host's name, which its certificate must prove.
    pub host: String,
    /// Its address and port.
    pub address: String,
}

/// `[smtp]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpTable {
    /// The port of a route that names none.
    pub port: u16,
    /// How long a connection may take to open.
    pub connect_timeout: Span,
    /// How long an open connection waits for its next message before QUIT.
    pub idle_timeout: Span,
    /// A bound over all of RFC 5321's command timeouts, for tests and impatient partners.
    pub command_timeout: Option<Span>,
}

impl Default for SmtpTable {
    fn default() -> Self {
        SmtpTable {
            port: 25,
            connect_timeout: Span(Duration::from_secs(30)),
            idle_timeout: Span(Duration::from_secs(5)),
            command_timeout: None,
        }
    }
}

/// `[tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsTable {
    /// `"system"` and PEM files.
    pub roots: Vec<Spanned<String>>,
    /// How long a host must fall short before exclusive runs drop rows for it.
    pub exclusive_confirm: Span,
    /// How often kept policies and hosts that were probed are looked at again; zero is never.
    pub refresh: Span,
    /// What no campaign may go below, by domain.
    pub domains: BTreeMap<String, Spanned<Level>>,
    /// Who sends TLS reports.
    pub reports: Option<ReportsTable>,
}

impl Default for TlsTable {
    fn default() -> Self {
        // A certificate that is renewed late is noticed by half an hour; a letter takes days.
        let exclusive_confirm = Span(Duration::from_secs(30 * 60));
        let roots = vec![Spanned::new(0..0, "system".to_owned())];
        // RFC 8461 section 3.3.
        let refresh = Span(Duration::from_secs(24 * 3600));
        TlsTable { roots, exclusive_confirm, refresh, domains: BTreeMap::new(), reports: None }
    }
}

/// `[retry]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryTable {
    /// The wait after the first attempt.
    pub first: Spanned<Span>,
    /// The longest wait.
    pub longest: Span,
}

impl Default for RetryTable {
    fn default() -> Self {
        RetryTable {
            first: Spanned::new(0..0, Span(Duration::from_secs(5 * 60))),
            longest: Span(Duration::from_secs(70 * 60)),
        }
    }
}

/// `[limits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Connections of the whole machine.
    pub connections: Spanned<usize>,
    /// Connections to one provider.
    pub connections_per_provider: Spanned<usize>,
    /// Messages on one connection before it is closed.
    pub messages_per_connection: Spanned<u32>,
    /// Rows waiting in memory.
    pub rows_in_memory: Spanned<usize>,
}

impl Default for LimitsTable {
    fn default() -> Self {
        LimitsTable {
            connections: Spanned::new(0..0, 2000),
            connections_per_provider: Spanned::new(0..0, 20),
            messages_per_connection: Spanned::new(0..0, 1000),
            rows_in_memory: Spanned::new(0..0, 20_000),
        }
    }
}
