//! The conversation, without I/O: replies go in, directives come out.
//!
//! ```text
//! Greeting ─▶ Hello ─▶ StartTls ─▶ Handshake ─▶ Hello ─▶ (Auth) ─▶ Idle ⇄ Transaction ─▶ Content ─┐
//!    │           │ └── (TLS not demanded, not offered) ─────────────▶ ▲         │                │
//!    │           │                                                    └─ Reset ◀┴────────────────┘
//!    └───────────┴──────────▶ Quitting ─▶ Closed ◀── any state on 421, on a fault, on a verdict that ends the session
//! ```
//! With implicit TLS a session begins in Handshake and is greeted after it.
//!
//! Forbidden, and impossible because `begin` is the only writer of MAIL and asks: a transaction before the proof satisfies the
//! demand; a transaction while another is open; a second STARTTLS; anything after Closed. AUTH comes from `enter_service` alone,
//! which asks for a proof of the server as well.
//!
//! Two cursors: `unsent` holds commands not yet written, `awaited` those written whose reply is due. With PIPELINING
//! (RFC 2920) MAIL, RCPT and DATA are written together, without it one by one; replies run through the same code.

use super::auth::Exchange;
use super::extensions::Extensions;
use super::verdict::{self, Verdict};
use super::{Envelope, IoFault, Policy, Proof, Scope, Step};
use crate::mail::{Demand, Level, Reply, TlsFault};
use std::collections::VecDeque;

/// What the driver does next.
#[derive(PartialEq, Eq)]
pub enum Directive {
    /// Write these octets.
    Write(Vec<u8>),
    /// Read one reply and pass it to [`Machine::reply`].
    Await(Step),
    /// Do the TLS handshake, then call [`Machine::secured`] or [`Machine::tls_failed`].
    Handshake,
    /// Nothing is open: [`Machine::begin`] or [`Machine::quit`].
    Idle,
    /// Write the message, then call [`Machine::content_written`].
    Content,
    /// The open transaction ended so.
    Settled(Verdict),
    /// The session could not be opened.
    Failed(Verdict),
    /// Close the connection.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    StartTls,
    Handshake,
    Auth,
    Idle,
    Transaction,
    Content,
    Reset,
    Quitting,
    Closed,
}

/// One session.
pub struct Machine {
    policy: Policy,
    state: State,
    extensions: Extensions,
    proof: Option<Proof>,
    exchange: Option<Exchange>,
    output: Vec<u8>,
    unsent: VecDeque<(Step, String)>,
    awaited: VecDeque<Step>,
    refused: Option<Verdict>,
    news: VecDeque<Directive>,
}

impl Machine {
    /// A session just connected.
    pub fn new(policy: Policy) -> Machine {
        let implicit_tls = policy.access.implicit_tls;
        Machine {
            policy,
            state: if implicit_tls { State::Handshake } else { State::Greeting },
            extensions: Extensions::default(),
            proof: None,
            exchange: None,
            output: Vec::new(),
            unsent: VecDeque::new(),
            awaited: if implicit_tls { VecDeque::new() } else { VecDeque::from([Step::Greeting]) },
            refused: None,
            news: VecDeque::new(),
        }
    }

    /// What to do next.
    pub fn directive(&mut self) -> Directive {
        if let Some(news) = self.news.pop_front() {
            return news;
        }
        if self.state == State::Closed {
            return Directive::Close;
        }
        if !self.output.is_empty() {
            return Directive::Write(std::mem::take(&mut self.output));
        }
        if let Some(step) = self.awaited.front() {
            return Directive::Await(*step);
        }
        match self.state {
            State::Handshake => Directive::Handshake,
            State::Content => Directive::Content,
            State::Idle => Directive::Idle,
            _ => Directive::Close,
        }
    }

    /// What the peer has proven, once it has.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Opens a transaction; only when the last directive was `Idle`.
    pub fn begin(&mut self, envelope: &Envelope, demand: &Demand) {
        assert_eq!(self.state, State::Idle, "a transaction begins when nothing is open");
        if !self.proof.as_ref().is_some_and(|proof| proof.satisfies(demand)) {
            return self.end(verdict::of_proof());
        }
        let too_large = |most: u64| u64::try_from(envelope.size).is_ok_and(|size| size > most);
        if self.extensions.size.flatten().is_some_and(too_large) {
            return self.end(verdict::of_size());
        }
        if envelope.utf8 && !self.extensions.smtputf8 {
            return self.end(verdict::of_utf8());
        }
        let (mail, rcpt) = self.parameters(envelope);
        self.enter(State::Transaction);
        self.unsent.extend([
            (Step::Mail, format!("MAIL FROM:<{}>{mail}\r\n", envelope.sender)),
            (Step::Rcpt, format!("RCPT TO:<{}>{rcpt}\r\n", envelope.recipient)),
            (Step::Data, "DATA\r\n".to_owned()),
        ]);
        self.write_next();
    }

