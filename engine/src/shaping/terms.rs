//! What one provider is given from one source.

use std::time::Duration;

/// How fast a provider may be sent to from one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Connections open at once, at most.
    pub connections: usize,
    /// Connections open at once before anything is learned.
    pub first_window: usize,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Messages begun (MAIL); each rate holds by itself. None: unbounded.
    pub rates: Vec<Rate>,
    /// Connections begun.
    pub connection_rate: Option<Rate>,
}

/// So many in any span of this length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; above zero.
    pub count: u32,
    /// A second, a minute, an hour or a day.
    pub per: Duration,
}
