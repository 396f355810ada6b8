//! A model of where rows stand, against the real store, gate, accounts and lines: random work, crashes and clocks.
//!
//! 1. [`ops`] says what can happen, [`world`] and [`work`] do it to the real parts and to the model; [`state`] is the model, [`live`] a
//!    run at work, [`rig`] what both are made of.
//! 2. After each thing done the store is read as a whole, and must hold what the model says: every row in one place, every
//!    lease, every reservation, the counts.
//! 3. [`crash`] copies the folder and cuts the WAL. The model knows how all stood at each octet of it; where a thing was cut
//!    short, each row stands as before it, as after it, or as its lease was taken up on the way.
//! 4. In the end everything is sent, and every row must have ended.
//!
//! `PROPTEST_CASES` sets how many cases there are, `PROPTEST_RNG_SEED` which; without it they are the same each time, since a test
//! that fails once in a while stops somebody who changed something else.

mod crash;
mod live;
mod ops;
mod rig;
mod state;
mod work;
mod world;

use crate::mail::{Address, Fields, Origin, Row};
use crate::queue::{Job, Line, Run};
use crate::secret::DataKey;
use crate::settle::{Rules, Settle};
use crate::smtp::Fate;
use crate::store::{Store, Tally};
use ops::{Case, Long, Op, any_case};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};
use std::sync::Arc;
use world::{Done, World};

/// Half a minute on two cores that others use too.
const CASES: u32 = 100;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

fn seed() -> RngSeed {
    match ProptestConfig::default().rng_seed {
        RngSeed::Random => RngSeed::Fixed(4),
        chosen => chosen,
    }
}

fn lived_through(case: &Case) -> Done {
    let mut world = World::new(case);
    for (number, op) in case.ops.iter().enumerate() {
        world.apply(*op).map_err(|what| story(case, number, &what))?;
    }
    world.send_all().map_err(|what| story(case, case.ops.len(), &what))
}

fn story(case: &Case, number: usize, what: &str) -> String {
    let mut text = format!("{what}\nkeys {:?}, resend: {}, again: {}\n", case.keys, case.resend, case.again);
    for (at, op) in case.ops.iter().enumerate().take(number + 1) {
        text += &format!("{at:3}  {op:?}\n");
    }
    if number == case.ops.len() {
        text += "     then everything is sent\n";
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        max_shrink_time: 30_000,
        failure_persistence: None,
        rng_seed: seed(),
        ..ProptestConfig::default()
    })]
    #[test]
    fn every_row_is_accounted_for(case in any_case()) {
        lived_through(&case).map_err(TestCaseError::fail)?;
    }
}

/// A case of these things done, in which no two rows of a run have one key.
fn told(ops: &[Op]) -> Case {
    let keys = (0..2 * rig::ROWS as u8).map(|row| row % ops::KEYS).collect();
    Case { keys, resend: false, again: false, ops: ops.to_vec() }
}

/// They were let go twice, or never, by a shard that still counted them.
#[test]
fn rows_stay_in_their_line_when_the_store_fails() {
    let rig = rig::Rig::new(crate::clock::Timestamp(1_000_000), &[0; 2 * rig::ROWS as usize]);
    let (folder, scratch) = (world::scratch(), world::scratch());
    std::fs::write(folder.path().join("lock"), "").expect("a lock");
    let store = world::open(folder.path(), [1; 16]);
    let observer = Arc::new(Store::observe(folder.path(), scratch.path()).expect("it can't be written"));
    for (store, most) in [(observer, 0), (store, 9)] {
        let (run, mut line) = line_of(&rig, &store);
        line.keep(0);
        assert_eq!((run.settle.fault().is_some(), line.len()), (most == 0, 5));
        if most > 0 {
            // Whoever did that, the line still has them.
            store.clear(run.id).expect("cleared");
            assert!(line.pop(&rig.route, &rig.source).is_none() && run.settle.fault().is_some());
            assert_eq!((line.len(), line.in_memory()), (5, 0));
        }
        assert!(!run.settle.is_idle(), "the run has not let go of them");
        line.abandon().iter().for_each(|_| run.settle.let_go());
        assert_eq!((run.settle.is_idle(), line.len()), (true, 0));
    }
}

