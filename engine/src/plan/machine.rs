//! `sealpost.toml`, checked and resolved.

use super::Error;
use super::file::{
    DkimKeyTable, DnsTable, LimitsTable, MachineFile, MasterTable, NamedRouteTable, RouteTable, SourceTable,
};
use super::machine_tables::MetricsTable;
use super::smarthost::{Smarthost, smarthost};
use super::tls_reports;
use crate::mail::{Address, Level, is_host_name};
use crate::metrics;
use crate::queue::{Limits, Sync};
use crate::resolve::{DnsConfig, Dnssec, Nets, StaticRoute, parse_net};
use crate::retry::Retry;
use crate::secret::KeyPlace;
use crate::sign::Together;
use crate::smtp::{Root, Source};
use crate::tlsrpt::Sender;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// The machine that sends.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// Who we are to the servers we send to; never empty.
    pub sources: Vec<Source>,
    /// Signing keys by domain.
    pub dkim: BTreeMap<String, Dkim>,
    /// Where the master key is.
    pub master: KeyPlace,
    /// Fixed routes by lower-case domain; `*` is every other domain.
    pub routes: BTreeMap<String, StaticRoute>,
    /// Where every domain without a fixed route goes.
    pub smarthost: Option<Smarthost>,
    /// How the DNS is asked.
    pub dns: DnsConfig,
    /// `[tls] roots`: `system` and PEM files.
    pub roots: Vec<Root>,
    /// `[tls] exclusive_confirm`: how long a host must fall short before exclusive runs drop rows for it.
    pub exclusive_confirm: Duration,
    /// `[tls.reports]`: who sends TLS reports, if anybody does.
    pub reports: Option<Sender>,
    /// `[tls] refresh`: how often kept policies and hosts that were probed are looked at again, if they are.
    pub tls_refresh: Option<Duration>,
    /// `[tls.domains]`: what no campaign may go below, by lower-case domain.
    pub tls_domains: Arc<BTreeMap<String, Level>>,
    /// When deferred rows are tried again.
    pub retry: Retry,
    /// Bounds.
    pub limits: Limits,
    /// `[shaping] file`: rules that take the place of those that are built in.
    pub shaping: Option<PathBuf>,
    /// `[signing] together`: whether RSA-2048 signatures are made together.
    pub sign_together: Together,
    /// When leases are on the disk.
    pub sync: Sync,
    /// How long a key counts as sent.
    pub sent_kept: Duration,
    /// What Prometheus sees.
    pub metrics: Metrics,
}

/// Where metrics are served, and how finely.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    /// `/metrics` is here, if anywhere.
    pub listen: Option<SocketAddr>,
    /// How many providers have series of their own.
    pub providers: usize,
    /// How long they are still served when a run has ended.
    pub linger: Duration,
}

impl Metrics {
    /// How finely series are told apart.
    pub fn config(&self) -> metrics::Config {
        metrics::Config { providers: self.providers }
    }
}

/// Signing keys of a domain.
#[derive(Clone, Debug)]
pub struct Dkim {
    /// Selector and PKCS #8 PEM file of the RSA key.
    pub rsa: Option<(String, PathBuf)>,
    /// Selector and PKCS #8 PEM file of the Ed25519 key.
    pub ed25519: Option<(String, PathBuf)>,
}

