//! The table held against real notices: `tests/data/bounces`, with what the test-suite of the Sisimai project expects of each.
//!
//! Agreement: our class is one of those that stand for Sisimai's reason ([`ours`]), and we call hard what it calls hard. The misses are
//! listed in `misses.txt` beside the notices, with reasons; the test holds that list to be exact.

mod reading;

use super::{Finding, Said, plain};
use crate::mail::Class;
use reading::{Notice, Statement};
use std::path::Path;

/// A recipient as `expected.json` has it: status, reply code, reason, hard or not.
type Expected = Vec<String>;

/// Our classes for one of Sisimai's reasons. More than one where Sisimai's word covers what we tell apart.
fn ours(reason: &str) -> &'static [Class] {
    match reason {
        "userunknown" | "hasmoved" => &[Class::MailboxUnknown],
        // The domain's name is gone, or its host says that it takes no mail.
        "hostunknown" | "notaccept" => &[Class::Domain],
        "mailboxfull" => &[Class::MailboxFull],
        "suspend" => &[Class::MailboxClosed],
        // "User unknown", but not said to RCPT: by some filter of the recipient's, or of his provider's.
        "filtered" => &[Class::MailboxUnknown, Class::Policy],
        // Our sender's address is refused; a list does not know us; who may not relay; who has to log in.
        "rejected" | "norelaying" | "securityerror" => &[Class::Policy],
        "policyviolation" => &[Class::Policy, Class::Content],
        "blocked" | "requireptr" => &[Class::Reputation],
        // "Rate limited due to reputation" asks us to go slower.
        "badreputation" => &[Class::Reputation, Class::Rate],
        "toomanyconn" | "speeding" | "ratelimited" => &[Class::Rate],
        "spamdetected" => &[Class::SpamBlock],
        "virusdetected" | "contenterror" | "notcompliantrfc" => &[Class::Content],
        "authfailure" => &[Class::Authentication],
        "mesgtoobig" | "exceedlimit" | "emailtoolarge" => &[Class::TooLarge],
        "failedstarttls" => &[Class::Tls],
        // No server's word: the notice's own system did not get through, or is in trouble.
        "expired" | "networkerror" | "systemerror" | "systemfull" | "mailererror" => &[Class::Infrastructure],
        "syntaxerror" => &[Class::Protocol],
        // Sisimai's word for "temporary, of whatever kind".
        "onhold" => &[Class::Infrastructure, Class::Unknown],
        "undefined" => &[Class::Unknown],
        _ => &[],
    }
}

/// Complaints and answers of autoresponders: no replies, and none of this table's matters.
fn is_no_reply(reason: &str) -> bool {
    matches!(reason, "feedback" | "vacation")
}

/// How the table did.
#[derive(Default)]
struct Score {
    /// All, and those of whom a reply was reported.
    recipients: [usize; 2],
    class: [usize; 2],
    hard: [usize; 2],
    misses: Vec<String>,
}

impl Score {
    fn add(&mut self, name: &str, number: usize, expected: &Expected, notice: &Notice) {
        let (reason, hard) = (expected[2].as_str(), expected[3] == "1");
        let counts = if is_no_reply(reason) { [1, 0] } else { [1, 1] };
        let add = |to: &mut [usize; 2], when: bool| {
            to.iter_mut().zip(counts).for_each(|(to, count)| *to += if when { count } else { 0 });
        };
        add(&mut self.recipients, true);
        let (found, class, is_hard) = match notice {
            Notice::NoReply => ("no reply".to_owned(), is_no_reply(reason), false),
            Notice::Said(said) => {
                let statement = &said[number.min(said.len() - 1)];
                match finding(statement) {
                    None => ("accepted".into(), reason == "delivered", false),
                    Some(found) => {
                        (found.class.word().into(), ours(reason).contains(&found.class), found.class.is_hard())
                    }
                }
            }
        };
        add(&mut self.class, class);
        add(&mut self.hard, is_hard == hard);
        let missed = match (class, is_hard == hard) {
            (true, true) => return,
            (false, true) => "class",
            (true, false) => "hard",
            (false, false) => "class, hard",
        };
        self.misses.push(format!("{name} {}: {missed}: {reason} -> {found}", number + 1));
    }
}

/// What the table makes of a statement; nothing of 2yz.
fn finding(statement: &Statement) -> Option<Finding> {
    let Statement { step, code, enhanced, text } = statement;
    let said = Said { step: *step, code: *code, enhanced: *enhanced };
    (code / 100 != 2).then(|| said.of(&plain([text.as_str()].into_iter())))
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "some hundred notices")]
fn real_notices_are_understood() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/bounces"));
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("it is there");
    let expected: std::collections::BTreeMap<String, Vec<Expected>> =
        serde_json::from_str(&text("expected.json")).expect("notices");
    let mut score = Score::default();
    for (name, recipients) in &expected {
        let notice = reading::read(&std::fs::read(folder.join(format!("{name}.eml"))).expect("it is there"));
        recipients.iter().enumerate().for_each(|(number, one)| score.add(name, number, one, &notice));
    }
    println!("{}", score.misses.join("\n"));
    for (of, name) in ["all recipients", "without complaints and autoresponders"].iter().enumerate() {
        let share = |part: [usize; 2]| part[of] as f64 / score.recipients[of] as f64;
        let (class, hard) = (share(score.class), share(score.hard));
        println!("{name} ({}): class {:.1} %, hard or soft {:.1} %", score.recipients[of], class * 100.0, hard * 100.0);
        assert!(class >= 0.90 && hard >= 0.97, "{name}: class {class}, hard or soft {hard}");
    }
    let listed = text("misses.txt");
    let listed = listed.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let listed: Vec<_> = listed.map(|line| line.split_once(" | ").expect("a miss | its reason").0.trim_end()).collect();
    assert_eq!(score.misses, listed, "the list is not what is missed");
}
