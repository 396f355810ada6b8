//! Processes seen from outside: stopped, counted, measured, waited for.

use super::Ran;
use super::receivers::signal;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough for a hanging test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must come.
pub fn until(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !come() {
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SIGSTOP, and waits until every thread has stopped.
pub fn freeze(process: u32) {
    signal(process, "STOP");
    let stopped = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
        // "pid (name) S …", and names may hold anything.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
    };
    until("the end of its threads' work", || {
        std::fs::read_dir(format!("/proc/{process}/task")).map_or(true, |mut tasks| tasks.all(stopped))
    });
}

/// SIGCONT.
pub fn thaw(process: u32) {
    signal(process, "CONT");
}

/// Connections to a port of this machine that their clients have open: established, or closed by the server alone.
pub fn connections_to(port: u16) -> usize {
    queues_to(port).len()
}

/// Of them, those on which something waits that the server does not take.
pub fn stuck_to(port: u16) -> usize {
    queues_to(port).iter().filter(|queue| **queue > 0).count()
}

/// How many octets each client to this port has handed to its socket that the other side did not acknowledge.
fn queues_to(port: u16) -> Vec<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let queue = |line: &str| {
        let [_, _, remote, state, queues] = line.split_whitespace().take(5).collect::<Vec<_>>().try_into().ok()?;
        let to = u16::from_str_radix(remote.split_once(':')?.1, 16).ok()?;
        let open = to == port && ["01", "08"].contains(&state);
        open.then(|| u64::from_str_radix(queues.split_once(':')?.0, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(queue).collect()
}

/// Sockets a process has open.
pub fn sockets_of(process: u32) -> usize {
    let Ok(open) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let links = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// The most memory a process ever had, in MB.
pub fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.expect("a living process") / 1024
}

/// Octets of all files under a folder.
pub fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::io::Result<std::fs::DirEntry>| match entry {
        Ok(entry) if entry.path().is_dir() => size_of(&entry.path()),
        // A file that went away meanwhile has no size.
        Ok(entry) => entry.metadata().map_or(0, |metadata| metadata.len()),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// A command at work, killed when it is dropped: a scenario that fails leaves nothing behind.
pub struct Work(Option<Child>);

impl Work {
    pub fn of(child: Child) -> Work {
        Work(Some(child))
    }

    /// Takes it out of where it is kept.
    pub fn take(&mut self) -> Work {
        Work(self.0.take())
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().expect("it was not taken").id()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().is_some_and(|child| child.try_wait().expect("ours").is_some())
    }

    /// SIGKILL.
    pub fn kill(self) {
        drop(self);
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ran {
        self.0.take().expect("it was not taken").wait_with_output().expect("it ends").into()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
