//! What a reply or a failure means. This module alone decides: pipelined or lock-step, first message or last.

use super::Step;
use super::classes::{self, Action, Finding};
use crate::mail::{Class, Enhanced, Reply, TlsFault};
use crate::shaping::ReplyPattern;

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server took responsibility.
    Delivered,
    /// It refused for good.
    Bounced,
    /// Try again later.
    Deferred,
    /// TLS can't be what was demanded: never again (exclusive mode).
    Dropped,
    /// The last octet left and no reply came.
    InDoubt,
}

impl Fate {
    /// Its word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Fate::Delivered => "delivered",
            Fate::Bounced => "bounced",
            Fate::Deferred => "deferred",
            Fate::Dropped => "dropped",
            Fate::InDoubt => "in_doubt",
        }
    }
}

/// How far the verdict reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This message only; the session goes on.
    Message,
    /// The provider wants all of us slower, whatever the message: its row's own attempt is not spent. The session goes on,
    /// unless 421 has closed it.
    Pace,
    /// The session ends; others may do better.
    Session,
    /// Every session to this site would meet the same.
    Site,
    /// Our own machine is at its end: no site said anything, and no row pays for it.
    Machine,
}

impl Scope {
    /// Whether nothing more is sent over the session.
    pub fn ends_session(self) -> bool {
        match self {
            Scope::Message | Scope::Pace => false,
            Scope::Session | Scope::Site | Scope::Machine => true,
        }
    }
}

/// A verdict, with what reports say of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What becomes of the message.
    pub fate: Fate,
    /// How far it reaches.
    pub scope: Scope,
    /// What it is about; unknown of a delivery, too.
    pub class: Class,
    /// The deciding reply's code.
    pub code: Option<u16>,
    /// Its enhanced status code.
    pub enhanced: Option<Enhanced>,
    /// A closed label; empty where the codes say all.
    pub reason: &'static str,
    /// The reply's text; may be PHI.
    pub text: String,
    tls: Option<TlsFault>,
    in_handshake: bool,
}

impl Verdict {
    /// What reports and logs say of it: codes and closed labels, no PHI.
    pub fn why(&self) -> String {
        crate::mail::why(self.code, self.enhanced, self.reason)
    }

    /// Its class; none where nobody refused anything and nothing is known.
    pub fn told_class(&self) -> Option<Class> {
        (self.code.is_some() || self.class != Class::Unknown).then_some(self.class)
    }

    /// Whether a server's reply refused the message, for now or for good.
    pub fn is_refusal(&self) -> bool {
        self.code.is_some() && matches!(self.fate, Fate::Bounced | Fate::Deferred)
    }

    /// Why a row waits: codes, closed label, and behind a tab the class.
    pub fn why_it_waits(&self) -> String {
        match self.told_class() {
            Some(class) => format!("{}\t{class}", self.why()),
            None => self.why(),
        }
    }

    /// How TLS fell short, if that is what stood in the way.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        self.tls
    }

    /// Whether there may be a session without TLS, where none is demanded.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some() || self.in_handshake
    }

    /// Whether the server may have lost its step in a pipeline: it is silent, out of sequence, or makes no sense.
    pub fn lost_step(&self) -> bool {
        let silent = self.fate == Fate::Deferred && self.reason == IoFault::TimedOut.label();
        let senseless = [OUT_OF_STEP, OUT_OF_SEQUENCE, IoFault::Malformed.label()].contains(&self.reason);
        self.scope == Scope::Session && (silent || senseless)
    }

    /// The same, once it was decided what becomes of the row and what the fault is called.
    #[must_use]
    pub fn judged(self, fate: Fate, fault: TlsFault) -> Verdict {
        Verdict { fate, tls: Some(fault), class: Class::Tls, reason: fault.label(), ..self }
    }

    /// It came in the middle of a handshake.
    pub(super) fn in_handshake(self) -> Verdict {
        Verdict { in_handshake: true, ..self }
    }
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Verdict({:?} {:?} {} {:?} {:?} {})",
            self.fate, self.scope, self.class, self.code, self.enhanced, self.reason
        )
    }
}

/// A failure of the network, or of the peer to speak SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoFault {
    /// Nobody listens.
    Refused,
    /// The connection did not open in time, or no reply came in time.
    TimedOut,
    /// The connection closed or broke.
    Lost,
    /// What came is no reply.
    Malformed,
    /// The server broke off because of our certificate, or the lack of one.
    ClientCertificate,
    /// Our own side has no descriptors, memory or ports left for a connection. Only before one is there.
    Exhausted,
    /// The source's address is not, or no longer, one of this machine.
    SourceGone,
}

