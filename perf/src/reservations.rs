//! `make perf WHAT=reservations`: what it costs the gate to ask for keys and take them, while ever more are taken.

use engine::clock::Timestamp;
use engine::mail::RunId;
use engine::secret::IndexKey;
use engine::store::{Reservation, Settings, Store};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// Keys that the gate asks for at once.
const BATCH: u64 = 1024;

/// Takes `rows` keys in an empty store in `folder`, and gives the cost of each tenth.
///
/// # Errors
/// The store fails.
pub fn measure(folder: &Path, rows: u64) -> Result<String, Box<dyn Error>> {
    let store = Store::open(&folder.join("store"), &Settings::default())?;
    let index = IndexKey::new(&[7; 32]);
    let mut text =
        String::from("| keys taken | CPU µs a key, RocksDB's threads included | µs by the clock |\n|---|---|---|\n");
    let tenth = (rows / 10).max(BATCH);
    let mut ordinal = 0;
    while ordinal < rows {
        let (cpu, since, first) = (process_cpu(), Instant::now(), ordinal);
        while ordinal < (first + tenth).min(rows) {
            let batch = ordinal..(ordinal + BATCH).min(rows);
            ordinal = batch.end;
            let keys: Vec<_> = batch.clone().map(|row| index.sent("perf", &row.to_string())).collect();
            if store.reservations(&keys)?.iter().any(Option::is_some) {
                return Err("a new key was taken".into());
            }
            let reservation = |ordinal| Reservation { run: RunId(1), ordinal, at: Timestamp(1 << 50), kept: false };
            let taken: Vec<_> = keys.into_iter().zip(batch.map(reservation)).collect();
            store.reserve(&taken)?;
        }
        let count = crate::sending::f64_of(ordinal - first);
        let (cpu, clock) = ((process_cpu() - cpu) / count, since.elapsed().as_secs_f64() * 1e6 / count);
        println!("{ordinal}: {cpu:.1} µs of CPU a key");
        writeln!(text, "| {ordinal} | {cpu:.1} | {clock:.1} |")?;
    }
    Ok(text)
}

/// CPU µs of this process.
fn process_cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}
