//! Servers that misbehave. The scripts speak clear text; what they show does not depend on TLS.

use crate::support::{Authority, Desk, Peer};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLEAR: &str = "[transport]\ntls = \"opportunistic\"\nexclusive = false\nphi_in_clear = true\n";

/// Sends `rows` rows to `peer` and gives the exit code, the counts and the report.
fn send(peer: &Peer, rows: usize, more: &str) -> (i32, Value, Value) {
    send_with(peer, rows, more, "")
}

fn send_with(peer: &Peer, rows: usize, more: &str, machine: &str) -> (i32, Value, Value) {
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    let machine =
        format!("[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n[limits]\nconnections_per_provider = 1\n{machine}");
    desk.machine(peer.port, &machine);
    let campaign = desk.small(rows, &format!("{CLEAR}{more}"));
    let (code, counts) = desk.send(&campaign);
    (code, counts, desk.sealpost(&["report", &campaign, "--json"]).json())
}

#[test]
fn peer_closes_after_the_final_dot() {
    let script = |number, line: &mut crate::support::peer::Line| {
        line.greet(&[]);
        if number > 0 {
            return line.take_everything();
        }
        for _ in 0..2 {
            line.hear();
            line.say("250 ok\r\n");
        }
        line.hear();
        line.say("354 go on\r\n");
        line.content();
    };
    let peer = Peer::start(script);
    let (code, counts, report) = send(&peer, 3, "");
    assert_eq!((code, &counts["in_doubt"], &counts["delivered"]), (1, &1.into(), &2.into()), "{counts}");
    assert_eq!(report["reasons"][1]["reason"], "connection_lost", "{report}");
    let peer = Peer::start(script);
    let (code, counts, _) = send(&peer, 3, "on_doubt = \"resend\"\n");
    assert_eq!((code, &counts["in_doubt"], &counts["delivered"]), (0, &0.into(), &3.into()), "{counts}");
}

#[test]
fn peer_closes_before_the_final_dot_is_no_doubt() {
    let peer = Peer::start(|number, line| {
        line.greet(&[]);
        if number > 0 {
            return line.take_everything();
        }
        line.hear();
        line.say("250 ok\r\n");
        line.hear();
    });
    let (code, counts, _) = send(&peer, 3, "");
    assert_eq!((code, &counts["in_doubt"], &counts["delivered"]), (0, &0.into(), &3.into()), "{counts}");
}

#[test]
fn peer_says_421_at_every_stage() {
    for stage in 0..6 {
        let peer = Peer::start(move |number, line| {
            if number > 0 {
                line.greet(&[]);
                return line.take_everything();
            }
            let goodbye = |line: &mut crate::support::peer::Line| line.say("421 4.3.2 shutting down\r\n");
            if stage == 0 {
                return goodbye(line);
            }
            line.say("220 hello\r\n");
            for step in 1..stage {
                line.hear();
                line.say(if step == 4 { "354 go on\r\n" } else { "250 ok\r\n" });
            }
            if stage == 5 {
                line.content();
            } else {
                line.hear();
            }
            goodbye(line);
        });
        let (code, counts, _) = send(&peer, 2, "");
        assert_eq!(
            (code, &counts["delivered"], &counts["in_doubt"]),
            (0, &2.into(), &0.into()),
            "stage {stage}: {counts}"
        );
    }
}

#[test]
fn peer_without_pipelining_is_spoken_to_in_lock_step() {
    static EARLY: AtomicBool = AtomicBool::new(false);
    let peer = Peer::start(|_, line| {
        line.greet(&[]);
        loop {
            let said = line.hear();
            EARLY.fetch_or(line.has_more(), Ordering::SeqCst);
            match said.get(..4).unwrap_or_default() {
                "DATA" => {
                    line.say("354 go on\r\n");
                    line.content();
                    EARLY.fetch_or(line.has_more(), Ordering::SeqCst);
                    line.say("250-2.0.0 taken\r\n250-2.0.0 with\r\n250 2.0.0 pleasure\r\n");
                }
                "QUIT" | "" => return,
                _ => line.say("250-of several\r\n250 lines\r\n"),
            }
        }
    });
    let (code, counts, _) = send(&peer, 5, "");
    assert_eq!((code, &counts["delivered"]), (0, &5.into()), "{counts}");
    assert!(!EARLY.load(Ordering::SeqCst), "a command was sent before the reply to the last");
}

