//! One message ahead, and a server that answers what it is told: every message is accounted for.

use super::pipeline::{CHUNKS, DOTS, anyone, letter};
use super::*;
use crate::smtp::IoFault;
use std::collections::VecDeque;

/// What a server does at a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whim {
    /// Says yes if it can.
    Yes,
    No,
    /// Says no, and says so again.
    NoTwice,
    Later,
    /// Says yes, and says so again.
    Twice,
    Closing,
    OutOfStep,
    /// Does it, and closes before it says so.
    Cut,
}

fn whim() -> impl Strategy<Value = Whim> {
    prop_oneof![
        30 => Just(Whim::Yes),
        3 => Just(Whim::No),
        1 => Just(Whim::NoTwice),
        2 => Just(Whim::Later),
        1 => Just(Whim::Twice),
        1 => Just(Whim::Closing),
        1 => Just(Whim::OutOfStep),
        1 => Just(Whim::Cut),
    ]
}

/// A server: hears what is written, and owes replies in that order.
#[derive(Default)]
struct Server {
    whims: std::vec::IntoIter<Whim>,
    owed: VecDeque<String>,
    gone: bool,
    stuttered: bool,
    /// MAIL was taken.
    sender: bool,
    recipient: Option<usize>,
    /// Whom the last MAIL or RCPT was about.
    about: usize,
    /// 354 was said.
    listening: bool,
    taken: [u8; LETTERS + 1],
    /// It said no for good.
    refused: [bool; LETTERS + 1],
}

const LETTERS: usize = 6;

impl Server {
    fn hear(&mut self, text: &str) {
        for line in text.split_inclusive("\r\n") {
            let address = ["MAIL FROM:<s", "RCPT TO:<r"].into_iter().find_map(|command| line.strip_prefix(command));
            self.about = address.and_then(|rest| rest.split('@').next()?.parse().ok()).unwrap_or(self.about);
            match line.get(..4).unwrap_or(line) {
                "MAIL" => self.sender = self.answer("250 2.1.0 ok"),
                "RCPT" if !self.sender => self.owes("503 5.5.1 who are you?"),
                "RCPT" if self.answer("250 2.1.5 ok") => self.recipient = Some(self.about),
                "RCPT" => {}
                // RFC 2920 section 3.1: some take DATA without a recipient.
                "DATA" => self.listening = self.answer("354 go on"),
                "RSET" => {
                    self.answer("250 2.0.0 ok");
                    (self.sender, self.recipient) = (false, None);
                }
                // An empty message is nobody's.
                ".\r\n" => {
                    (self.sender, self.recipient, self.listening) = (false, None, false);
                    self.owes("250 2.0.0 if you like");
                }
                _ => panic!("no command: {line}"),
            }
        }
    }

    /// The end of a message.
    fn message(&mut self) {
        (self.sender, self.listening) = (false, false);
        match self.recipient.take() {
            Some(number) if self.answer("250 2.0.0 taken") => self.taken[number] += 1,
            Some(_) => {}
            None => self.owes("503 5.5.1 for whom?"),
        }
    }

    /// Whether it did what it was told to.
    fn answer(&mut self, yes: &str) -> bool {
        let whim = self.whims.next().unwrap_or(Whim::Yes);
        if self.gone {
            return false;
        }
        match whim {
            Whim::Yes => self.owes(yes),
            Whim::No | Whim::NoTwice => {
                self.refused[self.about] = true;
                self.owes("550 5.7.1 no");
                if whim == Whim::NoTwice && !std::mem::replace(&mut self.stuttered, true) {
                    self.owes("550 5.7.1 no");
                }
            }
            Whim::Later => self.owes("450 4.2.1 later"),
            // One lie is enough.
            Whim::Twice if self.stuttered => self.owes(yes),
            Whim::Twice => {
                self.stuttered = true;
                self.owes(yes);
                self.owes(yes);
            }
            Whim::Closing => {
                self.owes("421 4.3.2 closing");
                self.gone = true;
            }
            Whim::OutOfStep => self.owes("503 5.5.1 what?"),
            Whim::Cut => self.gone = true,
        }
        matches!(whim, Whim::Yes | Whim::Twice | Whim::Cut)
    }