    /// What is said after the two addresses, as far as the server knows it. A report of non-delivery is asked for with headers
    /// alone (RFC 3461 section 4.3), so that no bounce carries PHI back.
    fn parameters(&self, envelope: &Envelope) -> (String, &'static str) {
        let mut mail = String::new();
        if self.extensions.size.is_some() {
            mail.push_str(&format!(" SIZE={}", envelope.size));
        }
        if self.extensions.dsn {
            mail.push_str(&format!(" RET=HDRS ENVID={}", envelope.id));
        }
        if envelope.utf8 {
            mail.push_str(" SMTPUTF8");
        }
        if envelope.requiretls && self.may_require_tls() {
            mail.push_str(" REQUIRETLS");
        }
        (mail, if self.extensions.dsn { " NOTIFY=FAILURE" } else { "" })
    }

    /// Whether this server can be held to REQUIRETLS: it says so inside TLS, and it has proven to be the host that the domain's
    /// mail goes to (RFC 8689 section 4.2.1).
    fn may_require_tls(&self) -> bool {
        let authenticated = Demand::new(Level::Authenticated);
        self.extensions.requiretls && self.proof.as_ref().is_some_and(|proof| proof.satisfies(&authenticated))
    }

    /// The message and its final dot were handed to the socket.
    pub fn content_written(&mut self) {
        assert_eq!(self.state, State::Content, "content follows 354");
        self.awaited.push_back(Step::Content);
    }

    /// The message could not be written because we could not record that it leaves. The session is closed in mid-message,
    /// so that the server throws it away.
    pub fn content_withheld(&mut self) {
        self.end(verdict::of_store());
    }

    /// Says goodbye; only when the last directive was `Idle`.
    pub fn quit(&mut self) {
        self.enter(State::Quitting);
        self.send(Step::Quit, "QUIT\r\n");
    }

    /// TLS is up, and this is what it proved.
    pub fn secured(&mut self, proof: Proof) {
        assert_eq!(self.state, State::Handshake, "TLS follows 220 to STARTTLS");
        // RFC 3207 section 4.2: what was learned before TLS is forgotten.
        self.extensions = Extensions::default();
        self.proof = Some(proof);
        if self.policy.access.implicit_tls {
            self.enter(State::Greeting);
            self.awaited.push_back(Step::Greeting);
        } else {
            self.hello();
        }
    }

    /// TLS did not come up.
    pub fn tls_failed(&mut self, fault: TlsFault) {
        self.end(verdict::of_tls(fault));
    }

    /// The connection broke, timed out, or spoke no SMTP.
    pub fn broke(&mut self, fault: IoFault) {
        let handshaking = self.state == State::Handshake;
        let step = self.awaited.front().copied().or(match self.state {
            // Written in part: the server can't have seen the final dot.
            State::Content => Some(Step::Data),
            State::Handshake => Some(Step::StartTls),
            State::Idle | State::Transaction | State::Reset => Some(Step::Rset),
            _ => None,
        });
        let verdict = verdict::of_fault(step, fault);
        self.end(if handshaking { verdict.in_handshake() } else { verdict });
        self.close();
    }

    /// The connection broke while the last octets of the message were being handed over: nobody knows how far they got.
    pub fn broke_at_the_end(&mut self, fault: IoFault) {
        self.end(verdict::of_fault(Some(Step::Content), fault));
        self.close();
    }

