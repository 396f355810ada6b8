//! The conversation, without I/O: replies go in, directives come out.
//!
//! ```text
//! Greeting ─▶ Hello ─▶ StartTls ─▶ Handshake ─▶ Hello ─▶ (Auth) ─▶ Idle ⇄ Transaction ─▶ Content ─┐
//!    │           │ └── (TLS not demanded, not offered) ─────────────▶ ▲      ▲  │                │
//!    │           │                                                    └─ Reset ◀┴────────────────┘ ─▶ Transaction (ahead)
//!    └───────────┴──────────▶ Quitting ─▶ Closed ◀── any state on 421, on a fault, on a verdict that ends the session
//! ```
//! With implicit TLS a session begins in Handshake and is greeted after it.
//!
//! Forbidden, and impossible because `open` is the only writer of MAIL and asks: a transaction before the proof satisfies the
//! demand; a second STARTTLS; anything after Closed. AUTH comes from `enter_service` alone, which asks for a proof of the server
//! as well.
//!
//! Two cursors: `unsent` holds commands not yet written, `awaited` those written whose reply is due. With PIPELINING
//! (RFC 2920) MAIL, RCPT and DATA are written together, without it one by one; replies run through the same code.
//!
//! With PIPELINING one transaction may be opened *ahead*: its commands leave with the end of the message before it, or behind RSET,
//! so that a message costs one round trip. Replies come in order, so the one before is settled first, and whoever drives the
//! machine hears that before a word about the one ahead. At most one message is on its way to a reply, and at most one is being
//! opened; no content of the second leaves before [`Directive::Content`] asks for it. Where a session on which a message was settled
//! ends before the server has said a word of the next one, or its first word of one ahead could be about something else, nothing
//! was begun: [`Directive::Back`].

mod opening;
mod transaction;

use super::auth::Exchange;
use super::extensions::Extensions;
use super::verdict::{self, Verdict};
use super::{Framing, IoFault, Policy, Proof, Step};
use crate::mail::Reply;
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
    /// Write the message so, and behind it what [`Machine::leave`] gives.
    Content(Framing),
    /// The open transaction ended so.
    Settled(Verdict),
    /// The session is over, in this way, before it was clear that the server means the open transaction; it was not the first.
    Back(Verdict),
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
    /// Names the message whose transaction is open ahead and unanswered.
    ahead: Option<String>,
    /// A message was settled on this session.
    served: bool,
    /// Since then another transaction was opened, and the server has not said a word of it.
    unanswered: bool,
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
            ahead: None,
            served: false,
            unanswered: false,
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
            State::Content => Directive::Content(self.framing()),
            State::Idle => Directive::Idle,
            _ => Directive::Close,
        }
    }

    /// What the peer has proven, once it has.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Says goodbye. A transaction that was opened ahead is left; where a 354 may come to it only by closing, since whatever
    /// follows that would be content.
    pub fn quit(&mut self) {
        let content_is_next = self.state == State::Content || self.awaited.contains(&Step::Data);
        if content_is_next || self.state == State::Closed {
            return self.close();
        }
        self.enter(State::Quitting);
        self.send(Step::Quit, "QUIT\r\n");
    }

    /// The connection broke, timed out, or spoke no SMTP. Once the end of a message was handed over, in part or in whole, nobody
    /// knows how far it got.
    pub fn broke(&mut self, fault: IoFault) {
        let handshaking = self.state == State::Handshake;
        let step = self.awaited.front().copied().or(match self.state {
            // Written in part: the server can't have seen its end.
            State::Content => Some(Step::Data),
            State::Handshake => Some(Step::StartTls),
            State::Idle | State::Transaction | State::Reset => Some(Step::Rset),
            _ => None,
        });
        let verdict = verdict::of_fault(step, fault);
        self.end(if handshaking { verdict.in_handshake() } else { verdict });
        self.close();
    }

    /// The server said this.
    pub fn reply(&mut self, reply: &Reply) {
        let Some(step) = self.awaited.pop_front() else { return self.broke(IoFault::Malformed) };
        if step == Step::Quit {
            return self.close();
        }
        if reply.code == 421 {
            return self.end(verdict::of_reply(step, reply, &self.policy.replies));
        }
        match step {
            // On our way out nothing else matters.
            _ if self.state == State::Quitting => {}
            Step::Greeting | Step::Ehlo | Step::Helo | Step::StartTls | Step::Auth => self.while_opening(step, reply),
            Step::Mail | Step::Rcpt | Step::Data => self.in_transaction(step, reply),
            Step::Content | Step::Chunk => self.after_content(step, reply),
            Step::Rset if reply.is_positive() => self.go_on(),
            Step::Rset => self.end(verdict::of_reply(step, reply, &self.policy.replies)),
            Step::Quit => self.close(),
        }
    }

    /// Ends what is open with `verdict`: the transaction if one is, else the attempt to open the session.
    fn end(&mut self, verdict: Verdict) {
        match self.state {
            // Of the message whose reply is due; the one ahead, if there is one, was not begun, and its owner knows.
            State::Content => self.settled(verdict),
            State::Transaction | State::Reset if self.unanswered || self.ahead.is_some() => {
                self.news.push_back(Directive::Back(verdict));
            }
            State::Transaction => self.settled(verdict),
            State::Closed | State::Quitting | State::Reset => {}
            _ => self.news.push_back(Directive::Failed(verdict)),
        }
        self.close();
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
        (self.ahead, self.unanswered) = (None, false);
        self.enter(State::Closed);
    }

    /// Every change of state passes here.
    fn enter(&mut self, state: State) {
        tracing::trace!(old = ?self.state, new = ?state, "session");
        self.state = state;
    }
}

#[cfg(test)]
mod tests;
