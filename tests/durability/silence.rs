//! A receiver that stops in the middle of DATA and says nothing: a matter of timeouts, not of duplicates.

use super::{adds_up, count, no_accepted_row_waits, people};

use crate::support::process::{connections_to, stuck_to, until};
use crate::support::{Desk, Lasting};
use std::time::{Duration, Instant};

/// Sixty seconds of silence are less than RFC 5321 gives a server, at any place of a transaction.
#[test]
fn sixty_seconds_of_silence_delay_and_nothing_else() {
    const ROWS: u64 = 240;
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "20ms"]);
    desk.light(mx.port, "[limits]\nconnections_per_provider = 10\n");
    // Longer than what sockets hold, so that some of ten messages are somewhere inside DATA.
    desk.write("form.bin", &[0x5a; 3 << 20]);
    let form = "[[message.attachment]]\npath = \"form.bin\"\ntype = \"application/octet-stream\"\n";
    let campaign = desk.blast("silence", people(1..=ROWS), form);
    let sender = desk.start(&["send", &campaign]);
    mx.journal(&desk).reaches(30);
    mx.freeze();
    until("a message in the middle of DATA", || {
        // What sockets hold is filled within milliseconds.
        std::thread::sleep(Duration::from_millis(100));
        let caught = stuck_to(mx.port) > 0;
        if !caught {
            mx.thaw();
            std::thread::sleep(Duration::from_millis(3));
            mx.freeze();
        }
        caught
    });
    let (open, stuck, before) = (connections_to(mx.port), stuck_to(mx.port), mx.accepted(&desk).len());
    std::thread::sleep(Duration::from_secs(60));
    let run = desk.run_of("silence");
    assert_eq!((count(&run, "in_doubt"), mx.accepted(&desk).len()), (0, before), "too early to doubt: {run}");
    mx.thaw();
    let ran = sender.end();
    let (run, accepted) = (desk.run_of("silence"), mx.accepted(&desk));
    println!("{open} connections were open, {stuck} in DATA, {before} of {ROWS} messages accepted: {run}");
    assert_eq!((ran.code, count(&run, "delivered"), adds_up(&run)), (0, ROWS, ROWS), "{ran:?}");
    assert_eq!((accepted.len(), accepted.people()), (240, 240), "each once");
}

/// Longer than the timeout: what had its last octet is in doubt, the rest goes out when the receiver is back.
#[test]
fn silence_beyond_the_timeout_is_doubt_and_not_a_second_message() {
    const ROWS: u64 = 1_000;
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "20ms"]);
    let quick = "[limits]\nconnections_per_provider = 10\n[smtp]\ncommand_timeout = \"2s\"\nconnect_timeout = \"2s\"\n\
                 [retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";
    desk.light(mx.port, quick);
    let campaign = desk.blast("silence", people(1..=ROWS), "");
    let sender = desk.start(&["send", &campaign]);
    mx.journal(&desk).reaches(300);
    mx.freeze();
    let open = connections_to(mx.port) as u64;
    let since = Instant::now();
    until("doubt", || count(&desk.run_of("silence"), "in_doubt") > 0);
    assert!(since.elapsed() > Duration::from_millis(1500), "it gave up before its timeout");
    until("the other connections' timeouts", || since.elapsed() > Duration::from_secs(5));
    let doubted = count(&desk.run_of("silence"), "in_doubt");
    mx.thaw();
    let ran = sender.end();
    mx.settle();
    let (run, accepted, listed) = (desk.run_of("silence"), mx.accepted(&desk), desk.in_doubt());
    println!("{open} connections were open, {doubted} rows came in doubt: {run}");
    assert!((1..=open).contains(&doubted), "{doubted} rows in doubt by {open} connections");
    assert_eq!((ran.code, adds_up(&run), count(&run, "in_doubt")), (1, ROWS, doubted), "{run}");
    assert_eq!(count(&run, "delivered") + doubted, ROWS, "everything else went out: {run}");
    no_accepted_row_waits(&accepted, &listed, &run);
}
