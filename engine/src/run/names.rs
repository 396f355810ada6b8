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
    pub(super) met: bool,
}

impl Engine {
    /// The provider of that name, in whatever case: one that rows were routed to since the engine started, or one that the
    /// configuration routes to.
    pub(super) fn known_provider(&self, name: &str) -> Result<Provider, Refusal> {
        let (met, configured) = (self.met.names(), configured(self.gear.machine.as_ref()));
        let find = |among: &BTreeSet<String>| among.iter().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        if let Some(name) = find(&met) {
            return Ok(Provider { name, met: true });
        }
        if let Some(name) = find(&configured) {
            return Ok(Provider { name, met: false });
        }
        let names: Vec<_> = met.union(&configured).map(String::as_str).collect();
        let known = if names.is_empty() { "no row was routed yet".into() } else { instead_of(name, &names) };
        let hint = format!(
            "{known}. A provider is known by its best MX host once a row is routed there; to pause one from its first row on, \
pause the run meanwhile"
        );
        Err(refused(format!("no provider \"{name}\" is known to this engine"), hint))
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
