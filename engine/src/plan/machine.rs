//! `sealpost.toml`, checked and resolved.

use super::Error;
use super::file::{DkimKeyTable, LimitsTable, MachineFile, MasterTable, NamedRouteTable, RouteTable};
use crate::mail::{Address, is_host_name};
use crate::queue::Limits;
use crate::resolve::StaticRoute;
use crate::retry::Retry;
use crate::secret::KeyPlace;
use crate::smtp::Root;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The machine that sends.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The file it was read from.
    pub path: PathBuf,
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// Our name in EHLO.
    pub ehlo: String,
    /// Signing keys by domain.
    pub dkim: BTreeMap<String, Dkim>,
    /// Where the master key is.
    pub master: KeyPlace,
    /// Fixed routes by lower-case domain; `*` is every other domain.
    pub routes: BTreeMap<String, StaticRoute>,
    /// `[tls] roots`: `system` and PEM files.
    pub roots: Vec<Root>,
    /// When deferred rows are tried again.
    pub retry: Retry,
    /// Bounds.
    pub limits: Limits,
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
        let ehlo = match file.source.as_slice() {
            [] => {
                return Err(Error::new(path, "has no [[source]], and so no name for EHLO")
                    .hint("add: [[source]] name = \"a\" ehlo = \"out.your.domain\""));
            }
            [source] => {
                let name = source.ehlo.get_ref();
                if !is_host_name(name) {
                    return Err(fail(source.ehlo.span().start, "ehlo is no host name of two labels or more".into())
                        .hint("use the name that the PTR record of the sending address gives"));
                }
                name.clone()
            }
            [_, second, ..] => {
                return Err(fail(second.ehlo.span().start, "more than one [[source]] is not supported yet".into()));
            }
        };
        let routes = file
            .dns
            .routes
            .iter()
            .map(|(domain, route)| {
                let resolved = static_route(domain, route.get_ref(), file.smtp.port)
                    .map_err(|what| fail(route.span().start, what).hint("write it like \"127.0.0.1:2525\""))?;
                Ok((domain.to_ascii_lowercase(), resolved))
            })
            .collect::<Result<_, Error>>()?;
        let dkim = file.dkim.into_iter().map(|(domain, keys)| {
            let resolve = |key: DkimKeyTable| (key.selector, folder.join(key.key.into_inner()));
            let keys = Dkim { rsa: keys.rsa.map(resolve), ed25519: keys.ed25519.map(resolve) };
            (domain.to_ascii_lowercase(), keys)
        });
        let master = master(folder, &file.keys.master).map_err(|what| fail(file.keys.master.span().start, what))?;
        if file.retry.first.get_ref().0.is_zero() {
            return Err(fail(file.retry.first.span().start, "[retry] first must be longer than nothing".into()));
        }
        Ok(Machine {
            path: path.to_owned(),
            state_dir: folder.join(file.state_dir),
            ehlo,
            dkim: dkim.collect(),
            master,
            routes,
            roots: file.tls.roots.iter().map(|root| root_of(folder, root.get_ref())).collect(),
            retry: Retry { first: file.retry.first.get_ref().0, longest: file.retry.longest.0 },
            limits: limits(&file.limits, &file.smtp).map_err(|(offset, what)| fail(offset, what))?,
        })
    }
}

fn root_of(folder: &Path, word: &str) -> Root {
    if word == "system" { Root::System } else { Root::File(folder.join(word)) }
}

fn master(folder: &Path, table: &Spanned<MasterTable>) -> Result<KeyPlace, String> {
    match table.get_ref() {
        MasterTable { file: Some(file), env: None } => Ok(KeyPlace::File(folder.join(file))),
        MasterTable { file: None, env: Some(name) } => Ok(KeyPlace::Env(name.clone())),
        _ => Err("the master key is in exactly one place: file or env".into()),
    }
}

fn static_route(domain: &str, route: &RouteTable, port: u16) -> Result<StaticRoute, String> {
    if domain != "*" && Address::parse(&format!("postmaster@{domain}")).is_err() {
        return Err(format!("\"{domain}\" is no domain"));
    }
    let (host, address) = match route {
        RouteTable::Address(address) => (None, address),
        RouteTable::Named(NamedRouteTable { host, address }) => (Some(host.to_ascii_lowercase()), address),
    };
    let parsed = address
        .parse::<SocketAddr>()
        .or_else(|_| address.parse().map(|ip| SocketAddr::new(ip, port)))
        .map_err(|_| format!("\"{address}\" is no IP address with an optional port"))?;
    if host.as_ref().is_some_and(|host| !is_host_name(host) && host.parse::<IpAddr>().is_err()) {
        return Err("its host is neither a host name nor an IP address".into());
    }
    Ok(StaticRoute { host: host.unwrap_or_else(|| parsed.ip().to_string()), address: parsed })
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
