//! The shaping rules of an engine: read at its start, read again when it is told to, and explained without one.

use super::Error;
use super::engine::Engine;
use super::setup::resolver;
use crate::mail::Mistake;
use crate::plan::Machine;
use crate::resolve::{MxHost, NoRoute, Resolver, WITHOUT_MX};
use crate::shaping::{Reasons, Rule, Rules, Shaping, Why, deciding};
use std::sync::Arc;

/// The rules of `machine`, within its limits.
pub(super) fn shaping(machine: &Machine) -> Result<Arc<Shaping>, Mistake> {
    Ok(Arc::new(Shaping::new(rules(machine)?, machine.shaping.clone(), machine.limits.bounds())))
}

/// The rules that `[shaping] file` names, else those that are built in.
///
/// # Errors
/// The first mistake in the file, with its line.
pub fn rules(machine: &Machine) -> Result<Rules, Mistake> {
    machine.shaping.as_deref().map_or_else(|| Ok(Rules::built_in()), Rules::read)
}

/// Which rule a domain falls under, and what that gives it.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// Its MX hosts, best first, where `send` would find them.
    pub hosts: Vec<MxHost>,
    /// The rule, if there is one.
    pub rule: Option<&'a Rule>,
    /// Why it is that, or none.
    pub why: Why,
    /// The terms, and whose word each is.
    pub reasons: Reasons,
    /// Hosts that have no say, and the rules that they would fall under.
    pub others: Vec<(MxHost, Option<&'a Rule>)>,
}

/// Looks the hosts of `domain` (lower case, A-labels) up as a run would, and says what `rules` make of it. Not from within a
/// runtime.
///
/// # Errors
/// There is no way to look; inside, it has no route.
pub fn explain<'a>(
    machine: &Machine,
    rules: &'a Rules,
    domain: &str,
) -> Result<Result<Explanation<'a>, NoRoute>, Error> {
    let resolver = resolver(machine)?;
    let runtime = super::probing::runtime()?;
    let hosts = match runtime.block_on(resolver.mx(domain)) {
        Ok(mx) => mx.hosts,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let found = rules.find(domain, &hosts);
    let reasons = rules.reasons(found.rule, found.by_hand, machine.limits.bounds());
    let decide: Vec<_> = deciding(&hosts).collect();
    let others = hosts.iter().filter(|host| !decide.contains(host));
    let others = others.map(|host| (host.clone(), rules.provider_of(&host.name))).collect();
    Ok(Ok(Explanation { rule: found.rule, why: found.why, reasons, others, hosts }))
}

impl Engine {
    /// Reads the shaping rules again. What is routed from now on goes by them, and what waits, unless it was another rule's. On an
    /// error the old rules stay. `None` where they are built in.
    ///
    /// # Errors
    /// The first mistake in the file, with its line.
    pub fn read_rules_again(&self) -> Result<Option<Arc<Rules>>, Mistake> {
        let before = self.gear.shaping.rules();
        let read = self.gear.shaping.read_again();
        match &read {
            Ok(Some(rules)) => {
                self.keep_orders(before.as_deref(), rules);
                let (file, providers) = (rules.path().display().to_string(), rules.providers().len());
                tracing::info!(file, providers, "shaping rules were read again");
            }
            Ok(None) => tracing::warn!("shaping rules are built in: there is no file to read again"),
            Err(error) => {
                let hint = error.to_do().unwrap_or_default();
                tracing::error!(%error, hint, "shaping rules were read again, and are wrong: those of before stay");
            }
        }
        read
    }

    /// Rows were cancelled at a provider that the rules of now don't name: nobody knows any more which they are. A host's name has a
    /// dot, a provider's has none.
    pub(super) fn say_who_is_gone(&self, cancelled: &[String]) {
        let rules = self.gear.shaping.rules();
        let names: Vec<_> = rules.iter().flat_map(|rules| rules.providers()).map(|rule| &*rule.name).collect();
        let is_gone =
            |name: &&String| !name.contains(['.', ':']) && *name != WITHOUT_MX && !names.contains(&name.as_str());
        for provider in cancelled.iter().filter(is_gone) {
            tracing::warn!(
                provider,
                "its rows were cancelled, and no shaping rule names it any more: they will be sent"
            );
        }
    }

    /// What an operator has paused or cancelled at a provider that is no more, stays so at each of its sites that rows were
    /// routed to.
    fn keep_orders(&self, before: Option<&Rules>, after: &Rules) {
        let has = |rules: &Rules, name: &str| rules.providers().iter().any(|rule| *rule.name == *name);
        let is_gone = |name: &str| before.is_some_and(|rules| has(rules, name)) && !has(after, name);
        self.order(|controls| {
            let paused: Vec<_> = controls.paused_providers.iter().filter(|name| is_gone(name)).cloned().collect();
            for name in paused {
                let hosts = self.met.hosts_of(&name);
                tracing::warn!(
                    provider = name,
                    sites = hosts.len(),
                    "it is paused, and no provider any more: its sites stay paused"
                );
                controls.paused_providers.extend(hosts);
            }
            let cancelled: Vec<_> =
                controls.cancelled_providers.iter().filter(|(_, name)| is_gone(name)).cloned().collect();
            for (run, name) in cancelled {
                controls.cancelled_providers.extend(self.met.hosts_of(&name).into_iter().map(|host| (run, host)));
            }
        });
    }
}
