//! From MAIL to the reply to a message, one after the other or one ahead.

use super::{Directive, Machine, State};
use crate::mail::{Demand, Level, Reply};
use crate::smtp::{Envelope, Fate, Framing, Scope, Step, Verdict, verdict};

impl Machine {
    /// Begins with a message, where the last directive was `Idle` or [`takes_more`](Machine::takes_more) says so. If its
    /// transaction was opened ahead, that goes on.
    ///
    /// # Panics
    /// Another message's transaction is open ahead: its recipient must never get this one.
    pub fn begin(&mut self, envelope: &Envelope, demand: &Demand) {
        if let Some(ahead) = &self.ahead {
            assert_eq!(*ahead, envelope.id, "the message that was opened ahead is the next");
            return;
        }
        assert!(self.state == State::Idle || self.takes_more(), "a message begins when nothing is open");
        if let Some(verdict) = self.objection(envelope, demand) {
            let ends = verdict.scope.ends_session();
            self.settled(verdict);
            if ends {
                self.close();
            }
            return;
        }
        self.open(envelope);
        match self.state {
            State::Reset => self.ahead = Some(envelope.id.clone()),
            _ => {
                self.unanswered = self.served;
                self.enter(State::Transaction);
            }
        }
        self.write_next();
    }

    /// To the transaction that is open ahead, or to where one can be begun.
    pub(super) fn go_on(&mut self) {
        self.unanswered = self.ahead.is_some();
        self.enter(if self.unanswered { State::Transaction } else { State::Idle });
    }

    /// Opens the next message's transaction with the end of the one whose content is to leave (RFC 2920 section 3.1), if this
    /// server and this session let us. What stands in its way is said once it is [begun](Machine::begin).
    pub fn open_ahead(&mut self, envelope: &Envelope, demand: &Demand) {
        assert!(self.state == State::Content && self.awaited.is_empty() && self.ahead.is_none(), "one ahead of one");
        if self.pipelines() && self.objection(envelope, demand).is_none() {
            self.open(envelope);
            self.ahead = Some(envelope.id.clone());
        }
    }

    /// The message's last octets leave: what is written behind them. From now on only its reply can tell what became of it.
    pub fn leave(&mut self) -> Vec<u8> {
        assert!(self.state == State::Content && self.awaited.is_empty(), "content leaves once");
        self.awaited.push_back(match self.framing() {
            Framing::Dot => Step::Content,
            Framing::Chunk => Step::Chunk,
        });
        self.write_next();
        std::mem::take(&mut self.output)
    }

    /// The message could not be written because we could not record that it leaves. The session is closed in mid-message,
    /// so that the server throws it away.
    pub fn content_withheld(&mut self) {
        self.end(verdict::of_store());
    }

    /// Whether a message can be opened ahead.
    pub fn pipelines(&self) -> bool {
        self.extensions.pipelining && !self.policy.careful
    }

    /// Whether another message can be begun although replies are due: behind RSET (RFC 2920 section 3.1).
    pub fn takes_more(&self) -> bool {
        self.state == State::Reset && self.pipelines() && self.ahead.is_none()
    }

    pub(super) fn framing(&self) -> Framing {
        if self.extensions.chunks() && !self.policy.careful { Framing::Chunk } else { Framing::Dot }
    }

    /// Why this message can't be sent over this session.
    fn objection(&self, envelope: &Envelope, demand: &Demand) -> Option<Verdict> {
        let too_large = |most: u64| u64::try_from(envelope.size).is_ok_and(|size| size > most);
        if !self.proof.as_ref().is_some_and(|proof| proof.satisfies(demand)) {
            Some(verdict::of_proof())
        } else if self.extensions.size.flatten().is_some_and(too_large) {
            Some(verdict::of_size())
        } else if envelope.utf8 && !self.extensions.smtputf8 {
            Some(verdict::of_utf8())
        } else {
            None
        }
    }

    /// The only writer of MAIL, after [`objection`](Machine::objection) had none.
    fn open(&mut self, envelope: &Envelope) {
        let (mail, rcpt) = self.parameters(envelope);
        self.unsent.extend([
            (Step::Mail, format!("MAIL FROM:<{}>{mail}\r\n", envelope.sender)),
            (Step::Rcpt, format!("RCPT TO:<{}>{rcpt}\r\n", envelope.recipient)),
        ]);
        if self.framing() == Framing::Dot {
            self.unsent.push_back((Step::Data, "DATA\r\n".to_owned()));
        }
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

    /// The first refusal decides; what follows it in the pipeline only has to be read. DATA accepted after a refusal gets a
    /// lone dot, whose 250 is no delivery (RFC 2920 section 3.1).
    pub(super) fn in_transaction(&mut self, step: Step, reply: &Reply) {
        let accepted = if step == Step::Data { reply.code == 354 } else { reply.is_positive() };
        if !accepted && self.refused.is_none() {
            let (relays, words) = (self.policy.access.relays, &self.policy.replies);
            let verdict =
                if relays { verdict::of_relay(step, reply, words) } else { verdict::of_reply(step, reply, words) };
            // Of one ahead a server that lost its step may say anything. What it says for good must be said again, to a session
            // where nothing else can be meant.
            let unsure = self.ahead.is_some() && verdict.fate == Fate::Bounced;
            if unsure || (self.unanswered && verdict.scope == Scope::Session) {
                return self.end(verdict);
            }
            self.refused = Some(verdict);
            self.unsent.clear();
        }
        (self.ahead, self.unanswered) = (None, false);
        if step == Step::Data && accepted {
            if self.refused.is_none() {
                return self.enter(State::Content);
            }
            return self.send(Step::Content, ".\r\n");
        }
        self.write_next();
        if self.awaited.is_empty() {
            match self.refused.is_some() {
                true => self.end_refused(),
                // Without DATA nothing but RCPT stands before the content.
                false => self.enter(State::Content),
            }
        }
    }

    pub(super) fn after_content(&mut self, step: Step, reply: &Reply) {
        if self.refused.is_some() {
            return self.end_refused();
        }
        let verdict = verdict::of_reply(step, reply, &self.policy.replies);
        if verdict.scope.ends_session() {
            return self.end(verdict);
        }
        self.settled(verdict);
        self.go_on();
    }

    fn end_refused(&mut self) {
        let Some(verdict) = self.refused.take() else { return };
        if verdict.scope.ends_session() {
            self.end(verdict);
        } else {
            self.settled(verdict);
            self.enter(State::Reset);
            self.send(Step::Rset, "RSET\r\n");
        }
    }

    /// The first refusal is what became of the message, whatever came after it.
    pub(super) fn settled(&mut self, verdict: Verdict) {
        let verdict = self.refused.take().unwrap_or(verdict);
        self.served = true;
        self.news.push_back(Directive::Settled(verdict));
    }
}