    /// The server said this.
    pub fn reply(&mut self, reply: &Reply) {
        let Some(step) = self.awaited.pop_front() else { return self.broke(IoFault::Malformed) };
        if reply.code == 421 && step != Step::Quit {
            return self.end(verdict::of_reply(step, reply));
        }
        match step {
            Step::Greeting if reply.code == 220 => self.hello(),
            Step::Ehlo if reply.is_positive() => self.offered(Extensions::read(reply)),
            Step::Helo if reply.is_positive() => self.offered(Extensions::default()),
            // RFC 5321 section 4.1.1.1: a server that doesn't know EHLO; without extensions there is no TLS either. Any other
            // refusal is about us, and says nothing of TLS.
            Step::Ehlo if matches!(reply.code, 500 | 502) && self.proof.is_none() => {
                if self.policy.demand.level() == Level::Opportunistic {
                    self.send_hello(Step::Helo, "HELO");
                } else {
                    self.tls_failed(TlsFault::NoStartTls);
                }
            }
            Step::StartTls if reply.code == 220 => self.enter(State::Handshake),
            Step::StartTls if self.policy.demand.level() == Level::Opportunistic => self.settle_for_clear(),
            Step::StartTls => self.tls_failed(TlsFault::StartTlsRefused),
            Step::Auth => self.in_exchange(reply),
            Step::Mail | Step::Rcpt | Step::Data => self.in_transaction(step, reply),
            Step::Content => self.after_content(reply),
            Step::Rset if reply.is_positive() => self.enter(State::Idle),
            Step::Rset | Step::Quit => self.close(),
            Step::Greeting | Step::Ehlo | Step::Helo => self.end(verdict::of_reply(step, reply)),
        }
    }

    fn offered(&mut self, extensions: Extensions) {
        self.extensions = extensions;
        let wants_tls = self.proof.is_none() && !self.policy.avoid_tls;
        if wants_tls && self.extensions.starttls {
            self.enter(State::StartTls);
            self.send(Step::StartTls, "STARTTLS\r\n");
        } else if self.proof.is_some() {
            self.enter_service();
        } else if self.policy.demand.level() == Level::Opportunistic {
            self.settle_for_clear();
        } else {
            self.tls_failed(TlsFault::NoStartTls);
        }
    }

    fn settle_for_clear(&mut self) {
        self.proof = Some(Proof::clear());
        self.enter(State::Idle);
    }

    /// Greeted inside TLS: who we are comes first, where the server asks. It learns that only once it is proven.
    fn enter_service(&mut self) {
        let Some(login) = &self.policy.access.login else { return self.enter(State::Idle) };
        if !self.proof.as_ref().is_some_and(|proof| proof.satisfies(&Demand::new(Level::Verified))) {
            return self.end(verdict::of_proof());
        }
        match Exchange::begin(login, &self.extensions.auth) {
            Some((exchange, line)) => {
                self.exchange = Some(exchange);
                self.enter(State::Auth);
                self.send(Step::Auth, &line);
            }
            None => self.end(verdict::of_auth("auth_not_offered")),
        }
    }

    fn in_exchange(&mut self, reply: &Reply) {
        let Some(exchange) = &mut self.exchange else { return self.broke(IoFault::Malformed) };
        match reply.code {
            334 => match exchange.answer(&reply.text()) {
                Some(line) => self.send(Step::Auth, &line),
                None => self.end(verdict::of_auth("auth_broken")),
            },
            // In SCRAM a server that says yes without having proven itself is not the one that knows the password.
            235 if exchange.is_done() => {
                self.exchange = None;
                self.enter(State::Idle);
            }
            235 => self.end(verdict::of_auth("auth_broken")),
            _ => self.end(verdict::of_reply(Step::Auth, reply)),
        }
    }

    /// The first refusal decides; what follows it in the pipeline only has to be read. DATA accepted after a refusal gets a
    /// lone dot, whose 250 is no delivery (RFC 2920 section 3.1).
    fn in_transaction(&mut self, step: Step, reply: &Reply) {
        let accepted = if step == Step::Data { reply.code == 354 } else { reply.is_positive() };
        if !accepted && self.refused.is_none() {
            let relays = self.policy.access.relays;
            let verdict = if relays { verdict::of_relay(step, reply) } else { verdict::of_reply(step, reply) };
            self.refused = Some(verdict);
            self.unsent.clear();
        }
        if step == Step::Data && accepted {
            if self.refused.is_none() {
                return self.enter(State::Content);
            }
            return self.send(Step::Content, ".\r\n");
        }
        self.write_next();
        if self.awaited.is_empty() {
            self.end_refused();
        }
    }