/// The reason of [`IoFault::Exhausted`].
pub const EXHAUSTED: &str = "out_of_resources";

/// The reasons of verdicts about a server that answers something else than what was said.
const OUT_OF_STEP: &str = "unexpected_reply";
const OUT_OF_SEQUENCE: &str = "out_of_sequence";

impl IoFault {
    fn label(self) -> &'static str {
        match self {
            IoFault::Refused => "connection_refused",
            IoFault::TimedOut => "timed_out",
            IoFault::Lost => "connection_lost",
            IoFault::Malformed => "malformed_reply",
            IoFault::ClientCertificate => "client_certificate_refused",
            IoFault::Exhausted => EXHAUSTED,
            IoFault::SourceGone => "source_address_gone",
        }
    }
}

/// What `reply` to `step` means, said by a server with `words` of its own. Positive replies only have a meaning after the final
/// dot; before it the conversation goes on.
pub(super) fn of_reply(step: Step, reply: &Reply, words: &[ReplyPattern]) -> Verdict {
    let refuses = reply.is_transient() || reply.is_permanent();
    let found = if refuses { classes::of_reply(step, reply, words) } else { Finding::NONE };
    let (fate, scope, reason) = match (step, reply.code) {
        // RFC 5321 section 3.8: 421 may come at any time and closes the session; before the greeting it is the site's word.
        (Step::Greeting | Step::Ehlo | Step::Helo, 421) => (Fate::Deferred, Scope::Site, "service_unavailable"),
        (Step::Greeting | Step::Ehlo | Step::Helo | Step::StartTls, _) => {
            (Fate::Deferred, Scope::Site, "session_refused")
        }
        // RFC 5321 section 4.1.4: out of step. The fault is in the conversation, not in the message.
        (_, 503) => (Fate::Deferred, Scope::Session, OUT_OF_SEQUENCE),
        // RFC 5321 section 4.2.4: a command that it does not know. It must know these, so it heard something else.
        (Step::Mail | Step::Rcpt | Step::Data | Step::Chunk, 500 | 502) => {
            (Fate::Deferred, Scope::Session, OUT_OF_SEQUENCE)
        }
        // Said to all of us and meant for all of us, in the middle of a message: nothing of it is the row's.
        (Step::Mail | Step::Rcpt | Step::Data | Step::Content | Step::Chunk, _)
            if found.action(step) == Action::Slow =>
        {
            (Fate::Deferred, Scope::Pace, "")
        }
        (_, 421) => (Fate::Deferred, Scope::Session, "service_unavailable"),
        // RFC 3207 section 4: the server demands TLS or (RFC 4954) authentication of us, not of this message.
        (_, 530) => (Fate::Deferred, Scope::Site, "session_refused"),
        // RFC 4954 section 6: 454 for now, 535 and the rest until somebody mends it. Never a fault of the message.
        (Step::Auth, 454) => (Fate::Deferred, Scope::Site, "auth_deferred"),
        (Step::Auth, _) => (Fate::Deferred, Scope::Site, "auth_refused"),
        // RFC 8689 section 7.3: nobody behind it can keep the promise that it was asked for.
        (Step::Mail | Step::Rcpt | Step::Data | Step::Content | Step::Chunk, _) if is_about_requiretls(reply) => {
            (Fate::Bounced, Scope::Message, "requiretls_unsupported")
        }
        // A yes to an address (RFC 3463 x.1.z) is no yes to a message: it is the reply to RCPT, come late.
        (Step::Chunk, _) if reply.is_positive() && is_about_address(reply) => {
            (Fate::InDoubt, Scope::Session, OUT_OF_STEP)
        }
        (Step::Content | Step::Chunk, _) if reply.is_positive() => (Fate::Delivered, Scope::Message, ""),
        (Step::Mail | Step::Rcpt, _) if found.action(step) == Action::Suspend => {
            (Fate::Deferred, Scope::Site, "source_refused")
        }
        (_, _) if found.action(step) == Action::Wait => (Fate::Deferred, Scope::Message, ""),
        (Step::Mail, _) if is_about_sender(reply) => (Fate::Bounced, Scope::Message, "sender_refused"),
        (_, _) if reply.is_permanent() => (Fate::Bounced, Scope::Message, ""),
        (_, _) if reply.is_transient() => (Fate::Deferred, Scope::Message, ""),
        // 354 to the final dot, say: nobody knows what the server means to do with the message.
        (Step::Content | Step::Chunk, _) => (Fate::InDoubt, Scope::Session, OUT_OF_STEP),
        // A positive reply where it makes no sense, 250 to DATA say.
        (_, _) => (Fate::Deferred, Scope::Session, OUT_OF_STEP),
    };
    Verdict {
        fate,
        scope,
        class: found.class,
        code: Some(reply.code),
        enhanced: reply.enhanced,
        reason,
        text: reply.text(),
        tls: None,
        in_handshake: false,
    }
}

