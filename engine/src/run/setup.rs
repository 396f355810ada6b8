//! Everything an engine needs, and everything a run needs besides.

use super::Error;
use crate::clock::{Clock, SteadyClock, Timestamp};
use crate::mail::{Level, RunId};
use crate::plan::{self, Campaign, Dkim, Machine, Smarthost};
use crate::queue::{Limits, Sync};
use crate::resolve::{Dns, DnsConfig, Dnssec, Fixed, NoRoute, Place, Resolver};
use crate::retry::Retry;
use crate::secret::{KeyError, KeyFileError, MasterKey, owner_only, password};
use crate::shaping::Shaping;
use crate::sign::{Algorithm, DkimKey, KeyPair, Signer, Together};
use crate::smtp::{Access, Identity, Login, Root, Source};
use crate::store::Bounds;
use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What the operator asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// At most this many rows of the input are taken up this time.
    pub limit: Option<u64>,
    /// Send also to keys that other runs of the campaign hold.
    pub again: bool,
    /// The run that may be given up because its input was overwritten.
    pub abandon: Option<RunId>,
    /// End when only deferred rows are left.
    pub until_empty: bool,
    /// Stop with rows left then.
    pub deadline: Option<Timestamp>,
}

impl Options {
    /// What of them outlives this engine.
    pub(super) fn bounds(&self) -> Bounds {
        Bounds { limit: self.limit, deadline: self.deadline, until_empty: self.until_empty }
    }
}

/// How much of a row's way is on the disk before it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Durability {
    /// When leases are synced.
    pub sync: Sync,
    /// Whether there are leases and `started` marks at all. Only a rehearsal that measures their cost goes without.
    pub marks: bool,
}

/// Everything that an engine needs, with nothing left to look up.
pub struct Machinery {
    /// The machine that campaigns handed over are set up for; a rehearsal takes none.
    pub machine: Option<Machine>,
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// The master key.
    pub master: MasterKey,
    /// Finds MX hosts.
    pub resolver: Arc<dyn Resolver>,
    /// What a smarthost asks of us.
    pub relay: Access,
    /// Our certificate there.
    pub identity: Option<Identity>,
    /// Whom TLS trusts.
    pub roots: Vec<Root>,
    /// How long a host must fall short before rows are dropped for it.
    pub exclusive_confirm: Duration,
    /// What no campaign may go below, by domain.
    pub tls_domains: Arc<BTreeMap<String, Level>>,
    /// How fast whom may be sent to.
    pub shaping: Arc<Shaping>,
    /// How often policies and hosts are looked at again, if they are.
    pub tls_refresh: Option<Duration>,
    /// The back-off.
    pub retry: Retry,
    /// Bounds.
    pub limits: Limits,
    /// Whether RSA-2048 signatures are made together.
    pub sign_together: Together,
    /// What is on the disk when.
    pub durability: Durability,
    /// How long a key counts as sent.
    pub sent_kept: Duration,
    /// What Prometheus sees.
    pub metrics: plan::Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Everything that a run needs besides.
pub struct Setup {
    /// The blast.
    pub campaign: Campaign,
    /// Signs.
    pub signer: Arc<Signer>,
    /// The sources that send, by turns; never empty.
    pub sources: Vec<Source>,
    /// What was asked for.
    pub options: Options,
}

impl Machinery {
    /// An engine on `machine`.
    ///
    /// # Errors
    /// A key that is missing, exposed or unusable, a mistake in the shaping rules, or no name server.
    pub fn of(machine: &Machine) -> Result<Machinery, Error> {
        Ok(Machinery {
            machine: Some(machine.clone()),
            state_dir: machine.state_dir.clone(),
            master: MasterKey::fetch(&machine.master)?,
            resolver: Arc::new(resolver(machine)?),
            relay: machine.smarthost.as_ref().map(relay).transpose()?.unwrap_or_default(),
            identity: machine.smarthost.as_ref().map(identity).transpose()?.flatten(),
            roots: machine.roots.clone(),
            exclusive_confirm: machine.exclusive_confirm,
            tls_domains: machine.tls_domains.clone(),
            shaping: super::rules::shaping(machine)?,
            tls_refresh: machine.tls_refresh,
            retry: machine.retry,
            limits: machine.limits,
            sign_together: machine.sign_together,
            durability: Durability { sync: machine.sync, marks: true },
            sent_kept: machine.sent_kept,
            metrics: machine.metrics,
            clock: Arc::new(SteadyClock::start()),
        })
    }
}

impl Setup {
    /// A run of `campaign` on `machine`.
    ///
    /// # Errors
    /// A signing key that is missing, exposed or unusable, or a source that is not there.
    pub fn of(machine: &Machine, campaign: Campaign, options: Options) -> Result<Setup, Error> {
        let signer = Arc::new(signer(machine, &campaign)?);
        Ok(Setup { signer, sources: sources(machine, &campaign)?, options, campaign })
    }
}

/// Fixed routes, the smarthost, and the DNS where these leave something to ask.
pub(super) fn resolver(machine: &Machine) -> Result<Fixed, Error> {
    let smarthost = machine.smarthost.as_ref().map(|smarthost| smarthost.host.clone());
    let dns = asked(machine).map(|config| start(machine, config)).transpose()?;
    Ok(Fixed { routes: machine.routes.clone(), smarthost, dns })
}

/// How the DNS is asked, if it is.
fn asked(machine: &Machine) -> Option<&DnsConfig> {
    let relay = machine.smarthost.as_ref().is_some_and(|smarthost| matches!(smarthost.host.place, Place::RelayAt(_)));
    (!relay && !machine.routes.contains_key("*")).then_some(&machine.dns)
}

fn start(machine: &Machine, config: &DnsConfig) -> Result<Dns, Error> {
    Dns::start(config.clone()).map_err(|cause| Error::Dns { machine: machine.path.clone(), cause })
}

/// What becomes of signatures on the way to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Nobody is asked, or nobody looks at them.
    Unread,
    /// The resolvers look at them, and are believed.
    Trusted,
    /// They get here, and we look at them.
    Validated,
    /// The root's own don't, or not whole, or nobody answers.
    Missing(NoRoute),
}

