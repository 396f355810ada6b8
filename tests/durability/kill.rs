//! `kill -9` at random moments: of the sender, of the receiver, of both.

use super::{adds_up, count, no_accepted_row_waits, people};
use crate::support::lasting::Journal;
use crate::support::process::{Work, connections_to, freeze, until};
use crate::support::{Desk, Dice, Lasting};
use std::collections::BTreeSet;

/// What one site is given.
const CONNECTIONS: &str = "[limits]\nconnections_per_provider = 20\n[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";

/// A campaign under fire.
struct Siege {
    desk: Desk,
    campaign: String,
    mx: Lasting,
    journal: Journal,
    dice: Dice,
    /// Rows listed in doubt after the last kill, and after any.
    listed: BTreeSet<u64>,
    ever_listed: BTreeSet<u64>,
}

impl Siege {
    fn new(scenario: &str, rows: u64, latency: &str, on_doubt: &str) -> Siege {
        Siege::at(scenario, rows, &["--latency", latency], on_doubt)
    }

    /// With a receiver of these arguments.
    fn at(scenario: &str, rows: u64, mx: &[&str], on_doubt: &str) -> Siege {
        let desk = Desk::new();
        let mx = Lasting::start(&desk, mx);
        desk.light(mx.port, CONNECTIONS);
        let everybody = people(1..=rows);
        let campaign = desk.blast("siege", everybody, &format!("[transport]\non_doubt = \"{on_doubt}\"\n"));
        let (journal, dice) = (mx.journal(&desk), Dice::new(scenario));
        Siege { desk, campaign, mx, journal, dice, listed: BTreeSet::new(), ever_listed: BTreeSet::new() }
    }

    fn sender(&self) -> Work {
        self.desk.start(&["send", &self.campaign])
    }

    /// Lets the sender work until the receiver has so many messages and a moment longer.
    fn reaches(&mut self, moment: usize, sender: &mut Work) {
        let journal = &mut self.journal;
        until(&format!("{moment} messages"), || {
            assert!(!sender.has_ended(), "the sender ended by itself");
            journal.count() >= moment
        });
        self.dice.pause(80);
    }

    /// SIGKILL to the sender; gives how many rows came to be in doubt by it, and how many connections were open. It is
    /// stopped before, so that what is counted is what was open when it died.
    fn kill(&mut self, sender: Work) -> (usize, usize) {
        freeze(sender.id());
        let open = connections_to(self.mx.port);
        sender.kill();
        (self.newly_listed(), open)
    }

    /// How many rows are listed in doubt that were not a moment ago.
    fn newly_listed(&mut self) -> usize {
        let now = self.desk.in_doubt();
        let newly = now.difference(&self.listed).count();
        self.ever_listed.extend(&now);
        self.listed = now;
        newly
    }

    /// Sends what is left, and holds the accounts against the receiver's ledger. `hold` sends nothing twice; `resend` sends
    /// everything, and twice only what was listed.
    fn conclude(mut self, rows: u64, resend: bool) {
        let (code, _) = self.desk.send(&self.campaign);
        self.mx.settle();
        self.newly_listed();
        let (run, accepted) = (self.desk.run_of("siege"), self.mx.accepted(&self.desk));
        let twice = accepted.rows(2);
        println!(
            "{rows} rows: {} accepted, {} of them twice; {} ever in doubt, {} held; {run}",
            accepted.people(),
            twice.len(),
            self.ever_listed.len(),
            self.listed.len(),
        );
        assert_eq!((adds_up(&run), count(&run, "waiting") + count(&run, "deferred")), (rows, 0), "{run}");
        let everybody: BTreeSet<u64> = (1..=rows).collect();
        if resend {
            assert_eq!((code, count(&run, "delivered")), (0, rows), "{run}");
            assert_eq!(accepted.rows(1), everybody, "somebody has none");
            assert!(twice.is_subset(&self.ever_listed), "twice and never listed: {:?}", &twice - &self.ever_listed);
            assert_eq!(accepted.ids_twice(), twice.len(), "a second message has the first one's Message-ID");
        } else {
            assert_eq!(code, i32::from(!self.listed.is_empty()), "{run}");
            assert_eq!(&accepted.rows(1) | &self.listed, everybody, "somebody has none and is not listed");
            assert_eq!(count(&run, "delivered") + self.listed.len() as u64, rows, "{run}");
            assert_eq!(self.listed, self.ever_listed, "once listed, listed until somebody decides");
            no_accepted_row_waits(&accepted, &self.listed, &run);
        }
    }
}

