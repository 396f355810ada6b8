//! The table: what becomes of mail for every kind of peer, at every level. `docs/SECURITY.md` prints it.
//!
//! It was written from DESIGN, RFC 7672 and RFC 8461, and is what the engine is held against.

use super::case::{Case, End, Offer, Paper, Records, Sts, Zone};
use End::{AtOnce, Clear, Confirmed, Tls, Waits};

/// A host with a good certificate in a signed zone, without TLSA records and policy.
const PLAIN: Case = Case {
    peer: "valid certificate",
    domain: "valid",
    zone: Zone::Signed,
    papers: Paper::Valid,
    starttls: Offer::Always,
    records: Records::None,
    policy: Sts::None,
    ends: [Tls; 4],
};

/// Level by level: nothing is proven of the MX record.
const UNPROVEN: [End; 4] = [Tls, Tls, Tls, Confirmed("mx_unproven")];

const fn from_required(fault: End, below: End) -> [End; 4] {
    [below, fault, fault, fault]
}

const fn from_verified(fault: End) -> [End; 4] {
    [Tls, Tls, fault, fault]
}

/// Of TLS itself and of certificates.
static PKIX: [Case; 12] = [
    Case {
        starttls: Offer::Never,
        domain: "bare",
        peer: "no STARTTLS",
        ends: from_required(AtOnce("no_starttls"), Clear),
        ..PLAIN
    },
    Case {
        starttls: Offer::Stripped,
        domain: "stripped",
        peer: "STARTTLS stripped by a man in the middle, from the first contact on",
        ends: from_required(AtOnce("no_starttls"), Clear),
        ..PLAIN
    },
    Case {
        starttls: Offer::StrippedNow,
        domain: "stripped-now",
        peer: "STARTTLS stripped, of a host that had it before",
        ends: from_required(Confirmed("lost_standing"), Clear),
        ..PLAIN
    },
    Case {
        starttls: Offer::NoMore,
        domain: "lost",
        peer: "standing lost: the host had STARTTLS and offers it no more",
        ends: from_required(Confirmed("lost_standing"), Clear),
        ..PLAIN
    },
    Case {
        starttls: Offer::Injected,
        domain: "injected",
        peer: "octets in clear after the 220 to STARTTLS",
        ends: from_required(Waits("starttls_injection"), Clear),
        ..PLAIN
    },
    Case {
        starttls: Offer::Old,
        domain: "old",
        peer: "TLS 1.1 at most",
        ends: from_required(Confirmed("no_common_version"), Clear),
        ..PLAIN
    },
    Case {
        papers: Paper::Expired,
        domain: "expired",
        peer: "expired certificate",
        ends: from_verified(Confirmed("certificate_expired")),
        ..PLAIN
    },
    Case {
        papers: Paper::SelfSigned,
        domain: "self-signed",
        peer: "self-signed certificate",
        ends: from_verified(Confirmed("unknown_issuer")),
        ..PLAIN
    },
    Case {
        papers: Paper::WrongName,
        domain: "wrong-name",
        peer: "certificate for another name",
        ends: from_verified(Confirmed("name_mismatch")),
        ..PLAIN
    },
    Case {
        papers: Paper::UnknownIssuer,
        domain: "unknown-issuer",
        peer: "certificate of an unknown issuer",
        ends: from_verified(Confirmed("unknown_issuer")),
        ..PLAIN
    },
    PLAIN,
    Case {
        zone: Zone::Unsigned,
        domain: "unsigned",
        peer: "valid certificate, unsigned MX records",
        ends: UNPROVEN,
        ..PLAIN
    },
];

/// A domain in an unsigned zone, with a policy.
const POLICY: Case = Case { zone: Zone::Unsigned, ..PLAIN };

