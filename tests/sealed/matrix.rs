//! Every kind of peer, at every level, exclusive or not: the table, played by real servers in really signed zones.

use super::case::{Case, End};
use super::stage::{Stage, campaign, domain, listed};
use super::table::{cases, markdown};
use crate::support::{Desk, Ran, root};
use serde_json::Value;
use std::thread::scope;

const LEVELS: [&str; 4] = ["opportunistic", "required", "verified", "authenticated"];
/// What begins an envelope, and what only envelopes and letters hold.
const SECRETS: [&str; 4] = ["MAIL FROM", "RCPT TO", "kanari", "a letter of sorts"];

/// A run over all peers.
struct Play {
    desk: Desk,
    level: usize,
    exclusive: bool,
}

impl Play {
    /// Its runs before and after the turn are told apart by their EHLO.
    fn name(&self) -> String {
        format!("{}{}", LEVELS[self.level], if self.exclusive { "-exclusive" } else { "" })
    }

    /// Peers that will change are met while they are what they were.
    fn begin(&self, stage: &Stage) {
        stage.equip(&self.desk, "before");
        let changing: Vec<_> = stage.cases.iter().copied().filter(|case| case.changes()).collect();
        let transport = "tls = \"required\"
exclusive = false
lifetime = \"3s\"";
        let campaign = campaign(&self.desk, "before", recipients("before", &changing), transport);
        let ran = self.desk.sealpost(&["send", &campaign, "--json"]);
        assert_eq!(ran.json()["delivered"], changing.len() - 1, "{ran:?}");
    }

    fn run(&self, stage: &Stage) -> Ran {
        stage.equip(&self.desk, &self.name());
        let (level, exclusive) = (LEVELS[self.level], self.exclusive);
        let lifetime = if exclusive { 14 } else { 8 };
        let transport = format!("tls = \"{level}\"\nexclusive = {exclusive}\nlifetime = \"{lifetime}s\"");
        let campaign = campaign(&self.desk, "all", recipients("all", &stage.cases), &transport);
        self.desk.sealpost(&["send", &campaign, "--json"])
    }

    /// Where table and run differ.
    fn differences(&self, stage: &Stage) -> Vec<String> {
        let ehlo = format!("{}.acme-health.example", self.name());
        let listed = listed(&self.desk, "all.toml");
        let mut differences = Vec::new();
        for (number, case) in stage.cases.iter().enumerate() {
            let end = case.ends[self.level];
            let mut differs = |what: String| differences.push(format!("{}, {}: {what}", self.name(), case.peer));
            let became = listed.get(&(number + 1));
            if !is_as(end, self.exclusive, became) {
                differs(format!("{end:?}, but it became {became:?}"));
            }
            let view = stage.seen(case).of(&ehlo);
            // Where the host is not to blame, it may never have been asked.
            let is_odd = match end {
                End::AtOnce(_) => self.exclusive && view.sessions != 1,
                End::Confirmed(_) | End::Waits(_) => view.sessions == 1,
                End::Clear | End::Tls => view.sessions == 0,
            };
            if is_odd {
                differs(format!("{end:?}, in {} sessions", view.sessions));
            }
            let (clear, tls) = (view.in_clear(&SECRETS), view.in_tls(&SECRETS));
            let all = |end: bool| if end { SECRETS.to_vec() } else { Vec::new() };
            if (&clear, &tls) != (&all(end == End::Clear), &all(end == End::Tls)) {
                differs(format!("{end:?}, but seen were {clear:?} in clear and {tls:?} in TLS"));
            }
        }
        differences
    }
}

/// Whether a row that is listed so, or not at all, ended as the table says.
fn is_as(end: End, exclusive: bool, became: Option<&Value>) -> bool {
    let Some(became) = became else { return matches!(end, End::Clear | End::Tls) };
    let reason = became["reason"].as_str();
    match (end, became["outcome"].as_str()) {
        (End::AtOnce(why) | End::Confirmed(why), Some("dropped")) => exclusive && reason == Some(why),
        (End::AtOnce(why) | End::Confirmed(why), Some("expired")) => !exclusive && reason == Some(why),
        (End::Waits(why), Some("expired")) => reason == Some(why),
        _ => false,
    }
}

/// A row for each peer, in order, under keys that no other campaign has.
fn recipients<'a>(name: &'a str, cases: &'a [&Case]) -> impl Iterator<Item = String> + 'a {
    cases.iter().map(move |case| format!("kanari.{name}@{}", domain(case)))
}

#[test]
fn mail_goes_to_each_peer_as_the_table_says() {
    let stage = Stage::set(cases().collect());
    let kinds = (0..LEVELS.len()).flat_map(|level| [false, true].map(|exclusive| (level, exclusive)));
    let plays: Vec<_> = kinds.map(|(level, exclusive)| Play { desk: Desk::new(), level, exclusive }).collect();
    let (refused, played): (Vec<_>, Vec<_>) = plays.iter().partition(|play| play.level == 0 && play.exclusive);
    scope(|scope| played.iter().for_each(|play| drop(scope.spawn(|| play.begin(&stage)))));
    stage.turn();
    scope(|scope| {
        let runs: Vec<_> = played.iter().map(|play| (play, scope.spawn(|| play.run(&stage)))).collect();
        for (play, run) in runs {
            let ran = run.join().expect("it ran");
            assert_eq!(ran.code, 0, "{}: {ran:?}", play.name());
        }
    });
    let differences: Vec<_> = played.iter().flat_map(|play| play.differences(&stage)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    // What is no demand can't be exclusive: nothing is begun.
    for play in refused {
        let ran = play.run(&stage);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("exclusive = true is not possible with tls = \"opportunistic\""), "{ran:?}");
        let ehlo = format!("{}.acme-health.example", play.name());
        assert!(stage.cases.iter().all(|case| stage.seen(case).of(&ehlo).sessions == 0));
    }
}

#[test]
fn the_table_is_printed_as_it_is() {
    let printed = std::fs::read_to_string(root().join("docs/SECURITY.md")).expect("there");
    let table = markdown();
    assert!(printed.contains(&table), "docs/SECURITY.md must hold this table:\n{table}");
}