/// What a broken connection means while the reply to `step` was awaited. After the last octet of a message nobody knows
/// whether the server took it: it is in doubt.
pub(super) fn of_fault(step: Option<Step>, fault: IoFault) -> Verdict {
    let (fate, scope) = match step {
        _ if fault == IoFault::Exhausted => (Fate::Deferred, Scope::Machine),
        Some(Step::Content | Step::Chunk) => (Fate::InDoubt, Scope::Session),
        Some(Step::Mail | Step::Rcpt | Step::Data | Step::Rset | Step::Quit) => (Fate::Deferred, Scope::Session),
        None | Some(Step::Greeting | Step::Ehlo | Step::Helo | Step::StartTls | Step::Auth) => {
            (Fate::Deferred, Scope::Site)
        }
    };
    let class = if fault == IoFault::ClientCertificate { Class::Tls } else { Class::Infrastructure };
    bare(fate, scope, class, fault.label())
}

/// What a TLS fault means: it may mend. Whether it is for good, exclusive mode decides by what the host has shown before.
pub fn of_tls(fault: TlsFault) -> Verdict {
    Verdict { tls: Some(fault), ..bare(Fate::Deferred, Scope::Site, Class::Tls, fault.label()) }
}

/// Nothing can be done at all for now, for this reason of our own machine.
pub fn of_machine(reason: &'static str) -> Verdict {
    bare(Fate::Deferred, Scope::Machine, Class::Unknown, reason)
}

/// We broke off after the last octets of a message, because its server was waited for long enough.
pub fn of_stop() -> Verdict {
    bare(Fate::InDoubt, Scope::Session, Class::Unknown, "stopped")
}

/// Whether a reply says something of an address.
fn is_about_address(reply: &Reply) -> bool {
    matches!(reply.enhanced, Some(Enhanced(_, 1, _)))
}

/// Whether a refusal of MAIL is about who sends, and not about this message: its size (552, x.2.3, x.3.4), a full system
/// (x.2.2), a parameter (555), its alphabet (x.6.7) or how it must travel on (x.7.30).
fn is_about_sender(reply: &Reply) -> bool {
    let about_message = matches!(
        reply.enhanced,
        Some(Enhanced(_, 2, 2 | 3) | Enhanced(_, 3, 4) | Enhanced(_, 6, 7) | Enhanced(_, 7, 30))
    );
    reply.is_permanent() && !matches!(reply.code, 552 | 555) && !about_message
}

/// Whether a refusal says that REQUIRETLS can't be met (RFC 8689 section 7.3).
fn is_about_requiretls(reply: &Reply) -> bool {
    reply.is_permanent() && matches!(reply.enhanced, Some(Enhanced(5, 7, 30)))
}

/// What `reply` to `step` of a smarthost means. What it says of us (our sender, our right to relay: 5.7.0 and 5.7.1 to a
/// recipient) is about our configuration: no message is at fault, and all of them wait for the operator.
pub(super) fn of_relay(step: Step, reply: &Reply, words: &[ReplyPattern]) -> Verdict {
    let verdict = of_reply(step, reply, words);
    match step {
        _ if verdict.scope == Scope::Pace => verdict,
        Step::Mail if is_about_sender(reply) => Verdict { fate: Fate::Deferred, scope: Scope::Site, ..verdict },
        Step::Rcpt if verdict.scope == Scope::Message && matches!(reply.enhanced, Some(Enhanced(5, 7, 0 | 1))) => {
            Verdict { fate: Fate::Deferred, reason: "relay_denied", ..verdict }
        }
        _ => verdict,
    }
}

/// The server offers no AUTH mechanism that we know, or breaks the exchange's rules.
pub(super) fn of_auth(reason: &'static str) -> Verdict {
    bare(Fate::Deferred, Scope::Site, Class::Policy, reason)
}

