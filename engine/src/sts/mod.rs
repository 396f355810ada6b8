//! MTA-STS (RFC 8461): what domains ask of whoever sends to them.
//!
//! 1. [`record`]: the TXT record at `_mta-sts.DOMAIN` says that there is a policy, and its id;
//! 2. [`shelf`] keeps what was fetched before: while that holds and its id is the announced one, nothing is fetched;
//! 3. [`fetch`]: `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, once at a time for a domain ([`turns`]), not again within
//!    five minutes of a failure ([`failures`]);
//! 4. [`policy`], what the file says; it is [`kept`] before it is believed;
//! 5. [`standing`] is the answer, [`fault`] what may stand in its way.
//!
//! Comes in: a domain. Goes next: to whoever decides what is demanded of its MX hosts.
//!
//! Promises: a policy that was fetched holds until it runs out, whatever happens to the DNS or to the policy host in the
//! meantime (section 5.1); a shelf that can't be read or written, or a machine that has nothing left to ask with, is
//! [`Trouble`], never the absence of a policy; a domain that could not be asked is told from one that has none.
//!
//! What it can't promise: the first contact is opportunistic (section 10). Who suppresses the TXT record before a policy is
//! known suppresses the policy.
//!
//! The policy of a subdomain is its own, and mail through a smarthost goes by the smarthost's (section 3.4): whoever asks
//! knows which domain that is.

mod failures;
mod fault;
mod fetch;
mod kept;
mod policy;
mod record;
mod shelf;
mod standing;
#[cfg(test)]
mod tests;
mod turns;

pub use fault::Fault;
pub use kept::Kept;
pub use policy::{Mode, Policy, PolicyFault};
pub use record::PolicyId;
pub use shelf::{MemoryShelf, Shelf, ShelfError};
pub use standing::{Freshness, Known, Source, Standing, Trouble};

use crate::clock::{Clock, Timestamp};
use crate::resolve::{NoRoute, Resolver};
use failures::Failures;
use fetch::Fetcher;
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::Semaphore;
use turns::Turns;

/// Finds policies. One for an engine.
pub struct Sts {
    resolver: Arc<dyn Resolver>,
    fetcher: Fetcher,
    shelf: Arc<dyn Shelf>,
    clock: Arc<dyn Clock>,
    failures: Failures,
    turns: Turns,
    places: Semaphore,
}

/// Fetches at once: a list of dead policy hosts costs 64 descriptors, and a list of living ones is fetched by hundreds a second.
const AT_ONCE: usize = 64;

impl Sts {
    /// Asks `resolver`, fetches by `https` (whose roots are trusted, and nobody else's), keeps on `shelf`.
    pub fn new(resolver: Arc<dyn Resolver>, https: &ClientConfig, shelf: Arc<dyn Shelf>, clock: Arc<dyn Clock>) -> Sts {
        let fetcher = Fetcher::new(resolver.clone(), https);
        let (failures, turns) = (Failures::default(), Turns::default());
        Sts { resolver, fetcher, shelf, clock, failures, turns, places: Semaphore::new(AT_ONCE) }
    }

    /// How `domain` (lower case, A-labels) stands.
    ///
    /// # Errors
    /// Nothing can be said, by our own fault; rows wait.
    pub async fn policy_of(&self, domain: &str, freshness: Freshness) -> Result<Standing, Trouble> {
        let id = match self.resolver.txt(&format!("_mta-sts.{domain}")).await {
            Ok(records) => PolicyId::announced(&records),
            Err(NoRoute::Exhausted) => return self.without(domain, Fault::Exhausted),
            Err(trouble) if trouble.is_transient() => return self.without(domain, Fault::Record),
            Err(_) => None,
        };
        let Some(id) = id else { return self.unannounced(domain).await };
        if let Some(standing) = self.known(domain, &id, freshness)? {
            return Ok(standing);
        }
        let _turn = self.turns.take(domain).await;
        // Whoever had the turn before us may have found it.
        if let Some(standing) = self.known(domain, &id, freshness)? {
            return Ok(standing);
        }
        self.fetch(domain, id).await
    }

    /// How a domain stands that announces no policy: what it had holds until it runs out (section 3.1).
    async fn unannounced(&self, domain: &str) -> Result<Standing, Trouble> {
        let holds = |kept: &Kept| kept.lives(self.clock.now());
        match self.shelf.get(domain)? {
            Some(kept) if holds(&kept) => return Ok(Known::standing(kept, Source::Kept)),
            Some(_) => {}
            None => return Ok(Standing::NoPolicy),
        }
        // Whoever was told of a new one in the meantime puts it there.
        let _turn = self.turns.take(domain).await;
        match self.shelf.get(domain)? {
            Some(kept) if holds(&kept) => Ok(Known::standing(kept, Source::Kept)),
            _ => {
                self.shelf.forget(domain)?;
                Ok(Standing::NoPolicy)
            }
        }
    }

    /// How a domain that announces `id` stands, if that can be said without a fetch.
    fn known(&self, domain: &str, id: &PolicyId, freshness: Freshness) -> Result<Option<Standing>, Trouble> {
        let now = self.clock.now();
        if let Some(fault) = self.failures.of(domain, id, now) {
            return self.without(domain, fault).map(Some);
        }
        let kept = self.shelf.get(domain)?;
        let enough =
            |kept: &Kept| kept.lives(now) && kept.id == *id && (freshness == Freshness::AsKept || kept.is_fresh(now));
        Ok(kept.filter(enough).map(|kept| Known::standing(kept, Source::Kept)))
    }

    async fn fetch(&self, domain: &str, id: PolicyId) -> Result<Standing, Trouble> {
        let place = self.places.acquire().await.expect("nobody closes it");
        let fetched = self.fetcher.policy(domain).await;
        drop(place);
        let now = self.clock.now();
        match fetched {
            Ok(policy) => {
                let kept = Kept::new(policy, id, now);
                // A policy that was believed and is not kept would be gone after the next start.
                self.shelf.put(domain, &kept)?;
                self.failures.forget(domain);
                Ok(Known::standing(kept, Source::Fetched))
            }
            Err(fault) => self.failed(domain, &id, fault, now),
        }
    }

    /// The policy `id` could not be fetched.
    fn failed(&self, domain: &str, id: &PolicyId, fault: Fault, now: Timestamp) -> Result<Standing, Trouble> {
        // What our own machine lacks says nothing of the policy host.
        if fault != Fault::Exhausted {
            self.failures.note(domain, id, fault, now);
            if let Some(mut kept) = self.shelf.get(domain)? {
                // Section 3.3: administrators hear of it. The domain is not named: it may be somebody's own.
                if kept.lives(now) && kept.policy.mode() != Mode::None {
                    tracing::warn!(
                        why = fault.label(),
                        "an MTA-STS policy could not be fetched again; the kept one holds"
                    );
                }
                kept.last_tried = now;
                self.shelf.put(domain, &kept)?;
            }
        }
        self.without(domain, fault)
    }

    /// How a domain stands when `fault` keeps us from hearing of it.
    fn without(&self, domain: &str, fault: Fault) -> Result<Standing, Trouble> {
        match self.shelf.get(domain)? {
            Some(kept) if kept.lives(self.clock.now()) => Ok(Known::standing(kept, Source::KeptDespite(fault))),
            _ if fault == Fault::Exhausted => Err(Trouble::Exhausted),
            lapsed => Ok(Standing::Unknown { why: fault, lapsed: lapsed.map(Arc::new) }),
        }
    }
}
