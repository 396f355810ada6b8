//! How many rows and connections a shard holds, by what they wait for: handles looked up once.

use crate::metrics::{Connection, Metrics, Queue};
use prometheus::IntGauge;
use std::cell::Cell;

/// Where rows are.
pub(super) struct Gauges {
    pub(super) backlog: IntGauge,
    pub(super) rendering: IntGauge,
    pub(super) ready: IntGauge,
    pub(super) in_flight: IntGauge,
    states: [IntGauge; 3],
}

/// One connection's place in the counts; it leaves them when it is dropped.
pub(super) struct Place<'a> {
    states: &'a [IntGauge; 3],
    state: Cell<Connection>,
}

impl Gauges {
    pub(super) fn of(metrics: &Metrics) -> Gauges {
        Gauges {
            backlog: metrics.rows(Queue::Backlog),
            rendering: metrics.rows(Queue::Rendering),
            ready: metrics.rows(Queue::Ready),
            in_flight: metrics.rows(Queue::InFlight),
            states: [Connection::Opening, Connection::Idle, Connection::Busy].map(|state| metrics.connections(state)),
        }
    }

    /// A connection that is being opened.
    pub(super) fn opening(&self) -> Place<'_> {
        self.states[Connection::Opening as usize].inc();
        Place { states: &self.states, state: Cell::new(Connection::Opening) }
    }
}

impl Place<'_> {
    /// It is now in another state.
    pub(super) fn becomes(&self, state: Connection) {
        self.states[self.state.replace(state) as usize].dec();
        self.states[state as usize].inc();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.states[self.state.get() as usize].dec();
    }
}