/// Asks the DNS, where it is asked on `machine`, whether the root's signatures get here; not from within a runtime.
///
/// # Errors
/// There is no name server to ask, or the trust anchors can't be read.
pub fn signatures(machine: &Machine) -> Result<Signatures, Error> {
    let Some(config) = asked(machine) else { return Ok(Signatures::Unread) };
    match config.dnssec {
        Dnssec::Off => Ok(Signatures::Unread),
        Dnssec::TrustAd => Ok(Signatures::Trusted),
        Dnssec::Validate => {
            let arrived = start(machine, config)?.signatures_arrive();
            Ok(arrived.map_or_else(Signatures::Missing, |()| Signatures::Validated))
        }
    }
}

/// Our certificate at a smarthost, whose key nobody else may read.
fn identity(smarthost: &Smarthost) -> Result<Option<Identity>, Error> {
    if let Some(identity) = &smarthost.identity {
        owner_only(&identity.key).map_err(KeyError::from)?;
    }
    Ok(smarthost.identity.clone())
}

fn relay(smarthost: &Smarthost) -> Result<Access, Error> {
    let login = smarthost
        .login
        .as_ref()
        .map(|(user, place)| Ok::<_, Error>(Login { user: user.clone(), password: password(place)? }));
    Ok(Access {
        implicit_tls: smarthost.implicit_tls,
        relays: true,
        login: login.transpose()?,
        certificate: smarthost.identity.is_some(),
    })
}

/// The campaign's sources, each of whose addresses this machine can send from.
fn sources(machine: &Machine, campaign: &Campaign) -> Result<Vec<Source>, Error> {
    let sources = chosen_sources(machine, campaign)?;
    sources.iter().try_for_each(|source| bindable(machine, source))?;
    Ok(sources)
}

/// The sources that the campaign names, or all.
pub(super) fn chosen_sources(machine: &Machine, campaign: &Campaign) -> Result<Vec<Source>, Error> {
    let named = &campaign.transport.sources;
    if let Some(name) = named.iter().find(|name| machine.sources.iter().all(|source| *source.name != ***name)) {
        let present = machine.sources.iter().map(|source| source.name.to_string()).collect();
        return Err(Error::NoSource { campaign: campaign.path.clone(), name: name.clone(), present });
    }
    let chosen = |source: &&Source| named.is_empty() || named.iter().any(|name| **name == *source.name);
    Ok(machine.sources.iter().filter(chosen).cloned().collect())
}

fn bindable(machine: &Machine, source: &Source) -> Result<(), Error> {
    let addresses = [source.ipv4.map(IpAddr::V4), source.ipv6.map(IpAddr::V6)];
    for address in addresses.into_iter().flatten() {
        TcpListener::bind((address, 0)).map_err(|cause| Error::SourceAddress {
            machine: machine.path.clone(),
            name: source.name.to_string(),
            address,
            cause,
        })?;
    }
    Ok(())
}

/// The signer for the campaign's From domain.
pub(super) fn signer(machine: &Machine, campaign: &Campaign) -> Result<Signer, Error> {
    signer_of(machine, campaign.message.from.address.domain(), campaign.transport.lifetime)
}

/// The signer for a domain, whose messages live that long.
pub(super) fn signer_of(machine: &Machine, domain: &str, lifetime: Duration) -> Result<Signer, Error> {
    let missing = || Error::NoSigningKey { machine: machine.path.clone(), domain: domain.to_owned() };
    let Dkim { rsa, ed25519 } = machine.dkim.get(domain).ok_or_else(missing)?;
    let places = [(rsa, Algorithm::Rsa), (ed25519, Algorithm::Ed25519)];
    let keys = places
        .into_iter()
        .filter_map(|(place, algorithm)| place.as_ref().map(|(selector, path)| dkim_key(selector, path, algorithm)))
        .collect::<Result<Vec<_>, Error>>()?;
    if keys.is_empty() {
        return Err(missing());
    }
    Ok(Signer::new(domain, keys, lifetime))
}

fn dkim_key(selector: &str, path: &Path, algorithm: Algorithm) -> Result<DkimKey, Error> {
    let pem = owner_only(path).map_err(|error: KeyFileError| KeyError::from(error))?;
    let pair = KeyPair::parse(&pem, algorithm).map_err(|cause| Error::SigningKey { path: path.to_owned(), cause })?;
    Ok(DkimKey { selector: selector.to_owned(), backend: Arc::new(pair) })
}
