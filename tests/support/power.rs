//! A machine whose power can fail: what was not synced is cut off, and the next command runs after another boot.

use super::process::Work;
use super::{Desk, Dice, Ran, root};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs commands of a desk under `synced.c`, and fails.
pub struct Power<'a> {
    desk: &'a Desk,
    shim: PathBuf,
    boots: u64,
}

/// What a failure took.
#[derive(Debug, Default)]
pub struct Taken {
    /// Octets that were written and not synced, and how many of them are gone.
    pub unsynced: u64,
    pub cut: u64,
}

impl Power<'_> {
    pub fn of(desk: &Desk) -> Power<'_> {
        let shim = desk.path("synced.so");
        let source = root().join("tests/support/synced.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        assert!(compiler.status().expect("cc runs").success());
        Power { desk, shim, boots: 0 }
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str]) -> Work {
        Work::of(self.watched(self.desk.command(args)).spawn().expect("sealpost runs"))
    }

    /// Runs a command to its end as if the machine had been started anew since the last failure: the kernel's name for this
    /// boot is another one.
    pub fn sealpost(&self, args: &[&str]) -> Ran {
        let boot = self.desk.path("boot_id");
        std::fs::write(&boot, format!("00000000-0000-4000-8000-{:012x}\n", self.boots)).expect("written");
        let ours = self.desk.command(args);
        let mut command = Command::new("unshare");
        let script = format!("mount --bind {} /proc/sys/kernel/random/boot_id && exec \"$0\" \"$@\"", boot.display());
        command.args(["-m", "sh", "-c", &script]).arg(ours.get_program()).args(ours.get_args());
        command.current_dir(ours.get_current_dir().expect("the desk")).env_remove("SEALPOST_CONFIG");
        self.watched(command).output().expect("unshare runs").into()
    }

    fn watched(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.shim).env("SYNCED_LOG", self.desk.path("synced.log"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The power fails, after everything was killed: each WAL loses some of what was not synced, from a random octet on.
    pub fn fail(&mut self, dice: &mut Dice) -> Taken {
        self.boots += 1;
        let synced = self.synced();
        let mut taken = Taken::default();
        // Killed very early, it had not made its store yet.
        let Ok(files) = std::fs::read_dir(self.desk.path("state/db")) else { return taken };
        for entry in files {
            let path = entry.expect("an entry").path();
            if !is_wal(&path) {
                continue;
            }
            let length = path.metadata().expect("there").len();
            let safe = synced.get(&path).copied().unwrap_or(0).min(length);
            let left = dice.between(safe, length);
            File::options().write(true).open(&path).and_then(|file| file.set_len(left)).expect("cut");
            taken.unsynced += length - safe;
            taken.cut += length - left;
        }
        taken
    }

    /// The length of each file when it was last synced.
    fn synced(&self) -> HashMap<PathBuf, u64> {
        let log = std::fs::read_to_string(self.desk.path("synced.log")).expect("the shim works");
        let entry = |line: &str| {
            let (length, path) = line.split_once(' ').expect("a length and a path");
            (PathBuf::from(path), length.parse().expect("a number"))
        };
        log.lines().map(entry).collect()
    }

    /// How often a WAL was synced.
    pub fn syncs(&self) -> usize {
        let log = std::fs::read_to_string(self.desk.path("synced.log")).unwrap_or_default();
        log.lines().filter(|line| is_wal(Path::new(line))).count()
    }
}

/// `db/000123.log`; RocksDB's own talk is `db/LOG`.
fn is_wal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log")
        && path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "db")
}
