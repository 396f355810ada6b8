//! File descriptors: each connection takes one, and the usual soft limit is 1,024.

use engine::store::OPEN_FILES;
use rustix::process::{Resource, getrlimit, setrlimit};

/// What is kept for everything but connections to MX hosts: the store's files, look-ups (256 at once, a socket each), and 64
/// for logs, inputs, attachments, runtimes, `/metrics` and the engine's socket.
const RESERVE: u64 = OPEN_FILES as u64 + 256 + 64;

/// Raises the soft limit as far as the hard one allows, and gives how many of `connections` fit beside the reserve, each
/// with `ends` of its ends in this process; says so if not all do. At least half of what is allowed is for connections.
pub fn make_room_for(connections: usize, ends: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "can't raise the limit on open files");
    }
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let fitting = fitting(allowed, ends);
    if fitting < connections {
        eprintln!(
            "warning: {allowed} open files are allowed: {fitting} connections at a time, not [limits] connections = {connections}"
        );
        eprintln!("hint: raise the hard limit (ulimit -Hn, systemd LimitNOFILE), or lower connections");
    }
    connections.min(fitting)
}

fn fitting(allowed: u64, ends: usize) -> usize {
    let left = allowed - RESERVE.min(allowed / 2);
    (usize::try_from(left).unwrap_or(usize::MAX) / ends).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_others_room() {
        let cases = [(1_048_576, 1, 1_048_128), (1024, 1, 576), (1024, 2, 288), (512, 1, 256), (64, 1, 32), (0, 1, 1)];
        for (allowed, ends, connections) in cases {
            assert_eq!(fitting(allowed, ends), connections, "{allowed}");
        }
    }
}
