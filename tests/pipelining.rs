//! One round trip a message: the next one's transaction is opened with the end of the one before it, and costs nothing if it comes
//! to nothing. The scripts speak clear text; what they show does not depend on TLS.

use crate::support::peer::Line;
use crate::support::process::until;
use crate::support::{Authority, Desk, Peer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const CLEAR: &str = "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n";

/// A pipeline with DATA and one with BDAT.
const WAYS: [&[&str]; 2] = [&["PIPELINING"], &["PIPELINING", "CHUNKING"]];

/// A desk that sends `rows` rows to `peer` over one connection.
fn desk(peer: &Peer, rows: usize, more: &str) -> (Desk, String) {
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    let machine = "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n[smtp]\ncommand_timeout = \"2s\"\n";
    desk.machine(peer.port, &format!("{machine}[limits]\nconnections_per_provider = 1\n"));
    let campaign = desk.small(rows, &format!("{CLEAR}{more}"));
    (desk, campaign)
}

/// Sends `rows` rows to `peer` and gives the counts and the report.
fn send(peer: &Peer, rows: usize) -> (Value, Value) {
    let (desk, campaign) = desk(peer, rows, "");
    let counts = desk.send(&campaign).1;
    (counts, desk.sealpost(&["report", &campaign, "--json"]).json())
}

fn count(peer: &Peer, start: &str) -> usize {
    peer.said().iter().filter(|line| line.starts_with(start)).count()
}

/// Answers what the client says with `reply`, told the verb (`END` for the end of a message) and how often it was said on this
/// connection. An empty reply is silence; one that ends in `!` closes the connection.
fn follow(line: &mut Line, mut reply: impl FnMut(&mut Line, &str, usize) -> String) {
    let mut times = std::collections::BTreeMap::<String, usize>::new();
    let mut answer = |line: &mut Line, verb: &str| {
        let times = times.entry(verb.to_owned()).or_default();
        *times += 1;
        let text = reply(line, verb, *times);
        line.say(text.trim_end_matches('!'));
        (text.starts_with("354"), text.ends_with('!'))
    };
    loop {
        let said = line.hear();
        let verb = said.get(..4).unwrap_or_default();
        let (go_on, over) = match verb {
            "BDAT" if line.chunk(&said) => answer(line, "END"),
            "" | "BDAT" => return,
            _ => answer(line, verb),
        };
        if over || verb == "QUIT" {
            return;
        }
        if go_on && (!line.content() || answer(line, "END").1) {
            return;
        }
    }
}

/// What a good server says.
fn yes(verb: &str) -> String {
    let text = match verb {
        "MAIL" => "250 2.1.0 ok",
        "RCPT" => "250 2.1.5 ok",
        "DATA" => "354 go on",
        "END" => "250 2.0.0 taken",
        "QUIT" => "221 2.0.0 bye",
        _ => "250 2.0.0 ok",
    };
    format!("{text}\r\n")
}

#[test]
fn the_next_message_is_opened_with_the_end_of_the_last() {
    for way in WAYS {
        let early = Arc::new(AtomicUsize::new(0));
        let noted = early.clone();
        let peer = Peer::start(move |_, line| {
            line.greet(way);
            follow(line, |line, verb, _| {
                // Later than any message takes to be made.
                std::thread::sleep(Duration::from_millis(if verb == "END" { 30 } else { 0 }));
                noted.fetch_add(usize::from(verb == "END" && line.has_more()), Ordering::SeqCst);
                yes(verb)
            });
        });
        let (counts, report) = send(&peer, 20);
        assert_eq!(counts["delivered"], 20, "{counts}");
        assert_eq!(report["delivered_by_attempts"], json!({"1": 20}), "{report}");
        assert_eq!((count(&peer, "EHLO"), count(&peer, "RSET")), (1, 0), "{way:?}");
        assert!(early.load(Ordering::SeqCst) >= 15, "{way:?}: {early:?} of 20");
        assert_eq!(count(&peer, "DATA") == 0, way.contains(&"CHUNKING"), "{way:?}");
    }
}

#[test]
fn what_is_thrown_away_behind_a_message_costs_no_attempt() {
    for way in WAYS {
        let peer = Peer::start(move |_, line| {
            line.greet(way);
            follow(line, |line, verb, _| {
                if verb == "END" {
                    line.forget();
                }
                yes(verb)
            });
        });
        let (counts, report) = send(&peer, 8);
        assert_eq!((&counts["delivered"], &counts["in_doubt"]), (&8.into(), &0.into()), "{counts}");
        assert_eq!(report["delivered_by_attempts"], json!({"1": 8}), "{report}");
        // It is found out once, by a timeout, and remembered.
        assert_eq!(count(&peer, "EHLO"), 2, "{:?}", peer.said());
    }
}

#[test]
fn a_server_that_has_had_enough_costs_no_attempt() {
    for way in WAYS {
        for goodbye in ["421 4.3.2 enough of you\r\n!", "!"] {
            let peer = Peer::start(move |_, line| {
                line.greet(way);
                follow(line, |_, verb, times| match verb {
                    "MAIL" if times > 2 => {
                        // A connection that is closed with words unread takes those on their way with it.
                        std::thread::sleep(Duration::from_millis(50));
                        goodbye.to_owned()
                    }
                    _ => yes(verb),
                });
            });
            let (counts, report) = send(&peer, 9);
            assert_eq!((&counts["delivered"], &counts["in_doubt"]), (&9.into(), &0.into()), "{counts}");
            assert_eq!(report["delivered_by_attempts"], json!({"1": 9}), "{goodbye}: {report}");
        }
    }
}

#[test]
fn a_reply_that_is_given_twice_is_believed_once() {
    for way in WAYS {
        for (place, times) in [("MAIL", 2), ("RCPT", 2), ("DATA", 2), ("END", 1), ("END", 3)] {
            let taken = Arc::new(AtomicUsize::new(0));
            let book = taken.clone();
            let peer = Peer::start(move |number, line| {
                line.greet(way);
                let book = book.clone();
                follow(line, move |_, verb, time| {
                    book.fetch_add(usize::from(verb == "END"), Ordering::SeqCst);
                    yes(verb).repeat(if (number, verb, time) == (0, place, times) { 2 } else { 1 })
                });
            });
            let (counts, _) = send(&peer, 8);
            let [delivered, doubt] = ["delivered", "in_doubt"].map(|kind| counts[kind].as_u64().unwrap_or(0));
            assert!(delivered + doubt == 8 && doubt <= 1, "{way:?} {place} {times}: {counts}");
            let taken = taken.load(Ordering::SeqCst) as u64;
            assert!((delivered..=8).contains(&taken), "{way:?} {place} {times}: {taken} were taken, {counts}");
        }
    }
}

#[test]
fn a_refusal_that_is_given_twice_bounces_one_message() {
    for way in WAYS {
        let peer = Peer::start(move |number, line| {
            line.greet(way);
            follow(line, move |_, verb, time| match (number, verb, time) {
                (0, "END", 2) => "554 5.7.1 spam\r\n".repeat(2),
                _ => yes(verb),
            });
        });
        let (counts, report) = send(&peer, 6);
        assert_eq!((&counts["delivered"], &counts["bounced"]), (&5.into(), &1.into()), "{counts}");
        assert_eq!(report["delivered_by_attempts"], json!({"1": 5}), "{report}");
    }
}

#[test]
fn an_address_said_yes_to_late_is_no_message_taken() {
    // The reply to RCPT comes with the message, which is then refused.
    let peer = Peer::start(|number, line| {
        line.greet(WAYS[1]);
        follow(line, move |_, verb, time| match (number, verb, time) {
            (0, "RCPT", 1) => "250 2.1.0 ok\r\n".into(),
            (0, "END", 1) => "250 2.1.5 ok\r\n554 5.7.1 spam\r\n".into(),
            _ => yes(verb),
        });
    });
    let (counts, _) = send(&peer, 3);
    assert_eq!((&counts["delivered"], &counts["in_doubt"]), (&2.into(), &1.into()), "{counts}");
}

#[test]
fn a_server_that_does_not_know_bdat_after_all_is_given_data() {
    let peer = Peer::start(|_, line| {
        line.greet(WAYS[1]);
        loop {
            let said = line.hear();
            match said.get(..4).unwrap_or(&said) {
                verb @ ("MAIL" | "RCPT" | "RSET") => line.say(&yes(verb)),
                "DATA" => {
                    line.say(&yes("DATA"));
                    line.content();
                    line.say(&yes("END"));
                }
                "QUIT" => return line.say(&yes("QUIT")),
                _ if line.is_over() => return,
                _ => line.say("502 5.5.2 what?\r\n"),
            }
        }
    });
    let (counts, report) = send(&peer, 5);
    assert_eq!((&counts["delivered"], &counts["in_doubt"]), (&5.into(), &0.into()), "{counts}");
    assert_eq!(report["delivered_by_attempts"], json!({"1": 4, "2": 1}), "{report}");
    assert_eq!((count(&peer, "EHLO"), count(&peer, "BDAT")), (2, 1), "{:?}", peer.said());
}

#[test]
fn content_follows_a_yes_to_its_own_recipient_alone() {
    for way in WAYS {
        let wrong = Arc::new(AtomicBool::new(false));
        let noted = wrong.clone();
        let peer = Peer::start(move |_, line| {
            line.greet(way);
            let (noted, mut refused) = (noted.clone(), false);
            follow(line, move |_, verb, time| match verb {
                "RCPT" if time % 3 == 0 => {
                    refused = true;
                    "550 5.1.1 nobody\r\n".into()
                }
                "RSET" => {
                    refused = false;
                    yes(verb)
                }
                "DATA" if refused => "503 5.5.1 for whom?\r\n".into(),
                "END" if refused => {
                    noted.store(true, Ordering::SeqCst);
                    "503 5.5.1 for whom?\r\n".into()
                }
                _ => yes(verb),
            });
        });
        let (counts, _) = send(&peer, 9);
        assert_eq!((&counts["delivered"], &counts["bounced"]), (&6.into(), &3.into()), "{counts}");
        assert!(!wrong.load(Ordering::SeqCst) && count(&peer, "EHLO") == 1, "{:?}", peer.said());
    }
}

#[test]
fn a_reply_that_suspends_the_provider_leaves_the_next_message_unspent() {
    for way in WAYS {
        let contents = Arc::new(AtomicUsize::new(0));
        let book = contents.clone();
        let peer = Peer::start(move |number, line| {
            line.greet(way);
            let book = book.clone();
            follow(line, move |line, verb, _| {
                // Longer than any message takes to be made, and what is behind one to come.
                std::thread::sleep(Duration::from_millis(if number == 0 { 300 } else { 0 }));
                if (number, verb) != (0, "END") {
                    return yes(verb);
                }
                assert!(line.has_more(), "the next is open");
                book.fetch_add(1, Ordering::SeqCst);
                "530 5.7.0 who are you?\r\n".into()
            });
        });
        let (counts, report) = send(&peer, 4);
        assert_eq!(counts["delivered"], 4, "{counts}");
        assert_eq!(contents.load(Ordering::SeqCst), 1, "of the second nothing but its envelope left");
        // Only the first was tried before.
        assert_eq!(report["delivered_by_attempts"], json!({"1": 3, "2": 1}), "{report}");
    }
}

/// A peer that keeps the first message's reply until it is told to give it.
fn held_peer(way: &'static [&'static str], release: &Arc<AtomicBool>) -> Peer {
    let release = release.clone();
    Peer::start(move |number, line| {
        line.greet(way);
        let release = release.clone();
        follow(line, move |_, verb, time| {
            while (number, verb, time) == (0, "END", 1) && !release.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            yes(verb)
        });
    })
}

