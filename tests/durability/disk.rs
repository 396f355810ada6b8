//! The state directory's disk fills up in the middle of a run, and is cleared again.

use super::{adds_up, count, people};
use crate::support::lasting::Journal;
use crate::support::mount::SmallDisk;
use crate::support::process::{connections_to, until};
use crate::support::{Desk, Lasting};
use std::time::{Duration, Instant};

const ROWS: u64 = 6_000;

/// Whether `status` says that the disk is full, and why.
fn is_full(desk: &Desk) -> bool {
    let status = desk.status();
    let conditions = status["conditions"].as_array().unwrap_or_else(|| panic!("no conditions: {status}"));
    let full = conditions.iter().find(|condition| condition["what"] == "disk_full");
    full.inspect(|full| assert!(full["why"].as_str().is_some_and(|why| !why.is_empty()), "{full}")).is_some()
}

/// Waits until nothing is accepted any more; gives how much was.
fn rests(journal: &mut Journal) -> usize {
    let (mut last, mut since) = (journal.count(), Instant::now());
    until("rest", || {
        if journal.count() > last {
            (last, since) = (journal.count(), Instant::now());
        }
        since.elapsed() > Duration::from_millis(1500)
    });
    last
}

#[test]
fn a_full_disk_pauses_the_run_and_room_lets_it_go_on() {
    let desk = Desk::new();
    let disk = SmallDisk::mount(&desk.path("state"), 64);
    let mx = Lasting::start(&desk, &["--latency", "20ms"]);
    desk.light(mx.port, "[limits]\nconnections_per_provider = 20\n");
    let campaign = desk.blast("full", people(1..=ROWS), "");
    let mut journal = mx.journal(&desk);
    let sender = desk.start(&["send", &campaign, "--json"]);
    journal.reaches(1_000);

    until("the condition", || {
        // Also what the engine gives up to be able to write is taken.
        disk.fill("filler", 0);
        is_full(&desk)
    });
    let (then, open) = (journal.count(), connections_to(mx.port));
    let at_rest = rests(&mut journal);
    println!("full after {then} messages, {open} connections open; {at_rest} when nothing moved any more");
    assert!(at_rest - then <= 20, "it went on with outcomes that it could not record");
    assert!(at_rest < 5_000, "the disk was full too late to matter");
    let run = desk.run_of("full");
    assert!(count(&run, "delivered") <= at_rest as u64 && is_full(&desk), "{run}");

    disk.clear("filler");
    let ran = sender.end();
    let (run, accepted) = (desk.run_of("full"), mx.accepted(&desk));
    assert_eq!((ran.code, ran.json()["delivered"].as_u64()), (0, Some(ROWS)), "{ran:?}");
    assert_eq!((adds_up(&run), count(&run, "delivered"), count(&run, "in_doubt")), (ROWS, ROWS, 0), "{run}");
    assert_eq!((accepted.len(), accepted.people()), (6_000, 6_000), "each once");
}

/// Stopped while the disk is full: nothing that was accepted may be forgotten, whatever could not be written.
#[test]
fn killed_on_a_full_disk_and_sent_again_with_room() {
    let desk = Desk::new();
    let disk = SmallDisk::mount(&desk.path("state"), 64);
    let mx = Lasting::start(&desk, &["--latency", "20ms"]);
    desk.light(mx.port, "[limits]\nconnections_per_provider = 20\n");
    let campaign = desk.blast("full", people(1..=ROWS), "");
    let mut journal = mx.journal(&desk);
    let sender = desk.start(&["send", &campaign]);
    journal.reaches(1_000);
    until("the condition", || {
        disk.fill("filler", 0);
        is_full(&desk)
    });
    rests(&mut journal);
    sender.kill();
    disk.clear("filler");
    let (code, _) = desk.send(&campaign);
    let (run, listed, accepted) = (desk.run_of("full"), desk.in_doubt(), mx.accepted(&desk));
    println!("{} in doubt: {run}", listed.len());
    assert!(listed.len() <= 20, "more in doubt than connections: {run}");
    assert_eq!((code, adds_up(&run)), (i32::from(!listed.is_empty()), ROWS), "{run}");
    super::no_accepted_row_waits(&accepted, &listed, &run);
}
