//! RocksDB behind names of ours.

use super::ballast::Ballast;
use super::batch::Batch;
use super::codec::VERSION;
use super::health::{Health, room};
use super::options::{self, Sizes};
use super::{Error, Family};
use crate::condition::Conditions;
use crate::mail::RunId;
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IteratorMode, LiveFile, Options, ReadOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The store of one state directory.
pub struct Store {
    pub(super) health: Health,
    pub(super) state_dir: PathBuf,
    pub(super) sizes: Sizes,
    pub(super) ballast: Ballast,
    pub(super) boot: [u8; 16],
    /// The next turn in the backlog.
    pub(super) turns: AtomicU64,
    pub(super) settings: Settings,
    pub(super) claims: Mutex<()>,
    #[cfg(test)]
    pub(super) witness: super::crash::Witness,
}

/// What the engine tells its store.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long keys stay taken. Default: 400 days, so that a yearly notice meets last year's.
    pub sent_kept: Duration,
    /// Where the store says what keeps it from writing.
    pub conditions: Arc<Conditions>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { sent_kept: Duration::from_secs(400 * 24 * 60 * 60), conditions: Arc::default() }
    }
}

const FORMAT: &[u8] = b"format";

impl Store {
    /// Opens the store under `state_dir`, and makes it if it isn't there. Only the holder of the state directory's lock may.
    ///
    /// # Errors
    /// RocksDB can't open it, or another version of sealpost made it.
    pub fn open(state_dir: &Path, settings: &Settings) -> Result<Store, Error> {
        // Before RocksDB makes a new one in its place, and clears away what is left of the old.
        refuse_lost(state_dir)?;
        refuse_format_1(state_dir)?;
        let (free, total) = room(state_dir).unwrap_or((u64::MAX, u64::MAX));
        let (sizes, ballast) = (Sizes::of(total), Ballast::new(state_dir, total));
        if free < sizes.memtables as u64 {
            // Opening takes room: what was written last is flushed.
            ballast.free();
        }
        let db = open_database(state_dir, &sizes, settings)?;
        let store = Store::of(Health::new(db, false), state_dir, sizes, ballast, settings.clone());
        if store.format()?.is_none() {
            // Whoever starts is told of a full disk at once.
            let db = store.db()?;
            Batch::of(Family::Engine, FORMAT, [VERSION]).write(&db, true)?;
        }
        // Unless the standing is taken, which says the same number again.
        store.begin_turns(store.standing()?.map_or(0, |standing| standing.generation) + 1);
        store.watch_room();
        Ok(store)
    }

    fn of(health: Health, state_dir: &Path, sizes: Sizes, ballast: Ballast, settings: Settings) -> Store {
        let (state_dir, boot, turns) = (state_dir.to_owned(), boot_id(), AtomicU64::new(0));
        Store {
            health,
            state_dir,
            sizes,
            ballast,
            boot,
            turns,
            settings,
            claims: Mutex::default(),
            #[cfg(test)]
            witness: Default::default(),
        }
    }

    pub(super) fn open_database(&self) -> Result<DB, Error> {
        open_database(&self.state_dir, &self.sizes, &self.settings)
    }

