//! Bounds of the machine.

use crate::shaping::Bounds;
use std::time::Duration;

/// Bounds; all above zero.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of the whole machine.
    pub connections: usize,
    /// Connections to one provider.
    pub connections_per_provider: usize,
    /// Messages on one connection.
    pub messages_per_connection: u32,
    /// Rows waiting in memory.
    pub rows_in_memory: usize,
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// How long an open connection waits for work.
    pub idle_timeout: Duration,
    /// A bound over RFC 5321's timeouts.
    pub command_timeout: Option<Duration>,
}

impl Limits {
    /// What no shaping rule goes beyond.
    pub fn bounds(&self) -> Bounds {
        Bounds { connections: self.connections_per_provider, messages_per_connection: self.messages_per_connection }
    }
}
