use super::*;
use crate::mail::{Class, Demand, Level, MxTrust, Peer, Tlsa};
use crate::smtp::{Access, Envelope, Fate, ReplyParser, Scope};
use proptest::prelude::*;

mod pipeline;
mod whims;

fn machine(level: Level) -> Machine {
    let demand = Demand::new(level);
    Machine::new(policy(demand, Access::default()))
}

fn policy(demand: Demand, access: Access) -> Policy {
    let (tlsa, mx_trust) = (Tlsa::Absent, MxTrust::Plain);
    let (avoid_tls, looked_at, careful) = (false, false, false);
    Policy {
        ehlo: "us.example".into(),
        demand,
        tlsa,
        mx_trust,
        avoid_tls,
        looked_at,
        careful,
        access,
        replies: [].into(),
    }
}

/// What a handshake would have proven.
fn proof(level: Level) -> Proof {
    Proof::of_test("mx.them.example", (level >= Level::Verified).then_some(Peer::Pkix), MxTrust::Plain)
}

fn reply(text: &str) -> Reply {
    let mut parser = ReplyParser::default();
    parser.feed(text.as_bytes());
    parser.take().expect("a reply").expect("a whole one")
}

/// Runs until the machine waits for something that is not a reply, answering from `replies`; gives what was written.
fn run(machine: &mut Machine, replies: &[&str]) -> (String, Directive) {
    let (mut written, mut replies) = (String::new(), replies.iter());
    loop {
        match machine.directive() {
            Directive::Write(octets) => written.push_str(&String::from_utf8(octets).expect("ASCII")),
            Directive::Await(step) => match replies.next() {
                Some(text) => machine.reply(&reply(text)),
                None => return (written, Directive::Await(step)),
            },
            other => return (written, other),
        }
    }
}

fn idle(extensions: &str) -> Machine {
    let mut machine = machine(Level::Opportunistic);
    let hello = format!("250-peer\r\n{extensions}250 HELP\r\n");
    let (_, end) = run(&mut machine, &["220 peer\r\n", &hello]);
    assert!(matches!(end, Directive::Idle));
    machine
}

fn envelope() -> Envelope {
    let (sender, recipient) = ("s@us.example".into(), "r@them.example".into());
    Envelope { sender, recipient, size: 1000, id: "token".into(), utf8: false, requiretls: false }
}

fn begin(machine: &mut Machine) {
    machine.begin(&envelope(), &Demand::new(Level::Opportunistic));
}

#[test]
fn pipelined_and_lock_step_write_the_same_commands() {
    let all = "MAIL FROM:<s@us.example>\r\nRCPT TO:<r@them.example>\r\nDATA\r\n";
    let mut pipelined = idle("250-PIPELINING\r\n");
    begin(&mut pipelined);
    assert!(matches!(run(&mut pipelined, &[]), (written, Directive::Await(Step::Mail)) if written == all));
    let mut lock_step = idle("");
    begin(&mut lock_step);
    let ok = "250 ok\r\n";
    assert_eq!(run(&mut lock_step, &[]).0, "MAIL FROM:<s@us.example>\r\n");
    assert_eq!(run(&mut lock_step, &[ok]).0, "RCPT TO:<r@them.example>\r\n");
    assert_eq!(run(&mut lock_step, &[ok]).0, "DATA\r\n");
    assert!(matches!(run(&mut lock_step, &["354 go\r\n"]).1, Directive::Content(Framing::Dot)));
}

#[test]
fn a_refusal_in_the_pipeline_reads_every_reply_and_resets() {
    let mut machine = idle("250-PIPELINING\r\n250-SIZE 5000\r\n");
    begin(&mut machine);
    let (written, end) = run(&mut machine, &["250 ok\r\n", "550 5.1.1 no\r\n", "503 no recipients\r\n"]);
    assert!(written.contains(" SIZE=1000\r\n"), "{written}");
    assert!(matches!(end, Directive::Settled(verdict) if verdict.fate == Fate::Bounced && verdict.code == Some(550)));
    assert!(matches!(run(&mut machine, &[]), (written, Directive::Await(Step::Rset)) if written == "RSET\r\n"));
    assert!(matches!(run(&mut machine, &["250 ok\r\n"]).1, Directive::Idle));
}

