//! Everything a run needs.

use super::Error;
use crate::clock::{Clock, SystemClock};
use crate::plan::{Campaign, Dkim, Machine};
use crate::queue::Limits;
use crate::resolve::{Resolver, StaticResolver};
use crate::retry::Retry;
use crate::secret::{KeyError, KeyFileError, MasterKey, owner_only};
use crate::sign::{Algorithm, DkimKey, KeyPair, Signer};
use crate::smtp::Root;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the operator asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// At most this many rows of the input are taken up this time.
    pub limit: Option<u64>,
}

/// Everything a run needs, with nothing left to look up.
pub struct Setup {
    /// The blast.
    pub campaign: Campaign,
    /// Where the store lives.
    pub state_dir: PathBuf,
    /// The master key.
    pub master: MasterKey,
    /// Signs.
    pub signer: Signer,
    /// Finds MX hosts.
    pub resolver: Arc<dyn Resolver>,
    /// Whom TLS trusts.
    pub roots: Vec<Root>,
    /// Our name in EHLO.
    pub ehlo: String,
    /// The back-off.
    pub retry: Retry,
    /// Bounds.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What was asked for.
    pub options: Options,
}

impl Setup {
    /// A run of `campaign` on `machine`.
    ///
    /// # Errors
    /// A key that is missing, exposed or unusable, or no route at all.
    pub fn of(machine: &Machine, campaign: Campaign, options: Options) -> Result<Setup, Error> {
        if machine.routes.is_empty() {
            return Err(Error::NoRoutes(machine.path.clone()));
        }
        Ok(Setup {
            state_dir: machine.state_dir.clone(),
            master: MasterKey::fetch(&machine.master)?,
            signer: signer(machine, &campaign)?,
            resolver: Arc::new(StaticResolver(machine.routes.clone())),
            roots: machine.roots.clone(),
            ehlo: machine.ehlo.clone(),
            retry: machine.retry,
            limits: machine.limits,
            clock: Arc::new(SystemClock),
            options,
            campaign,
        })
    }
}

/// The signer for the campaign's From domain.
pub(super) fn signer(machine: &Machine, campaign: &Campaign) -> Result<Signer, Error> {
    let domain = campaign.message.from.address.domain();
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
    Ok(Signer::new(domain, keys, campaign.transport.lifetime))
}

fn dkim_key(selector: &str, path: &Path, algorithm: Algorithm) -> Result<DkimKey, Error> {
    let pem = owner_only(path).map_err(|error: KeyFileError| KeyError::from(error))?;
    let pair = KeyPair::parse(&pem, algorithm).map_err(|cause| Error::SigningKey { path: path.to_owned(), cause })?;
    Ok(DkimKey { selector: selector.to_owned(), backend: Box::new(pair) })
}
