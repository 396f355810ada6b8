//! One message ahead: what is said when.

use super::*;

pub(super) const CHUNKS: &str = "250-PIPELINING\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n";
pub(super) const DOTS: &str = "250-PIPELINING\r\n";

pub(super) fn letter(number: usize) -> Envelope {
    let (sender, recipient) = (format!("s{number}@us.example"), format!("r{number}@them.example"));
    Envelope { sender, recipient, id: format!("token{number}"), ..envelope() }
}

pub(super) fn anyone() -> Demand {
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