#[test]
fn peer_refuses_the_recipient_but_asks_for_the_message() {
    let peer = Peer::start(|_, line| {
        line.greet(&["PIPELINING"]);
        loop {
            let said = line.hear();
            match said.get(..4).unwrap_or_default() {
                "RCPT" => line.say("550 5.1.1 no such user\r\n"),
                "DATA" => {
                    line.say("354 go on\r\n");
                    let lone = line.hear();
                    assert_eq!(lone, ".");
                    line.say("250 2.0.0 an empty message, why not\r\n");
                }
                "QUIT" | "" => return,
                _ => line.say("250 ok\r\n"),
            }
        }
    });
    let (_, counts, report) = send(&peer, 3, "");
    assert_eq!((&counts["bounced"], &counts["delivered"]), (&3.into(), &0.into()), "{counts} {:?}", peer.said());
    assert_eq!(report["reasons"][0]["reason"], "550 5.1.1", "{report}");
    assert!(!peer.heard("Hello"), "no content for a refused recipient");
}

#[test]
fn one_refused_recipient_does_not_end_the_session() {
    let peer = Peer::start(|_, line| {
        line.greet(&["PIPELINING"]);
        let mut refused = false;
        loop {
            let said = line.hear();
            match said.get(..4).unwrap_or_default() {
                "RCPT" if said.contains("<r2@") => {
                    refused = true;
                    line.say("550 5.1.1 no such user\r\n");
                }
                "RSET" => {
                    refused = false;
                    line.say("250 ok\r\n");
                }
                "DATA" if refused => line.say("503 5.5.1 no valid recipients\r\n"),
                "DATA" => {
                    line.say("354 go on\r\n");
                    line.content();
                    line.say("250 2.0.0 taken\r\n");
                }
                "QUIT" | "" => return,
                _ => line.say("250 ok\r\n"),
            }
        }
    });
    let (_, counts, _) = send(&peer, 4, "");
    assert_eq!((&counts["bounced"], &counts["delivered"]), (&1.into(), &3.into()), "{counts}");
    assert_eq!(peer.said().iter().filter(|said| said.starts_with("EHLO")).count(), 1, "{:?}", peer.said());
}

#[test]
fn peer_takes_no_more_than_its_size() {
    let peer = Peer::start(|_, line| {
        line.greet(&["SIZE 100"]);
        line.take_everything();
    });
    let (_, counts, report) = send(&peer, 2, "");
    assert_eq!(counts["bounced"], 2, "{counts}");
    assert_eq!(report["reasons"][0]["reason"], "too_large", "{report}");
    assert!(!peer.heard("MAIL"));
}

#[test]
fn peer_does_not_read_and_does_not_answer() {
    let peer = Peer::start(|number, line| {
        line.greet(&[]);
        if number > 0 {
            return line.take_everything();
        }
        line.hear();
        std::thread::sleep(Duration::from_secs(4));
    });
    let (code, counts, _) = send_with(&peer, 2, "", "[smtp]\ncommand_timeout = \"1s\"\n");
    assert_eq!((code, &counts["delivered"]), (0, &2.into()), "{counts}");
}

#[test]
fn nobody_listens() {
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    // The discard port: nothing listens there, and no other test takes it.
    desk.machine(9, "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n");
    let campaign = desk.small(10, "[transport]\nlifetime = \"3s\"\n");
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, &counts["expired"]), (0, &10.into()), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["reasons"][0]["reason"], "connection_refused", "{report}");
}

