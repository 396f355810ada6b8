//! What RocksDB is told.

use super::Family;
use super::sent::expired;
use crate::clock::Timestamp;
use rocksdb::compaction_filter::{CompactionFilter, Decision};
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, Options};
use std::ffi::CStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Data, index and filter blocks of all families together: the filters, of 10 bits a key, of thirty million reservations.
/// Measured (`make perf WHAT=reservations`): with 32 MB, parts of 4 KB and blocks of 4 KB the tenth million of keys cost
/// 5 µs more than the first; so, half of that.
const CACHE: usize = 64 << 20;

/// A part of a filter or of an index, and a block of data: few large ones, because finding one in the cache is what a key
/// costs that is new.
const PART: usize = 64 << 10;
const BLOCK: usize = 16 << 10;

/// Table files that RocksDB keeps open, which is what the process puts by of its descriptors for them. By default it keeps all:
/// a store of 100 GB would take 1,600. So many of 64 MB are 8 GB, and what lies beyond is opened when it is read, which costs
/// a read of its index; where files are 2 MB the whole disk is smaller than a gigabyte.
pub const OPEN_FILES: u16 = 128;

/// What the database may take before it makes room; smaller on a small disk, where the defaults would fill it with memtables,
/// logs and compactions of themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Memtables over all families: by default each may hold 128 MB before it writes, which a million outcomes would fill.
    /// Half of it is for reservations: their keys come in no order, so that what they cost goes by how often a memtable of
    /// them is written and merged with those before. The others' keys ascend.
    ///
    /// Measured (`make perf WHAT=reservations`, RocksDB's threads, tenth million of keys): 4.6 µs a key in memtables of 6 MB,
    /// which is what they got of 32 MB shared with all, 1.1 µs in those of 32 MB.
    pub(super) memtables: usize,
    /// WAL files, which are what a start after a crash has to read.
    wal: u64,
    /// A table file, and the first level of them.
    file: u64,
    level: u64,
}

const MB: u64 = 1 << 20;

impl Sizes {
    /// What a memtable of this family may take.
    fn memtable(&self, family: Family) -> usize {
        self.memtables / if family == Family::Sent { 2 } else { 6 }
    }

    /// Sizes for a file system of `total` octets. Below a gigabyte a compaction must not take a tenth of it.
    pub(super) fn of(total: u64) -> Sizes {
        let memtables = (total / 8).clamp(4 * MB, 64 * MB);
        let (file, level) = if total < 1024 * MB { (2 * MB, 8 * MB) } else { (64 * MB, 256 * MB) };
        let memtables = usize::try_from(memtables).expect("at most 64 MB");
        Sizes { memtables, wal: (total / 8).clamp(8 * MB, 256 * MB), file, level }
    }
}

/// Options of the database as a whole.
pub(super) fn database(sizes: &Sizes) -> Options {
    let mut options = Options::default();
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(sizes.wal);
    options.set_db_write_buffer_size(sizes.memtables);
    options.set_max_open_files(i32::from(OPEN_FILES));
    // Not 4 MB ahead for a file of some kilobytes.
    options.set_manifest_preallocation_size(64 << 10);
    options
}

/// Every family with its options. Reservations older than `sent_kept` vanish when RocksDB next touches them.
pub(super) fn families(sizes: &Sizes, sent_kept: Duration) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE);
    let descriptor = |family: Family| {
        let mut options = Options::default();
        // Values are sealed and don't compress; the WAL must be plain, so that tests can look for PHI in it.
        options.set_compression_type(rocksdb::DBCompressionType::None);
        options.set_block_based_table_factory(&blocks(&cache));
        // A memtable takes memory an eighth of this at a time, in each family.
        options.set_write_buffer_size(sizes.memtable(family));
        options.set_target_file_size_base(sizes.file);
        options.set_max_bytes_for_level_base(sizes.level);
        if family == Family::Sent {
            // Most keys that are asked for are new: a filter of a tenth of the memtable spares looking for them in it.
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.1);
            options.set_compaction_filter_factory(Retention { kept: sent_kept, clock: Steady::new() });
        }
        ColumnFamilyDescriptor::new(family.name(), options)
    };
    Family::ALL.into_iter().map(descriptor).collect()
}

fn blocks(cache: &Cache) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(10.0, false);
    // In parts: the filter of a whole file is larger than a shard of the cache, and would be read again for every key.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(PART);
    blocks.set_block_size(BLOCK);
    blocks.set_format_version(5);
    blocks
}

/// Lets reservations vanish that are older than `kept`. The time is read once a compaction: it passes millions of them.
struct Retention {
    kept: Duration,
    clock: Steady,
}

/// The same, at one time.
struct RetentionAt {
    kept: Duration,
    now: Timestamp,
}

const RETENTION: &CStr = c"retention";

impl CompactionFilterFactory for Retention {
    type Filter = RetentionAt;

    fn create(&mut self, _: CompactionFilterContext) -> RetentionAt {
        RetentionAt { kept: self.kept, now: self.clock.now() }
    }

    fn name(&self) -> &CStr {
        RETENTION
    }
}

impl CompactionFilter for RetentionAt {
    fn filter(&mut self, _: u32, _: &[u8], value: &[u8]) -> Decision {
        if expired(value, self.now, self.kept) { Decision::Remove } else { Decision::Keep }
    }

    fn name(&self) -> &CStr {
        RETENTION
    }
}

/// The time since the store was opened, on top of the time then: a clock set forward while we run must not make
/// reservations vanish.
struct Steady(SystemTime, Instant);

impl Steady {
    fn new() -> Steady {
        Steady(SystemTime::now(), Instant::now())
    }

    fn now(&self) -> Timestamp {
        let since = (self.0 + self.1.elapsed()).duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
