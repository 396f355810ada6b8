//! Which providers and sources an operator can name: a slip of the pen must not look like an order that was carried out.

use super::engine::Engine;
use crate::control::{Refusal, Target};
use crate::mail::instead_of;
use crate::plan::Machine;
use std::collections::BTreeSet;

/// A provider that was named.
pub(super) struct Provider {
    /// As the lanes know it.
    pub(super) name: String,
    /// Whether a row was routed there; else it only stands in the configuration.
    met: bool,
}

impl Provider {
    /// What whoever paused it as `called` should know.
    pub(super) fn note(&self, called: &str) -> Option<String> {
        let Provider { name, met } = self;
        let whole = (!name.eq_ignore_ascii_case(called))
            .then(|| format!("{called} is {name}'s, and what holds for {name} holds for all its hosts"));
        let none = (!met).then(|| format!("no row was routed to {name} yet; those that will be wait"));
        let notes: Vec<_> = whole.into_iter().chain(none).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// The same, if it was called by its own name: what can't be taken back is not done to more than was named.
    pub(super) fn called(self, called: &str) -> Result<Provider, Refusal> {
        if self.name.eq_ignore_ascii_case(called) {
            return Ok(self);
        }
        let hint = format!("to end what waits at all of {0}: --provider {0}", self.name);
        Err(refused(format!("{called} is one host of provider {}", self.name), hint))
    }
}

impl Engine {
    /// The provider of that name, in whatever case: one that rows were routed to since the engine started, or one that the
    /// configuration routes to or the shaping rules name. A host that a rule makes part of a provider stands for that.
    pub(super) fn known_provider(&self, name: &str) -> Result<Provider, Refusal> {
        let (met, configured) = (self.met.names(), self.configured());
        let find = |among: &BTreeSet<String>| among.iter().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        if let Some(name) = find(&met) {
            return Ok(Provider { name, met: true });
        }
        if let Some(name) = self.provider_of(name) {
            let met = met.contains(&name);
            return Ok(Provider { name, met });
        }
        if let Some(name) = find(&configured) {
            return Ok(Provider { name, met: false });
        }
        let names: Vec<_> = met.union(&configured).map(String::as_str).collect();
        let known = if names.is_empty() { "no row was routed yet".into() } else { instead_of(name, &names) };
        let hint = format!(
            "{known}. A provider is known by its rule's name (`sealpost shaping explain DOMAIN`), else by its best MX host once a \
row is routed there; to pause one from its first row on, pause the run meanwhile"
        );
        Err(refused(format!("no provider \"{name}\" is known to this engine"), hint))
    }

    /// The provider that a host belongs to: as rows were routed, else as the rules say.
    pub(super) fn provider_of(&self, host: &str) -> Option<String> {
        let by_rule = || self.gear.shaping.rules()?.provider_of(host).map(|rule| rule.name.to_string());
        self.met.provider_of(host).map(|name| name.to_string()).or_else(by_rule)
    }

    /// What can be named before a row is routed: the hosts of `[dns.static]` and `[smarthost]`, and the providers of the rules.
    fn configured(&self) -> BTreeSet<String> {
        let rules = self.gear.shaping.rules();
        let rules = rules.iter().flat_map(|rules| rules.providers()).map(|rule| rule.name.to_string());
        configured(self.gear.machine.as_ref()).into_iter().chain(rules).collect()
    }

    /// That there is a source of that name.
    pub(super) fn known_source(&self, name: &str) -> Result<(), Refusal> {
        let sources = self.gear.machine.iter().flat_map(|machine| &machine.sources);
        let names: Vec<_> = sources.map(|source| &*source.name).collect();
        if names.contains(&name) {
            return Ok(());
        }
        Err(refused(format!("there is no source \"{name}\""), instead_of(name, &names)))
    }

    /// What an operator paused of the engine as a whole.
    pub(super) fn paused(&self) -> Vec<Target> {
        let controls = self.controls.borrow().clone();
        let providers = controls.paused_providers.iter().cloned().map(Target::Provider);
        let sources = controls.paused_sources.iter().cloned().map(Target::Source);
        controls.all_paused.then_some(Target::All).into_iter().chain(providers).chain(sources).collect()
    }
}

/// The hosts that `[dns.static]` and `[smarthost]` name.
fn configured(machine: Option<&Machine>) -> BTreeSet<String> {
    let Some(machine) = machine else { return BTreeSet::new() };
    let fixed = machine.routes.values().map(|route| route.host.clone());
    fixed.chain(machine.smarthost.iter().map(|smarthost| smarthost.host.name.clone())).collect()
}

fn refused(what: String, hint: String) -> Refusal {
    Refusal { hint: Some(hint), ..Refusal::usage(what) }
}