/// Of MTA-STS.
static STS: [Case; 11] = [
    Case { policy: Sts::Of("enforce"), domain: "enforced", peer: "MTA-STS `enforce`, host named", ..POLICY },
    Case {
        policy: Sts::Elsewhere("enforce"),
        domain: "elsewhere",
        peer: "MTA-STS `enforce`, host not named",
        ends: [Confirmed("sts_mismatch"); 4],
        ..POLICY
    },
    Case {
        policy: Sts::Of("enforce"),
        papers: Paper::Expired,
        domain: "enforced-expired",
        peer: "MTA-STS `enforce`, host named, expired certificate",
        ends: [Confirmed("certificate_expired"); 4],
        ..POLICY
    },
    Case {
        policy: Sts::Of("enforce"),
        starttls: Offer::Stripped,
        domain: "enforced-stripped",
        peer: "MTA-STS `enforce`, host named, STARTTLS stripped",
        ends: [Confirmed("lost_standing"); 4],
        ..POLICY
    },
    Case {
        policy: Sts::Of("testing"),
        domain: "testing",
        peer: "MTA-STS `testing`, host named",
        ends: UNPROVEN,
        ..POLICY
    },
    Case {
        policy: Sts::Elsewhere("testing"),
        domain: "testing-elsewhere",
        peer: "MTA-STS `testing`, host not named",
        ends: UNPROVEN,
        ..POLICY
    },
    Case {
        policy: Sts::Of("testing"),
        starttls: Offer::Never,
        domain: "testing-bare",
        peer: "MTA-STS `testing`, host named, no STARTTLS",
        ends: [Clear, AtOnce("no_starttls"), AtOnce("no_starttls"), Confirmed("mx_unproven")],
        ..POLICY
    },
    Case { policy: Sts::Of("none"), domain: "none", peer: "MTA-STS `none`", ends: UNPROVEN, ..POLICY },
    Case {
        policy: Sts::Down,
        domain: "down",
        peer: "MTA-STS policy can't be fetched, none kept",
        ends: [Tls, Tls, Tls, Waits("mx_unproven")],
        ..POLICY
    },
    Case {
        policy: Sts::DownNow,
        domain: "down-now",
        peer: "MTA-STS policy can't be fetched, one kept that names the host",
        ..POLICY
    },
    Case {
        policy: Sts::DownNowElsewhere,
        domain: "down-now-elsewhere",
        peer: "MTA-STS policy can't be fetched, one kept that doesn't name the host",
        ends: [Waits("sts_mismatch"); 4],
        ..POLICY
    },
];

