//! What a refusal is about, in closed words.

use std::fmt;

/// A class of replies. Its word is a label of metrics and reports; its number is the store's format and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Nobody has this address, or no longer.
    MailboxUnknown = 1,
    /// The mailbox is there and takes nothing now: full.
    MailboxFull = 2,
    /// The mailbox is there and is closed, suspended or too long unused.
    MailboxClosed = 3,
    /// The server does not want this message, for a rule of its own that has nothing to do with spam: whom it takes mail from,
    /// whom it relays for.
    Policy = 4,
    /// It takes the message for spam.
    SpamBlock = 5,
    /// It distrusts our address or domain: a block list, a bad standing, no reverse name.
    Reputation = 6,
    /// We send too fast, or over too many connections.
    Rate = 7,
    /// SPF, DKIM or DMARC did not hold.
    Authentication = 8,
    /// What is in the message: a virus, a forbidden attachment, malformed.
    Content = 9,
    /// The message is larger than it takes.
    TooLarge = 10,
    /// Come again in a moment: everybody unknown is told so.
    Greylist = 11,
    /// TLS is not what it must be.
    Tls = 12,
    /// The server or the net behind it is in trouble: full disk, no route, internal error.
    Infrastructure = 13,
    /// The domain is not there, or takes no mail at all.
    Domain = 14,
    /// It speaks another protocol than we do.
    Protocol = 15,
    /// It does not say.
    Unknown = 16,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 16] = [
        Class::MailboxUnknown,
        Class::MailboxFull,
        Class::MailboxClosed,
        Class::Policy,
        Class::SpamBlock,
        Class::Reputation,
        Class::Rate,
        Class::Authentication,
        Class::Content,
        Class::TooLarge,
        Class::Greylist,
        Class::Tls,
        Class::Infrastructure,
        Class::Domain,
        Class::Protocol,
        Class::Unknown,
    ];

    /// Its word in reports, JSON and labels.
    pub fn word(self) -> &'static str {
        match self {
            Class::MailboxUnknown => "mailbox_unknown",
            Class::MailboxFull => "mailbox_full",
            Class::MailboxClosed => "mailbox_closed",
            Class::Policy => "policy",
            Class::SpamBlock => "spam_block",
            Class::Reputation => "reputation",
            Class::Rate => "rate",
            Class::Authentication => "authentication",
            Class::Content => "content",
            Class::TooLarge => "too_large",
            Class::Greylist => "greylist",
            Class::Tls => "tls",
            Class::Infrastructure => "infrastructure",
            Class::Domain => "domain",
            Class::Protocol => "protocol",
            Class::Unknown => "unknown",
        }
    }

    /// Whether the address itself is bad, so that no other message will reach it either.
    pub fn is_hard(self) -> bool {
        matches!(self, Class::MailboxUnknown | Class::Domain)
    }

    /// Whether we, our mail or its papers are what is not wanted: a share of these brakes the sending.
    pub fn is_block(self) -> bool {
        matches!(self, Class::SpamBlock | Class::Reputation | Class::Authentication)
    }

    /// Its number in the store.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The class of a number in the store.
    pub fn from_number(number: u8) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.number() == number)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