#[test]
fn a_lone_dot_for_a_refused_recipient_is_no_delivery() {
    let mut machine = idle("250-PIPELINING\r\n");
    begin(&mut machine);
    let replies = ["250 ok\r\n", "550 5.1.1 no\r\n", "354 go\r\n", "250 taken\r\n"];
    let (written, end) = run(&mut machine, &replies);
    assert!(written.ends_with("DATA\r\n.\r\n"), "{written}");
    assert!(matches!(end, Directive::Settled(verdict) if verdict.fate == Fate::Bounced));
}

#[test]
fn bounces_are_asked_to_carry_headers_alone() {
    let mut machine = idle("250-PIPELINING\r\n250-DSN\r\n");
    begin(&mut machine);
    let (written, _) = run(&mut machine, &[]);
    assert!(written.starts_with("MAIL FROM:<s@us.example> RET=HDRS ENVID=token\r\n"), "{written}");
    assert!(written.contains("RCPT TO:<r@them.example> NOTIFY=FAILURE\r\n"), "{written}");
}

#[test]
fn tls_is_required_of_those_who_offer_it_and_have_proven_whose_mail_they_take() {
    let (pkix, dane) = (Some(Peer::Pkix), Some(Peer::DaneEe));
    let cases = [
        ("250-REQUIRETLS\r\n", pkix, MxTrust::Sts, true, true),
        ("250-REQUIRETLS\r\n", dane, MxTrust::Dnssec, true, true),
        ("250-REQUIRETLS\r\n", pkix, MxTrust::Static, true, true),
        ("250-REQUIRETLS\r\n", pkix, MxTrust::Plain, true, false),
        ("250-REQUIRETLS\r\n", None, MxTrust::Dnssec, true, false),
        ("250-REQUIRETLS\r\n", pkix, MxTrust::Sts, false, false),
        ("", pkix, MxTrust::Sts, true, false),
    ];
    for (offered, peer, mx_trust, requiretls, said) in cases {
        let mut machine = machine(Level::Required);
        // Before TLS anybody could have put the word there.
        let in_clear = "250-peer\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n";
        run(&mut machine, &["220 peer\r\n", in_clear, "220 go\r\n"]);
        machine.secured(Proof::of_test("mx.them.example", peer, mx_trust));
        run(&mut machine, &[&format!("250-peer\r\n{offered}250 HELP\r\n")]);
        machine.begin(&Envelope { requiretls, ..envelope() }, &Demand::new(Level::Required));
        let (written, _) = run(&mut machine, &[]);
        let expected = if said { "MAIL FROM:<s@us.example> REQUIRETLS\r\n" } else { "MAIL FROM:<s@us.example>\r\n" };
        assert_eq!(written, expected, "{offered} {peer:?} {mx_trust:?} {requiretls}");
    }
}

#[test]
fn an_address_outside_ascii_needs_smtputf8() {
    let mut envelope = envelope();
    (envelope.recipient, envelope.utf8) = ("δοκιμή@them.example".into(), true);
    let mut knows = idle("250-PIPELINING\r\n250-SMTPUTF8\r\n");
    knows.begin(&envelope, &Demand::new(Level::Opportunistic));
    assert!(
        run(&mut knows, &[]).0.starts_with("MAIL FROM:<s@us.example> SMTPUTF8\r\nRCPT TO:<δοκιμή@them.example>\r\n")
    );
    let mut does_not = idle("250-PIPELINING\r\n");
    does_not.begin(&envelope, &Demand::new(Level::Opportunistic));
    let end = run(&mut does_not, &[]).1;
    assert!(matches!(end, Directive::Settled(verdict) if verdict.reason == "no_smtputf8"));
    assert!(matches!(run(&mut does_not, &[]), (nothing, Directive::Idle) if nothing.is_empty()));
}