#[test]
fn a_pause_leaves_the_message_ahead_where_it_was() {
    for way in WAYS {
        let release = Arc::new(AtomicBool::new(false));
        let peer = held_peer(way, &release);
        let (desk, campaign) = desk(&peer, 4, "");
        desk.write("sealpost.toml", without_timeout(&desk).as_bytes());
        let engine = desk.spawn(&["send", &campaign, "--json"]);
        let end = if way.contains(&"CHUNKING") { "BDAT" } else { "DATA" };
        until("a message on the wire", || count(&peer, end) == 1);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(desk.sealpost(&["pause", "--provider", "127.0.0.1"]).code, 0);
        release.store(true, Ordering::SeqCst);
        until("the first is delivered", || desk.run_of("small")["delivered"] == 1);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(desk.run_of("small")["delivered"], 1, "{:?}", peer.said());
        assert_eq!(count(&peer, "BDAT"), usize::from(end == "BDAT"), "no content of the second");
        assert_eq!(desk.sealpost(&["resume", "--provider", "127.0.0.1"]).code, 0);
        let ran = crate::attach::ended(engine);
        assert_eq!((ran.code, &ran.json()["delivered"]), (0, &4.into()), "{ran:?}");
        let report = desk.sealpost(&["report", &campaign, "--json"]).json();
        assert_eq!(report["delivered_by_attempts"], json!({"1": 4}), "{report}");
    }
}

