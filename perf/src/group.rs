//! Processes measured and ended together: a control group (cgroup v2) each.
//!
//! The kernel counts the CPU of a group to the microsecond, whatever its processes fork, exec and leave behind, which no walk
//! through /proc does; and it ends all of them at once. [`Guard`] is the group around them: it and the scratch folder go
//! when this process does, however it dies.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The group around all others, and the scratch folder, watched over by a shell that outlives us.
pub struct Guard {
    path: PathBuf,
    watch: Child,
}

impl Guard {
    /// Makes the group, and sees that it and `folder` go with this process.
    ///
    /// # Errors
    /// There is no cgroup v2 that we may write to.
    pub fn new(folder: &Path) -> Result<Guard, Box<dyn Error>> {
        let path = own_group()?.join(format!("sealpost-perf-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| {
            format!(
                "{}: {error}; `perf` counts CPU with cgroup v2: run it as root, or in a delegated group",
                path.display()
            )
        })?;
        // Its input ends when we do, also by `kill -9`; Ctrl-C reaches it as well, and must not end it.
        let script = "trap '' INT TERM HUP; read x; echo 1 >\"$0/cgroup.kill\"; \
             for i in 1 2 3 4 5 6 7 8 9 10; do rmdir \"$0\"/*/ 2>/dev/null; rmdir \"$0\" 2>/dev/null && break; sleep 0.1; done; \
             rm -rf \"$1\"";
        let watch = Command::new("sh").args(["-c", script]).arg(&path).arg(folder).stdin(Stdio::piped()).spawn()?;
        Ok(Guard { path, watch })
    }

    /// A group inside, empty.
    ///
    /// # Errors
    /// It can't be made.
    pub fn group(&self, name: &str) -> Result<Group, Box<dyn Error>> {
        let path = self.path.join(name);
        std::fs::create_dir(&path)?;
        Ok(Group { path })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        self.watch.wait().ok();
    }
}

/// Processes that are counted together; they are killed when it is dropped.
pub struct Group {
    path: PathBuf,
}

/// CPU seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    pub user: f64,
    pub system: f64,
}

impl Cpu {
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    pub fn since(self, before: Cpu) -> Cpu {
        Cpu { user: self.user - before.user, system: self.system - before.system }
    }
}

impl Group {
    /// `program` in this group, on one CPU or on any.
    pub fn command(&self, cpu: Option<usize>, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 0 >\"$0\" && exec \"$@\""]).arg(self.path.join("cgroup.procs"));
        if let Some(cpu) = cpu {
            command.args(["taskset", "-c", &cpu.to_string()]);
        }
        command.arg(program);
        command
    }

    /// What its processes have used so far, those that ended included.
    ///
    /// # Errors
    /// The kernel doesn't say.
    pub fn cpu(&self) -> Result<Cpu, Box<dyn Error>> {
        parse_cpu(&std::fs::read_to_string(self.path.join("cpu.stat"))?)
    }

    /// Its living processes.
    pub fn processes(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Megabytes of its living processes, what they share counted once.
    pub fn memory_mb(&self) -> f64 {
        let pss = |process: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        self.processes().iter().filter_map(pss).sum::<f64>() / 1024.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        std::fs::write(self.path.join("cgroup.kill"), "1").ok();
        let deadline = Instant::now() + Duration::from_secs(5);
        while std::fs::remove_dir(&self.path).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn parse_cpu(text: &str) -> Result<Cpu, Box<dyn Error>> {
    let seconds = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or(format!("no {name}in cpu.stat"))?;
        Ok::<_, Box<dyn Error>>(line.trim().parse::<f64>()? / 1e6)
    };
    Ok(Cpu { user: seconds("user_usec ")?, system: seconds("system_usec ")? })
}

/// The folder of the group that we are in: where the second version is mounted, alone or beside the first.
fn own_group() -> Result<PathBuf, Box<dyn Error>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(2) == Some(&"cgroup2")).then(|| fields[1].to_owned())
    });
    let mount = mount.ok_or("no cgroup v2 is mounted, and `perf` counts CPU with it")?;
    let own = std::fs::read_to_string("/proc/self/cgroup")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("in no group of cgroup v2")?;
    Ok(Path::new(&mount).join(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_become_seconds() {
        let text = "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnice_usec 0\n";
        assert_eq!(parse_cpu(text).expect("parsed"), Cpu { user: 2.0, system: 0.5 });
        assert!(parse_cpu("usage_usec 1\n").is_err());
    }

    #[test]
    fn what_a_process_leaves_behind_is_counted_and_goes_with_the_guard() {
        let folder = std::env::temp_dir().join(format!("sealpost-perf-group-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let guard = match Guard::new(&folder) {
            Ok(guard) => guard,
            // Without the right to make groups, that is what must be said.
            Err(error) => return assert!(error.to_string().contains("cgroup v2"), "{error}"),
        };
        let path = guard.path.clone();
        let group = guard.group("work").expect("a group");
        let mut shell = group.command(None, Path::new("sh"));
        let script = "(i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done) & sleep 300 & exit 0";
        assert!(shell.args(["-c", script]).status().expect("a shell").success());
        let deadline = Instant::now() + Duration::from_secs(60);
        while group.cpu().expect("counted").total() < 0.02 {
            assert!(Instant::now() < deadline, "what the shell left was not counted");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!group.processes().is_empty());
        // The guard alone, as when we are killed.
        std::mem::forget(group);
        drop(guard);
        assert!(!path.exists() && !folder.exists());
    }
}
