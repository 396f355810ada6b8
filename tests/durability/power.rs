//! The power fails: whatever was not synced may be gone, and every lease of before belongs to another boot.

use super::{adds_up, count, no_accepted_row_waits};
use crate::support::lasting::Journal;
use crate::support::power::Power;
use crate::support::process::until;
use crate::support::{Desk, Dice, Lasting};

/// Each failure has a campaign of its own.
const FAILURES: usize = 10;
const ROWS: u64 = 300;
const CONNECTIONS: u64 = 10;

/// A campaign, killed at a random moment and cut, then recovered: nothing that the receiver has may wait to be sent again.
fn fails_once(desk: &Desk, mx: &Lasting, journal: &mut Journal, dice: &mut Dice, power: &mut Power, round: usize) {
    let name = format!("power{round}");
    // Recipients of their own, so that keys of earlier rounds are out of the game.
    let everybody = (1..=ROWS).map(|row| format!("r{row}@{name}.example"));
    let campaign = desk.blast(&name, everybody, "");
    let so_far = journal.count();
    let sender = power.start(&["send", &campaign]);
    let moment = so_far + dice.between(0, ROWS - 60) as usize;
    until("the moment", || journal.count() >= moment);
    dice.pause(60);
    sender.kill();
    mx.settle();
    let taken = power.fail(dice);

    let opened = power.sealpost(&["send", &campaign, "--limit", "0"]);
    assert!([0, 1, 3].contains(&opened.code), "the store does not open: {opened:?}");
    let (run, listed) = (desk.run_of(&name), listed(desk, &name));
    adds_up(&run);
    let accepted = mx.accepted_for(desk, &format!("@{name}.example"));
    println!("{name}: {} accepted, {} in doubt, {taken:?}, {} syncs", accepted.len(), listed.len(), power.syncs());
    no_accepted_row_waits(&accepted, &listed, &run);

    let ended = power.sealpost(&["send", &campaign]);
    assert_eq!(ended.code, i32::from(!listed.is_empty()), "{ended:?}");
    let (run, accepted) = (desk.run_of(&name), mx.accepted_for(desk, &format!("@{name}.example")));
    assert_eq!((adds_up(&run), count(&run, "in_doubt")), (ROWS, listed.len() as u64), "{run}");
    assert_eq!(count(&run, "delivered") + count(&run, "in_doubt"), ROWS, "{run}");
    no_accepted_row_waits(&accepted, &listed, &run);
}

/// The rows in doubt of a campaign's run.
fn listed(desk: &Desk, name: &str) -> std::collections::BTreeSet<u64> {
    let run = desk.run_of(name)["run"].as_str().expect("its name").to_owned();
    desk.in_doubt_of(&run)
}

#[test]
fn the_power_fails_and_nothing_accepted_waits() {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "20ms"]);
    desk.light(mx.port, &format!("[limits]\nconnections_per_provider = {CONNECTIONS}\n"));
    let mut dice = Dice::new("the_power_fails_and_nothing_accepted_waits");
    let mut power = Power::of(&desk);
    let mut journal = mx.journal(&desk);
    for round in 0..FAILURES {
        fails_once(&desk, &mx, &mut journal, &mut dice, &mut power, round);
    }
    assert!(power.syncs() >= FAILURES, "the shim saw no syncs");
}