/// Of DANE.
static DANE: [Case; 18] = [
    Case { records: Records::Ee, domain: "ee", peer: "DANE-EE, match", ..PLAIN },
    Case {
        records: Records::Ee,
        papers: Paper::SelfSigned,
        domain: "ee-self-signed",
        peer: "DANE-EE, match, self-signed certificate",
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        papers: Paper::Expired,
        domain: "ee-expired",
        peer: "DANE-EE, match, expired certificate",
        ..PLAIN
    },
    Case {
        records: Records::EeOfAnother,
        domain: "ee-other",
        peer: "DANE-EE, no match, valid certificate",
        ends: [Confirmed("tlsa_mismatch"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        starttls: Offer::Stripped,
        domain: "ee-stripped",
        peer: "DANE-EE, STARTTLS stripped",
        ends: [Confirmed("lost_standing"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        starttls: Offer::Old,
        domain: "ee-old",
        peer: "DANE-EE, TLS 1.1 at most",
        ends: [Confirmed("no_common_version"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ta,
        papers: Paper::UnknownIssuer,
        domain: "ta",
        peer: "DANE-TA, match, issuer known by it alone",
        ..PLAIN
    },
    Case {
        records: Records::TaOfAnother,
        domain: "ta-other",
        peer: "DANE-TA, no match, valid certificate",
        ends: [Confirmed("tlsa_mismatch"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ta,
        papers: Paper::WrongName,
        domain: "ta-wrong-name",
        peer: "DANE-TA, match, certificate for another name",
        ends: [Confirmed("name_mismatch"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        zone: Zone::UnsignedMx,
        papers: Paper::SelfSigned,
        domain: "ee-unsigned-mx",
        peer: "DANE-EE, match, unsigned MX records",
        ends: UNPROVEN,
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        papers: Paper::SelfSigned,
        policy: Sts::Elsewhere("enforce"),
        domain: "ee-elsewhere",
        peer: "DANE-EE, match; MTA-STS `enforce`, host not named",
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        zone: Zone::UnsignedMx,
        policy: Sts::Elsewhere("enforce"),
        domain: "ee-elsewhere-unsigned",
        peer: "DANE-EE, match, unsigned MX records; MTA-STS `enforce`, host not named",
        ends: [Confirmed("sts_mismatch"); 4],
        ..PLAIN
    },
    Case {
        records: Records::EeOfAnother,
        policy: Sts::Of("enforce"),
        domain: "ee-other-enforced",
        peer: "DANE-EE, no match, valid certificate; MTA-STS `enforce`, host named",
        ends: [Confirmed("tlsa_mismatch"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Ee,
        zone: Zone::Tampered,
        domain: "ee-tampered",
        peer: "TLSA bogus: changed after it was signed",
        ends: [Waits("tlsa_unknown"); 4],
        ..PLAIN
    },
    Case {
        records: Records::Servfail,
        domain: "servfail",
        peer: "TLSA servfail",
        ends: [Waits("tlsa_unknown"); 4],
        ..PLAIN
    },
    Case { records: Records::Unusable, domain: "unusable", peer: "TLSA unusable, valid certificate", ..PLAIN },
    Case {
        records: Records::Unusable,
        papers: Paper::SelfSigned,
        domain: "unusable-self-signed",
        peer: "TLSA unusable, self-signed certificate",
        ends: from_verified(Confirmed("unknown_issuer")),
        ..PLAIN
    },
    Case {
        records: Records::Unusable,
        starttls: Offer::Stripped,
        domain: "unusable-stripped",
        peer: "TLSA unusable, STARTTLS stripped",
        ends: [Confirmed("lost_standing"); 4],
        ..PLAIN
    },
];

/// All of it.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    PKIX.iter().chain(&STS).chain(&DANE)
}

/// Thirty: ten to whom an exclusive run at `verified` sends nothing, each in its own way, and twenty
/// to whom it delivers.
pub fn thirty() -> Vec<&'static Case> {
    const UNABLE: [&str; 10] = [
        "bare",
        "lost",
        "old",
        "expired",
        "self-signed",
        "wrong-name",
        "unknown-issuer",
        "elsewhere",
        "enforced-stripped",
        "ee-other",
    ];
    let able = cases().filter(|case| case.ends[VERIFIED] == Tls && case.policy != Sts::DownNow);
    cases().filter(|case| UNABLE.contains(&case.domain)).chain(able).chain(&ORDINARY).collect()
}

/// The place of `verified` in [`Case::ends`].
pub const VERIFIED: usize = 2;

/// Hosts as most of them are.
static ORDINARY: [Case; 6] = [
    Case { domain: "a", ..PLAIN },
    Case { domain: "b", ..PLAIN },
    Case { domain: "c", ..PLAIN },
    Case { domain: "d", ..POLICY },
    Case { domain: "e", ..POLICY },
    Case { domain: "f", ..POLICY },
];

/// The table as `docs/SECURITY.md` prints it.
pub fn markdown() -> String {
    let mut text =
        "| peer | `opportunistic` | `required` | `verified` | `authenticated` |\n|---|---|---|---|---|\n".to_owned();
    for case in cases() {
        let ends = case.ends.map(|end| match end {
            Clear => "**in clear**".to_owned(),
            Tls => "TLS".to_owned(),
            AtOnce(reason) => format!("`{reason}` ✕"),
            Confirmed(reason) => format!("`{reason}` ✕ confirmed"),
            Waits(reason) => format!("`{reason}` waits"),
        });
        text.push_str(&format!("| {} | {} |\n", case.peer, ends.join(" | ")));
    }
    text
}
