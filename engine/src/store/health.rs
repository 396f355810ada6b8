//! Writes don't fail for trouble with the disk: they wait until it is over.
//!
//! A write that fails sets [`Condition::DiskFull`] or [`Condition::StoreFailed`], frees the ballast, waits, and is tried again,
//! on a database opened anew where that helps. It ends with success, or when [`Store::give_up`] was called. Sending stops
//! before that: [`Store::watch_room`] sets `DiskFull` while there is still room for what is on a wire.
//!
//! What RocksDB 11.8 does on a disk that fills (64 MB of tmpfs, measured):
//! * The first to fail is mostly a flush, then an append to the WAL. Either way every later write fails with the same text, for
//!   good: without its SstFileManager, which has no binding, it does not notice that there is room again, and there is no
//!   binding for `Resume`. Closing and opening heals it, in 20 to 200 ms; every acknowledged write was in the WAL.
//! * Reads work all the while.
//! * A compaction that fails leaves writing alone, but nothing is compacted any more, until writes stall without an error.
//!   `rocksdb.background-errors` tells (it does not count appends to the WAL); opening again heals this too.
//! * Opening needs about as much room as the WAL files have, since what they hold is flushed. With less it fails, and the
//!   database stays closed; so it is not tried.
//! * MANIFEST takes 4 MB in advance, and with memtables of 32 MB and files of 64 MB a disk of 64 MB is full at 23 MB of rows.
//!   With the sizes in `options` it takes 50 MB. Memtables of 2 MB over all families are too small: files of 4 KB by the
//!   hundred.

