//! The conversation, without I/O: replies go in, directives come out.
//!
//! ```text
//! Greeting ─▶ Hello ─▶ StartTls ─▶ Handshake ─▶ Hello ─▶ Idle ⇄ Transaction ─▶ Content ─┐
//!    │           │ └── (TLS not demanded, not offered) ──▶ ▲           │                │
//!    │           │                                         └─ Reset ◀──┴────────────────┘
//!    └───────────┴──────────▶ Quitting ─▶ Closed ◀── any state on 421, on a fault, on a verdict that ends the session
//! ```
//! Forbidden, and impossible because `begin` is the only writer of MAIL and asks: a transaction before the proof satisfies the
//! demand; a transaction while another is open; a second STARTTLS; anything after Closed.
//!
//! Two cursors: `unsent` holds commands not yet written, `awaited` those written whose reply is due. With PIPELINING
//! (RFC 2920) MAIL, RCPT and DATA are written together, without it one by one; replies run through the same code.

use super::extensions::Extensions;
use super::verdict::{self, Verdict};
use super::{IoFault, Proof, Scope, Step};
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

/// What a session is opened for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Our name.
    pub ehlo: String,
    /// What must hold before MAIL FROM.
    pub demand: Demand,
    /// Drop where STARTTLS is missing.
    pub exclusive: bool,
    /// Don't try STARTTLS: it failed here before and is not demanded.
    pub avoid_tls: bool,
}

/// MAIL FROM and RCPT TO of one message.
#[derive(Clone)]
pub struct Envelope {
    /// The envelope sender.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// Octets of the message on the wire.
    pub size: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    StartTls,
    Handshake,
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
    output: Vec<u8>,
    unsent: VecDeque<(Step, String)>,
    awaited: VecDeque<Step>,
    refused: Option<Verdict>,
    news: VecDeque<Directive>,
}

impl Machine {
    /// A session just connected.
    pub fn new(policy: Policy) -> Machine {
        Machine {
            policy,
            state: State::Greeting,
            extensions: Extensions::default(),
            proof: None,
            output: Vec::new(),
            unsent: VecDeque::new(),
            awaited: VecDeque::from([Step::Greeting]),
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
    pub fn begin(&mut self, envelope: &Envelope, demand: Demand) {
        debug_assert_eq!(self.state, State::Idle);
        if !self.proof.as_ref().is_some_and(|proof| proof.satisfies(demand)) {
            return self.end(verdict::of_proof());
        }
        let too_large = |most: u64| u64::try_from(envelope.size).is_ok_and(|size| size > most);
        if self.extensions.size.flatten().is_some_and(too_large) {
            return self.end(verdict::of_size());
        }
        let size = if self.extensions.size.is_some() { format!(" SIZE={}", envelope.size) } else { String::new() };
        self.enter(State::Transaction);
        self.unsent.extend([
            (Step::Mail, format!("MAIL FROM:<{}>{size}\r\n", envelope.sender)),
            (Step::Rcpt, format!("RCPT TO:<{}>\r\n", envelope.recipient)),
            (Step::Data, "DATA\r\n".to_owned()),
        ]);
        self.write_next();
    }

    /// The message and its final dot were handed to the socket.
    pub fn content_written(&mut self) {
        debug_assert_eq!(self.state, State::Content);
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
        debug_assert_eq!(self.state, State::Handshake);
        // RFC 3207 section 4.2: what was learned before TLS is forgotten.
        self.extensions = Extensions::default();
        self.proof = Some(proof);
        self.hello();
    }

    /// TLS did not come up.
    pub fn tls_failed(&mut self, fault: TlsFault) {
        self.end(verdict::of_tls(fault, self.policy.exclusive));
    }

    /// The connection broke, timed out, or spoke no SMTP.
    pub fn broke(&mut self, fault: IoFault) {
        let step = self.awaited.front().copied().or(match self.state {
            // Written in part: the server can't have seen the final dot.
            State::Content => Some(Step::Data),
            State::Handshake => Some(Step::StartTls),
            State::Idle | State::Transaction | State::Reset => Some(Step::Rset),
            _ => None,
        });
        self.end(verdict::of_fault(step, fault));
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
        if wants_tls && extensions.starttls {
            self.enter(State::StartTls);
            self.send(Step::StartTls, "STARTTLS\r\n");
        } else if self.proof.is_some() {
            self.enter(State::Idle);
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

    /// The first refusal decides; what follows it in the pipeline only has to be read. DATA accepted after a refusal gets a
    /// lone dot, whose 250 is no delivery (RFC 2920 section 3.1).
    fn in_transaction(&mut self, step: Step, reply: &Reply) {
        let accepted = if step == Step::Data { reply.code == 354 } else { reply.is_positive() };
        if !accepted && self.refused.is_none() {
            self.refused = Some(verdict::of_reply(step, reply));
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
