//! A shard without a thread, for simulations where all is one.

use super::lane::{Lane, State};
use super::line::Line;
use super::owner::Owner;
use super::shard::{CHANNEL, Deps, Job, work};
use std::collections::BTreeSet;
use std::rc::Rc;
use tokio::sync::mpsc;

/// What a shard still counts; nothing, once it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    held: usize,
    connections: usize,
    ready_octets: usize,
    rendering: usize,
    sessions: usize,
    busy: usize,
}

/// Looks into a shard at work.
pub(crate) struct Glance(Rc<Owner>);

/// The way into a shard, a look into it, and its work, to be awaited in the caller's `LocalSet`.
pub(crate) fn here(deps: Deps) -> (mpsc::Sender<Job>, Glance, impl Future<Output = Left>) {
    let (jobs, inbox) = mpsc::channel(CHANNEL);
    let (rendered, results) = mpsc::unbounded_channel();
    let owner = Rc::new(Owner::new(deps, rendered));
    let glance = Glance(owner.clone());
    let work = async move {
        work(owner.clone(), inbox, results).await;
        left(&owner)
    };
    (jobs, glance, work)
}

impl Glance {
    /// Lanes that could go on and don't. For a moment that is nothing: whoever rings for them has yet to be heard.
    pub(crate) fn asleep(&self) -> BTreeSet<String> {
        let owner = &self.0;
        let now = owner.deps.clock.now();
        let has_place = owner.connections.get() < owner.deps.limits.connections && !owner.drought.holds();
        let is_asleep = |lane: &Rc<Lane>| {
            let mut state = lane.state.borrow_mut();
            if state.suspension(now).is_some() || !owner.may_send(lane) || !lane.has_allowance(now) {
                return false;
            }
            let waits = state.lines.iter().any(Line::has_turn);
            let unmade = waits && state.ready.is_empty() && state.rendering == 0;
            let has_place = has_place && lane.group.may_connect(now);
            let unsent = state.ready.iter().any(|(job, _)| job.run.goes_on()) && state.sessions == 0 && has_place;
            unmade || unsent
        };
        let name = |lane: &Rc<Lane>| format!("{} from {}", lane.route.borrow().name(), lane.source.name);
        owner.lanes.borrow().values().filter(|lane| is_asleep(lane)).map(name).collect()
    }
}

fn left(owner: &Owner) -> Left {
    let lanes = owner.lanes.borrow();
    let sum = |count: fn(&State) -> usize| lanes.values().map(|lane| count(&lane.state.borrow())).sum();
    Left {
        held: owner.held.get(),
        connections: owner.connections.get(),
        ready_octets: owner.ready_octets.get(),
        rendering: sum(|state| state.rendering),
        sessions: sum(|state| state.sessions),
        busy: sum(|state| state.busy),
    }
}
