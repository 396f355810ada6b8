//! Crashes, for tests: a store opened as if the machine had been started since, and how much of the WAL the disk has.

use super::{Error, Settings, Store};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A place in the WAL: the number of its newest file and octets of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WalEnd {
    pub(crate) file: u64,
    pub(crate) octets: u64,
}

/// Watches what is written.
#[derive(Default)]
pub(super) struct Witness {
    /// What a loss of power can't take: everything up to the last write that was synced.
    synced: Mutex<WalEnd>,
    /// After so many writes more, the folder is copied there, as if the process had died.
    copy: Mutex<Option<(u8, PathBuf)>>,
}

impl WalEnd {
    /// The end of the WAL under `state_dir`.
    pub(crate) fn of(state_dir: &Path) -> WalEnd {
        let files = std::fs::read_dir(state_dir.join("db")).expect("a folder").flatten();
        let number = |name: &str| name.strip_suffix(".log")?.parse().ok();
        let logs = files.filter_map(|file| Some((number(file.file_name().to_str()?)?, file)));
        let end = |(number, file): (u64, std::fs::DirEntry)| WalEnd {
            file: number,
            octets: file.metadata().map_or(0, |data| data.len()),
        };
        logs.map(end).max().unwrap_or_default()
    }
}

impl Store {
    /// [`open`](Store::open), as if the kernel had given this boot that name.
    pub(crate) fn open_in_boot(state_dir: &Path, settings: &Settings, boot: [u8; 16]) -> Result<Store, Error> {
        let mut store = Store::open(state_dir, settings)?;
        store.boot = boot;
        Ok(store)
    }

    /// Where the WAL ended when it was synced last.
    pub(crate) fn synced_to(&self) -> WalEnd {
        *self.witness.synced.lock().expect("no holder panics")
    }

    /// Copies the folder to `folder` once `writes` more have been made.
    pub(crate) fn copy_after(&self, writes: u8, folder: &Path) {
        *self.witness.copy.lock().expect("no holder panics") = Some((writes, folder.to_owned()));
    }

    /// No copy is made any more.
    pub(crate) fn copy_no_more(&self) {
        *self.witness.copy.lock().expect("no holder panics") = None;
    }

    pub(super) fn wrote(&self, synced: bool) {
        if synced {
            *self.witness.synced.lock().expect("no holder panics") = WalEnd::of(&self.state_dir);
        }
        let mut copy = self.witness.copy.lock().expect("no holder panics");
        match &mut *copy {
            Some((1, to)) => copy_folder(&self.state_dir, to),
            Some((0, _)) | None => return,
            Some(_) => {}
        }
        if let Some((left, _)) = &mut *copy {
            *left -= 1;
        }
    }
}

/// Copies a state directory while its store is open: again, where RocksDB removed a file meanwhile.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    for name in ["lock", "generation"] {
        std::fs::copy(from.join(name), to.join(name)).expect("copied");
    }
    let (from, to) = (from.join("db"), to.join("db"));
    loop {
        let before = names(&from);
        std::fs::create_dir(&to).expect("a folder");
        let whole = before.iter().all(|name| std::fs::copy(from.join(name), to.join(name)).is_ok());
        if whole && names(&from) == before {
            return;
        }
        std::fs::remove_dir_all(&to).expect("removed");
    }
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).expect("a folder").flatten().map(|file| file.file_name()).collect()
}
