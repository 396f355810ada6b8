//! A model of where rows stand, against the real store, gate, accounts and lines: random work, crashes and clocks.
//!
//! 1. [`ops`] says what can happen, [`world`] does it to the real parts and to the model; [`state`] is the model, [`live`] a
//!    run at work, [`rig`] what both are made of.
//! 2. After each thing done the store is read as a whole, and must hold what the model says: every row in one place, every
//!    lease, every reservation, the counts.
//! 3. [`crash`] copies the folder and cuts the WAL. The model knows how all stood at each octet of it; where a thing was cut
//!    short, each row stands as before it or as after it.
//! 4. In the end everything is sent, and every row must have ended.
//!
//! `PROPTEST_CASES` sets how many cases there are.

mod crash;
mod live;
mod ops;
mod rig;
mod state;
mod world;

use ops::{Case, any_case};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use world::{Done, World};

/// Enough to find each of the mutations named in the commit, in half a minute.
const CASES: u32 = 300;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
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
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_row_is_accounted_for(case in any_case()) {
        lived_through(&case).map_err(TestCaseError::fail)?;
    }
}
