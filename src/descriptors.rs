//! File descriptors: each connection takes one, and the usual soft limit is 1,024.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What the store, logs and threads take besides connections.
const OURS: u64 = 256;

/// Raises the soft limit as far as the hard one allows, and says so if `connections` still don't fit.
pub fn make_room_for(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "can't raise the limit on open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OURS);
    if allowed < needed {
        eprintln!("warning: {allowed} open files are allowed, [limits] connections = {connections} may need {needed}");
        eprintln!("hint: raise the hard limit (ulimit -Hn, systemd LimitNOFILE), or lower connections");
    }
}