/// 20,000 rows at 20 connections of 70 ms a message, and 25 kills at random moments of it.
fn kill_nine(scenario: &str, on_doubt: &str) {
    const ROWS: u64 = 20_000;
    let mut siege = Siege::new(scenario, ROWS, "70ms", on_doubt);
    let mut counts = Vec::new();
    for moment in siege.dice.moments(25, ROWS - 500) {
        let mut sender = siege.sender();
        siege.reaches(moment, &mut sender);
        let (newly, open) = siege.kill(sender);
        counts.push((siege.journal.count(), newly, open));
        assert!(newly <= open, "{newly} rows in doubt by {open} connections");
    }
    println!("killed at (messages accepted, rows newly in doubt, connections open): {counts:?}");
    siege.conclude(ROWS, on_doubt == "resend");
}

#[test]
fn kill_nine_and_resend() {
    kill_nine("kill_nine_and_resend", "resend");
}

#[test]
fn kill_nine_and_hold() {
    kill_nine("kill_nine_and_hold", "hold");
}

/// Rows stand everywhere: in memory, spilled, deferred, on the wire.
#[test]
fn killed_with_rows_deferred_and_spilled() {
    const ROWS: u64 = 2_000;
    let mx = ["--latency", "20ms", "--defer", "30"];
    let mut siege = Siege::at("killed_with_rows_deferred_and_spilled", ROWS, &mx, "hold");
    siege.desk.light(siege.mx.port, &CONNECTIONS.replace("[limits]\n", "[limits]\nrows_in_memory = 100\n"));
    for moment in siege.dice.moments(8, ROWS - 400) {
        let mut sender = siege.sender();
        siege.reaches(moment, &mut sender);
        let (newly, open) = siege.kill(sender);
        assert!(newly <= open, "{newly} rows in doubt by {open} connections");
    }
    siege.conclude(ROWS, false);
}

/// The sender lives on: what was on the wire is in doubt, the rest is deferred until the receiver is back.
#[test]
fn the_receiver_is_killed() {
    const ROWS: u64 = 2_500;
    let mut siege = Siege::new("the_receiver_is_killed", ROWS, "20ms", "hold");
    let mut sender = siege.sender();
    let mut counts = Vec::new();
    for moment in siege.dice.moments(6, ROWS - 400) {
        siege.reaches(moment, &mut sender);
        siege.mx.freeze();
        // A connection that is opened while the receiver is stopped carries no message to its last octet.
        let open = connections_to(siege.mx.port);
        siege.mx.kill();
        siege.dice.pause(500);
        siege.mx.revive(&siege.desk, &["--latency", "20ms"]);
        let newly = siege.newly_listed();
        counts.push((siege.journal.count(), newly, open));
        assert!(newly <= open, "{newly} rows in doubt by {open} connections");
    }
    println!("killed at (messages accepted, rows newly in doubt, connections open): {counts:?}");
    let ran = sender.end();
    assert!([0, 1].contains(&ran.code), "it goes on by itself to the end: {ran:?}");
    siege.conclude(ROWS, false);
}

/// Both at one moment, as when their machine's power goes but its disk cache survives.
fn both_are_killed(scenario: &str, on_doubt: &str) {
    const ROWS: u64 = 2_500;
    let mut siege = Siege::new(scenario, ROWS, "20ms", on_doubt);
    let mut counts = Vec::new();
    for moment in siege.dice.moments(8, ROWS - 400) {
        let mut sender = siege.sender();
        siege.reaches(moment, &mut sender);
        // The sender first, or it would see the other's connections break and act on it.
        freeze(sender.id());
        siege.mx.kill();
        let (newly, _) = siege.kill(sender);
        siege.mx.revive(&siege.desk, &["--latency", "20ms"]);
        counts.push((siege.journal.count(), newly));
        assert!(newly <= 20, "{newly} rows in doubt by 20 connections");
    }
    println!("killed at (messages accepted, rows newly in doubt): {counts:?}");
    siege.conclude(ROWS, on_doubt == "resend");
}

#[test]
fn both_are_killed_and_resend() {
    both_are_killed("both_are_killed_and_resend", "resend");
}

#[test]
fn both_are_killed_and_hold() {
    both_are_killed("both_are_killed_and_hold", "hold");
}