    fn after_content(&mut self, reply: &Reply) {
        match self.refused.is_some() {
            true => self.end_refused(),
            false => {
                let verdict = verdict::of_reply(Step::Content, reply);
                let goes_on = verdict.scope == Scope::Message;
                self.news.push_back(Directive::Settled(verdict));
                if goes_on { self.enter(State::Idle) } else { self.close() }
            }
        }
    }

    fn end_refused(&mut self) {
        let Some(verdict) = self.refused.take() else { return };
        if verdict.scope == Scope::Message {
            self.news.push_back(Directive::Settled(verdict));
            self.enter(State::Reset);
            self.send(Step::Rset, "RSET\r\n");
        } else {
            self.end(verdict);
        }
    }

    /// Ends what is open with `verdict`: the transaction if one is, else the attempt to open the session.
    fn end(&mut self, verdict: Verdict) {
        match self.state {
            State::Closed | State::Quitting | State::Reset => {}
            State::Idle if verdict.scope == Scope::Message => {
                self.news.push_back(Directive::Settled(verdict));
                return;
            }
            State::Transaction | State::Content => {
                let verdict = self.refused.take().unwrap_or(verdict);
                self.news.push_back(Directive::Settled(verdict));
            }
            _ => self.news.push_back(Directive::Failed(verdict)),
        }
        self.close();
    }

    fn hello(&mut self) {
        self.send_hello(Step::Ehlo, "EHLO");
    }

    fn send_hello(&mut self, step: Step, verb: &str) {
        self.enter(State::Hello);
        let line = format!("{verb} {}\r\n", self.policy.ehlo);
        self.send(step, &line);
    }

    fn write_next(&mut self) {
        while let Some((step, line)) = self.unsent.pop_front() {
            self.send(step, &line);
            if !self.extensions.pipelining {
                break;
            }
        }
    }

    fn send(&mut self, step: Step, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.awaited.push_back(step);
    }

    fn close(&mut self) {
        self.unsent.clear();
        self.awaited.clear();
        self.output.clear();
        self.enter(State::Closed);
    }

    /// Every change of state passes here.
    fn enter(&mut self, state: State) {
        tracing::trace!(old = ?self.state, new = ?state, "session");
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{MxTrust, Peer, Tlsa};
    use crate::smtp::{Access, Fate, ReplyParser};
    use proptest::prelude::*;

    fn machine(level: Level) -> Machine {
        let demand = Demand::new(level);
        Machine::new(policy(demand, Access::default()))
    }

    fn policy(demand: Demand, access: Access) -> Policy {
        let (tlsa, mx_trust) = (Tlsa::Absent, MxTrust::Plain);
        Policy { ehlo: "us.example".into(), demand, tlsa, mx_trust, avoid_tls: false, looked_at: false, access }
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
        assert!(matches!(run(&mut lock_step, &["354 go\r\n"]).1, Directive::Content));
    }

    #[test]
    fn a_refusal_in_the_pipeline_reads_every_reply_and_resets() {
        let mut machine = idle("250-PIPELINING\r\n250-SIZE 5000\r\n");
        begin(&mut machine);
        let (written, end) = run(&mut machine, &["250 ok\r\n", "550 5.1.1 no\r\n", "503 no recipients\r\n"]);
        assert!(written.contains(" SIZE=1000\r\n"), "{written}");
        assert!(
            matches!(end, Directive::Settled(verdict) if verdict.fate == Fate::Bounced && verdict.code == Some(550))
        );
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
            let expected =
                if said { "MAIL FROM:<s@us.example> REQUIRETLS\r\n" } else { "MAIL FROM:<s@us.example>\r\n" };
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
            run(&mut knows, &[])
                .0
                .starts_with("MAIL FROM:<s@us.example> SMTPUTF8\r\nRCPT TO:<δοκιμή@them.example>\r\n")
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
            let verdict = verdict::of_relay(step, &reply(text));
            assert_eq!((verdict.fate, verdict.scope, verdict.reason), (fate, scope, reason), "{text}");
        }
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
            prop_assert!(!matches!(end, Directive::Idle | Directive::Content));
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
                    Directive::Content => machine.content_written(),
                    Directive::Settled(_) => settled += 1,
                    Directive::Idle | Directive::Close => break,
                    Directive::Failed(_) => prop_assert!(false, "the session was open"),
                    Directive::Handshake => prop_assert!(false, "TLS was not offered"),
                }
            }
            prop_assert_eq!(settled, 1);
        }
    }
}
