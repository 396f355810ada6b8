//! What RocksDB is told.

use super::Family;
use super::sent::expired;
use rocksdb::compaction_filter::Decision;
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, Options};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Data, index and filter blocks of all families together. With them in the cache, ten million reservations cost what one
/// does; a filter of 10 bits a key is 12.5 MB of it then.
const CACHE: usize = 32 << 20;
/// Over all families: by default each may hold 128 MB before it writes, which a million outcomes would fill.
const MEMTABLES: usize = 32 << 20;
const WAL: u64 = 256 << 20;

/// Options of the database as a whole.
pub(super) fn database() -> Options {
    let mut options = Options::default();
    options.set_keep_log_file_num(2);
    options.set_max_total_wal_size(WAL);
    options.set_db_write_buffer_size(MEMTABLES);
    options
}

/// Every family with its options. Reservations older than `sent_kept` vanish when RocksDB next touches them.
pub(super) fn families(sent_kept: Duration) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE);
    let descriptor = |family: Family| {
        let mut options = Options::default();
        // Values are sealed and don't compress; the WAL must be plain, so that tests can look for PHI in it.
        options.set_compression_type(rocksdb::DBCompressionType::None);
        options.set_block_based_table_factory(&blocks(&cache));
        if family == Family::Sent {
            let clock = Steady::new();
            options.set_compaction_filter("retention", move |_, _, value| {
                if expired(value, clock.now(), sent_kept) { Decision::Remove } else { Decision::Keep }
            });
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
    blocks.set_format_version(5);
    blocks
}

/// The time since the store was opened, on top of the time then: a clock set forward while we run must not make
/// reservations vanish.
struct Steady(SystemTime, Instant);

impl Steady {
    fn new() -> Steady {
        Steady(SystemTime::now(), Instant::now())
    }

    fn now(&self) -> crate::clock::Timestamp {
        let since = (self.0 + self.1.elapsed()).duration_since(UNIX_EPOCH).unwrap_or_default();
        crate::clock::Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