use super::batch::Batch;
use super::{Error, Store};
use crate::clock::{Clock, SystemClock};
use crate::condition::Condition;
use rocksdb::{DB, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::{Duration, Instant};

/// The database while it is open, and how it fares.
pub(super) struct Health {
    db: RwLock<Option<Arc<DB>>>,
    /// How often it was opened: who saw it fail knows whether that was this one.
    openings: AtomicU64,
    opening: Mutex<()>,
    gave_up: AtomicBool,
    /// A write failed since it was opened; RocksDB counts none but its own as errors.
    failed: AtomicBool,
    /// Something in it can't be read: no write mends that.
    damaged: AtomicBool,
    observer: bool,
}

/// Between two tries of a write.
const PAUSE: Duration = Duration::from_millis(200);
/// How long whoever reads may keep the database from being closed.
const READERS_LEAVE: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(2);

impl Health {
    pub(super) fn new(db: DB, observer: bool) -> Health {
        Health {
            db: RwLock::new(Some(Arc::new(db))),
            openings: AtomicU64::new(0),
            opening: Mutex::default(),
            gave_up: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            observer,
        }
    }
}

impl Store {
    /// The engine stops, or there is none (a command that can say at once that the disk is full): from now on a write that
    /// fails is not tried again.
    pub fn give_up(&self) {
        self.health.gave_up.store(true, Ordering::SeqCst);
    }

    /// Free octets of the state directory's file system.
    ///
    /// # Errors
    /// The system does not say.
    pub fn room(&self) -> std::io::Result<u64> {
        room(&self.state_dir).map(|(free, _)| free)
    }

    /// How much room there must be beside the ballast for messages to be sent: what memtables take when they are flushed.
    pub fn room_kept(&self) -> u64 {
        self.sizes.memtables as u64
    }

    /// Looks at the disk; the engine calls this ten times a second. With less room than [`room_kept`](Store::room_kept) it sets
    /// `DiskFull`, with twice as much it clears it, and mends what a full disk broke.
    pub fn watch_room(&self) {
        let Ok(room) = self.room() else { return };
        if self.health.observer {
            return;
        }
        if room < self.room_kept() {
            self.set(Condition::DiskFull, &self.no_room());
        } else if room >= 2 * self.room_kept() {
            let seen = self.health.openings.load(Ordering::SeqCst);
            if self.is_broken() && !self.open_again(seen) {
                return;
            }
            if !self.ballast.is_there() && room >= 2 * self.room_kept() + self.ballast.octets() {
                // Without it the engine goes on as well; the next look tries again.
                self.ballast.make().ok();
            }
            self.settings.conditions.clear(Condition::DiskFull);
        }
    }

    /// The database; waits while it is being opened again.
    pub(super) fn db(&self) -> Result<Arc<DB>, Error> {
        loop {
            if let Some(db) = &*self.health.db.read().expect("no holder panics") {
                return Ok(db.clone());
            }
            if self.health.gave_up.load(Ordering::SeqCst) {
                return Err(Error::Closed);
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Makes the changes of `batch` in one write; `synced` waits for the disk. Every write goes this way.
    pub(super) fn write(&self, batch: &Batch, synced: bool) -> Result<(), Error> {
        let seen = self.health.openings.load(Ordering::SeqCst);
        match self.db().and_then(|db| batch.write(&db, synced)) {
            Err(error) if !self.health.observer && may_pass(&error) => self.insist(batch, synced, error, seen),
            written => {
                #[cfg(test)]
                if written.is_ok() {
                    self.wrote(synced);
                }
                written
            }
        }
    }

    fn insist(&self, batch: &Batch, synced: bool, mut error: Error, mut seen: u64) -> Result<(), Error> {
        loop {
            self.health.failed.store(true, Ordering::SeqCst);
            self.trouble(&error);
            if self.health.gave_up.load(Ordering::SeqCst) {
                return Err(error);
            }
            std::thread::sleep(PAUSE);
            self.open_again(seen);
            seen = self.health.openings.load(Ordering::SeqCst);
            match self.db().and_then(|db| batch.write(&db, synced)) {
                Ok(()) => {
                    self.mended();
                    return Ok(());
                }
                Err(again) => error = again,
            }
        }
    }

    /// Says why a write failed, and does what can be done.
    fn trouble(&self, error: &Error) {
        match error {
            Error::RocksDb(cause) if is_full(cause) => {
                self.set(Condition::DiskFull, &self.no_room());
                self.ballast.free();
            }
            // Somebody is opening it again.
            Error::RocksDb(cause) if cause.kind() == ErrorKind::ShutdownInProgress => {}
            Error::RocksDb(_) => self.set(Condition::StoreFailed, &error.to_string()),
            _ => {}
        }
    }

    /// A write worked again. Whether there is room to send is for [`watch_room`](Store::watch_room) to say, if it is scarce.
    fn mended(&self) {
        self.health.failed.store(false, Ordering::SeqCst);
        if !self.health.damaged.load(Ordering::SeqCst) {
            self.settings.conditions.clear(Condition::StoreFailed);
        }
        if self.room().is_ok_and(|room| room >= 2 * self.room_kept()) {
            self.settings.conditions.clear(Condition::DiskFull);
        }
    }

    /// Closes the database that was seen failing and opens it again, if there is room for that and nobody else has done it.
    /// Returns whether it is open and another.
    fn open_again(&self, seen: u64) -> bool {
        let _only_one = self.health.opening.lock().expect("no holder panics");
        if self.health.openings.load(Ordering::SeqCst) != seen {
            return true;
        }
        if self.room().is_ok_and(|room| room < self.wal() + (1 << 20)) {
            return false;
        }
        let old = self.health.db.write().expect("no holder panics").take();
        if let Some(old) = old
            && let Err(old) = close(old)
        {
            // Its reader may be waiting for us; its writers will come again.
            *self.health.db.write().expect("no holder panics") = Some(old);
            return false;
        }
        match self.open_database() {
            Ok(db) => {
                tracing::warn!("the store was opened again");
                *self.health.db.write().expect("no holder panics") = Some(Arc::new(db));
                self.health.failed.store(false, Ordering::SeqCst);
                self.health.openings.fetch_add(1, Ordering::SeqCst);
                true
            }
            Err(error) => {
                tracing::error!(%error, "the store can't be opened again for now");
                false
            }
        }
    }

    /// Whether a write, a flush or a compaction has failed since it was opened, or it is closed.
    fn is_broken(&self) -> bool {
        if self.health.failed.load(Ordering::SeqCst) {
            return true;
        }
        let db = self.health.db.read().expect("no holder panics").clone();
        db.is_none_or(|db| db.property_int_value("rocksdb.background-errors").is_ok_and(|errors| errors > Some(0)))
    }

    /// Octets in WAL files.
    fn wal(&self) -> u64 {
        let Ok(files) = std::fs::read_dir(self.state_dir.join("db")) else { return 0 };
        let wal = files.flatten().filter(|file| file.path().extension().is_some_and(|ending| ending == "log"));
        wal.map(|file| file.metadata().map_or(0, |file| file.len())).sum()
    }

    /// An error of reading, looked at: a damaged store must send nothing more.
    pub(super) fn seen(&self, error: Error) -> Error {
        if error.is_damage() {
            self.health.damaged.store(true, Ordering::SeqCst);
            self.set(Condition::StoreFailed, &error.to_string());
        }
        error
    }

    fn set(&self, condition: Condition, why: &str) {
        if !self.health.observer {
            self.settings.conditions.set(condition, why, SystemClock.now());
        }
    }

    fn no_room(&self) -> String {
        format!("{}: the disk is full; {} MB must be free", self.state_dir.display(), (2 * self.room_kept()) >> 20)
    }
}

/// Free and all octets of the file system at `path`.
pub(super) fn room(path: &Path) -> std::io::Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Closes it when nobody uses it any more; gives it back if somebody does not leave.
fn close(mut db: Arc<DB>) -> Result<(), Arc<DB>> {
    // Writers that stall leave with an error.
    db.cancel_all_background_work(false);
    let patience = Instant::now() + READERS_LEAVE;
    loop {
        match Arc::try_unwrap(db) {
            Ok(_closed) => return Ok(()),
            Err(used) if Instant::now() > patience => return Err(used),
            Err(used) => db = used,
        }
        std::thread::sleep(GLANCE);
    }
}

/// Whether trying again can help: the machine's fault, not ours.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::RocksDb(cause) => !matches!(cause.kind(), ErrorKind::InvalidArgument | ErrorKind::NotSupported),
        _ => false,
    }
}

/// Whether it is the room that lacks: ENOSPC or EDQUOT. RocksDB's binding leaves nothing but the text.
fn is_full(cause: &rocksdb::Error) -> bool {
    let text: &str = cause.as_ref();
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Settings};
    use super::*;
    use crate::clock::Timestamp;
    use crate::mail::{Kind, Outcome, RunId};
    use crate::secret::DataKey;
    use std::fs;
    use std::path::PathBuf;
    use std::process::Command;

    const RUN: RunId = RunId(7);

    /// 64 MB of memory as a disk, for root; gone with the value.
    struct Disk(tempfile::TempDir);

    impl Disk {
        fn new() -> Disk {
            let folder = tempfile::tempdir().expect("folder");
            let mount =
                Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(folder.path()).status();
            assert!(mount.expect("mount").success(), "tests of a full disk are run by root");
            Disk(folder)
        }

        /// Takes what is free but for `left` octets.
        fn fill(&self, left: u64) {
            fs::remove_file(self.filler()).ok();
            let (free, _) = room(self.path()).expect("statvfs");
            let zeros = vec![0; usize::try_from(free.saturating_sub(left)).expect("64 MB")];
            fs::write(self.filler(), zeros).expect("there is room");
        }

        fn free(&self) {
            fs::remove_file(self.filler()).expect("it was filled");
        }

        fn filler(&self) -> PathBuf {
            self.path().join("filler")
        }

        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for Disk {
        fn drop(&mut self) {
            Command::new("umount").arg("-l").arg(self.path()).status().ok();
        }
    }

    fn holds(store: &Store, condition: Condition) -> bool {
        store.settings.conditions.list().iter().any(|(held, ..)| *held == condition)
    }

    fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
        // Other tests have the processors too.
        let deadline = Instant::now() + Duration::from_secs(100);
        while !there() {
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::sleep(GLANCE);
        }
    }

    fn opened(disk: &Disk) -> Store {
        Store::open(disk.path(), &Settings::default()).expect("a store")
    }

    fn put(store: &Store, ordinal: u64) -> Result<(), Error> {
        let mut outcome = Outcome::new(Kind::Bounced, Timestamp(1), 1, "");
        outcome.text = "x".repeat(600);
        store.put_outcomes(RUN, &[(ordinal, outcome)], &DataKey::new(&[1; 32]))
    }

    fn count(store: &Store) -> u64 {
        store.count(Family::Outcome, RUN).expect("readable")
    }

    /// Two threads write, the disk fills, they wait; room comes, they go on: nothing that was acknowledged is lost, neither for
    /// this engine, nor for one that finds the folder as it was when the disk was full, nor after a start.
    #[test]
    fn writes_wait_for_a_full_disk_and_none_is_lost() {
        let (disk, elsewhere) = (Disk::new(), tempfile::tempdir().expect("folder"));
        let store = opened(&disk);
        assert!(store.ballast.is_there());
        disk.fill(14 << 20);
        let written = [AtomicU64::new(0), AtomicU64::new(0)];
        let total = || written.iter().map(|count| count.load(Ordering::SeqCst)).sum::<u64>();
        let enough = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (thread, written) in written.iter().enumerate() {
                let (store, enough) = (&store, &enough);
                scope.spawn(move || {
                    while !enough.load(Ordering::SeqCst) {
                        let ordinal = written.load(Ordering::SeqCst) * 2 + thread as u64;
                        put(store, ordinal).expect("it waits instead");
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let mut before = u64::MAX;
            wait_for("a standstill", || {
                std::thread::sleep(4 * PAUSE);
                std::mem::replace(&mut before, total()) == total()
            });
            assert!(holds(&store, Condition::DiskFull) && !store.ballast.is_there());
            assert_eq!(count(&store), before, "reading goes on");
            assert!(
                Command::new("cp")
                    .arg("-a")
                    .arg(disk.path().join("db"))
                    .arg(elsewhere.path())
                    .status()
                    .expect("cp")
                    .success()
            );
            disk.free();
            wait_for("more", || total() > before + 1000);
            enough.store(true, Ordering::SeqCst);
            let found = count(&Store::open(elsewhere.path(), &Settings::default()).expect("a copy opens"));
            assert!(found >= before, "{found} of {before}");
        });
        store.watch_room();
        assert!(store.settings.conditions.list().is_empty() && store.ballast.is_there());
        assert_eq!(count(&store), total());
        drop(store);
        assert_eq!(count(&opened(&disk)), total());
    }

    #[test]
    fn the_engine_is_told_before_a_write_fails() {
        let disk = Disk::new();
        let store = opened(&disk);
        let kept = store.room_kept();
        disk.fill(kept - 100_000);
        store.watch_room();
        assert!(holds(&store, Condition::DiskFull) && store.ballast.is_there());
        for ordinal in 1..=1000 {
            put(&store, ordinal).expect("there is room for what is on a wire");
        }
        disk.fill(kept + kept / 2);
        store.watch_room();
        assert!(holds(&store, Condition::DiskFull), "not on and off at the edge");
        disk.free();
        store.watch_room();
        assert!(!holds(&store, Condition::DiskFull));
    }

    /// What stops writing for good in RocksDB is mended when there is room, also when nobody writes.
    #[test]
    fn a_stopping_engine_does_not_wait_and_the_next_look_mends() {
        let disk = Disk::new();
        let store = opened(&disk);
        disk.fill(2 << 20);
        let waited = std::thread::scope(|scope| {
            let writer = scope.spawn(|| (1..).map(|ordinal| put(&store, ordinal)).find_map(Result::err));
            wait_for("a full disk", || holds(&store, Condition::DiskFull));
            store.give_up();
            writer.join().expect("no panic").expect("the writer ends with an error")
        });
        assert!(waited.to_string().contains("No space left on device"), "{waited}");
        let before = count(&store);
        disk.free();
        store.watch_room();
        assert!(!holds(&store, Condition::DiskFull) && store.ballast.is_there());
        put(&store, 1_000_000).expect("it works again");
        assert!(count(&store) > before);
    }

    #[test]
    fn a_store_that_is_full_can_be_started() {
        let disk = Disk::new();
        drop(opened(&disk));
        disk.fill(100_000);
        let store = opened(&disk);
        assert!(holds(&store, Condition::DiskFull));
        assert_eq!(count(&store), 0);
    }

    #[test]
    fn damage_is_named_and_no_write_mends_it() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        (1..=100).for_each(|ordinal| put(&store, ordinal).expect("written"));
        store.clear(RUN).expect("flushed");
        drop(store);
        let mut damaged = 0;
        for file in fs::read_dir(folder.path().join("db")).expect("readable").flatten() {
            let mut octets = fs::read(file.path()).expect("readable");
            if file.path().extension().is_some_and(|ending| ending == "sst") && octets.len() > 10_000 {
                octets[2000..4000].fill(0xff);
                fs::write(file.path(), octets).expect("written");
                damaged += 1;
            }
        }
        assert_eq!(damaged, 1);
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let error = store.outcome_kind(RUN, 2).expect_err("damaged");
        assert!(
            error.to_string().starts_with("the store: \"outcome\" of run 0000000000000007, row 2 is damaged: "),
            "{error}"
        );
        assert!(store.count(Family::Outcome, RUN).expect_err("damaged").is_damage());
        put(&store, 1000).expect("written");
        store.watch_room();
        assert!(holds(&store, Condition::StoreFailed));
    }
}
