//! Crashes, for tests: a store opened as if the machine had been started since, and how much of the WAL the disk has.

use super::{Error, Settings, Store};
use std::path::Path;
use std::sync::Mutex;

/// A place in the WAL: the number of its newest file and octets of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WalEnd {
    pub(crate) file: u64,
    pub(crate) octets: u64,
}

/// What a loss of power can't take: everything up to the last write that was synced.
#[derive(Default)]
pub(super) struct Synced(Mutex<WalEnd>);

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
        *self.synced.0.lock().expect("no holder panics")
    }

    pub(super) fn note_sync(&self) {
        *self.synced.0.lock().expect("no holder panics") = WalEnd::of(&self.state_dir);
    }
}