#[test]
fn peer_blocks_us_at_ehlo_and_nothing_is_dropped() {
    let peer = Peer::start(|_, line| {
        line.say("220 peer.example ESMTP\r\n");
        line.hear();
        line.say("550 5.7.1 your address is on a list\r\n");
        line.hear();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(peer.port, "[retry]\nfirst = \"1s\"\nlongest = \"1s\"\n");
    let campaign = desk.small(3, "[transport]\nlifetime = \"2s\"\n");
    let (_, counts) = desk.send(&campaign);
    assert_eq!((&counts["dropped"], &counts["expired"]), (&0.into(), &3.into()), "{counts}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert_eq!(report["reasons"][0]["reason"], "550 5.7.1 session_refused", "{report}");
}

#[test]
fn refused_sessions_beside_an_open_one_cost_no_row() {
    // One session is open; every further one is refused as if it had met another host behind the same balancer.
    let peer = Peer::start(|number, line| {
        if number > 0 {
            return line.say("554 5.3.2 no more of you\r\n");
        }
        line.greet(&["PIPELINING"]);
        line.take_everything();
    });
    let desk = Desk::new();
    Authority::new().write(&desk.path("ca.pem"));
    desk.machine(peer.port, "");
    let campaign = desk.small(200, CLEAR);
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, &counts["delivered"]), (0, &200.into()), "{counts}");
}

#[test]
fn a_connection_takes_its_share_of_messages_and_no_more() {
    let peer = Peer::start(|_, line| {
        line.greet(&["PIPELINING"]);
        line.take_everything();
    });
    let (_, counts, _) = send_with(&peer, 20, "", "messages_per_connection = 5\n");
    assert_eq!(counts["delivered"], 20, "{counts}");
    let said = peer.said();
    let count = |start: &str| said.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("EHLO"), count("QUIT"), count("MAIL")), (4, 4, 20));
}

#[test]
fn peer_that_knows_no_ehlo_is_greeted_with_helo() {
    let peer = Peer::start(|_, line| {
        line.say("220 old.example\r\n");
        line.hear();
        line.say("502 what?\r\n");
        line.take_everything();
    });
    let (_, counts, _) = send(&peer, 2, "");
    assert_eq!(counts["delivered"], 2, "{counts}");
    assert!(peer.heard("HELO out.acme-health.example"), "{:?}", peer.said());
}

#[test]
fn replies_before_their_time_are_not_believed() {
    let peer = Peer::start(|number, line| {
        line.greet(&[]);
        if number > 0 {
            return line.take_everything();
        }
        for _ in 0..2 {
            line.hear();
            line.say("250 ok\r\n");
        }
        line.hear();
        line.say("354 go on\r\n250 2.0.0 taken already\r\n");
        line.hear();
    });
    let (code, counts, report) = send(&peer, 1, "");
    assert_eq!((code, &counts["delivered"]), (0, &1.into()), "{counts}");
    assert_eq!(report["delivered_by_attempts"], serde_json::json!({"2": 1}), "{report}");
}

#[test]
fn one_connection_for_many_sites_serves_them_all() {
    let desk = Desk::new();
    let mx = crate::support::Mx::start(&desk, &[]);
    desk.machine(mx.port, "[limits]\nconnections = 1\n");
    let text = std::fs::read_to_string(desk.path("sealpost.toml")).expect("written");
    let sites = 8 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let routes: String = (0..sites)
        .map(|site| {
            format!("\"s{site}.example\" = {{ host = \"mx{site}.example\", address = \"127.0.0.1:{}\" }}\n", mx.port)
        })
        .collect();
    desk.write("sealpost.toml", text.replace("[dns.static]\n", &format!("[dns.static]\n{routes}")).as_bytes());
    let campaign = desk.small(1, "");
    let rows: String = (0..4 * sites).map(|row| format!("{row},r{row}@s{}.example,Ann\n", row % sites)).collect();
    desk.write("small.csv", format!("id,email,first_name\n{rows}").as_bytes());
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, &counts["delivered"]), (0, &(4 * sites).into()), "{counts}");
    // Waiting out each idle session would take five seconds a site.
    let seconds = counts["seconds"].as_f64().expect("a figure");
    assert!(seconds < 15.0, "idle sessions give way to those who wait: {counts}");
}

#[test]
fn peer_speaks_no_smtp() {
    let peer = Peer::start(|number, line| {
        if number == 0 {
            line.say("HTTP/1.1 400 Bad Request\r\n\r\n");
            return;
        }
        line.greet(&[]);
        line.take_everything();
    });
    let (code, counts, _) = send(&peer, 2, "");
    assert_eq!((code, &counts["delivered"]), (0, &2.into()), "{counts}");
}
