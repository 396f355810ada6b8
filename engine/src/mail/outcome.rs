//! How a row ends.

use super::{Class, Enhanced};
use crate::clock::Timestamp;
use std::fmt;

/// The ways in which a row ends. The numbers are the store's format and are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A server took responsibility with 250.
    Delivered = 1,
    /// A server refused for good (5yz), or the message can never fit its limits.
    Bounced = 2,
    /// TLS could not be what was demanded (exclusive mode).
    Dropped = 3,
    /// Its lifetime ran out.
    Expired = 4,
    /// Its address is on the suppression list.
    Suppressed = 5,
    /// Consent was missing.
    Withheld = 6,
    /// Its key was seen before.
    Duplicate = 7,
    /// Malformed, badly addressed or not renderable.
    Invalid = 8,
    /// Cancelled by the operator.
    Cancelled = 9,
    /// Its last octet left and the reply never came.
    InDoubt = 10,
}

impl Kind {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Kind; 10] = [
        Kind::Delivered,
        Kind::Bounced,
        Kind::Dropped,
        Kind::Expired,
        Kind::Suppressed,
        Kind::Withheld,
        Kind::Duplicate,
        Kind::Invalid,
        Kind::Cancelled,
        Kind::InDoubt,
    ];

    /// Its word in reports and JSON.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Delivered => "delivered",
            Kind::Bounced => "bounced",
            Kind::Dropped => "dropped",
            Kind::Expired => "expired",
            Kind::Suppressed => "suppressed",
            Kind::Withheld => "withheld",
            Kind::Duplicate => "duplicate",
            Kind::Invalid => "invalid",
            Kind::Cancelled => "cancelled",
            Kind::InDoubt => "in_doubt",
        }
    }

    /// Whether we tried to send it and it did not arrive, so that a letter may have to follow.
    pub fn is_undeliverable(self) -> bool {
        matches!(self, Kind::Bounced | Kind::Dropped | Kind::Expired)
    }

    /// Its number in the store.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The kind of a number in the store.
    pub fn from_number(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A row's end, as stored and reported.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// Attempts made.
    pub attempts: u32,
    /// The reply code that decided, where one did.
    pub code: Option<u16>,
    /// The enhanced status code that decided.
    pub enhanced: Option<Enhanced>,
    /// What the refusal was about. None of deliveries, of ends without a refusal, and of outcomes from before classes were kept.
    pub class: Option<Class>,
    /// Whether an attempt before the last one was in doubt: it may have been delivered besides.
    pub doubted: bool,
    /// A closed label (`no_starttls`, `missing_field`, …); empty where the codes say all.
    pub reason: String,
    /// Free text: a reply's lines, or what is wrong with the row. It may hold PHI and rests sealed.
    pub text: String,
    /// The session over which it was decided, by the store's number: how the message travelled.
    pub session: Option<u64>,
    /// Who did not get it, of rows that a letter may follow. PHI: it rests sealed.
    pub addressee: Option<Addressee>,
}

/// Whom a row was for.
#[derive(Clone, PartialEq, Eq)]
pub struct Addressee {
    /// Its address.
    pub to: String,
    /// What is in its key column.
    pub key: String,
}

impl fmt::Debug for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addressee(redacted)")
    }
}

impl Outcome {
    /// An outcome with neither codes nor text.
    pub fn new(kind: Kind, at: Timestamp, attempts: u32, reason: &str) -> Outcome {
        Outcome {
            kind,
            at,
            attempts,
            code: None,
            enhanced: None,
            class: None,
            doubted: false,
            reason: reason.into(),
            text: String::new(),
            session: None,
            addressee: None,
        }
    }

    /// What reports group by: codes, then reason. No PHI.
    pub fn why(&self) -> String {
        why(self.code, self.enhanced, &self.reason)
    }
}

/// Reply codes and a closed label as one text, for reports and logs.
pub fn why(code: Option<u16>, enhanced: Option<Enhanced>, reason: &str) -> String {
    let code = code.map(|code| code.to_string());
    let enhanced = enhanced.map(|enhanced| enhanced.to_string());
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    let parts: Vec<_> = [code, enhanced, reason].into_iter().flatten().collect();
    parts.join(" ")
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcome({} {})", self.kind, self.why())
    }
}