impl Machine {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// The first mistake in it, with its line.
    pub fn read(path: &Path) -> Result<Machine, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::new(path, format!("can't be read: {cause}"))
                .hint("write one with `sealpost init`, or name it with --config")
        })?;
        Machine::parse(path, &text)
    }

    /// Checks `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// The first mistake in it, with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Machine, Error> {
        let file: MachineFile = toml::from_str(text).map_err(|cause| Error::toml(path, text, &cause))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let fail = |offset: usize, what: String| Error::new(path, what).at(text, offset);
        let sources = sources(path, &file.source, &fail)?;
        let routes = file
            .dns
            .routes
            .iter()
            .map(|(domain, route)| {
                let resolved = static_route(domain, route.get_ref(), file.smtp.port)
                    .map_err(|what| fail(route.span().start, what).hint("write it like \"127.0.0.1:2525\""))?;
                Ok((ascii(domain), resolved))
            })
            .collect::<Result<_, Error>>()?;
        if let (Some(smarthost), Some(all)) = (&file.smarthost, file.dns.routes.get("*")) {
            let what =
                format!("[smarthost] {} and the fixed route \"*\" both take everything", smarthost.host.get_ref());
            return Err(fail(all.span().start, what).hint("take \"*\" out of [dns.static]"));
        }
        let dkim = file.dkim.into_iter().map(|(domain, keys)| {
            let resolve = |key: DkimKeyTable| (key.selector, folder.join(key.key.into_inner()));
            let keys = Dkim { rsa: keys.rsa.map(resolve), ed25519: keys.ed25519.map(resolve) };
            (ascii(&domain), keys)
        });
        let dkim: BTreeMap<_, _> = dkim.collect();
        let master = key_place(folder, file.keys.master.get_ref())
            .map_err(|what| fail(file.keys.master.span().start, format!("the master key {what}")))?;
        if file.retry.first.get_ref().0.is_zero() {
            return Err(fail(file.retry.first.span().start, "[retry] first must be longer than nothing".into()));
        }
        Ok(Machine {
            path: path.to_owned(),
            state_dir: folder.join(file.state_dir),
            sources,
            master,
            routes,
            smarthost: file.smarthost.as_ref().map(|table| smarthost(folder, table, &fail)).transpose()?,
            dns: DnsConfig { ours: dkim.keys().next().cloned(), ..dns(folder, &file.dns, file.smtp.port, &fail)? },
            reports: tls_reports::sender(file.tls.reports.as_ref(), &dkim, &fail)?,
            dkim,
            exclusive_confirm: file.tls.exclusive_confirm.0,
            tls_refresh: Some(file.tls.refresh.0).filter(|refresh| !refresh.is_zero()),
            tls_domains: Arc::new(tls_domains(&file.tls.domains, &fail)?),
            roots: file.tls.roots.iter().map(|root| root_of(folder, root.get_ref())).collect(),
            retry: Retry { first: file.retry.first.get_ref().0, longest: file.retry.longest.0 },
            limits: limits(&file.limits, &file.smtp).map_err(|(offset, what)| fail(offset, what))?,
            shaping: file.shaping.file.map(|file| folder.join(file)),
            sign_together: file.signing.together,
            sync: file.store.sync,
            sent_kept: file.store.sent_kept.0,
            metrics: metrics(&file.metrics, &fail)?,
        })
    }
}

impl Machine {
    /// Where mail goes, for people: what is asked first comes first.
    pub fn routes_text(&self) -> String {
        let mut parts = Vec::new();
        let fixed = self.routes.keys().filter(|domain| *domain != "*").count();
        if fixed > 0 {
            parts.push(format!("{fixed} fixed"));
        }
        match (self.routes.get("*"), &self.smarthost, self.dns.servers.as_slice()) {
            (Some(all), ..) => parts.push(format!("everything to {} at {}", all.host, all.address)),
            (None, Some(smarthost), _) => parts.push(format!("the smarthost {}", smarthost.host.name)),
            (None, None, []) => parts.push("the DNS, by the system's resolvers".into()),
            (None, None, servers) => {
                let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
                parts.push(format!("the DNS, by {}", servers.join(", ")));
            }
        }
        parts.join(", then ")
    }
}

/// Makes an error at an offset of the file.
pub(super) type Fail<'a> = &'a dyn Fn(usize, String) -> Error;