    /// Held while keys are looked up and reserved, so that two runs don't both find one free.
    pub fn claiming(&self) -> MutexGuard<'_, ()> {
        self.claims.lock().expect("no holder panics")
    }

    /// Whether there is a store under `state_dir`, or what is left of one.
    pub fn exists(state_dir: &Path) -> bool {
        has_current(state_dir) || refuse_lost(state_dir).is_err()
    }

    /// Opens the store to read it while an engine may be writing it; `scratch` takes RocksDB's own log files.
    ///
    /// # Errors
    /// RocksDB can't open it, or another version of sealpost made it; or what it shows is not what an engine has left here.
    pub fn observe(state_dir: &Path, scratch: &Path) -> Result<Store, Error> {
        refuse_format_1(state_dir)?;
        let (options, families) = for_readers();
        let db = DB::open_cf_descriptors_as_secondary(&options, folder(state_dir).as_path(), scratch, families)?;
        db.try_catch_up_with_primary()?;
        Store::to_read(db, state_dir)
    }

    /// The same while nobody is at work on it. A secondary passes over files that are damaged or gone, and shows what was there
    /// before them; this looks at each and refuses.
    ///
    /// # Errors
    /// As [`observe`](Store::observe), and whatever is damaged.
    pub fn read_at_rest(state_dir: &Path, scratch: &Path) -> Result<Store, Error> {
        refuse_lost(state_dir)?;
        refuse_format_1(state_dir)?;
        let (mut options, families) = for_readers();
        // Its logs would otherwise go beside the database.
        options.set_db_log_dir(scratch);
        Store::to_read(DB::open_cf_descriptors_read_only(&options, folder(state_dir), families, false)?, state_dir)
    }

    fn to_read(db: DB, state_dir: &Path) -> Result<Store, Error> {
        let (ballast, sizes) = (Ballast::new(state_dir, 0), Sizes::of(u64::MAX));
        let store = Store::of(Health::new(db, true), state_dir, sizes, ballast, Settings::default());
        store.format()?;
        // Who takes a standing writes it to the store first, and then to the file.
        if store.standing()?.is_none() && was_used(state_dir) {
            return Err(Error::Lost {
                path: folder(state_dir),
                what: "nothing can be read of what an engine left here",
            });
        }
        Ok(store)
    }

    /// The kernel's name for this boot: leases of another one may have been sent without a trace.
    pub fn boot(&self) -> [u8; 16] {
        self.boot
    }

    /// How long keys stay taken.
    pub fn sent_kept(&self) -> Duration {
        self.settings.sent_kept
    }

    /// Every key and value of every family, for the tests that look for PHI at rest.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn everything(&self, mut each: impl FnMut(&'static str, &[u8], &[u8])) -> Result<(), Error> {
        for family in Family::ALL {
            self.scan_range(family, &[], past(&[]), |key, value| {
                each(family.name(), key, value);
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// One value.
    pub(super) fn read(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let db = self.db()?;
        db.get_cf(self::family(&db, family), key).map_err(|cause| self.seen(Error::reading(family, key, cause)))
    }

    /// Entries of `family` that belong to `run`, in key order, until `each` says `false`. `each` must not use the store.
    pub(super) fn scan(
        &self,
        family: Family,
        run: RunId,
        each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.scan_range(family, &run.octets(), past(&run.octets()), each)
    }

    /// The same, for keys from `start` up to and without `end`.
    pub(super) fn scan_range(
        &self,
        family: Family,
        start: &[u8],
        end: Vec<u8>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut options = ReadOptions::default();
        // Spares the iterator the tombstones behind the range.
        options.set_iterate_upper_bound(end);
        let from = IteratorMode::From(start, Direction::Forward);
        let db = self.db()?;
        for item in db.iterator_cf_opt(self::family(&db, family), options, from) {
            let (key, value) = item.map_err(|cause| self.seen(Error::reading(family, start, cause)))?;
            if !each(&key, &value).map_err(|error| self.seen(error))? {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn begin_turns(&self, generation: u64) {
        self.turns.fetch_max(generation << 40, Ordering::SeqCst);
    }

    fn format(&self) -> Result<Option<u8>, Error> {
        match self.read(Family::Engine, FORMAT)?.as_deref() {
            None => Ok(None),
            Some([VERSION]) => Ok(Some(VERSION)),
            Some(other) => Err(Error::Later(other.first().copied().unwrap_or_default())),
        }
    }
}

/// RocksDB's handle of a family.
pub(super) fn family(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("every family was opened")
}

/// A key behind all those that begin with `prefix`: they are shorter than this.
pub(super) fn past(prefix: &[u8]) -> Vec<u8> {
    [prefix, &[0xff; 32]].concat()
}

fn open_database(state_dir: &Path, sizes: &Sizes, settings: &Settings) -> Result<DB, Error> {
    let mut options = options::database(sizes);
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf_descriptors(&options, folder(state_dir), options::families(sizes, settings.sent_kept))?;
    refuse_cut_tables(&db, state_dir)?;
    Ok(db)
}

/// RocksDB opens a few tables at its start and the others when they are read. One that is damaged must be known before a row
/// goes out.
fn refuse_cut_tables(db: &DB, state_dir: &Path) -> Result<(), Error> {
    let whole = |file: &LiveFile| {
        let path = folder(state_dir).join(file.name.trim_start_matches('/'));
        std::fs::metadata(path).is_ok_and(|found| usize::try_from(found.len()) == Ok(file.size))
    };
    let bad: Vec<_> = db.live_files()?.into_iter().filter(|file| !whole(file)).map(|file| file.name).collect();
    // A compaction may have taken one away in between; that is no longer among those that count.
    if bad.is_empty() || db.live_files()?.iter().all(|file| !bad.contains(&file.name)) {
        return Ok(());
    }
    Err(Error::Lost { path: folder(state_dir), what: "a table is missing, or not as long as it was" })
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("db")
}

/// What a database is opened with that is only read.
fn for_readers() -> (Options, Vec<ColumnFamilyDescriptor>) {
    let sizes = Sizes::of(u64::MAX);
    let mut options = options::database(&sizes);
    // All of them, as RocksDB asks of a secondary: the engine may delete a file that is not held open.
    options.set_max_open_files(-1);
    (options, options::families(&sizes, Settings::default().sent_kept))
}

/// RocksDB's name for the newest list of its files, without which it takes a folder for empty.
fn has_current(state_dir: &Path) -> bool {
    folder(state_dir).join("CURRENT").exists()
}

/// Whether an engine has worked here to the point of sending.
fn was_used(state_dir: &Path) -> bool {
    state_dir.join(super::standing::FILE).exists()
}

/// Nothing is taken for new that something else is left of: who was sent to would be forgotten. A store that was not made to
/// its end has neither tables nor logs.
fn refuse_lost(state_dir: &Path) -> Result<(), Error> {
    if has_current(state_dir) {
        return Ok(());
    }
    let files = std::fs::read_dir(folder(state_dir)).into_iter().flatten().flatten();
    let left = |name: &Path| name.extension().is_some_and(|ending| ending == "sst" || ending == "log");
    if was_used(state_dir) || files.into_iter().any(|file| left(&file.path())) {
        return Err(Error::Lost {
            path: folder(state_dir),
            what: "CURRENT is missing, without which nothing here can be read",
        });
    }
    Ok(())
}

/// Format 1 had no family `engine`, which is the first to be made now.
fn refuse_format_1(state_dir: &Path) -> Result<(), Error> {
    if !has_current(state_dir) {
        return Ok(());
    }
    let present = DB::list_cf(&Options::default(), folder(state_dir))?;
    let has = |family: Family| present.iter().any(|name| name == family.name());
    if has(Family::Run) && !has(Family::Engine) { Err(Error::Format1) } else { Ok(()) }
}

/// The kernel's name for this boot (random(4)): what tells a dead process from a lost machine.
fn boot_id() -> [u8; 16] {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| u128::from_str_radix(&text.trim().replace('-', ""), 16).ok())
        .unwrap_or(0)
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_format_1_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("folder");
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        drop(DB::open_cf(&options, folder.path().join("db"), ["key", "run", "outcome"]).expect("made"));
        let error = Store::open(folder.path(), &Settings::default()).err().expect("refused");
        assert_eq!(error.to_string(), "the store was made by an earlier version of sealpost (format 1)");
        assert!(Store::observe(folder.path(), &folder.path().join("scratch")).is_err());
    }

    /// What RocksDB goes by is what it writes down beside its tables.
    #[test]
    fn no_more_files_are_kept_open_than_are_reserved() {
        let folder = tempfile::tempdir().expect("folder");
        let _store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let files = std::fs::read_dir(folder.path().join("db")).expect("its folder").flatten();
        let written = files.map(|file| file.path()).filter(|path| path.to_string_lossy().contains("OPTIONS-"));
        let text = std::fs::read_to_string(written.max().expect("its options")).expect("readable");
        assert!(text.contains(&format!("max_open_files={}\n", options::OPEN_FILES)), "{text}");
    }

    #[test]
    fn a_store_of_a_later_format_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        store.write(&Batch::of(Family::Engine, FORMAT, [VERSION + 1]), true).expect("written");
        drop(store);
        assert!(matches!(Store::open(folder.path(), &Settings::default()), Err(Error::Later(3))));
    }
}
