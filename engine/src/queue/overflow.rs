//! What becomes of rows whose source has sent their provider all that it may today (`warmup`), or is not welcome there.
//!
//! They go to another source of their campaign: a warm one, else one that warms up too and has something left of its allowance. Of
//! the same provider, it is in the same shard: a row moves from lane to lane of one owner. Where there is none they stay in their
//! line, spilled to the store like those of any slow site, and the run counts them among those that wait for tomorrow.

use super::lane::Lane;
use super::owner::Owner;
use super::{Job, Run};
use crate::clock::Timestamp;
use crate::route::Route;
use crate::smtp::Source;
use crate::warmup::Allowance;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Rows that move at once: others of the shard wait meanwhile.
const AT_ONCE: usize = 256;

impl Owner {
    /// What `source` may send a route's provider today, where it warms up. The plan has seen to it that it has one address then.
    pub(super) fn allowance(&self, source: &Source, route: &Route, now: Timestamp) -> Option<Arc<Allowance>> {
        let address = source.ipv4.map(IpAddr::V4).or(source.ipv6.map(IpAddr::V6))?;
        self.deps.warming.allowance(address, route.provider.0, route.name(), now)
    }

    /// Passes rows on to other sources, where this one may send its provider nothing more today.
    pub(super) fn pass_on(self: &Rc<Self>, lane: &Rc<Lane>, now: Timestamp) {
        if !lane.has_allowance(now) {
            self.rotate(lane, now);
        }
    }

    /// Gives some of a lane's rows to other sources of their campaigns. Whether there were any to give, and to give to.
    pub(super) fn rotate(self: &Rc<Self>, lane: &Rc<Lane>, now: Timestamp) -> bool {
        for moved in 0..AT_ONCE {
            let Some((run, sources)) = self.elsewhere(lane, now) else { return moved > 0 };
            let Some(job) = lane.next_of(|id| id == run.id) else { return moved > 0 };
            let turn = usize::try_from(job.row.ordinal).unwrap_or(0) % sources.len();
            self.gauges.backlog.dec();
            self.held.set(self.held.get() - 1);
            self.take(Job { source: sources[turn].clone(), ..job });
        }
        true
    }

    /// Whether the site of `lane` is suspended for `source`, too.
    fn is_suspended(&self, lane: &Lane, source: &Source, now: Timestamp) -> bool {
        let (provider, site, _, class, exclusive) = lane.key.clone();
        let lanes = self.lanes.borrow();
        let other = lanes.get(&(provider, site, source.name.clone(), class, exclusive));
        other.is_some_and(|other| other.state.borrow_mut().suspension(now).is_some())
    }

    /// A run that has rows in `lane`, and its sources that may send them.
    fn elsewhere(&self, lane: &Lane, now: Timestamp) -> Option<(Arc<Run>, Vec<Arc<Source>>)> {
        let state = lane.state.borrow();
        let runs = state.lines.iter().filter(|line| line.has_turn()).map(|line| &line.run);
        runs.map(|run| (run.clone(), self.others(run, lane, now))).find(|(_, sources)| !sources.is_empty())
    }

    /// Sources of `run` besides the lane's that may send its provider more: warm ones if there are any.
    fn others(&self, run: &Run, lane: &Lane, now: Timestamp) -> Vec<Arc<Source>> {
        let route = lane.route.borrow();
        let controls = self.deps.controls.borrow().clone();
        let (mut warm, mut warming) = (Vec::new(), Vec::new());
        for source in &run.sources {
            let is_other = source.name != lane.source.name && !controls.pause(&route, &source.name);
            if !is_other || self.is_suspended(lane, source, now) {
                continue;
            }
            match self.allowance(source, &route, now) {
                None => warm.push(source.clone()),
                Some(allowance) if allowance.has_room(now) => warming.push(source.clone()),
                Some(_) => {}
            }
        }
        if warm.is_empty() { warming } else { warm }
    }
}