fn sources(path: &Path, tables: &[SourceTable], fail: Fail<'_>) -> Result<Vec<Source>, Error> {
    let mut sources: Vec<Source> = Vec::new();
    for table in tables {
        let (name, ehlo) = (table.name.get_ref(), table.ehlo.get_ref());
        if !is_host_name(ehlo) {
            return Err(fail(table.ehlo.span().start, "ehlo is no host name of two labels or more".into())
                .hint("use the name that the PTR record of the sending address gives"));
        }
        if name.is_empty() || sources.iter().any(|other| *other.name == **name) {
            return Err(fail(table.name.span().start, format!("the name \"{name}\" is empty or another source's")));
        }
        sources.push(Source { name: name.as_str().into(), ehlo: ehlo.clone(), ipv4: table.ipv4, ipv6: table.ipv6 });
    }
    if sources.is_empty() {
        return Err(Error::new(path, "has no [[source]], and so no name for EHLO")
            .hint("add: [[source]] name = \"a\" ehlo = \"out.your.domain\""));
    }
    Ok(sources)
}

fn dns(folder: &Path, table: &DnsTable, port: u16, fail: Fail<'_>) -> Result<DnsConfig, Error> {
    let servers = table.servers.iter().map(|text| {
        let address = socket_address(text.get_ref(), 53);
        address.map_err(|what| fail(text.span().start, what).hint("write it like \"127.0.0.53\" or \"[::1]:5353\""))
    });
    let nets = table.deny_nets.as_ref().map(|nets| {
        let net = |text: &Spanned<String>| {
            let what = || format!("\"{}\" is no network", text.get_ref());
            parse_net(text.get_ref())
                .ok_or_else(|| fail(text.span().start, what()).hint("write it like \"10.0.0.0/8\""))
        };
        nets.iter().map(net).collect::<Result<_, Error>>().map(Nets)
    });
    if table.timeout.get_ref().0.is_zero() {
        return Err(fail(table.timeout.span().start, "[dns] timeout must be longer than nothing".into()));
    }
    let servers: Vec<SocketAddr> = servers.collect::<Result<_, Error>>()?;
    dnssec(table, &servers, fail)?;
    Ok(DnsConfig {
        servers,
        timeout: table.timeout.get_ref().0,
        dnssec: *table.dnssec.get_ref(),
        anchors: table.trust_anchors.as_ref().map(|path| folder.join(path.get_ref())),
        family: table.family,
        deny: nets.transpose()?.unwrap_or_default(),
        port,
        ours: None,
    })
}

/// Whether whom we are to believe can be believed.
fn dnssec(table: &DnsTable, servers: &[SocketAddr], fail: Fail<'_>) -> Result<(), Error> {
    if let (Dnssec::TrustAd | Dnssec::Off, Some(path)) = (table.dnssec.get_ref(), &table.trust_anchors) {
        let what = "[dns] trust_anchors are only read where we validate ourselves";
        return Err(fail(path.span().start, what.into()).hint("take them out, or write dnssec = \"validate\""));
    }
    if *table.dnssec.get_ref() != Dnssec::TrustAd {
        return Ok(());
    }
    let hint = "name a validating resolver on this machine in [dns] servers, or write dnssec = \"validate\"";
    if servers.is_empty() {
        let what = "[dns] dnssec = \"trust_ad\" needs [dns] servers: the system's may be anywhere";
        return Err(fail(table.dnssec.span().start, what.into()).hint(hint));
    }
    match table.servers.iter().zip(servers).find(|(_, server)| !server.ip().is_loopback()) {
        Some((text, server)) => {
            let what =
                format!("[dns] dnssec = \"trust_ad\" believes a bit that anybody on the way from {server} could set");
            Err(fail(text.span().start, what).hint(hint))
        }
        None => Ok(()),
    }
}

fn metrics(table: &MetricsTable, fail: Fail<'_>) -> Result<Metrics, Error> {
    let listen = table.listen.as_ref().map(|text| {
        let error = |what: String| fail(text.span().start, what);
        let address: SocketAddr = text.get_ref().parse().map_err(|_| {
            error("[metrics] listen is no address with a port".into()).hint("write it like \"127.0.0.1:9464\"")
        })?;
        if address.ip().is_loopback() {
            return Ok(address);
        }
        Err(error("[metrics] listen is not on loopback".into())
            .hint("it is served without TLS or login: let a proxy with both fetch it from 127.0.0.1"))
    });
    Ok(Metrics { listen: listen.transpose()?, providers: *table.providers.get_ref(), linger: table.linger.0 })
}

