//! Is this store the one that sent, or a copy of it?
//!
//! A copy (a backup restored, a folder cloned beside a living one) does not know what the original sent since. It shows:
//! files of a copy are other files (another inode, another time of birth), and one written over the original is behind the
//! `generation` file or names another one. What can't be told is a copy of a whole disk.

use super::batch::Batch;
use super::codec::{VERSION, number};
use super::{Error, Family, Store};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The engine that works here, or the last that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many engines have worked here, itself included.
    pub generation: u64,
    /// The boot in which it was started.
    pub boot: [u8; 16],
    /// Where.
    pub home: Home,
    /// The `generation` file that it wrote.
    mark: Home,
}

/// What tells a file from its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    inode: u64,
    /// Nanoseconds since 1970; 0 where the file system keeps no time of birth.
    born: u64,
}

/// Why a store must not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Copied {
    /// Its files are not those that the last engine worked with.
    #[error("the state directory is a copy: its files are not those that the last engine worked with")]
    Elsewhere,
    /// It is older than what lies beside it.
    #[error("the store is an older copy: it is of the engine's start {store}, the state directory of start {beside}")]
    Older {
        /// The store's generation; 0 if there was none.
        store: u64,
        /// The one in the `generation` file.
        beside: u64,
    },
}

const KEY: &[u8] = b"standing";
pub(super) const FILE: &str = "generation";

impl Home {
    /// Where the state directory is now: its lock file, which is made once and never replaced.
    ///
    /// # Errors
    /// The lock is not there.
    pub fn of(state_dir: &Path) -> io::Result<Home> {
        Ok(Home::of_file(&fs::metadata(state_dir.join("lock"))?))
    }

    fn of_file(file: &fs::Metadata) -> Home {
        let born = file.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born = born.and_then(|born| u64::try_from(born.as_nanos()).ok());
        Home { inode: file.ino(), born: born.unwrap_or(0) }
    }
}

impl Store {
    /// The last engine that took its standing here.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn standing(&self) -> Result<Option<Standing>, Error> {
        let value = self.read(Family::Engine, KEY)?;
        let damaged = Error::Damaged { family: "engine", run: crate::mail::RunId(0), ordinal: 0 };
        value.map(|value| decode(&value).ok_or_else(|| self.seen(damaged))).transpose()
    }

    /// Whether the store is a copy that must not send; for those who only look.
    ///
    /// # Errors
    /// The store or the files beside it can't be read.
    pub fn copied(&self, state_dir: &Path) -> Result<Option<Copied>, Error> {
        let home = Home::of(state_dir).map_err(|cause| failed(state_dir, "lock", cause))?;
        let beside = beside(state_dir).map_err(|cause| failed(state_dir, FILE, cause))?;
        Ok(compare(self.standing()?, beside, home))
    }

    /// Records that an engine begins to work here, synced, unless the store is a copy. Its turns are later than all before.
    ///
    /// # Errors
    /// The store or the files beside it can't be read or written.
    pub fn take_standing(&self, state_dir: &Path) -> Result<Result<Standing, Copied>, Error> {
        match self.copied(state_dir)? {
            Some(copied) => Ok(Err(copied)),
            None => self.adopt(state_dir).map(Ok),
        }
    }

    /// The same for a copy, which is the one that sends from now on.
    ///
    /// # Errors
    /// The store or the files beside it can't be read or written.
    pub fn adopt(&self, state_dir: &Path) -> Result<Standing, Error> {
        let fail = |cause| failed(state_dir, FILE, cause);
        let home = Home::of(state_dir).map_err(|cause| failed(state_dir, "lock", cause))?;
        let before = self.standing()?.map_or(0, |standing| standing.generation);
        let beside = beside(state_dir).map_err(fail)?.map_or(0, |(generation, _)| generation);
        let generation = before.max(beside) + 1;
        // The file is made, the store names it, then it takes its place: died in between, the file is behind by one.
        let made = state_dir.join("generation.new");
        let mark = make(&made, generation).map_err(fail)?;
        let standing = Standing { generation, boot: self.boot, home, mark };
        self.write(&Batch::of(Family::Engine, KEY, encode(&standing)), true)?;
        fs::rename(&made, state_dir.join(FILE)).and_then(|()| File::open(state_dir)?.sync_all()).map_err(fail)?;
        self.begin_turns(generation);
        Ok(standing)
    }
}

fn compare(found: Option<Standing>, beside: Option<(u64, Home)>, home: Home) -> Option<Copied> {
    let store = found.map_or(0, |standing| standing.generation);
    match (found, beside) {
        (_, Some((beside, _))) if store < beside => Some(Copied::Older { store, beside }),
        (Some(found), _) if found.home != home => Some(Copied::Elsewhere),
        (Some(found), Some((beside, mark))) if beside == store && mark != found.mark => Some(Copied::Elsewhere),
        // The first engine died before its file took its place, or somebody has removed it.
        (Some(_), None) if store > 1 => Some(Copied::Elsewhere),
        _ => None,
    }
}

/// What the `generation` file says, and which file it is. One that says nothing is not there.
fn beside(state_dir: &Path) -> io::Result<Option<(u64, Home)>> {
    let path = state_dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok().zip(Some(Home::of_file(&fs::metadata(path)?)))),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

