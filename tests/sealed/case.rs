//! A case of the table: a kind of peer, and what becomes of its mail.

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Delivered in clear text.
    Clear,
    /// Delivered over TLS.
    Tls,
    /// Dropped by an exclusive run at the first attempt; deferred by others, until it expires.
    AtOnce(&'static str),
    /// The same once it was confirmed.
    Confirmed(&'static str),
    /// Deferred by every run, until it expires.
    Waits(&'static str),
}

/// A peer.
pub struct Case {
    /// What the table calls it.
    pub peer: &'static str,
    /// Its domain, without the zone.
    pub domain: &'static str,
    pub zone: Zone,
    pub papers: Paper,
    pub starttls: Offer,
    pub records: Records,
    pub policy: Sts,
    /// At `opportunistic`, `required`, `verified`, `authenticated`.
    pub ends: [End; 4],
}

impl Case {
    /// Whether it is met before it becomes what it is.
    pub fn changes(&self) -> bool {
        matches!(self.starttls, Offer::NoMore | Offer::StrippedNow)
            || matches!(self.policy, Sts::DownNow | Sts::DownNowElsewhere)
    }
}

/// Whether its zone is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Signed,
    Unsigned,
    /// Its MX records are unsigned, its host is in a signed zone.
    UnsignedMx,
    /// Signed, and then its TLSA records were changed.
    Tampered,
}

/// What its certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    Valid,
    Expired,
    SelfSigned,
    WrongName,
    UnknownIssuer,
}

/// What becomes of STARTTLS there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    Always,
    Never,
    /// It was offered before.
    NoMore,
    /// A man in the middle takes it out.
    Stripped,
    /// He came after it was seen.
    StrippedNow,
    /// TLS 1.1 is the best that it can.
    Old,
    Injected,
}

/// Its TLSA records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    None,
    Ee,
    EeOfAnother,
    Ta,
    TaOfAnother,
    /// A usage that SMTP has no use for.
    Unusable,
    Servfail,
}

/// Its MTA-STS policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sts {
    None,
    /// In this mode, and it names the host.
    Of(&'static str),
    /// In this mode, and it names another host.
    Elsewhere(&'static str),
    /// Announced, and never to be had.
    Down,
    /// In `enforce`, it was had before, and another is announced that is not to be had.
    DownNow,
    /// The same, and it names another host.
    DownNowElsewhere,
}