/// `[tls.domains]`.
fn tls_domains(table: &BTreeMap<String, Spanned<Level>>, fail: Fail<'_>) -> Result<BTreeMap<String, Level>, Error> {
    let floor = |(domain, level): (&String, &Spanned<Level>)| {
        if Address::parse(&format!("postmaster@{domain}")).is_err() {
            return Err(fail(level.span().start, format!("\"{domain}\" in [tls.domains] is no domain"))
                .hint("name each domain itself: \"partner.example\" says nothing of \"mail.partner.example\""));
        }
        Ok((ascii(domain), *level.get_ref()))
    };
    table.iter().map(floor).collect()
}

fn root_of(folder: &Path, word: &str) -> Root {
    if word == "system" { Root::System } else { Root::File(folder.join(word)) }
}

pub(super) fn key_place(folder: &Path, table: &MasterTable) -> Result<KeyPlace, String> {
    match table {
        MasterTable { file: Some(file), env: None } => Ok(KeyPlace::File(folder.join(file))),
        MasterTable { file: None, env: Some(name) } => Ok(KeyPlace::Env(name.clone())),
        _ => Err("is in exactly one place: file or env".into()),
    }
}

/// A domain as rows have it: in lower case, other scripts as A-labels.
fn ascii(domain: &str) -> String {
    let parsed = Address::parse(&format!("postmaster@{domain}"));
    parsed.map_or_else(|_| domain.to_ascii_lowercase(), |address| address.domain().to_owned())
}

fn static_route(domain: &str, route: &RouteTable, port: u16) -> Result<StaticRoute, String> {
    if domain != "*" && Address::parse(&format!("postmaster@{domain}")).is_err() {
        return Err(format!("\"{domain}\" is no domain"));
    }
    let (host, address) = match route {
        RouteTable::Address(address) => (None, address),
        RouteTable::Named(NamedRouteTable { host, address }) => (Some(host.to_ascii_lowercase()), address),
    };
    let parsed = socket_address(address, port)?;
    if host.as_ref().is_some_and(|host| !is_host_name(host) && host.parse::<IpAddr>().is_err()) {
        return Err("its host is neither a host name nor an IP address".into());
    }
    Ok(StaticRoute { host: host.unwrap_or_else(|| parsed.ip().to_string()), address: parsed })
}

fn socket_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, port)))
        .map_err(|_| format!("\"{text}\" is no IP address with an optional port"))
}

fn limits(table: &LimitsTable, smtp: &super::file::SmtpTable) -> Result<Limits, (usize, String)> {
    let above_zero = |name: &str, value: &Spanned<usize>| match value.get_ref() {
        0 => Err((value.span().start, format!("[limits] {name} must be at least 1"))),
        count => Ok(*count),
    };
    let messages = &table.messages_per_connection;
    if *messages.get_ref() == 0 {
        return Err((messages.span().start, "[limits] messages_per_connection must be at least 1".into()));
    }
    for (name, span) in [("connect_timeout", Some(smtp.connect_timeout)), ("command_timeout", smtp.command_timeout)] {
        if span.is_some_and(|span| span.0.is_zero()) {
            return Err((0, format!("[smtp] {name} must be longer than nothing")));
        }
    }
    Ok(Limits {
        connections: above_zero("connections", &table.connections)?,
        connections_per_provider: above_zero("connections_per_provider", &table.connections_per_provider)?,
        messages_per_connection: *messages.get_ref(),
        rows_in_memory: above_zero("rows_in_memory", &table.rows_in_memory)?,
        connect_timeout: smtp.connect_timeout.0,
        idle_timeout: smtp.idle_timeout.0,
        command_timeout: smtp.command_timeout.map(|span| span.0),
    })
}