fn make(path: &Path, generation: u64) -> io::Result<Home> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    writeln!(file, "{generation}")?;
    file.sync_all()?;
    Ok(Home::of_file(&file.metadata()?))
}

fn failed(state_dir: &Path, name: &str, cause: io::Error) -> Error {
    Error::File { path: state_dir.join(name), cause }
}

fn encode(standing: &Standing) -> Vec<u8> {
    let Standing { generation, boot, home, mark } = standing;
    let mut value = [&[VERSION], &generation.to_be_bytes()[..], boot].concat();
    for number in [home.inode, home.born, mark.inode, mark.born] {
        value.extend_from_slice(&number.to_be_bytes());
    }
    value
}

fn decode(value: &[u8]) -> Option<Standing> {
    let (generation, rest) = value.strip_prefix(&[VERSION])?.split_first_chunk::<8>()?;
    let (boot, numbers) = rest.split_first_chunk()?;
    let home = |at| Some(Home { inode: number(numbers, at)?, born: number(numbers, at + 1)? });
    Some(Standing { generation: u64::from_be_bytes(*generation), boot: *boot, home: home(0)?, mark: home(2)? })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    fn opened(state_dir: &Path) -> Store {
        File::options().create(true).append(true).open(state_dir.join("lock")).expect("a lock");
        Store::open(state_dir, &Settings::default()).expect("a store")
    }

    fn copy(from: &Path, to: &Path) {
        let from = from.join(".");
        assert!(Command::new("cp").arg("-a").args([&from, to]).status().expect("cp").success());
    }

    proptest! {
        #[test]
        fn standings_come_back(generation: u64, boot: [u8; 16], numbers: [u64; 4]) {
            let home = |at: usize| Home { inode: numbers[at], born: numbers[at + 1] };
            let standing = Standing { generation, boot, home: home(0), mark: home(2) };
            prop_assert_eq!(decode(&encode(&standing)), Some(standing));
        }
    }

    #[test]
    fn each_engine_is_a_generation_and_has_later_turns() {
        let folder = tempfile::tempdir().expect("folder");
        let mut last = 0;
        for generation in 1..4 {
            let store = opened(folder.path());
            let standing = store.take_standing(folder.path()).expect("readable").expect("no copy");
            assert_eq!((standing.generation, standing.boot), (generation, store.boot()));
            assert_eq!(store.standing().expect("readable"), Some(standing));
            let turn = store.turns(5);
            assert!(turn > last && turn >> 40 == generation, "{turn}");
            last = turn + 4;
        }
    }

    #[test]
    fn a_copied_folder_is_a_copy_until_it_is_adopted() {
        let (folder, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        opened(folder.path()).take_standing(folder.path()).expect("readable").expect("no copy");
        copy(folder.path(), other.path());
        let clone = opened(other.path());
        assert_eq!(clone.take_standing(other.path()).expect("readable"), Err(Copied::Elsewhere));
        assert_eq!(clone.adopt(other.path()).expect("adopted").generation, 2);
        drop(clone);
        assert_eq!(opened(other.path()).take_standing(other.path()).expect("readable").map(|s| s.generation), Ok(3));
        let original = opened(folder.path());
        assert_eq!(original.take_standing(folder.path()).expect("readable").map(|s| s.generation), Ok(2));
    }

    /// `cp -a` writes into the files that are there, so that they are the same files.
    #[test]
    fn an_older_store_put_back_in_its_place_is_a_copy() {
        let (folder, backup) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let start = || opened(folder.path()).take_standing(folder.path()).expect("readable");
        start().expect("no copy");
        copy(folder.path(), backup.path());
        start().expect("no copy");
        let put_back = |name: &str| {
            fs::remove_dir_all(folder.path().join("db")).expect("removed");
            copy(&backup.path().join("db"), &folder.path().join("db"));
            if name == FILE {
                fs::copy(backup.path().join(FILE), folder.path().join(FILE)).expect("written over");
            }
        };
        put_back("db");
        assert_eq!(start(), Err(Copied::Older { store: 1, beside: 2 }));
        put_back(FILE);
        assert_eq!(start(), Err(Copied::Elsewhere), "the file says 1 and is not the one of start 1");
    }

    #[test]
    fn an_engine_that_died_before_its_file_took_its_place_is_at_home() {
        let folder = tempfile::tempdir().expect("folder");
        let start = || opened(folder.path()).take_standing(folder.path()).expect("readable");
        start().expect("no copy");
        fs::remove_file(folder.path().join(FILE)).expect("removed");
        start().expect("died in its first start");
        let (before, kept) = (folder.path().join(FILE), folder.path().join("kept"));
        fs::rename(&before, &kept).expect("kept");
        opened(folder.path()).adopt(folder.path()).expect("a third start");
        fs::rename(&kept, &before).expect("its file did not take its place");
        assert_eq!(start().map(|standing| standing.generation), Ok(4));
        fs::remove_file(folder.path().join(FILE)).expect("removed");
        assert_eq!(start(), Err(Copied::Elsewhere));
    }
}
