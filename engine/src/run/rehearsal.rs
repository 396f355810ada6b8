//! The whole campaign at full speed into an embedded MX: real rendering, signing, TLS and SMTP, throw-away keys, a scratch
//! store. Nobody is mailed, nothing is marked sent.

use super::setup::chosen_sources;
use super::{Durability, Error, Machinery, Options, Setup};
use crate::clock::SteadyClock;
use crate::plan::{self, Campaign, Machine};
use crate::resolve::{Addresses, Answer, Mx, MxHost, NoAddress, NoRoute, Place, Resolver, Security};
use crate::retry::Retry;
use crate::sandbox::{Ledger, Recipe, Sandbox};
use crate::secret::MasterKey;
use crate::settle::Limits;
use crate::shaping::Shaping;
use crate::sign::{Algorithm, DkimKey, KeyPair, Signer, generate};
use crate::smtp::{Access, Root, Source};
use crate::warmup::Warmups;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Deferred rows come back soon: a rehearsal shows that they do, not how long providers make one wait.
const RETRY: Retry = Retry { first: Duration::from_secs(1), longest: Duration::from_secs(5) };

/// What a rehearsal is made of.
pub struct Rehearsal {
    /// The embedded MX.
    pub sandbox: Sandbox,
    /// An engine that sends everything there.
    pub gear: Machinery,
    /// The run.
    pub setup: Setup,
}

/// Makes the embedded MX and a setup that sends into it. State goes to `scratch`.
///
/// # Errors
/// The embedded MX can't start.
pub fn rehearsal(
    machine: &Machine,
    mut campaign: Campaign,
    recipe: Recipe,
    scratch: &Path,
    options: Options,
    durability: Durability,
) -> Result<Rehearsal, Error> {
    // What the embedded MX refuses is made up.
    campaign.brakes = Limits { unknown: None, blocked: None, canary: None };
    let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
    let ledger = Arc::new(Ledger::new(None, None).map_err(|error| internal(&error))?);
    let sandbox = Sandbox::start((Ipv4Addr::LOCALHOST, 0).into(), recipe, ledger).map_err(|error| internal(&error))?;
    let (master, _) = MasterKey::generate();
    let keys =
        [("rehearsal-rsa", Algorithm::Rsa), ("rehearsal-ed25519", Algorithm::Ed25519)].map(|(selector, algorithm)| {
            let pair = KeyPair::parse(generate(algorithm).as_bytes(), algorithm).expect("a key just made can be read");
            DkimKey { selector: selector.to_owned(), backend: Arc::new(pair) }
        });
    let gear = Machinery {
        machine: None,
        state_dir: scratch.to_owned(),
        master,
        resolver: Arc::new(Everywhere(sandbox.address())),
        relay: Access::default(),
        identity: None,
        // Nobody judges an address on loopback.
        warmups: Warmups::default(),
        roots: vec![Root::Der(sandbox.root())],
        exclusive_confirm: Duration::ZERO,
        tls_domains: Arc::default(),
        // It measures this machine, and its hosts are called like real ones.
        shaping: Arc::new(Shaping::none(machine.limits.bounds())),
        tls_refresh: None,
        retry: RETRY,
        limits: machine.limits,
        sign_together: machine.sign_together,
        durability,
        sent_kept: machine.sent_kept,
        // A scraper of real runs must not take these deliveries for some.
        metrics: plan::Metrics { listen: None, ..machine.metrics },
        clock: Arc::new(SteadyClock::start()),
    };
    let setup = Setup {
        signer: Arc::new(Signer::new(campaign.message.from.address.domain(), keys.into(), campaign.transport.lifetime)),
        sources: unbound(chosen_sources(machine, &campaign)?),
        options,
        campaign,
    };
    Ok(Rehearsal { sandbox, gear, setup })
}

/// Every domain has an MX host of its own name, at one address: as many sites as the file has domains.
struct Everywhere(SocketAddr);

impl Resolver for Everywhere {
    fn mx<'a>(&'a self, domain: &'a str) -> Answer<'a, Result<Mx, NoRoute>> {
        let host = MxHost { name: format!("mx.{domain}"), preference: 0, place: Place::Fixed(self.0) };
        Box::pin(async { Ok(Mx { hosts: vec![host], valid_until: None, security: Security::Insecure }) })
    }

    fn addresses<'a>(&'a self, _: &'a MxHost) -> Answer<'a, Result<Addresses, NoAddress>> {
        Box::pin(async { Ok(Addresses { at: vec![self.0], security: Security::Insecure }) })
    }
}

/// The same sources without their addresses, which don't reach the loopback.
fn unbound(sources: Vec<Source>) -> Vec<Source> {
    sources.into_iter().map(|source| Source { ipv4: None, ipv6: None, ..source }).collect()
}