fn relay(implicit_tls: bool) -> Machine {
    let login = Some(crate::smtp::Login { user: "acme".into(), password: "secret".to_owned().into() });
    let access = Access { implicit_tls, relays: true, login, certificate: false };
    Machine::new(policy(Demand::new(Level::Verified), access))
}

#[test]
fn a_login_follows_tls_and_goes_before_mail() {
    let mut machine = relay(true);
    assert!(matches!(run(&mut machine, &[]).1, Directive::Handshake), "nothing is said before TLS");
    machine.secured(proof(Level::Verified));
    let (written, end) = run(&mut machine, &["220 peer\r\n", "250-peer\r\n250 AUTH PLAIN\r\n"]);
    assert_eq!(written, "EHLO us.example\r\nAUTH PLAIN AGFjbWUAc2VjcmV0\r\n");
    assert!(matches!(end, Directive::Await(Step::Auth)));
    assert!(matches!(run(&mut machine, &["235 welcome\r\n"]).1, Directive::Idle));
    begin(&mut machine);
    let end = run(&mut machine, &["553 5.7.1 not your address\r\n"]).1;
    let Directive::Settled(verdict) = end else { panic!("settled") };
    assert_eq!((verdict.fate, verdict.scope, verdict.reason), (Fate::Deferred, Scope::Site, "sender_refused"));
}

#[test]
fn what_a_relay_says_of_one_message_ends_that_message() {
    let cases = [
        (Step::Mail, "552 5.3.4 too large\r\n", Fate::Bounced, Scope::Message, ""),
        (Step::Mail, "555 no such parameter\r\n", Fate::Bounced, Scope::Message, ""),
        (Step::Mail, "550 5.7.1 not you\r\n", Fate::Deferred, Scope::Site, "sender_refused"),
        (Step::Rcpt, "554 5.7.1 relay access denied\r\n", Fate::Deferred, Scope::Message, "relay_denied"),
        (Step::Rcpt, "550 5.1.1 no such user\r\n", Fate::Bounced, Scope::Message, ""),
    ];
    for (step, text, fate, scope, reason) in cases {
        let verdict = verdict::of_relay(step, &reply(text), &[]);
        assert_eq!((verdict.fate, verdict.scope, verdict.reason), (fate, scope, reason), "{text}");
    }
}

#[test]
fn what_a_relay_says_of_our_pace_is_no_configuration() {
    for text in ["550 5.7.1 too many messages, slow down\r\n", "451 4.7.1 rate limit\r\n"] {
        for step in [Step::Mail, Step::Rcpt, Step::Content] {
            let verdict = verdict::of_relay(step, &reply(text), &[]);
            assert_eq!((verdict.fate, verdict.scope), (Fate::Deferred, Scope::Pace), "{} {text}", step.word());
        }
    }
}

#[test]
fn a_session_goes_on_after_a_refusal_for_our_pace() {
    for (replies, fate) in [
        (["250 ok\r\n", "452 4.7.1 rate limit\r\n"], Fate::Deferred),
        (["250 ok\r\n", "550 5.7.28 mail flood\r\n"], Fate::Deferred),
    ] {
        let mut machine = idle("");
        begin(&mut machine);
        let Directive::Settled(verdict) = run(&mut machine, &replies).1 else { panic!("settled") };
        assert_eq!((verdict.fate, verdict.scope, verdict.class), (fate, Scope::Pace, Class::Rate));
        let (written, end) = run(&mut machine, &["250 ok\r\n"]);
        assert_eq!((written.as_str(), end == Directive::Idle), ("RSET\r\n", true));
    }
}

#[test]
fn a_session_that_421_closes_says_that_it_was_our_pace() {
    let mut machine = idle("");
    begin(&mut machine);
    let Directive::Settled(verdict) = run(&mut machine, &["421 4.7.0 [TSS04] unexpected volume\r\n"]).1 else {
        panic!("settled")
    };
    assert_eq!((verdict.fate, verdict.scope), (Fate::Deferred, Scope::Pace));
    assert!(run(&mut machine, &[]).1 == Directive::Close);
}

