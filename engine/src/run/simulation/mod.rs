//! The queue in a world made of luck: shards, routers, servers, name servers and an operator on one thread and on simulated
//! time, thousands of times, each the same for the same seed.
//!
//! What is real: `queue`, `smtp`, `settle`, the router, [`dispatch`](super::dispatch) and the store. What is not: the network
//! and name servers ([`net`]), the servers ([`server`]), the clock and the operator, who pauses, cancels and lets runs go;
//! reader and retry thread are tasks here ([`case`]). A seed makes a [`plan`]; [`judge`] holds what the engine says against
//! what happened ([`world`]).
//!
//! `SEEDS=100000 cargo nextest run -p engine simulation` plays more of them, `SEED=17` one, and prints its trace. Luck is
//! drawn by use and number ([`dice`]), never from a generator that two tasks share.

mod case;
mod dice;
mod feeders;
mod judge;
mod net;
mod operator;
mod plan;
mod server;
mod shards;
mod warmup;
mod world;

use crate::store::{Settings, Store};
use case::Story;
use plan::Plan;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 2000;
/// How many of them are played twice.
const TWICE: u64 = 100;
/// Seeds of worlds in which only limits stand in the way.
const HURRIED: u64 = 500;

/// What seeds that teach anything come to.
const MUST_HAPPEN: [&str; 14] = [
    "delivered",
    "bounced",
    "expired",
    "cancelled",
    "in_doubt",
    "came back",
    "spilt",
    "taken more than once",
    "runs that left",
    "forgot",
    "said twice",
    "too fast",
    "allowance used up",
    "sent on two days",
];

/// A store in memory, where the machine has a file system for that.
fn a_store() -> (tempfile::TempDir, Arc<Store>) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.expect("folder");
    let store = Store::open(folder.path(), &Settings::default()).expect("a store");
    (folder, Arc::new(store))
}

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

/// What is wrong with a seed's story, and how to see it.
fn fault(seed: u64, story: &Story) -> Option<String> {
    let wrong = story.wrong.first()?;
    Some(format!("seed {seed}: {wrong} ({} faults; SEED={seed} prints the trace)", story.wrong.len()))
}

/// Plays seeds on all cores, `each` with a store of the thread's own.
fn everywhere(seeds: u64, each: impl Fn(u64, &Arc<Store>) -> Option<String> + Sync) -> Vec<String> {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let play = || {
            let (_folder, store) = a_store();
            let mut faults = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::SeqCst);
                if seed >= seeds || faults.len() > 5 {
                    return faults;
                }
                faults.extend(each(seed, &store));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(play)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

#[test]
fn whatever_happens_every_row_is_accounted_for() {
    if let Some(seed) = told("SEED") {
        let (_folder, store) = a_store();
        let story = case::play(Plan::of(seed), &store);
        println!("{:#?}\n{}", Plan::of(seed), story.trace.join("\n"));
        assert!(story.wrong.is_empty(), "seed {seed}: {}", story.wrong.join("\n"));
        return;
    }
    let reached = Mutex::new(BTreeMap::new());
    let faults = everywhere(told("SEEDS").unwrap_or(SEEDS), |seed, store| {
        let story = case::play(Plan::of(seed), store);
        for (what, times) in &story.reached {
            *reached.lock().expect("no holder panics").entry(*what).or_insert(0) += times;
        }
        fault(seed, &story)
    });
    println!("{reached:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let reached = reached.into_inner().expect("no holder panics");
    for what in MUST_HAPPEN {
        assert!(reached.get(what).is_some_and(|times| *times > 0), "nothing is learned of this: {what}");
    }
}

#[test]
fn a_seed_always_tells_the_same_story() {
    let faults = everywhere(TWICE, |seed, store| {
        let (_folder, other) = a_store();
        let (one, two) = (case::play(Plan::of(seed), store).trace, case::play(Plan::of(seed), &other).trace);
        let differs = one.iter().zip(&two).position(|(one, two)| one != two);
        let at = differs.or((one.len() != two.len()).then_some(one.len().min(two.len())))?;
        Some(format!("seed {seed} differs at line {at}: {:?} and {:?}", one.get(at), two.get(at)))
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Where servers refuse nothing but what is too much for them, every row is delivered, and none has paid with an attempt.
#[test]
fn who_is_too_fast_pays_with_time_alone() {
    let (first, seeds) = told("SEED").map_or((0, told("SEEDS").unwrap_or(HURRIED)), |seed| (seed, seed + 1));
    let refused = AtomicU64::new(0);
    let faults = everywhere(seeds, |seed, store| {
        if seed < first {
            return None;
        }
        let story = case::play(Plan::hurried(seed), store);
        refused.fetch_add(story.reached.get("too fast").copied().unwrap_or(0), Ordering::SeqCst);
        if told("SEED").is_some() {
            println!("{:#?}\n{}", Plan::hurried(seed), story.trace.join("\n"));
        }
        let otherwise = |what: &&str| story.reached.get(what).is_some_and(|times| *times > 0);
        let ended =
            ["bounced", "dropped", "expired", "cancelled", "in_doubt", "later attempts"].into_iter().find(otherwise);
        fault(seed, &story).or_else(|| ended.map(|what| format!("seed {seed}: {what}: {:?}", story.reached)))
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(refused.into_inner() > 0, "nobody was refused anything");
}
