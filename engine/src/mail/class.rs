//! What a refusal is about, in closed words.

/// A class of replies. Its word is a label of metrics and reports, and the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nobody has this address, or no longer.
    MailboxUnknown,
    /// The mailbox is there and takes nothing now: full.
    MailboxFull,
    /// The mailbox is there and is closed, suspended or too long unused.
    MailboxClosed,
    /// The server does not want this message, for a rule of its own that has nothing to do with spam.
    Policy,
    /// It takes the message for spam.
    SpamBlock,
    /// It distrusts our address or domain: a block list, a bad standing.
    Reputation,
    /// We send too fast, or over too many connections.
    Rate,
    /// SPF, DKIM or DMARC did not hold.
    Authentication,
    /// What is in the message: a virus, a forbidden attachment, malformed.
    Content,
    /// The message is larger than it takes.
    TooLarge,
    /// Come again in a moment: everybody unknown is told so.
    Greylist,
    /// TLS is not what it must be.
    Tls,
    /// The server or the net behind it is in trouble: full disk, no route, internal error.
    Infrastructure,
    /// The domain takes no mail, or relays it nowhere.
    Domain,
    /// It speaks another protocol than we do.
    Protocol,
    /// It does not say.
    Unknown,
}