#[test]
fn a_login_that_fails_waits_for_the_operator() {
    let hello = "250-peer\r\n250 AUTH PLAIN LOGIN\r\n";
    let cases: [(&[&str], &str); 4] = [
        (&[hello, "535 5.7.8 no\r\n"], "auth_refused"),
        (&[hello, "454 4.7.0 later\r\n"], "auth_deferred"),
        (&["250 peer\r\n"], "auth_not_offered"),
        (&[hello, "334 what?\r\n"], "auth_broken"),
    ];
    for (replies, reason) in cases {
        let mut machine = relay(false);
        run(&mut machine, &["220 peer\r\n", "250-peer\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n", "220 go\r\n"]);
        machine.secured(proof(Level::Verified));
        let Directive::Failed(verdict) = run(&mut machine, replies).1 else { panic!("{reason}") };
        assert_eq!((verdict.fate, verdict.scope, verdict.reason), (Fate::Deferred, Scope::Site, reason));
    }
}

/// Codes that lead somewhere, and others.
fn likely_code() -> impl Strategy<Value = u16> {
    prop_oneof![4 => Just(220_u16), 4 => Just(250_u16), 1 => Just(334_u16), 1 => Just(235_u16), 1 => 200_u16..600]
}

proptest! {
    /// Whatever a server says, it learns neither user nor password before it is proven.
    #[test]
    fn no_login_without_proof(
        proven in prop_oneof![Just(None), Just(Some(Level::Required))],
        replies in proptest::collection::vec((likely_code(), prop_oneof![Just("STARTTLS"), Just("AUTH PLAIN LOGIN")]), 0..8),
    ) {
        let mut machine = relay(false);
        let texts: Vec<_> = replies.iter().map(|(code, word)| format!("{code}-peer\r\n{code} {word}\r\n")).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let (mut written, end) = run(&mut machine, &texts);
        if let (Some(level), Directive::Handshake) = (proven, end) {
            machine.secured(proof(level));
            written += &run(&mut machine, &["250-peer\r\n250 AUTH PLAIN\r\n", "235 yes\r\n"]).0;
        }
        prop_assert!(!written.contains("AUTH"), "{}", written);
    }
}

proptest! {
    /// Whatever a server says in clear, nothing of a message is said to it where TLS is demanded.
    #[test]
    fn no_mail_without_proof(
        level in prop_oneof![Just(Level::Required), Just(Level::Verified)],
        replies in proptest::collection::vec((likely_code(), prop_oneof![Just("STARTTLS"), Just("PIPELINING"), Just("x")]), 0..12),
    ) {
        let mut machine = machine(level);
        let texts: Vec<_> = replies.iter().map(|(code, word)| format!("{code}-peer\r\n{code} {word}\r\n")).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let (written, end) = run(&mut machine, &texts);
        prop_assert!(!written.contains("MAIL") && !written.contains("RCPT") && !written.contains("DATA"));
        prop_assert!(!matches!(end, Directive::Idle | Directive::Content(_)));
    }

    /// However a conversation goes, a transaction is settled once and the session ends closed or idle.
    #[test]
    fn settled_once(pipelining: bool, replies in proptest::collection::vec(200_u16..600, 0..12)) {
        let mut machine = idle(if pipelining { "250-PIPELINING\r\n" } else { "" });
        begin(&mut machine);
        let mut codes = replies.into_iter();
        let mut settled = 0;
        loop {
            match machine.directive() {
                Directive::Write(_) => {}
                Directive::Await(_) => match codes.next() {
                    Some(code) => machine.reply(&reply(&format!("{code} x\r\n"))),
                    None => machine.broke(IoFault::Lost),
                },
                Directive::Content(_) => assert!(machine.leave().is_empty()),
                Directive::Settled(_) => settled += 1,
                Directive::Idle | Directive::Close => break,
                Directive::Failed(_) => prop_assert!(false, "the session was open"),
                Directive::Back(_) => prop_assert!(false, "nothing was ahead"),
                Directive::Handshake => prop_assert!(false, "TLS was not offered"),
            }
        }
        prop_assert_eq!(settled, 1);
    }
}
