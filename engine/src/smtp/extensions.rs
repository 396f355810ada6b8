//! What EHLO's reply offers.

use crate::mail::Reply;

/// The extensions that we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// RFC 3207.
    pub(super) starttls: bool,
    /// RFC 2920.
    pub(super) pipelining: bool,
    /// RFC 1870: offered, and the largest message in octets where one is told.
    pub(super) size: Option<Option<u64>>,
    /// RFC 3461.
    pub(super) dsn: bool,
    /// RFC 6531.
    pub(super) smtputf8: bool,
    /// RFC 8689.
    pub(super) requiretls: bool,
    /// RFC 4954: the mechanisms.
    pub(super) auth: Vec<String>,
}

impl Extensions {
    pub(super) fn read(reply: &Reply) -> Extensions {
        let mut found = Extensions::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "STARTTLS" => found.starttls = true,
                "PIPELINING" => found.pipelining = true,
                "SIZE" => found.size = Some(words.next().and_then(|most| most.parse().ok()).filter(|most| *most > 0)),
                "DSN" => found.dsn = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "REQUIRETLS" => found.requiretls = true,
                "AUTH" => found.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }
}
