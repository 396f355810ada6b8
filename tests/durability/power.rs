//! The power fails: whatever was not synced may be gone, and every lease of before belongs to another boot.

use super::{adds_up, count, no_accepted_row_waits};
use crate::support::lasting::{Accepted, Journal};
use crate::support::power::{Power, Taken};
use crate::support::process::until;
use crate::support::{Desk, Dice, Lasting};
use std::collections::BTreeSet;

const ROWS: u64 = 300;

/// A machine and a receiver; each failure has a campaign of its own.
struct Site<'a> {
    desk: &'a Desk,
    mx: &'a Lasting,
    journal: Journal,
    dice: Dice,
    power: Power<'a>,
}

impl Site<'_> {
    fn campaign(&self, name: &str, on_doubt: &str) -> String {
        // Recipients of their own, so that keys of earlier campaigns are out of the game.
        let everybody = (1..=ROWS).map(|row| format!("r{row}@{name}.example"));
        self.desk.blast(name, everybody, &format!("[transport]\non_doubt = \"{on_doubt}\"\n"))
    }

    /// Sends until a random moment; then everything stops at once, and what was not synced is cut at a random octet.
    fn fails_in(&mut self, campaign: &str) -> Taken {
        let so_far = self.journal.count();
        let sender = self.power.start(&["send", campaign]);
        let moment = so_far + usize::try_from(self.dice.between(0, ROWS - 60)).expect("small");
        until("the moment", || self.journal.count() >= moment);
        self.dice.pause(60);
        sender.kill();
        self.mx.settle();
        self.power.fail(&mut self.dice)
    }

    fn accepted(&self, name: &str) -> Accepted {
        self.mx.accepted_for(self.desk, &format!("@{name}.example"))
    }

    /// The rows in doubt, as a machine that was started again sees them.
    fn listed(&self, name: &str) -> BTreeSet<u64> {
        self.power.sealpost(&["doubt", "list", "--json"]).listed(Some(name))
    }
}

/// `defer` is the share of recipients that the receiver puts off once, in percent. Of three hundred rows, more are spilled than
/// kept in memory.
fn many_failures(scenario: &str, failures: usize, defer: &str, mut each: impl FnMut(&mut Site, usize)) {
    let desk = Desk::new();
    let mx = Lasting::start(&desk, &["--latency", "20ms", "--defer", defer]);
    let quick = "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n";
    desk.light(mx.port, &format!("{quick}[limits]\nconnections_per_provider = 10\nrows_in_memory = 60\n"));
    let (journal, dice, power) = (mx.journal(&desk), Dice::new(scenario), Power::of(&desk));
    let mut site = Site { desk: &desk, mx: &mx, journal, dice, power };
    for round in 0..failures {
        each(&mut site, round);
    }
    assert!(site.power.syncs() >= failures, "the shim saw no syncs");
}

/// Rows in doubt are held.
fn nothing_accepted_waits(scenario: &str, failures: usize, defer: &str) {
    many_failures(scenario, failures, defer, |site, round| {
        let name = format!("power{round}");
        let campaign = site.campaign(&name, "hold");
        let taken = site.fails_in(&campaign);
        let at_once = site.listed(&name);

        let opened = site.power.sealpost(&["send", &campaign, "--limit", "0"]);
        assert!([0, 1, 3].contains(&opened.code), "the store does not open: {opened:?}");
        let (run, listed, accepted) = (site.desk.run_of(&name), site.listed(&name), site.accepted(&name));
        println!("{name}: {} accepted, {} in doubt, {taken:?}: {run}", accepted.len(), listed.len());
        adds_up(&run);
        no_accepted_row_waits(&accepted, &listed, &run);
        assert_eq!(at_once, listed, "what is in doubt is listed before anybody takes the run up");

        let ended = site.power.sealpost(&["send", &campaign]);
        assert_eq!(ended.code, i32::from(!listed.is_empty()), "{ended:?}");
        let (run, accepted) = (site.desk.run_of(&name), site.accepted(&name));
        assert_eq!((adds_up(&run), count(&run, "in_doubt")), (ROWS, listed.len() as u64), "{run}");
        assert_eq!(count(&run, "delivered") + count(&run, "in_doubt"), ROWS, "{run}");
        no_accepted_row_waits(&accepted, &listed, &run);
    });
}

#[test]
fn the_power_fails_and_nothing_accepted_waits() {
    nothing_accepted_waits("the_power_fails_and_nothing_accepted_waits", 10, "0");
}

#[test]
fn the_power_fails_with_rows_deferred() {
    nothing_accepted_waits("the_power_fails_with_rows_deferred", 4, "30");
}

#[test]
fn the_power_fails_and_only_doubt_is_sent_again() {
    many_failures("the_power_fails_and_only_doubt_is_sent_again", 5, "10", |site, round| {
        let name = format!("resent{round}");
        let campaign = site.campaign(&name, "resend");
        let taken = site.fails_in(&campaign);
        let (listed, before) = (site.listed(&name), site.accepted(&name).len());
        let ended = site.power.sealpost(&["send", &campaign]);
        let (run, accepted) = (site.desk.run_of(&name), site.accepted(&name));
        let twice = accepted.rows(2);
        println!("{name}: {before} accepted, {} in doubt, {} twice, {taken:?}", listed.len(), twice.len());
        assert_eq!((ended.code, adds_up(&run), count(&run, "delivered")), (0, ROWS, ROWS), "{run}");
        assert_eq!(accepted.rows(1).len() as u64, ROWS, "somebody has none");
        assert!(twice.is_subset(&listed), "twice and never listed: {:?}", &twice - &listed);
        assert_eq!(accepted.ids_twice(), twice.len(), "a second message has the first one's Message-ID");
    });
}