#[test]
fn a_cancellation_takes_the_message_ahead() {
    for way in WAYS {
        let release = Arc::new(AtomicBool::new(false));
        let peer = held_peer(way, &release);
        let (desk, campaign) = desk(&peer, 4, "");
        desk.write("sealpost.toml", without_timeout(&desk).as_bytes());
        let engine = desk.spawn(&["send", &campaign, "--json"]);
        until("the second is open", || count(&peer, if way.contains(&"CHUNKING") { "BDAT" } else { "DATA" }) == 1);
        std::thread::sleep(Duration::from_millis(300));
        let run = desk.run_of("small")["run"].as_str().expect("a run").to_owned();
        let cancel = desk.start(&["cancel", "--run", &run]);
        std::thread::sleep(Duration::from_millis(300));
        release.store(true, Ordering::SeqCst);
        let ran = crate::attach::ended(engine);
        let counts = ran.json();
        assert_eq!(
            (&counts["delivered"], &counts["cancelled"], &counts["in_doubt"]),
            (&1.into(), &3.into(), &0.into())
        );
        drop(cancel);
    }
}

/// The machine's file with RFC 5321's own timeouts.
fn without_timeout(desk: &Desk) -> String {
    let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
    text.replace("[smtp]\ncommand_timeout = \"2s\"\n", "")
}
