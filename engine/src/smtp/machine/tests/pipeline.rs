//! One message ahead: what is said when, and that every message is accounted for whatever a server does.

use super::*;

const CHUNKS: &str = "250-PIPELINING\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n";
const DOTS: &str = "250-PIPELINING\r\n";

fn letter(number: usize) -> Envelope {
    let (sender, recipient) = (format!("s{number}@us.example"), format!("r{number}@them.example"));
    Envelope { sender, recipient, id: format!("token{number}"), ..envelope() }
}

fn anyone() -> Demand {
    Demand::new(Level::Opportunistic)
}

/// Where the content of letter 1 is asked for.
fn at_content(extensions: &str) -> Machine {
    let mut machine = idle(extensions);
    machine.begin(&letter(1), &anyone());
    let replies = ["250 ok\r\n", "250 ok\r\n", "354 go\r\n"];
    let count = if extensions.contains("CHUNKING") { 2 } else { 3 };
    assert!(matches!(run(&mut machine, &replies[..count]).1, Directive::Content(_)));
    machine
}

/// Where letter 1 has left, and letter 2 is open ahead.
fn one_ahead(extensions: &str) -> Machine {
    let mut machine = at_content(extensions);
    machine.open_ahead(&letter(2), &anyone());
    assert!(!machine.leave().is_empty());
    machine
}

fn fate(end: &Directive) -> Fate {
    let Directive::Settled(verdict) = end else { panic!("settled") };
    verdict.fate
}

#[test]
fn the_next_transaction_leaves_with_the_end_of_a_message() {
    let commands = "MAIL FROM:<s2@us.example>\r\nRCPT TO:<r2@them.example>\r\n";
    let data = format!("{commands}DATA\r\n");
    for (extensions, ahead, replies) in [(DOTS, data.as_str(), 3), (CHUNKS, commands, 2)] {
        let mut machine = at_content(extensions);
        machine.open_ahead(&letter(2), &anyone());
        assert_eq!(machine.leave(), ahead.as_bytes());
        assert_eq!(
            fate(&run(&mut machine, &["250 2.0.0 taken\r\n"]).1),
            Fate::Delivered,
            "the first, before the second"
        );
        machine.begin(&letter(2), &anyone());
        let (written, end) = run(&mut machine, &["250 ok\r\n", "250 ok\r\n", "354 go\r\n"][..replies]);
        assert!(written.is_empty() && matches!(end, Directive::Content(_)), "{written}");
        assert!(machine.leave().is_empty());
        assert_eq!(fate(&run(&mut machine, &["250 2.0.0 taken\r\n"]).1), Fate::Delivered);
        assert!(matches!(run(&mut machine, &[]), (nothing, Directive::Idle) if nothing.is_empty()));
    }
}

#[test]
fn a_message_is_a_chunk_where_replies_say_what_they_are_about() {
    let cases = [
        (CHUNKS, false, Framing::Chunk),
        (CHUNKS, true, Framing::Dot),
        (DOTS, false, Framing::Dot),
        ("250-PIPELINING\r\n250-CHUNKING\r\n", false, Framing::Dot),
        ("250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n", false, Framing::Dot),
    ];
    for (extensions, careful, framing) in cases {
        let mut machine = idle(extensions);
        machine.policy.careful = careful;
        assert_eq!(machine.framing(), framing, "{extensions} {careful}");
    }
}

#[test]
fn nothing_is_opened_ahead_that_the_session_can_not_take() {
    let large = Envelope { size: 5001, ..letter(2) };
    let utf8 = Envelope { utf8: true, ..letter(2) };
    let proven = Demand::new(Level::Verified);
    let cases = [
        ("", false, letter(2), anyone()),
        (DOTS, true, letter(2), anyone()),
        (DOTS, false, letter(2), proven),
        (DOTS, false, utf8, anyone()),
        ("250-PIPELINING\r\n250-SIZE 5000\r\n", false, large, anyone()),
    ];
    for (extensions, careful, next, demand) in cases {
        let mut machine = at_content(extensions);
        machine.policy.careful = careful;
        machine.open_ahead(&next, &demand);
        assert!(machine.leave().is_empty(), "{extensions} {careful} {}", next.size);
        assert_eq!(fate(&run(&mut machine, &["250 taken\r\n"]).1), Fate::Delivered);
        assert!(matches!(run(&mut machine, &[]).1, Directive::Idle));
    }
}