/// No host of the site has an address to connect to, for this reason.
pub fn of_address(reason: &'static str, transient: bool) -> Verdict {
    let (fate, class) =
        if transient { (Fate::Deferred, Class::Infrastructure) } else { (Fate::Bounced, Class::Domain) };
    bare(fate, Scope::Site, class, reason)
}

/// The server takes no address outside ASCII (RFC 6531 section 3.5).
pub(super) fn of_utf8() -> Verdict {
    bare(Fate::Bounced, Scope::Message, Class::Protocol, "no_smtputf8")
}

/// The message is larger than the server says it takes (RFC 1870 section 6.1).
pub(super) fn of_size() -> Verdict {
    bare(Fate::Bounced, Scope::Message, Class::TooLarge, "too_large")
}

/// The session's proof does not satisfy this message's demand. The pool asks before, so this is the last guard.
pub(super) fn of_proof() -> Verdict {
    bare(Fate::Deferred, Scope::Session, Class::Tls, "proof_insufficient")
}

/// We could not record that the message is about to leave, so it must not leave.
pub(super) fn of_store() -> Verdict {
    bare(Fate::Deferred, Scope::Session, Class::Unknown, "store_unavailable")
}

fn bare(fate: Fate, scope: Scope, class: Class, reason: &'static str) -> Verdict {
    Verdict {
        fate,
        scope,
        class,
        code: None,
        enhanced: None,
        reason,
        text: String::new(),
        tls: None,
        in_handshake: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16) -> Reply {
        Reply { code, enhanced: None, lines: vec![String::new()] }
    }

    #[test]
    fn replies() {
        let cases = [
            (Step::Greeting, 421, Fate::Deferred, Scope::Site),
            (Step::Greeting, 554, Fate::Deferred, Scope::Site),
            (Step::Mail, 451, Fate::Deferred, Scope::Message),
            (Step::Mail, 553, Fate::Bounced, Scope::Message),
            (Step::Mail, 530, Fate::Deferred, Scope::Site),
            (Step::Rcpt, 450, Fate::Deferred, Scope::Message),
            (Step::Rcpt, 550, Fate::Bounced, Scope::Message),
            (Step::Rcpt, 552, Fate::Bounced, Scope::Message),
            (Step::Rcpt, 421, Fate::Deferred, Scope::Session),
            (Step::Data, 503, Fate::Deferred, Scope::Session),
            (Step::Rcpt, 500, Fate::Deferred, Scope::Session),
            (Step::Mail, 502, Fate::Deferred, Scope::Session),
            (Step::Content, 500, Fate::Bounced, Scope::Message),
            (Step::Data, 250, Fate::Deferred, Scope::Session),
            (Step::Content, 250, Fate::Delivered, Scope::Message),
            (Step::Content, 452, Fate::Deferred, Scope::Message),
            (Step::Content, 554, Fate::Bounced, Scope::Message),
            (Step::Content, 421, Fate::Deferred, Scope::Session),
            (Step::Content, 354, Fate::InDoubt, Scope::Session),
            (Step::Chunk, 250, Fate::Delivered, Scope::Message),
            (Step::Chunk, 452, Fate::Deferred, Scope::Message),
            (Step::Chunk, 554, Fate::Bounced, Scope::Message),
            (Step::Chunk, 502, Fate::Deferred, Scope::Session),
            (Step::Chunk, 503, Fate::Deferred, Scope::Session),
            (Step::Chunk, 354, Fate::InDoubt, Scope::Session),
        ];
        for (step, code, fate, scope) in cases {
            let verdict = of_reply(step, &reply(code), &[]);
            assert_eq!((verdict.fate, verdict.scope), (fate, scope), "{} {code}", step.word());
        }
    }

    #[test]
    fn what_is_said_to_all_of_us_is_no_fault_of_a_row() {
        let text = |code, text: &str| Reply { lines: vec![text.to_owned()], ..reply(code) };
        let listed = "Client host [192.0.2.1] blocked using zen.spamhaus.org";
        let cases = [
            (Step::Greeting, 421, "too many connections", Fate::Deferred, Scope::Site, "service_unavailable"),
            (Step::Mail, 421, "too many messages", Fate::Deferred, Scope::Pace, ""),
            (Step::Rcpt, 550, "rate limit exceeded", Fate::Deferred, Scope::Pace, ""),
            (Step::Content, 451, "slow down", Fate::Deferred, Scope::Pace, ""),
            (Step::Mail, 553, listed, Fate::Deferred, Scope::Site, "source_refused"),
            (Step::Rcpt, 554, listed, Fate::Deferred, Scope::Site, "source_refused"),
            (Step::Content, 554, listed, Fate::Bounced, Scope::Message, ""),
            (Step::Rcpt, 550, "greylisted, come again", Fate::Deferred, Scope::Message, ""),
            (Step::Rcpt, 550, "no such user", Fate::Bounced, Scope::Message, ""),
        ];
        for (step, code, line, fate, scope, reason) in cases {
            let verdict = of_reply(step, &text(code, line), &[]);
            assert_eq!((verdict.fate, verdict.scope, verdict.reason), (fate, scope, reason), "{} {line}", step.word());
        }
        assert_eq!(of_reply(Step::Greeting, &text(421, "too many connections"), &[]).class, Class::Rate);
        let odd = of_reply(Step::Content, &text(354, "rate limit"), &[]);
        assert_eq!((odd.fate, odd.class), (Fate::InDoubt, Class::Unknown), "nothing was refused");
        assert_eq!(
            of_reply(Step::Rcpt, &text(503, "too many messages"), &[]).scope,
            Scope::Session,
            "out of step, whatever"
        );
    }

    #[test]
    fn a_provider_s_own_words_go_before_all_others() {
        let words = [ReplyPattern::of("[tss99]", Class::Rate), ReplyPattern::of("[own1]", Class::MailboxFull)];
        let refusal = |line: &str| Reply { lines: vec![line.to_owned()], ..reply(550) };
        let slow = of_reply(Step::Rcpt, &refusal("User unknown [TSS99]"), &words);
        assert_eq!((slow.fate, slow.scope, slow.class), (Fate::Deferred, Scope::Pace, Class::Rate));
        let full = of_reply(Step::Rcpt, &refusal("User unknown [OWN1]"), &words);
        assert_eq!((full.fate, full.scope, full.class), (Fate::Bounced, Scope::Message, Class::MailboxFull));
        assert_eq!(of_reply(Step::Rcpt, &refusal("User unknown [TSS99]"), &[]).class, Class::MailboxUnknown);
    }

    #[test]
    fn what_can_not_be_passed_on_over_tls_bounces_alone() {
        let refusal = Reply { enhanced: Some(Enhanced(5, 7, 30)), ..reply(550) };
        for step in [Step::Mail, Step::Rcpt, Step::Data, Step::Content, Step::Chunk] {
            for verdict in [of_reply(step, &refusal, &[]), of_relay(step, &refusal, &[])] {
                let found = (verdict.fate, verdict.scope, verdict.reason);
                assert_eq!(found, (Fate::Bounced, Scope::Message, "requiretls_unsupported"), "{}", step.word());
            }
        }
    }

    #[test]
    fn a_yes_to_an_address_is_no_yes_to_a_message() {
        let about = |subject| Reply { enhanced: Some(Enhanced(2, subject, 5)), ..reply(250) };
        let cases = [
            (Step::Chunk, 0, Fate::Delivered),
            (Step::Chunk, 6, Fate::Delivered),
            (Step::Chunk, 1, Fate::InDoubt),
            // After a 354 there is nothing else that a reply could be to.
            (Step::Content, 1, Fate::Delivered),
        ];
        for (step, subject, fate) in cases {
            assert_eq!(of_reply(step, &about(subject), &[]).fate, fate, "{} 2.{subject}.5", step.word());
        }
    }

    #[test]
    fn only_the_end_of_a_message_leaves_doubt() {
        for step in
            [Step::Greeting, Step::Ehlo, Step::StartTls, Step::Mail, Step::Rcpt, Step::Data, Step::Rset, Step::Quit]
        {
            assert_eq!(of_fault(Some(step), IoFault::Lost).fate, Fate::Deferred, "{}", step.word());
        }
        for fault in [IoFault::Lost, IoFault::TimedOut, IoFault::Malformed] {
            assert_eq!(of_fault(Some(Step::Content), fault).fate, Fate::InDoubt);
            assert_eq!(of_fault(Some(Step::Chunk), fault).fate, Fate::InDoubt);
        }
    }

    #[test]
    fn what_our_machine_lacks_is_no_sites_fault() {
        for step in [None, Some(Step::Greeting), Some(Step::StartTls)] {
            let verdict = of_fault(step, IoFault::Exhausted);
            assert_eq!((verdict.fate, verdict.scope, verdict.reason), (Fate::Deferred, Scope::Machine, EXHAUSTED));
        }
        assert_eq!(of_fault(None, IoFault::SourceGone).scope, Scope::Site);
    }
}