/// A line of five rows in memory.
fn line_of(rig: &rig::Rig, store: &Arc<Store>) -> (Arc<Run>, Line) {
    let (id, key) = (state::RUNS[0], Arc::new(DataKey::new(&[1; 32])));
    let rules = Rules { retry: world::RETRY, lifetime: world::LIFETIME, resend_doubt: false, marks: true };
    let (clock, metrics) = (rig.clock.clone(), rig.metrics.clone());
    let run = rig.run(0, Settle::new(store.clone(), id, key, clock, rules, metrics, &Tally::default()));
    let mut line = Line::new(run.clone(), 3);
    for ordinal in 1..=5 {
        let to = Address::parse("ann@b.example").expect("an address");
        let (fields, origin) = (Fields::default(), Origin::Input);
        let row = Row { ordinal, to, fields, attempts: 0, first_attempt: None, doubted: false, origin };
        run.settle.take_in_hand();
        let (route, source, place) = (rig.route.clone(), rig.source.clone(), run.room.squeeze_in());
        line.push(Job { row, route, source, run: run.clone(), place, turn: 0, ticket: None, flight: None });
    }
    (run, line)
}

const READ: Op = Op::Read { run: 0 };
const KEEP_NONE: Op = Op::Keep { run: 0, lane: 1, most: 0 };

/// The search for due rows begins where it ended last: a row deferred to a time before that, by a clock that went back, was
/// never found again.
#[test]
fn a_row_that_is_due_before_those_that_were_looked_for_is_found() {
    let (lease, all) = (Op::Lease { most: 1, synced: true }, Op::TakeDue { run: 0, most: 9 });
    let deferred = Op::Settle { pick: 0, fate: Fate::Deferred };
    let (back, on) = (Op::Clock { seconds: -7200 }, Op::Clock { seconds: 3600 });
    let case = told(&[READ, lease, all, back, deferred, on, all]);
    lived_through(&case).unwrap_or_else(|what| panic!("{what}"));
}

/// They stood before the spilled rows in the backlog, and were read back with them.
#[test]
fn rows_on_a_wire_are_not_read_back_from_the_backlog() {
    let one = Op::Lease { most: 3, synced: true };
    let case = told(&[READ, READ, KEEP_NONE, Op::Die { cut: 255 }, READ, READ, READ, one, KEEP_NONE, one]);
    lived_through(&case).unwrap_or_else(|what| panic!("{what}"));
}

/// Its rows had their outcomes, stood in the backlog besides, and went out with the next engine.
#[test]
fn a_cancellation_that_is_cut_short_is_brought_to_its_end() {
    let leased = Op::Lease { most: 4, synced: false };
    for writes in 1..6 {
        let die = Op::DieIn { what: Long::Cancel, run: 0, writes };
        for waiting in [KEEP_NONE, leased] {
            let case = told(&[READ, READ, waiting, die]);
            lived_through(&case).unwrap_or_else(|what| panic!("{what}"));
        }
    }
}

/// They were in doubt no more, and waited in a run that was over.
#[test]
fn rows_to_be_sent_again_are_not_lost_where_that_is_cut_short() {
    for writes in 1..4 {
        let doubt = Op::Settle { pick: 0, fate: Fate::InDoubt };
        let lease = Op::Lease { most: 1, synced: true };
        let die = Op::DieIn { what: Long::Resend, run: 0, writes };
        let case = told(&[READ, lease, Op::Start { pick: 0 }, doubt, Op::Cancel { run: 0 }, die]);
        lived_through(&case).unwrap_or_else(|what| panic!("{what}"));
    }
}

/// The gate had asked once whether the other run was open, and its keys were held for ever after.
#[test]
fn a_run_that_is_cancelled_lets_go_of_keys_whose_rows_were_never_read() {
    // All rows have one key, but for row 7 of the run that dies in the middle of its reading, and row 9 of the other.
    let mut keys = vec![0; 2 * rig::ROWS as usize];
    (keys[8], keys[21]) = (19, 19);
    let case = |cut| {
        let ops = [Op::Read { run: 1 }, Op::Read { run: 1 }, Op::Die { cut }, READ, Op::Cancel { run: 1 }, READ];
        Case { keys: keys.clone(), resend: false, again: false, ops: ops.to_vec() }
    };
    for cut in (0..=255).step_by(8) {
        lived_through(&case(cut)).unwrap_or_else(|what| panic!("{what}"));
    }
}
