//! What can happen.

use crate::smtp::Fate;
use proptest::prelude::*;
use proptest::strategy::Union;

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// The reader goes on: with what the last engine left, then with the input.
    Read {
        run: usize,
    },
    /// The clerk leases what has its turn in both lanes of both runs, at most so many rows.
    Lease {
        most: usize,
        synced: bool,
    },
    /// The last octets of a leased row's message are about to leave.
    Start {
        pick: usize,
    },
    Settle {
        pick: usize,
        fate: Fate,
    },
    /// A row that had its turn goes back to its line, unleased or not.
    PutBack {
        pick: usize,
    },
    /// The lane is suspended: the row whose turn it is, is settled by that.
    Postpone {
        run: usize,
        lane: usize,
        seconds: u64,
    },
    /// Memory is full: a lane keeps so many rows.
    Keep {
        run: usize,
        lane: usize,
        most: usize,
    },
    TakeDue {
        run: usize,
        most: usize,
    },
    Clock {
        seconds: i64,
    },
    /// The run's end is written down, if there is nothing left of it.
    Finish {
        run: usize,
    },
    Cancel {
        run: usize,
    },
    /// The engine stops, and another begins.
    Stop,
    /// The engine stops, and a person says what is to become of the rows in doubt.
    Person {
        run: usize,
        says: Says,
    },
    /// The process dies while a run ends or a person speaks, when so many writes of that are made.
    DieIn {
        what: Long,
        run: usize,
        writes: u8,
    },
    /// The process dies, perhaps in the middle of what it did last: `cut` of 255 parts of that are done.
    Die {
        cut: u8,
    },
    /// So does the machine. `cut` of 255 parts of what was not synced are on the disk.
    PowerLoss {
        cut: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Resend,
    Delivered,
    Undelivered,
}

/// What takes several writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Long {
    Cancel,
    Finish,
    Resend,
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let run = || 0_usize..2;
    let lane = || 0_usize..2;
    let fate = prop_oneof![
        4 => Just(Fate::Delivered), 1 => Just(Fate::Bounced), 4 => Just(Fate::Deferred),
        1 => Just(Fate::Dropped), 2 => Just(Fate::InDoubt)
    ];
    let says = prop_oneof![2 => Just(Says::Resend), 1 => Just(Says::Delivered), 1 => Just(Says::Undelivered)];
    let seconds = prop_oneof![3 => 1_i64..3600, 2 => 3600_i64..72 * 3600, 1 => -6_i64 * 3600..0];
    let long = prop_oneof![2 => Just(Long::Cancel), 1 => Just(Long::Finish), 2 => Just(Long::Resend)];
    let cut = || prop_oneof![1 => Just(255_u8), 1 => any::<u8>()];
    Union::new_weighted(vec![
        (10, run().prop_map(|run| Op::Read { run }).boxed()),
        (9, (1_usize..5, prop::bool::weighted(0.7)).prop_map(|(most, synced)| Op::Lease { most, synced }).boxed()),
        (8, (0_usize..8).prop_map(|pick| Op::Start { pick }).boxed()),
        (10, (0_usize..8, fate).prop_map(|(pick, fate)| Op::Settle { pick, fate }).boxed()),
        (1, (0_usize..8).prop_map(|pick| Op::PutBack { pick }).boxed()),
        (2, (run(), lane(), 0_u64..9000).prop_map(|(run, lane, seconds)| Op::Postpone { run, lane, seconds }).boxed()),
        (6, (run(), lane(), 0_usize..3).prop_map(|(run, lane, most)| Op::Keep { run, lane, most }).boxed()),
        (6, (run(), 1_usize..6).prop_map(|(run, most)| Op::TakeDue { run, most }).boxed()),
        (5, seconds.prop_map(|seconds| Op::Clock { seconds }).boxed()),
        (1, run().prop_map(|run| Op::Finish { run }).boxed()),
        (1, run().prop_map(|run| Op::Cancel { run }).boxed()),
        (1, Just(Op::Stop).boxed()),
        (2, (run(), says).prop_map(|(run, says)| Op::Person { run, says }).boxed()),
        (2, (long, run(), 1_u8..7).prop_map(|(what, run, writes)| Op::DieIn { what, run, writes }).boxed()),
        (2, cut().prop_map(|cut| Op::Die { cut }).boxed()),
        (2, cut().prop_map(|cut| Op::PowerLoss { cut }).boxed()),
    ])
}

/// A case: its settings and what happens.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The key of each row of both runs.
    pub(super) keys: Vec<u8>,
    /// `on_doubt = "resend"`.
    pub(super) resend: bool,
    /// The second run is sent with `--again`.
    pub(super) again: bool,
    pub(super) ops: Vec<Op>,
}

/// Keys that there are.
pub(super) const KEYS: u8 = 24;

pub(super) fn any_case() -> impl Strategy<Value = Case> {
    let keys = prop::collection::vec(0..KEYS, 2 * super::rig::ROWS as usize);
    let ops = prop::collection::vec(any_op(), 1..90);
    (keys, prop::bool::weighted(0.3), prop::bool::weighted(0.15), ops).prop_map(|(keys, resend, again, ops)| Case {
        keys,
        resend,
        again,
        ops,
    })
}
