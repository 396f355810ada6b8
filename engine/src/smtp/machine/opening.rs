//! From the greeting to where a message can be begun: EHLO, STARTTLS, AUTH.

use super::{Machine, State};
use crate::mail::{Demand, Level, Reply, TlsFault};
use crate::smtp::auth::Exchange;
use crate::smtp::extensions::Extensions;
use crate::smtp::{IoFault, Proof, Step, verdict};

impl Machine {
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

    pub(super) fn while_opening(&mut self, step: Step, reply: &Reply) {
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
            _ => self.end(verdict::of_reply(step, reply, &self.policy.replies)),
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
            _ => self.end(verdict::of_reply(Step::Auth, reply, &[])),
        }
    }

    fn hello(&mut self) {
        self.send_hello(Step::Ehlo, "EHLO");
    }

    fn send_hello(&mut self, step: Step, verb: &str) {
        self.enter(State::Hello);
        let line = format!("{verb} {}\r\n", self.policy.ehlo);
        self.send(step, &line);
    }
}