    fn owes(&mut self, line: &str) {
        if !self.gone {
            self.owed.push_back(format!("{line}\r\n"));
        }
    }
}

/// Sends letters until there are none or the session is over; gives what became of each of them.
fn talk(extensions: &str, server: &mut Server, hurries: &[bool]) -> Vec<(usize, Option<Fate>)> {
    let mut machine = idle(extensions);
    let (mut ends, mut number, mut begun) = (Vec::new(), 1, false);
    loop {
        match machine.directive() {
            Directive::Idle if number > LETTERS => return ends,
            // What is said unasked ends a session.
            Directive::Idle if !server.owed.is_empty() => return ends,
            Directive::Idle => {
                assert!(!begun, "nothing is open and nothing was said of it");
                machine.begin(&letter(number), &anyone());
                begun = true;
            }
            Directive::Write(octets) => server.hear(&String::from_utf8(octets).expect("ASCII")),
            Directive::Await(_) => match server.owed.pop_front() {
                Some(text) => machine.reply(&reply(&text)),
                None => machine.broke(IoFault::Lost),
            },
            Directive::Content(framing) => {
                assert!(server.stuttered || server.recipient == Some(number), "content for nobody, or for another");
                assert!(server.stuttered || server.listening == (framing == Framing::Dot));
                if hurries[number] && number < LETTERS {
                    machine.open_ahead(&letter(number + 1), &anyone());
                }
                let ahead = machine.leave();
                server.message();
                server.hear(&String::from_utf8(ahead).expect("ASCII"));
            }
            Directive::Settled(verdict) => {
                ends.push((number, Some(verdict.fate)));
                (number, begun) = (number + 1, false);
                if !machine.is_closed() && number <= LETTERS && (machine.ahead.is_some() || machine.takes_more()) {
                    machine.begin(&letter(number), &anyone());
                    begun = true;
                }
            }
            Directive::Back(_) => ends.push((number, None)),
            Directive::Close => return ends,
            Directive::Failed(_) => assert!(!begun, "the session was open"),
            Directive::Handshake => panic!("TLS was not offered"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    /// A server that answers what it is told, whatever it answers, and even if it says one thing twice: no message is lost, none
    /// is believed to be taken or refused that isn't, and at most one of them is in doubt.
    #[test]
    fn every_message_is_accounted_for(
        extensions in prop_oneof![Just(DOTS), Just(CHUNKS), Just("")],
        whims in proptest::collection::vec(whim(), 0..40),
        hurries in proptest::collection::vec(prop::bool::weighted(0.8), LETTERS + 1),
    ) {
        let mut server = Server { whims: whims.into_iter(), ..Server::default() };
        let ends = talk(extensions, &mut server, &hurries);
        prop_assert!(ends.iter().map(|(number, _)| *number).eq(1..=ends.len()), "in order, once: {:?}", ends);
        prop_assert!(ends.iter().filter(|(_, fate)| *fate == Some(Fate::InDoubt)).count() <= 1, "{:?}", ends);
        for number in 1..=LETTERS {
            let fate = ends.get(number - 1).and_then(|(_, fate)| *fate);
            match server.taken[number] {
                0 if fate == Some(Fate::Bounced) => prop_assert!(server.refused[number], "{} was not refused: {:?}", number, ends),
                0 => prop_assert!(fate != Some(Fate::Delivered), "{} was not taken: {:?}", number, ends),
                1 => prop_assert!(matches!(fate, Some(Fate::Delivered | Fate::InDoubt)), "{} was taken: {:?}", number, ends),
                _ => prop_assert!(false, "{} was taken twice", number),
            }
        }
    }
}