#[test]
fn a_reply_that_ends_the_session_leaves_the_one_ahead_where_it_was() {
    for extensions in [DOTS, CHUNKS] {
        for (reply, expected) in [
            ("421 4.3.2 closing\r\n", Fate::Deferred),
            ("530 5.7.0 who are you\r\n", Fate::Deferred),
            ("354 what\r\n", Fate::InDoubt),
        ] {
            let mut machine = one_ahead(extensions);
            assert_eq!(fate(&run(&mut machine, &[reply]).1), expected, "{reply}");
            assert!(machine.is_closed(), "{reply}: and nothing is said of the second");
        }
        let mut machine = one_ahead(extensions);
        machine.broke(IoFault::Lost);
        assert_eq!(fate(&machine.directive()), Fate::InDoubt);
        assert!(matches!(machine.directive(), Directive::Close));
    }
}

#[test]
fn a_session_that_ends_before_a_word_of_the_one_ahead_gives_it_back() {
    let ends: [(Option<&str>, bool); 4] = [
        (Some("421 4.3.2 enough of you\r\n"), false),
        (Some("503 5.5.1 RSET first\r\n"), true),
        // What it said of the first, perhaps.
        (Some("554 5.7.1 spam\r\n"), false),
        (None, true),
    ];
    for extensions in [DOTS, CHUNKS] {
        for (reply, lost_step) in ends {
            let mut machine = one_ahead(extensions);
            run(&mut machine, &["250 taken\r\n"]);
            machine.begin(&letter(2), &anyone());
            let end = match reply {
                Some(reply) => run(&mut machine, &[reply]).1,
                None => {
                    machine.broke(IoFault::TimedOut);
                    machine.directive()
                }
            };
            let Directive::Back(verdict) = end else { panic!("{reply:?}") };
            assert_eq!(verdict.lost_step(), lost_step, "{reply:?}");
            assert!(matches!(machine.directive(), Directive::Close));
        }
        // The same where it was not ahead, but not the session's first either.
        let mut machine = at_content(extensions);
        machine.leave();
        run(&mut machine, &["250 taken\r\n"]);
        machine.begin(&letter(2), &anyone());
        run(&mut machine, &[]);
        machine.broke(IoFault::Lost);
        assert!(matches!(machine.directive(), Directive::Back(_)));
        // One that was answered is settled like any other.
        let mut machine = one_ahead(extensions);
        run(&mut machine, &["250 taken\r\n"]);
        machine.begin(&letter(2), &anyone());
        assert_eq!(fate(&run(&mut machine, &["250 ok\r\n", "421 enough\r\n"]).1), Fate::Deferred);
    }
}

#[test]
fn what_follows_a_refusal_leaves_behind_reset() {
    for (extensions, last) in [(DOTS, "DATA\r\n"), (CHUNKS, "")] {
        let mut machine = one_ahead(extensions);
        run(&mut machine, &["250 taken\r\n"]);
        machine.begin(&letter(2), &anyone());
        let replies = ["250 ok\r\n", "550 5.1.1 nobody\r\n", "503 no recipient\r\n"];
        let end = run(&mut machine, if last.is_empty() { &replies[..2] } else { &replies }).1;
        assert!(fate(&end) == Fate::Bounced && machine.takes_more());
        machine.begin(&letter(3), &anyone());
        let (written, end) = run(&mut machine, &["250 reset\r\n"]);
        assert_eq!(written, format!("RSET\r\nMAIL FROM:<s3@us.example>\r\nRCPT TO:<r3@them.example>\r\n{last}"));
        assert!(matches!(end, Directive::Await(Step::Mail)));
        // A server that will not be reset has not said a word of it.
        let mut machine = at_content(extensions);
        machine.leave();
        run(&mut machine, &["250 taken\r\n"]);
        machine.begin(&letter(2), &anyone());
        run(&mut machine, if last.is_empty() { &replies[..2] } else { &replies });
        machine.begin(&letter(3), &anyone());
        assert!(matches!(run(&mut machine, &["500 what\r\n"]).1, Directive::Back(_)));
    }
}

#[test]
fn one_ahead_that_is_not_to_be_sent_is_left_without_content() {
    // A 354 is on its way: QUIT would be content, and a lone dot a message.
    let mut machine = one_ahead(DOTS);
    run(&mut machine, &["250 taken\r\n"]);
    machine.quit();
    assert!(matches!(run(&mut machine, &[]), (nothing, Directive::Close) if nothing.is_empty()));
    let mut machine = one_ahead(CHUNKS);
    run(&mut machine, &["250 2.0.0 taken\r\n"]);
    machine.quit();
    let (written, end) = run(&mut machine, &["250 ok\r\n", "550 5.1.1 nobody\r\n", "221 bye\r\n"]);
    assert!(written == "QUIT\r\n" && matches!(end, Directive::Close), "{written}");
}

#[test]
#[should_panic(expected = "opened ahead is the next")]
fn no_other_message_goes_to_the_recipient_ahead() {
    let mut machine = one_ahead(CHUNKS);
    run(&mut machine, &["250 2.0.0 taken\r\n"]);
    machine.begin(&letter(3), &anyone());
}

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
